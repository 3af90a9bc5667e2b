"""DVC at its command line: data and results databases are its, small sample data stays in git."""

import configparser
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from harness.errors import HarnessError
from harness.version import git

_NO_REMOTE = "no remote specified"
_FIXES = (
    (r"[Uu]nable to acquire lock|lock.* busy", "wait until no other dvc is at work here"),
    (r"'(dvc-\w+)' to be installed", "add {} to requirements-benchmark.in, then make lock setup"),
    (r"not inside of a DVC repository", "dvc init (below the top of a git repository: --subdir)"),
    (_NO_REMOTE, "dvc remote default NAME, and commit it"),
    (r"merge conflict|is invalid|schema", "correct that file: git status, git diff"),
    (r"No space left|disk is full", "free some space"),
)


def run(root: Path, *arguments: str) -> str:
    """The standard output of a DVC command. Raises HarnessError with DVC's words where it fails."""
    if importlib.util.find_spec("dvc") is None:
        raise HarnessError("DVC is not in this environment", fix="make setup", code=1)
    # Never --quiet: it keeps back why DVC failed.
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
        raise _failed(arguments[0], done.stderr or done.stdout)
    return done.stdout


def _failed(command: str, said: str) -> HarnessError:
    words = "\n".join(
        line.removeprefix("ERROR: ")
        for line in said.splitlines()
        if line.strip() and "Having any troubles" not in line and not line.startswith("WARNING")
    )
    fix = "see that the remote can be reached (dvc remote list)" if command == "push" else ""
    for pattern, advice in _FIXES:
        if found := re.search(pattern, words):
            fix = advice.format(found[found.lastindex or 0])
            break
    again = "the same command then goes on; nothing recorded was changed"
    return HarnessError(
        f"dvc {command}: {words}", fix=f"{fix or 'see what DVC says'}; {again}", code=1
    )


def is_set_up(root: Path) -> bool:
    """Whether this folder, or one above, is DVC's."""
    return any((folder / ".dvc").is_dir() for folder in (root, *root.parents))


def cache_folder(root: Path) -> Path:
    """Where DVC keeps what it was given; a worktree and a group share one by their settings."""
    folder = next((each / ".dvc" for each in (root, *root.parents) if (each / ".dvc").is_dir()),
                  root / ".dvc")  # fmt: skip
    config = configparser.ConfigParser(interpolation=None)
    config.read([folder / "config", folder / "config.local"], encoding="utf-8")
    return (folder / config.get("cache", "dir", fallback="cache")).resolve()


def cached(root: Path, md5: str) -> Path:
    """The file of the cache that has this MD5, whether it is there or not."""
    return cache_folder(root) / "files/md5" / md5[:2] / md5[2:]


def add(root: Path, path: Path) -> list[str]:
    """Hand a file to DVC; returns what git should keep instead of it."""
    name = path.relative_to(root).as_posix()
    run(root, "add", name)
    return [f"{name}.dvc", *_ignore_file(root, path)]


def _ignore_file(root: Path, path: Path) -> list[str]:
    ignore = path.parent / ".gitignore"
    return [ignore.relative_to(root).as_posix()] if ignore.exists() else []


def missing_data(root: Path) -> list[str]:
    """What DVC keeps under data/ and is not here."""
    kept = sorted((root / "data").rglob("*.dvc"))
    names = [path.with_suffix("") for path in kept]
    return [path.relative_to(root).as_posix() for path in names if not path.exists()]


def changed_data(root: Path) -> list[str]:
    """What DVC keeps under data/ and differs from its record."""
    kept = [path.relative_to(root).as_posix() for path in (root / "data").rglob("*.dvc")]
    if not kept:
        return []
    found = json.loads(run(root, "status", "--json", *kept) or "{}")
    return sorted(name.removesuffix(".dvc") for name in found)


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
        git.git(root, git.LITERAL, "add", "--", *staged)
    changed = git.git(root, "diff", "--cached", "--name-only", "-z", "--", "data").split("\0")
    return [name for name in changed if name]


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


def push(root: Path) -> bool:
    """Bring data and results to the remote; whether there is one."""
    if not has_remote(root):
        return False
    run(root, "push")
    return True


# -- the remote of today, for files of any time


def folder(root: Path) -> Path:
    """The `.dvc` of this folder or one above. Raises HarnessError where there is none."""
    for each in (root, *root.parents):
        if (each / ".dvc").is_dir():
            return each / ".dvc"
    raise HarnessError("DVC is not set up here", fix="dvc init")


def config(root: Path) -> dict[str, str]:
    """Every setting of DVC here, those of this machine alone too; paths are absolute."""
    lines = run(root, "config", "--list").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def parsed(text: str, place: Path) -> dict[str, str]:
    """The same from a text of `.dvc/config` that lies in the folder `place`."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
    except configparser.Error:
        return {}
    found = {}
    for section in parser.sections():
        name = section.strip("'").replace(' "', ".").rstrip('"')
        for key, value in parser[section].items():
            local = key == "url" and "://" not in value
            found[f"{name}.{key}"] = os.path.normpath(place / value) if local else value
    return found


def default_remote(settings: dict[str, str]) -> str:
    """The remote that `dvc push` takes: the default one, or the only one; '' without."""
    names = {name.split(".")[1] for name in settings if name.startswith("remote.")}
    chosen = settings.get("core.remote", "")
    return chosen if chosen in names else names.pop() if len(names) == 1 else ""


def remote_url(settings: dict[str, str]) -> str:
    """Where the default remote is; '' without one."""
    return settings.get(f"remote.{default_remote(settings)}.url", "")


def borrow(settings: dict[str, str], place: Path, cache: Path) -> None:
    """Make a folder in which DVC works with the same remote and cache, and nothing else.

    What keeps its secrets is in it: it must be readable by its owner alone.
    """
    remote = default_remote(settings)
    given = {
        name: value for name, value in settings.items() if name.startswith(f"remote.{remote}.")
    }
    (place / ".dvc").mkdir()
    lines = ["[core]", "analytics = false", "check_update = false", "no_scm = true"]
    lines += [f'remote = "{remote}"', "[cache]", f'dir = "{cache}"', f"['remote \"{remote}\"']"]
    lines += [f'{name.split(".", 2)[2]} = "{value}"' for name, value in given.items()]
    (place / ".dvc" / "config").write_text("\n".join(lines) + "\n", encoding="utf-8")
