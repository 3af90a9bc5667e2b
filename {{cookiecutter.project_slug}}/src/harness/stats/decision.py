"""The one decision rule: what an interval says about the difference that it is of.

Every verdict of the harness goes through `position_of`: a hypothesis of the plan, a comparison of
two configurations, the order of a ranking. They differ only in what else they ask for: see
`paired.Verdict` and `measure.judge`.
"""

from math import isfinite
from typing import Literal

MIN_ITEMS = 10  # with fewer shared items there is no verdict

Position = Literal["above", "below", "within", "not above", "not below", "open"]


def position_of(low: float | None, high: float | None, smallest: float = 0.0) -> Position:
    """Where the interval from `low` to `high` lies, beside the smallest difference that matters.

    - "above", "below": on that side of 0, by at least `smallest`;
    - "within": between -smallest and +smallest, so any difference is too small to matter;
    - "not above": short of `smallest`, or no higher than 0, but it may be "below". "not below" is
      the same from the other side;
    - "open": both are possible, or the bounds are missing or infinite. This does not say that
      there is no difference.

    It is the inclusion rule of equivalence and superiority trials: Schuirmann 1987 (J Pharmacokinet
    Biopharm 15:657), Piaggio et al. 2012 (JAMA 308:2594, figure 1).
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
