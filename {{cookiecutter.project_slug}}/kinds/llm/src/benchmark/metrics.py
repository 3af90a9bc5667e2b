"""From the stored answer to scores. Change it and `make rescore`: no question is asked again."""

import re
from typing import Any

from harness import Score

OF_SOME = Score("proportion", better="higher", missing="left out", failure="left out")

# The first one heads the report where PLAN.toml names none. An answer that names no label, and a
# call that failed, count as wrong where nothing else is said.
SCORES = {
    "correct": Score("proportion", better="higher", label="accuracy"),
    "unparsed": Score("proportion", better="lower", label="unread answers"),
    "correct_of_read": OF_SOME,
    "correct_first_try": OF_SOME,
    "correct_retried": OF_SOME,
}

LABELS = ("positive", "negative", "neutral")


def parse(answer: str | None) -> str | None:
    """The label that the first line of an answer names; None where it names none or several."""
    lines = (answer or "").strip().splitlines()
    named = set(re.findall(r"[a-z]+", lines[0].lower())) & set(LABELS) if lines else set()
    return named.pop() if len(named) == 1 else None


def score(row: dict[str, Any]) -> dict[str, Any]:
    """Scores of one answer; None where it names no label, which counts as SCORES says.

    correct_of_read: the same, of the answers that could be read alone. correct_first_try,
    correct_retried: of those, apart by whether the first attempt got the answer.
    """
    label = parse(row["prediction"])
    correct = None if label is None else label == row["ground_truth"]
    first = row["attempts"] == 1
    return {
        "correct": correct,
        "correct_of_read": correct,
        "unparsed": label is None,
        "correct_first_try": correct if first else None,
        "correct_retried": None if first else correct,
    }
