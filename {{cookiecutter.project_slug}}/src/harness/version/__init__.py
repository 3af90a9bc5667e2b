"""Git, DVC and tags: what is published, and whether what lies here is what was recorded.

git, dvc, published, results_state, retag; tagged, index, next_version (what tags say, and the next
one); past, differences, checkouts (files of past experiments); remotes, remote_probe, sharing.
"""
