"""What people said about answers: labels/judge.jsonl, a line each, kept in git.

    {"rubric": "9f86d081884c7d65", "answer": "3b1e…", "verdict": "yes"}

A label belongs to an answer, as a judge is shown it, and to a rubric. Lines are only added: the
last one of an answer counts, and null takes a label back.
"""

import json
import os
from pathlib import Path

from harness.errors import HarnessError
from harness.project.judge import Judge, Label

FILE = "labels/judge.jsonl"
LEAST = 20  # with fewer, nothing is known of a judge's errors
Labels = dict[str, dict[str, Label]]  # by rubric, then by answer


def read_labels(root: Path, judge: Judge) -> Labels:
    """The labels in force. Raises HarnessError for a line that is none, with its number.

    A last line without its end was being written when something stopped it: it does not count.
    """
    path = root / FILE
    found: Labels = {}
    if not judge.labelled or not path.is_file():
        return found
    *lines, _ = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        rubric, answer, label = _parsed(line, judge, number)
        of_rubric = found.setdefault(rubric, {})
        if label is None:
            of_rubric.pop(answer, None)
        else:
            of_rubric[answer] = label
    _check_values(found, judge)
    return found


def _check_values(found: Labels, judge: Judge) -> None:
    for rubric in {judge.rubric(params) for params in judge.grid}:
        for answer, label in found.get(rubric, {}).items():
            if label not in judge.labels:
                raise HarnessError(
                    f"{FILE}: {label!r:.40} of the answer {answer[:8]} is none of "
                    f"{', '.join(map(str, judge.labels))}",
                    fix="correct the line, or LABELS in src/benchmark/judge.py",
                )


def _parsed(line: bytes, judge: Judge, number: int) -> tuple[str, str, Label | None]:
    try:
        row = json.loads(line)
        rubric, answer, label = row["rubric"], row["answer"], row.get(judge.labelled)
    except (ValueError, LookupError, TypeError, AttributeError):
        rubric = answer = label = None
    if not isinstance(rubric, str) or not isinstance(answer, str):
        raise HarnessError(
            f"{FILE}, line {number}: not a label ({line[:60].decode(errors='replace')})",
            fix=f"correct the line: git log -p {FILE} shows what it was",
        )
    return rubric, answer, label


def add_label(root: Path, judge: Judge, rubric: str, answer: str, label: Label | None) -> None:
    """Write a label down, at once and for good; None takes an earlier one back."""
    path = root / FILE
    path.parent.mkdir(exist_ok=True)
    line = json.dumps({"rubric": rubric, "answer": answer, judge.labelled: label})
    there = path.read_bytes() if path.exists() else b""
    with path.open("ab") as file:
        # The beginning of a line, which a kill left there, is no label.
        file.truncate(there.rfind(b"\n") + 1)
        file.write(f"{line}\n".encode())
        file.flush()
        os.fsync(file.fileno())


def other_rubrics(labels: Labels, rubric: str) -> int:
    """How many labels there are for any other rubric."""
    return sum(len(each) for name, each in labels.items() if name != rubric)
