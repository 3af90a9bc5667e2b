"""What differs between the files of two tags: as git shows it, of the files that matter."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from harness.version import git
from harness.version.past import files_at


def changed_parts(before: Mapping[str, Any], after: Mapping[str, Any], column: str) -> list[str]:
    """The files that a column of `runs` (code_parts, grid_files) has with another digest."""
    old, new = (_parts(run.get(column)) for run in (before, after))
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def _parts(value: Any) -> dict[str, str]:
    if isinstance(value, str):
        value = json.loads(value or "{}")
    return value if isinstance(value, dict) else {}


def patches(root: Path, a: str, b: str, names: Collection[str]) -> dict[str, str]:
    """The diff of each of these files from tag `a` to tag `b`; none where git has it the same."""
    options = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--relative")
    found = {}
    for name in names:
        refs = (git.TAGS + a, git.TAGS + b)
        if text := git.git(root, git.LITERAL, "diff", *options, *refs, "--", name):
            found[name] = text
    return found


def changed_in_git(root: Path, a: str, b: str, under: str) -> list[str]:
    """The files below a folder that git has otherwise at tag `b` than at tag `a`."""
    options = ("--name-only", "--no-renames", "--relative", "-z")
    refs = (git.TAGS + a, git.TAGS + b)
    listed = git.git(root, git.LITERAL, "diff", *options, *refs, "--", under)
    return sorted(filter(None, listed.split("\0")))


def changed_files(root: Path, a: str, b: str, under: str) -> list[tuple[str, str]]:
    """Files below a folder that differ between two tags, each with `added`, `removed`, `changed`.

    What DVC keeps counts by its content, not by the `.dvc` file.
    """
    old, new = (
        {
            held.name: held.id
            for held in files_at(root, tag)
            if held.name.startswith(f"{under}/") and not held.name.endswith(".dvc")
        }
        for tag in (a, b)
    )
    found = []
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            how = "added" if name not in old else "removed" if name not in new else "changed"
            found.append((name, how))
    return found
