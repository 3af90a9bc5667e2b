"""DVC at its command line: data and results databases are its, small sample data stays in git."""

import json
import subprocess
import sys
from pathlib import Path

from harness import git
from harness.errors import HarnessError


def run(root: Path, *arguments: str) -> str:
    """The standard output of a DVC command. Raises HarnessError with DVC's words where it fails."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "dvc",
            *(each.encode("utf-8", "surrogateescape") for each in arguments),
        ],
        cwd=root,
        capture_output=True,
        encoding=sys.getfilesystemencoding(),
        errors="surrogateescape",
    )
    if done.returncode:
        words = (done.stderr or done.stdout).strip()
        raise HarnessError(
            f"dvc {arguments[0]}: {words}", fix="mend that, then run it again", code=1
        )
    return done.stdout


def add(root: Path, path: Path) -> list[str]:
    """Hand a file to DVC; returns what git should keep instead of it."""
    name = path.relative_to(root).as_posix()
    run(root, "add", "-q", name)
    return [f"{name}.dvc", *_ignore_file(root, path)]


def _ignore_file(root: Path, path: Path) -> list[str]:
    ignore = path.parent / ".gitignore"
    return [ignore.relative_to(root).as_posix()] if ignore.exists() else []


def changed_data(root: Path) -> list[str]:
    """What DVC keeps under data/ and differs from its record."""
    kept = [path.relative_to(root).as_posix() for path in (root / "data").rglob("*.dvc")]
    if not kept:
        return []
    return sorted(json.loads(run(root, "status", "--json", *kept) or "{}"))


def track_data(root: Path, with_dvc: bool) -> list[str]:
    """Hand new and changed files in data/ to DVC (or git); returns what was staged.

    What git holds already stays in git.
    """
    in_git = _in_data(root)
    staged: list[str] = []
    for path in sorted((root / "data").glob("*")):
        name = path.relative_to(root).as_posix()
        if path.name in in_git or not _is_data(path.name):
            continue
        staged += add(root, path) if with_dvc else [name]
    staged = list(dict.fromkeys(staged))
    if staged:
        git.git(root, "add", "--", *staged)
    changed = git.git(root, "diff", "--cached", "--name-only", "--", "data")
    return changed.splitlines()


def new_data(root: Path) -> list[str]:
    """What neither git nor DVC keeps yet, and `track_data` would take."""
    new = _in_data(root, "--others", "--exclude-standard") - _in_data(root)
    return sorted(f"data/{name}" for name in new if _is_data(name))


def _is_data(name: str) -> bool:
    return not name.startswith(".") and not name.endswith(".dvc")


def _in_data(root: Path, *which: str) -> set[str]:
    """Files and folders directly in data/ that git lists (by default: that it holds)."""
    listed = git.git(root, "ls-files", "-z", *which, "--", "data").split("\0")
    return {name.split("/")[1] for name in listed if name}


def has_remote(root: Path) -> bool:
    """Whether a remote is set to push to."""
    return bool(run(root, "remote", "list").strip())
