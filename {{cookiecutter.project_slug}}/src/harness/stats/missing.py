"""What missing values could change: bounds that hold whatever they would have been.

Nothing is assumed of why a value is missing, since a system that fails fails on the hard items.
Manski 1989 (J Hum Resour 24:343), for a mean: every missing value at one end of what it can be.
"""

from math import inf

import numpy as np

from harness.stats.intervals import Floats

Ends = tuple[float, float]


def mean_bounds(values: Floats, low: float | None, high: float | None) -> Ends:
    """Smallest and largest possible mean of `values` of shape (n,), NaN where one is missing.

    `low` and `high` are what a value can be; None: there is no such bound, so neither has the mean.
    """
    return _mean(values, _end(low, -inf)), _mean(values, _end(high, inf))


def gap_bounds(a: Floats, b: Floats, low: float | None, high: float | None) -> Ends:
    """Smallest and largest possible mean of a - b, where a value of either may be missing."""
    least, most = _end(low, -inf), _end(high, inf)
    lowest = _filled(a, least) - _filled(b, most)
    highest = _filled(a, most) - _filled(b, least)
    return float(lowest.mean()), float(highest.mean())


def _end(bound: float | None, beyond: float) -> float:
    return beyond if bound is None else bound


def _filled(values: Floats, by: float) -> Floats:
    return np.where(np.isnan(values), by, values)


def _mean(values: Floats, by: float) -> float:
    return float(_filled(values, by).mean())
