"""Git, DVC and tags: what is published, and whether what lies here is what was recorded.

git, dvc, published, results_state, retag.
"""
