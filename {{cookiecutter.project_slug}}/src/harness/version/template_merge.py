"""The template's changes merged into the repository's files, by cruft: three ways, or not at all.

All of it happens in a git worktree beside the repository. Only what came out whole is laid over the
person's files, so whatever fails on the way has changed nothing.
"""

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness.errors import HarnessError
from harness.version.git import git
from harness.version.template import STATE

# Fetched when it is needed: an upgrade needs the network anyway, and no run needs cruft.
CRUFT = ("--from", "cruft==2.16.0", "--with", "cookiecutter==2.7.1", "cruft")
LOCK = "requirements.lock"
NEEDS = "requirements.in"
RESOLVES = (NEEDS, "pyproject.toml", "scripts/setup_env.py")  # what `make lock` reads and runs
QUIET = ("-c", "core.hooksPath=/dev/null", "-c", "commit.gpgSign=false")
# What is the person's from the first day. Much of it is in the keys of results, which a better
# comment in an example must not make stale; and an example's ten repeats are not wanted by whoever
# chose one. Settings that are not there have defaults. Tests are about those files.
_THEIRS = (
    "src/benchmark/", "tests/", "data/", "prompts/", "results/", "PLAN.toml", "benchmark.toml", LOCK
)  # fmt: skip
# These import from the harness's rooms, and are in no key.
_OURS = ("src/benchmark/report.py", "src/benchmark/kind.py", "tests/conftest.py")


@contextlib.contextmanager
def worktree(root: Path) -> Iterator[Path]:
    """The repository's folder in a worktree of what is checked out."""
    prefix = git(root, "rev-parse", "--show-prefix")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name) / "worktree"
        git(root, *QUIET, "worktree", "add", "--quiet", "--detach", str(place), "HEAD")
        try:
            yield place / prefix
        finally:
            git(root, "worktree", "remove", "--force", str(place))


def merge(there: Path, template: Path, target: str) -> list[str]:
    """Bring a worktree to the commit `target` of the template; returns what a person has to finish.

    Raises HarnessError where cruft fails, or the packages of the new harness cannot be resolved.
    """
    _run_cruft(there, template, target)
    _keep_theirs(there)
    conflicts = _conflicts(there)
    # With a conflict in one of them the lock has to wait for the person.
    if NEEDS in _changed(there) and not set(RESOLVES) & set(conflicts):
        _relock(there)
    return conflicts


def cruft_command() -> list[str]:
    """cruft of this environment where it has one, else fetched by uv."""
    if importlib.util.find_spec("cruft"):
        return [sys.executable, "-m", "cruft"]
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    return [uv, "tool", "run", "--quiet", "--python", sys.executable, *CRUFT]


def _run_cruft(there: Path, template: Path, target: str) -> None:
    options = ("--skip-apply-ask", "--checkout", target, "--template-path", str(template))
    done = _run(there, *cruft_command(), "update", *options)
    path = there / STATE
    state = json.loads(path.read_text(encoding="utf-8"))
    if done.returncode or state["commit"] != target:
        raise HarnessError(
            f"cruft could not update: {_last_words(done)}",
            fix="nothing was changed; where a package could not be fetched, make upgrade again "
            "with a network",
            code=1,
        )
    # What was asked for once is no wish for the next time.
    state["checkout"] = None
    text = json.dumps(state, ensure_ascii=False, indent=2, separators=(",", ": "))
    path.write_text(text + "\n", encoding="utf-8")


def _relock(there: Path) -> None:
    """The lock for the new requirements.in: what it pins stays, where that still fits.

    A newer package that predict imports would make every result stale.
    """
    tool = (sys.executable, "scripts/setup_env.py", "--relock", "--venv", sys.prefix)
    done = _run(there, *tool)
    if done.returncode:
        raise HarnessError(
            f"{LOCK} could not be resolved for the new {NEEDS}: {_last_words(done)}",
            fix="nothing was changed; make upgrade again with a network",
            code=1,
        )


def _run(there: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        cwd=there,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        # It may name the harness that is being replaced.
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )


def _last_words(done: "subprocess.CompletedProcess[str]") -> str:
    said = [line.strip(" │") for line in (done.stdout + done.stderr).splitlines()]
    words = [line for line in said if line and not line.startswith(("╭", "╰", "fix:"))]
    return words[-1] if words else "it said nothing"


# -- what came of it


def _changed(there: Path) -> list[str]:
    """Files that differ from what is committed, new ones too."""
    tracked = git(there, "diff", "--name-only", "--relative", "--no-renames", "-z", "HEAD")
    new = git(there, "ls-files", "--others", "--exclude-standard", "-z")
    return sorted({name for name in (tracked + "\0" + new).split("\0") if name})


def _keep_theirs(there: Path) -> None:
    for name in _changed(there):
        if not name.startswith(_THEIRS) or name in _OURS:
            continue
        git(there, "rm", "--quiet", "--cached", "--ignore-unmatch", "--force", "--", name)
        if git(there, "ls-tree", "HEAD", "--", name):
            git(there, "checkout", "--quiet", "HEAD", "--", name)
        else:
            (there / name).unlink(missing_ok=True)


def _unmerged(there: Path) -> list[str]:
    """Lines of git's index for files that both sides changed: mode, object, stage, path."""
    return [line for line in git(there, "ls-files", "--unmerged", "-z").split("\0") if line]


def _conflicts(there: Path) -> list[str]:
    """Files with conflict markers, and what could not be placed at all (`.rej`)."""
    marked = {line.partition("\t")[2] for line in _unmerged(there)}
    refused = {path.relative_to(there).as_posix() for path in there.rglob("*.rej")}
    return sorted(marked | refused)


def lay_over(root: Path, there: Path) -> None:
    """Bring the worktree's files into the repository, staged; what is unmerged stays so."""
    unmerged = _unmerged(there)
    git(there, "add", "--all", ".")
    git(root, "read-tree", "-m", "-u", "HEAD", git(there, "write-tree"))
    if not unmerged:
        return
    # As git itself would leave them: `git commit` then refuses until they are added.
    prefix = git(root, "rev-parse", "--show-prefix")
    names = sorted({line.partition("\t")[2] for line in unmerged})
    entries = [f"0 {'0' * 40}\t{prefix}{name}" for name in names]
    entries += [line.replace("\t", f"\t{prefix}", 1) for line in unmerged]
    git(root, "update-index", "-z", "--index-info", given="\0".join(entries) + "\0")
