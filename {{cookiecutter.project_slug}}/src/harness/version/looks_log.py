"""Which comparisons were made in this clone: a line each, in git's own folder.

Reading commands write nothing into the results, and a file beside them would make the tree dirty
before each experiment. All worktrees of a repository share the folder.
"""

import json
from pathlib import Path

from harness.clock import now
from harness.errors import HarnessError
from harness.version import git

_NAME = "benchmark-looks.jsonl"


def note_comparison(root: Path, a: str, b: str, metric: str | None, data: str) -> None:
    """Append a comparison of A and B, on this version of the data."""
    path = _path(root)
    if path is None:
        return
    line = json.dumps({"when": now(), "a": a, "b": b, "metric": metric, "data": data})
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError:
        return  # a clone that cannot be written; looking goes on


def comparisons_on(root: Path, data: str) -> int:
    """How many different comparisons were made on this version of the data."""
    path = _path(root)
    if path is None or not path.exists():
        return 0
    found = set()
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # a line that a kill cut short
        if isinstance(row, dict) and row.get("data") == data:
            found.add((row.get("a"), row.get("b"), row.get("metric")))
    return len(found)


def _path(root: Path) -> Path | None:
    try:
        folder = git.asked(root, "rev-parse", "--git-common-dir", no=128)
    except HarnessError:
        return None
    return (root / folder.strip() / _NAME).resolve() if folder else None
