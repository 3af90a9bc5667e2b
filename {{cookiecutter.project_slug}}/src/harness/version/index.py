"""`results/README.md`: a table of all experiments that a forge shows beside the results.

Each experiment is one line between two marks; whatever a person writes around them stays. A line of
an experiment that this branch does not know is left as it is. Two branches that both add a line are
merged by git itself (`merge=union` in .gitattributes), and the next experiment sorts them.
"""

import re
from pathlib import Path

from harness.version import git

PLACE = "results/README.md"
_BEGIN, _END = "<!-- experiments: begin -->", "<!-- experiments: end -->"
_LINE = re.compile(r"^\| \[(e\d+\.\d+\.\d+)\]\(.*$", re.MULTILINE)
_HEAD = (
    "| experiment | when | main metric | found | hypotheses | data | message |",
    "|---|---|---|---|---|---|---|",
)
_TITLE = "# Results\n\nEach experiment is a tag: `make show TAG=…`, `make get TAG=…`.\n"


def set_line(root: Path, tag: str, line: str) -> str:
    """Set the line of one experiment; returns the place of the index."""
    path = root / PLACE
    text = path.read_text(encoding="utf-8") if path.exists() else _TITLE
    path.parent.mkdir(exist_ok=True)
    path.write_text(_with(text, {**_lines(text), tag: line}), encoding="utf-8")
    return PLACE


def drop_line(root: Path, tag: str) -> None:
    """Take the line of an experiment out, where there is one."""
    path = root / PLACE
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if tag in (lines := _lines(text)):
        lines.pop(tag)
        path.write_text(_with(text, lines), encoding="utf-8")


def _lines(text: str) -> dict[str, str]:
    inside = text.partition(_BEGIN)[2].partition(_END)[0]
    return {found[1]: found[0] for found in _LINE.finditer(inside)}


def _with(text: str, lines: dict[str, str]) -> str:
    before, begin, rest = text.partition(_BEGIN)
    after = rest.partition(_END)[2]
    ordered = [lines[tag] for tag in sorted(lines, key=git.version)]
    table = "\n".join(["", *_HEAD, *ordered, ""])
    if not begin:
        before = before.rstrip("\n") + "\n\n"
    return f"{before}{_BEGIN}\n{table}\n{_END}" + (after or "\n")
