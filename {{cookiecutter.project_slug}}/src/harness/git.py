"""The few things that are asked of git, as a person at the command line would ask them."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

from harness.errors import HarnessError

TAG = re.compile(r"e(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)\Z")
# What an experiment itself writes; it may be unfinished from a run that was killed.
OWN = ("results",)


def git(root: Path, *arguments: str, check: bool = True) -> str:
    """The standard output of a git command, without the last line end.

    Raises HarnessError with git's own words where it fails and `check` is set.
    """
    try:
        done = subprocess.run(
            # What is written in the repository is UTF-8, whatever this terminal speaks.
            ["git", *(each.encode("utf-8", "surrogateescape") for each in arguments)],
            cwd=root,
            capture_output=True,
            # Names of files, whatever they are written in, as Python itself would read them.
            encoding=sys.getfilesystemencoding(),
            errors="surrogateescape",
        )
    except FileNotFoundError:
        raise HarnessError("git is not installed", fix="install git") from None
    if done.returncode and check:
        words = done.stderr.strip() or done.stdout.strip()
        raise HarnessError(
            f"git {arguments[0]}: {words}", fix="mend that, then run it again", code=1
        )
    return done.stdout.rstrip("\n")


def is_repository(root: Path) -> bool:
    """Whether `root` is inside a git work tree."""
    return git(root, "rev-parse", "--is-inside-work-tree", check=False) == "true"


def top(root: Path) -> Path:
    """The top folder of the repository that `root` lies in; `root` itself where there is none."""
    # Looked for here: every command needs it, and starting git takes longer than this.
    above = (folder for folder in (root, *root.parents) if (folder / ".git").exists())
    return next(above, root)


def head(root: Path) -> str:
    """The commit that is checked out, in full; '' before the first one."""
    return git(root, "rev-parse", "--verify", "-q", "HEAD", check=False)


def branch(root: Path) -> str:
    """The branch that is checked out; '' on a detached HEAD."""
    return git(root, "symbolic-ref", "--short", "-q", "HEAD", check=False)


def changed(root: Path) -> list[str]:
    """Files that differ from the last commit, new ones too, without what experiments write."""
    lines = git(root, "status", "--porcelain", "--untracked-files=all", "-z").split("\0")
    # git names them from the top of the repository, which may lie above this folder.
    above = git(root, "rev-parse", "--show-prefix")
    paths = [line[3:].removeprefix(above) for line in lines if len(line) > 3]
    return [path for path in paths if path.split("/")[0] not in OWN]


def unkept(root: Path, paths: list[str]) -> list[str]:
    """Which files neither git nor, in its stead, DVC keeps."""

    def by_dvc(path: Path) -> bool:
        parts = [part for part in (path, *path.parents) if part.name]
        return any((root / part).with_name(f"{part.name}.dvc").is_file() for part in parts)

    known = set(git(root, "ls-files", "-z", "--", *paths).split("\0")) if paths else set()
    return [path for path in paths if path not in known and not by_dvc(Path(path))]


def dirty_hash(root: Path) -> str:
    """SHA-256 over the uncommitted changes and new files; '' where there are none."""
    paths = changed(root)
    if not paths:
        return ""
    content = hashlib.sha256(git(root, "diff", "HEAD", "--binary", check=False).encode())
    for path in sorted(paths):
        file = root / path
        content.update(os.fsencode(path))
        if file.is_file():
            content.update(hashlib.sha256(file.read_bytes()).digest())
    return content.hexdigest()


def tags(root: Path) -> list[str]:
    """Experiment tags, oldest version first."""
    found = [tag for tag in git(root, "tag", "--list", "e*", check=False).split() if TAG.match(tag)]
    return sorted(found, key=version)


def version(tag: str) -> tuple[int, ...]:
    """`e1.2.3` as (1, 2, 3)."""
    return tuple(int(part) for part in tag[1:].split("."))


def next_tag(root: Path) -> str:
    """The next free tag: the newest one with its last number raised."""
    known = tags(root)
    if not known:
        return "e0.0.1"
    major, minor, patch = version(known[-1])
    return f"e{major}.{minor}.{patch + 1}"


def commit(root: Path, paths: list[str], message: str) -> None:
    """Commit `paths` (nothing else) where they differ from the last commit."""
    git(root, "add", "--", *paths)
    if not git(root, "diff", "--cached", "--name-only", "--", *paths):
        return
    # The person's hooks guard what they write by hand; this commit holds results only.
    git(root, *identity(root), "commit", "--no-verify", "-q", "-m", message, "--", *paths)


def annotate(root: Path, tag: str, message: str) -> None:
    """Make an annotated tag at HEAD."""
    git(root, *identity(root), "tag", "-a", tag, "-m", message, "--cleanup=verbatim")


def identity(root: Path) -> list[str]:
    """Options that let git commit where nobody has told it a name yet."""
    options = []
    if not git(root, "config", "user.name", check=False):
        options += ["-c", "user.name=benchmark"]
    if not git(root, "config", "user.email", check=False):
        options += ["-c", "user.email=benchmark@localhost"]
    return options


def push(root: Path, tag: str) -> str:
    """Push the branch and the tag where a remote is set; returns its name, or '' without one."""
    remote = _remote(root)
    if remote:
        git(root, "push", remote, "HEAD", f"refs/tags/{tag}")
    return remote


def push_missing(root: Path, tag: str) -> str:
    """The command that pushes a tag which no remote has, as far as is known here; '' otherwise."""
    remote = _remote(root)
    if not remote or git(root, "branch", "--remotes", "--contains", tag, check=False):
        return ""
    return f"git push {remote} HEAD refs/tags/{tag}"


def _remote(root: Path) -> str:
    remotes = git(root, "remote").split()
    return "origin" if "origin" in remotes else next(iter(remotes), "")
