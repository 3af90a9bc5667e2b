"""The one decision rule: what an interval says about the difference that it is of.

Every verdict of the harness goes through `position_of`: a hypothesis of the plan (`outcome_of`), a
comparison of two configurations (`decision_of`), the order of a ranking. They differ only in what
else they ask for: see `paired.Verdict` and `measure.judge`.
"""

from math import isfinite
from typing import Literal

MIN_ITEMS = 10  # with fewer shared items there is no verdict

Position = Literal["above", "below", "within", "not above", "not below", "open"]
Kind = Literal["superior", "not_worse", "equivalent"]
Outcome = Literal["supported", "refuted", "undecided"]
Decision = Literal["better", "worse", "equivalent", "not worse", "undecided"]

_MIRRORED: dict[Position, Position] = {
    "above": "below",
    "below": "above",
    "not above": "not below",
    "not below": "not above",
}
# Where the interval has to lie, seen in the direction in which more is better.
_SUPPORTED: dict[Kind, tuple[Position, ...]] = {
    "superior": ("above",),
    "not_worse": ("above", "within", "not below"),
    "equivalent": ("within",),
}
_REFUTED: dict[Kind, tuple[Position, ...]] = {
    "superior": ("below", "within", "not above"),
    "not_worse": ("below",),
    "equivalent": ("above", "below"),
}


def position_of(low: float | None, high: float | None, smallest: float = 0.0) -> Position:
    """Where the interval from `low` to `high` lies, beside the smallest difference that matters.

    - "above", "below": on that side of 0, by at least `smallest`;
    - "within": between -smallest and +smallest, so any difference is too small to matter;
    - "not above": short of `smallest`, or no higher than 0, but it may be "below". "not below" is
      the same from the other side;
    - "open": both are possible, or the bounds are missing or infinite. This does not say that
      there is no difference.

    It is the inclusion rule of equivalence and superiority trials: Schuirmann 1987 (J Pharmacokinet
    Biopharm 15:657), Piaggio et al. 2012 (JAMA 308:2594, figure 1). "within" a 95% interval is the
    same as two one-sided tests at 2.5% each.
    """
    if low is None or high is None or not (isfinite(low) and isfinite(high)):
        return "open"
    if low > 0 and low >= smallest:
        return "above"
    if high < 0 and high <= -smallest:
        return "below"
    if -smallest < low and high < smallest:
        return "within"
    if high < smallest or high <= 0:
        return "not above"
    if low > -smallest or low >= 0:
        return "not below"
    return "open"


def mirrored(position: Position) -> Position:
    """The position as it is seen from the other side, where less is better."""
    return _MIRRORED.get(position, position)


def outcome_of(kind: Kind, position: Position) -> Outcome:
    """What a position says about a hypothesis; "above" is the direction that it claims.

    - "superior": better by at least the smallest difference that matters;
    - "not_worse": worse by less than that;
    - "equivalent": neither better nor worse by that.

    Refuted is what the interval rules out. So a difference just at the limit is called one thing or
    the other in at most 2.5% of experiments each, where the interval covers 95%.
    """
    if position in _SUPPORTED[kind]:
        return "supported"
    return "refuted" if position in _REFUTED[kind] else "undecided"


def decision_of(position: Position, smallest: float) -> Decision:
    """What a comparison came to, for who asks no question beforehand; the strongest that holds.

    "equivalent" and "not worse" need a `smallest` above 0: without one, any loss matters.
    """
    if position == "above":
        return "better"
    if position == "below":
        return "worse"
    if smallest > 0 and position == "within":
        return "equivalent"
    return "not worse" if smallest > 0 and position == "not below" else "undecided"
