"""What a judge said, as a verdict. One that is not on its scale is an error, not a low score."""

import re
from collections.abc import Sequence

from benchmark.llm.client import Answer

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
# What names the scale and no verdict: "4/5", "4 out of 5", "(1-5)", "between 1 and 5".
_OF = r"(?:\s*/\s*|\s+(?:out\s+)?of\s+){high}(?![\d.]*\d)"
_RANGE = r"(?<![\d.]){low}\s*(?:-|–|to|and)\s*{high}(?![\d.]*\d)"


class OffScale(ValueError):
    """The judge's answer is no verdict. Its failed row keeps what it said and what it cost."""

    may_cost = False  # what it cost is known

    def __init__(self, answer: Answer, wanted: str) -> None:
        super().__init__(f"the judge answered {answer.text[:80]!r}, which is not {wanted}")
        self.columns = {"prediction": answer.text, **answer.columns()}


def on_scale(answer: Answer, low: float, high: float) -> float:
    """The number in the last line that has one, but for the scale itself: 4 of "I say 4/5".

    Raises OffScale where it is not within the bounds, or where that line names several.
    """
    bounds = {
        "low": f"{re.escape(f'{low:g}')}(?:\\.0+)?",
        "high": f"{re.escape(f'{high:g}')}(?:\\.0+)?",
    }
    said = re.sub("|".join((_OF, _RANGE)).format(**bounds), " ", answer.text, flags=re.IGNORECASE)
    lines = [found for line in said.splitlines() if (found := _NUMBER.findall(line))]
    named = {float(number) for number in lines[-1]} if lines else set()
    if len(named) != 1 or not low <= min(named) <= high:
        raise OffScale(answer, f"a number from {low:g} to {high:g}")
    return named.pop()


def one_of(answer: Answer, choices: Sequence[str]) -> str:
    """The choice that the judge's last line names; raises OffScale where it names none or several.

    Case does not matter, and a choice counts as a whole word only.
    """
    lines = answer.text.strip().splitlines() or [""]
    # The longest come first: "not helpful" does not name "helpful".
    longest = sorted(choices, key=len, reverse=True)
    found = re.findall(rf"(?i)\b(?:{'|'.join(map(re.escape, longest))})\b", lines[-1])
    named = [each for each in choices if each.lower() in {word.lower() for word in found}]
    if len(named) != 1:
        raise OffScale(answer, f"one of {', '.join(choices)}")
    return named[0]
