"""What a judge said, as a verdict. One that is not on its scale is an error, not a low score."""

import re
from collections.abc import Sequence

from benchmark.llm.client import Answer

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


class OffScale(ValueError):
    """The judge's answer is no verdict. Its failed row keeps what it said and what it cost."""

    may_cost = False  # what it cost is known

    def __init__(self, answer: Answer, wanted: str) -> None:
        super().__init__(f"the judge answered {answer.text[:80]!r}, which is not {wanted}")
        self.columns = {"prediction": answer.text, **answer.columns()}


def on_scale(answer: Answer, low: float, high: float) -> float:
    """The last number that the judge names; raises OffScale where it is not within the bounds."""
    named = _NUMBER.findall(answer.text)
    if not named or not low <= float(named[-1]) <= high:
        raise OffScale(answer, f"a number from {low:g} to {high:g}")
    return float(named[-1])


def one_of(answer: Answer, choices: Sequence[str]) -> str:
    """The choice that the judge's last line names; raises OffScale where it names none or several.

    Case does not matter, and a choice counts as a whole word only.
    """
    lines = answer.text.strip().splitlines() or [""]
    named = [each for each in choices if re.search(rf"(?i)\b{re.escape(each)}\b", lines[-1])]
    if len(named) != 1:
        raise OffScale(answer, f"one of {', '.join(choices)}")
    return named[0]
