"""Runs the tests and remembers for which code they passed."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

_STAMP = Path(".dev/tests.json")


def run_tests(root: Path, arguments: list[str]) -> int:
    """Run pytest on `tests/`; returns its exit code. A full passing run opens the gate `tests`."""
    stamp = root / _STAMP
    before = _digest(root)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *(arguments or ["-q", "tests"])], cwd=root
    )
    if done.returncode == 0 and not arguments:
        stamp.parent.mkdir(exist_ok=True)
        stamp.write_text(json.dumps({"passed_for": before}))
    elif done.returncode:
        stamp.unlink(missing_ok=True)
    return done.returncode


def tests_passed(root: Path) -> bool:
    """Whether the tests passed for the files as they are now."""
    try:
        return bool(json.loads((root / _STAMP).read_text())["passed_for"] == _digest(root))
    except (OSError, ValueError, KeyError):
        return False


def _digest(root: Path) -> str:
    content = hashlib.sha256()
    for folder in (root / "src", root / "tests"):
        for path in sorted(folder.rglob("*.py")):
            content.update(path.relative_to(root).as_posix().encode() + b"\0")
            content.update(hashlib.sha256(path.read_bytes()).digest())
    return content.hexdigest()
