"""Git, DVC and tags: what is published, and whether what lies here is what was recorded.

git, dvc, published, results_state, retag; recorded_versions: a database as a commit has it.
tagged, index, next_version: what tags say, and the next one; looks_log: comparisons made;
past, differences, checkouts: files of past experiments; remotes, remote_probe, sharing.
merging/: results of two places brought together; relayout: from one layout to another.
template, template_merge, upgrade: a newer harness.
worktrees, worktree_state: checkouts beside this one; shared_cache: DVC's, for a group.
models, model_files: which are kept, which one is in production, and their files.
"""
