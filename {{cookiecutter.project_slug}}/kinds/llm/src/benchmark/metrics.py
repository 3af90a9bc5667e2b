"""From the stored answer to scores. Change it and `make rescore`: no question is asked again."""

import re
from typing import Any

LABELS = ("positive", "negative", "neutral")


def parse(answer: str | None) -> str | None:
    """The label that the first line of an answer names; None where it names none or several."""
    lines = (answer or "").strip().splitlines()
    named = set(re.findall(r"[a-z]+", lines[0].lower())) & set(LABELS) if lines else set()
    return named.pop() if len(named) == 1 else None


def score(row: dict[str, Any]) -> dict[str, Any]:
    """Scores of one answer; None is left out of a mean.

    correct: of the answers that could be read. correct_strict: an unread answer counts as wrong.
    correct_first_try, correct_retried: correct, apart by whether the first attempt got the answer.
    """
    label = parse(row["prediction"])
    correct = None if label is None else label == row["ground_truth"]
    first = row["attempts"] == 1
    return {
        "correct": correct,
        "correct_strict": bool(correct),
        "unparsed": label is None,
        "correct_first_try": correct if first else None,
        "correct_retried": None if first else correct,
    }
