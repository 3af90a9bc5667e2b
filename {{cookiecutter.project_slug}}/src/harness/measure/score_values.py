"""What score() returned, as numbers where their meaning is plain; what cannot count is counted."""

import math
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from numbers import Real

import numpy as np
import pandas as pd

from harness.project.declarations import Uncounted
from harness.project.scores import LARGEST, Score
from harness.project.values import INTEGER, REAL, plain

_INT64 = 2**63
_ROUNDING = 1e-9  # how far beyond a bound is still the bound, relative to it
_NOT_NUMBERS = "text or other values that are no numbers"

Number = int | float
Kept = int | float | str | bytes | None


class ScoreValues:
    """Reads the scores of one experiment, row by row, and remembers what it met.

    `boolean`: names that were True, False or None and nothing else. `numeric`: names that had a
    number.
    """

    def __init__(self, declared: Mapping[str, Score]) -> None:
        self._declared = declared
        self._other: set[str] = set()
        self._true_or_false: set[str] = set()
        self._reasons: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], str] = {}
        self.numeric: set[str] = set()

    @property
    def boolean(self) -> set[str]:
        """Names whose values say by their type that they are proportions."""
        return self._true_or_false - self._other

    @property
    def uncounted(self) -> list[Uncounted]:
        """What cannot count, by score and reason."""
        return [
            Uncounted(name, reason, n, self._examples[name, reason])
            for (name, reason), n in sorted(self._reasons.items())
        ]

    def read(self, input_id: str, returned: Mapping[str, object]) -> dict[str, Kept]:
        """One row's scores as its columns keep them; None in place of what cannot count."""
        return {name: self._read(input_id, name, value) for name, value in returned.items()}

    def without_text(self, input_id: str, values: dict[str, Kept]) -> None:
        """Take text out of scores that were numbers elsewhere: it cannot count beside them."""
        for name, value in values.items():
            if name in self.numeric and isinstance(value, (str, bytes)):
                values[name] = self._uncountable(input_id, name, value, _NOT_NUMBERS)

    def column_type(self, name: str) -> str | None:
        """The type that a declared score's column has from the start; None for any other."""
        score = self._declared.get(name)
        if score is None:
            return None
        return INTEGER if score.kind == "proportion" else REAL

    def _read(self, input_id: str, name: str, value: object) -> Kept:
        if value is None or value is pd.NA or value is pd.NaT:
            return None
        score = self._declared.get(name)
        number, reason = as_number(value)
        if number is None:
            if not reason and score is None:
                return self._text(input_id, name, value)
            return self._uncountable(input_id, name, value, reason or _NOT_NUMBERS)
        if isinstance(value, (bool, np.bool_)):
            self._true_or_false.add(name)
        else:
            self._other.add(name)
        self.numeric.add(name)
        if score is None:
            return number
        found, reason = in_bounds(score, number)
        return self._uncountable(input_id, name, value, reason) if found is None else found

    def _text(self, input_id: str, name: str, value: object) -> Kept:
        self._other.add(name)
        try:
            kept: Kept = plain(value)
        except (TypeError, ValueError, OverflowError, RecursionError):
            return self._uncountable(input_id, name, value, _NOT_NUMBERS)
        return kept

    def _uncountable(self, input_id: str, name: str, value: object, reason: str) -> Kept:
        """Note a value that cannot count; returns what stands in its place, None."""
        self._reasons[name, reason] += 1
        self._examples.setdefault((name, reason), f"item {input_id}: {value!r:.80}")
        return None


def as_number(value: object) -> tuple[Number | None, str]:
    """A value as a number that can count, or None and why not ("" where it is no number at all).

    Decimals, fractions and what numpy makes are numbers. Infinity, NaN, and what is so large that
    its square overflows cannot count.
    """
    if type(value) is float:
        return _finite(value)
    if isinstance(value, (bool, np.bool_)):
        return int(value), ""
    if isinstance(value, int) and -_INT64 <= value < _INT64:
        return int(value), ""
    if isinstance(value, (np.generic, np.ndarray)):
        alone = value.item() if value.size == 1 else None
        return (None, "") if alone is None or isinstance(alone, np.generic) else as_number(alone)
    if isinstance(value, (Real, Decimal, Fraction)):
        return _finite(value)
    if getattr(value, "ndim", None) == 0 and hasattr(value, "tolist"):
        return as_number(value.tolist())  # a tensor of one number
    return None, ""


def _finite(value: float | Real | Decimal | Fraction) -> tuple[float | None, str]:
    try:
        number = float(value)
    except OverflowError:
        return None, f"beyond {LARGEST:g}"
    except ValueError:
        return None, "nan"  # the signalling one
    if math.isnan(number):
        return None, "nan"
    if math.isinf(number):
        return None, "inf" if number > 0 else "-inf"
    if abs(number) > LARGEST:
        return None, f"beyond {LARGEST:g}"
    return number, ""


def in_bounds(score: Score, number: Number) -> tuple[Number | None, str]:
    """The number where the declaration allows it, rounding errors corrected; or None and why."""
    if score.kind == "proportion":
        return (int(number), "") if number in (0, 1) else (None, "neither 0 nor 1")
    for bound, beyond in ((score.low, -1), (score.high, 1)):
        if bound is None or beyond * (number - bound) <= 0:
            continue
        if abs(number - bound) <= _ROUNDING * max(1.0, abs(bound)):
            return bound, ""
        return None, f"{'above' if beyond > 0 else 'below'} {bound:g}"
    return number, ""
