"""Runs the tests and remembers for which code they passed."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from harness.version import git
from harness.version.git import OWN

_STAMP = Path(".dev/tests.json")


def run_tests(root: Path, arguments: list[str]) -> int:
    """Run pytest on `tests/`; returns its exit code. After a full passing run the gate passes."""
    stamp = root / _STAMP
    before = _digest(root)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *(arguments or ["-q", "tests"])], cwd=root
    )
    if done.returncode == 1:
        _note(stamp, "failed_for", before)
    elif done.returncode:  # stopped, or there are no tests
        stamp.unlink(missing_ok=True)
    elif not arguments:
        _note(stamp, "passed_for", before)
    return done.returncode


def _note(stamp: Path, verdict: str, code: str) -> None:
    stamp.parent.mkdir(exist_ok=True)
    stamp.write_text(json.dumps({verdict: code}))


def tests_passed(root: Path) -> bool | None:
    """Whether the tests passed for the files as they are now; None where they were not run."""
    try:
        known = json.loads((root / _STAMP).read_text())
        now = _digest(root)
        verdicts = {known.get("passed_for"): True, known.get("failed_for"): False}
    except (OSError, ValueError, AttributeError):
        return None
    return verdicts.get(now)


def _digest(root: Path) -> str:
    """SHA-256 of all that tests may depend on: what git knows or would add, except Markdown.

    That includes prompts and data. Without git it is the code alone.
    """
    listed = ""
    if git.is_repository(root):
        options = ("-z", "--cached", "--others", "--exclude-standard")
        listed = git.git(root, "ls-files", *options)
    names = set(filter(None, listed.split("\0")))
    if not names:
        names = {p.relative_to(root).as_posix() for p in (root / "src").rglob("*.py")}
        names |= {p.relative_to(root).as_posix() for p in (root / "tests").rglob("*.py")}
    content = hashlib.sha256()
    for name in sorted(names):
        path = root / name
        if path.suffix == ".md" or name.split("/")[0] in OWN or not path.is_file():
            continue
        content.update(name.encode("utf-8", "surrogateescape") + b"\0")
        with path.open("rb") as file:
            content.update(hashlib.file_digest(file, "sha256").digest())
    return content.hexdigest()
