"""A whole past experiment in a read-only folder beside the project, and its removal.

It is no worktree of git: nothing is registered, no branch is taken, and the folder says by itself
whose it is, so that only what was made here is ever removed.
"""

import json
import os
import shutil
import stat
import tempfile
from pathlib import Path

from harness.errors import HarnessError
from harness.record.layout import TAG
from harness.version import git
from harness.version.past import (
    bring,
    cached_files,
    commit_of,
    files_at,
    link_or_copy,
    write_tree,
)

MARK = ".checkout.json"


def folder_of(root: Path, tag: str) -> Path:
    """`../<project>-e0.0.1`. Raises HarnessError for what is no tag: it becomes part of a path."""
    if not TAG.match(tag):
        raise HarnessError(f"{tag!r} is no experiment tag (e1.2.3)", fix="make tags")
    return root.parent / f"{root.name}-{tag}"


def checkout(root: Path, tag: str) -> Path:
    """Write code, data, models and results of a tag into a folder, whole or not at all.

    Raises HarnessError where the folder is there, or something cannot be brought.
    """
    target, commit = folder_of(root, tag), commit_of(root, tag)
    if target.exists():
        same = _mark_of(target).get("commit") == commit
        what = f"{tag} is there already" if same else "something else is there"
        fix = f"make cleanup TAG={tag}" if _mark_of(target) else f"move {target} away"
        raise HarnessError(f"{target}: {what}", fix=fix)
    if not os.access(target.parent, os.W_OK):
        raise HarnessError(f"{target.parent} may not be written", fix=f"chmod u+w {target.parent}")
    kept = [each for each in files_at(root, tag) if each.by == "dvc"]
    bring(root, kept)
    part = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        write_tree(root, tag, part)
        for held in kept:
            for name, cached in cached_files(root, held):
                link_or_copy(cached, part / name)
        mark = {"of": str(root.resolve()), "tag": tag, "commit": commit}
        (part / MARK).write_text(json.dumps(mark, indent=1) + "\n", encoding="utf-8")
        _may_write(part, False)
        part.chmod(0o755)  # a folder that may not be written cannot be renamed everywhere
        part.rename(target)
        target.chmod(0o555)
    except BaseException:
        remove(part)
        raise
    return target


def checkouts(root: Path) -> list[Path]:
    """The folders that were made of this project's experiments, oldest version first."""
    found = [
        path
        for path in root.parent.glob(f"{root.name}-e*")
        if TAG.match(path.name.removeprefix(f"{root.name}-"))
        and _mark_of(path).get("of") == str(root.resolve())
    ]
    return sorted(found, key=lambda path: git.version(path.name.removeprefix(f"{root.name}-")))


def clean_up(root: Path, tag: str = "") -> list[Path]:
    """Remove the folder of a tag, or all; returns what was removed.

    Raises HarnessError where there is no such folder, or `checkout` did not make it.
    """
    chosen = checkouts(root)
    if tag:
        target = folder_of(root, tag)
        if target not in chosen:
            why = "was not made by make checkout" if target.exists() else "is not there"
            there = ", ".join(path.name for path in chosen) or "there is none"
            raise HarnessError(f"{target} {why} (checkouts: {there})", fix="make cleanup")
        chosen = [target]
    for path in chosen:
        remove(path)
    return chosen


def remove(path: Path) -> None:
    """Remove a folder that may not be written."""
    _may_write(path, True)
    shutil.rmtree(path)


def _mark_of(path: Path) -> dict[str, str]:
    try:
        found = json.loads((path / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _may_write(top: Path, allowed: bool) -> None:
    """Give or take the right to write, folders last where it is taken."""
    for folder, _, files in os.walk(top, topdown=allowed):
        paths = [Path(folder), *(Path(folder) / name for name in files)]
        for path in paths if allowed else reversed(paths):
            if path.is_symlink():
                continue
            mode = stat.S_IMODE(path.stat().st_mode)
            path.chmod(mode | stat.S_IWUSR if allowed else mode & ~0o222)
