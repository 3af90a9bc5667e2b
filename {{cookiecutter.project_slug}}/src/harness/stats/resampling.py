"""Aggregates that are no means: their interval, and that of the difference of two, paired.

An aggregate is computed on draws of the items. Where two configurations ran on the same items, the
draws are the same too, so their differences draw by draw are those of a paired bootstrap. They can
be kept, and two configurations be compared long after the rows were there.
"""

import hashlib
import warnings
from collections.abc import Callable, Iterable, Sized
from dataclasses import dataclass, replace
from math import isfinite, sqrt
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from harness.stats.distributions import normal_quantile, t_cdf, t_quantile
from harness.stats.intervals import (
    Floats,
    Indices,
    Interval,
    bca_bounds,
    join_notes,
    tail_of,
    without_spread,
)

STATISTIC_UNITS = 20_000  # above this an aggregate gets the grouped jackknife
NO_ITEMS = Interval(None, None, None, 0, "none", "no values")
Taken = TypeVar("Taken", bound=Sized)
_DRAWS_BEYOND = 5  # draws that have to lie beyond a bound, or it is too far out to be read off


@dataclass(frozen=True, slots=True, eq=False)
class Resamples:
    """An aggregate on all rows, and on draws of their items.

    `n` rows of `units` items; `items` is a digest of who these are, so equal ones can be paired.
    `drawn`: the aggregate on each draw, shape (resamples,), empty above 20,000 items. `without`: on
    all items but one group of them, shape (groups,). NaN where it is undefined.
    """

    estimate: float
    n: int
    units: int
    items: str
    drawn: Floats
    without: Floats


def resample(
    n: int,
    statistic: Callable[[Indices], float],
    clusters: ArrayLike | None = None,
    seed: int = 0,
    resamples: int = 1_000,
    all_items: ArrayLike | None = None,
) -> Resamples:
    """`statistic(indices)` on draws of the items; it is given positions among 0..n-1, some twice.

    `clusters` are the items' ids, of shape (n,). `all_items` are the ids of the items that the rows
    are of, those without a row (a failure that is left out) among them: a draw of such an item adds
    nothing. It is called at most `resamples` + 101 times; over 20,000 items 51 times, as a thousand
    passes would take minutes. Where it raises ValueError or ZeroDivisionError, or is not finite, it
    is undefined. What it raises on the whole data is raised here; what it warns of on a draw is not
    shown.
    """
    return resample_taken(n, statistic, iter, clusters, seed, resamples, all_items)


def resample_taken(
    n: int,
    statistic: Callable[[Taken], float],
    taken: Callable[[Iterable[Indices]], Iterable[Taken]],
    clusters: ArrayLike | None = None,
    seed: int = 0,
    resamples: int = 1_000,
    all_items: ArrayLike | None = None,
) -> Resamples:
    """The same for a statistic that is not given positions, but what `taken` makes of them.

    That sees many draws before it has to answer for the first, and gives one thing for each.
    """
    estimate = float(statistic(next(iter(taken([np.arange(n)])))))
    labels = np.arange(n) if clusters is None else np.asarray(clusters)
    if labels.shape != (n,):
        raise ValueError(f"clusters has {labels.size} labels for {n} values")
    # In the order of their names, so that the same seed draws the same items for everybody.
    names = np.unique(labels if all_items is None else np.asarray(all_items))
    codes = np.searchsorted(names, labels)
    order = np.argsort(codes, kind="stable")
    single = names.size == n and bool((np.bincount(codes, minlength=n) == 1).all())
    rows = np.split(order, np.searchsorted(codes[order], np.arange(1, names.size)))
    units = names.size

    def picked(chosen: Indices) -> Indices:
        if single:
            return order[chosen]
        return np.concatenate([order[:0], *(rows[unit] for unit in chosen)])

    def compute(sample: Taken) -> float:
        if len(sample) == 0:
            return float("nan")
        try:
            return float(statistic(sample))
        except (ValueError, ZeroDivisionError):
            return float("nan")

    rng, large = np.random.default_rng(seed), units > STATISTIC_UNITS
    groups = min(units, 50 if large else 100)
    member = rng.permutation(units) % groups
    count = 0 if large or units < 2 else resamples
    left = (picked(np.flatnonzero(member != group)) for group in range(groups))
    draws = (picked(rng.integers(0, units, units)) for _ in range(count))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a draw may lack a class, say; the whole has warned
        without = np.array([compute(sample) for sample in taken(left)])
        drawn = np.array([compute(sample) for sample in taken(draws)])
    return Resamples(estimate, n, units, _digest(names), drawn, without)


def _digest(names: ArrayLike) -> str:
    text = "\0".join(map(str, np.asarray(names).tolist()))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def statistic_interval(
    n: int,
    statistic: Callable[[Indices], float],
    clusters: ArrayLike | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int = 1_000,
) -> Interval:
    """Interval of an aggregate that is not a mean (macro F1, a correlation, a ratio of sums)."""
    if n == 0:
        tail_of(confidence)
        return NO_ITEMS
    return interval_of(resample(n, statistic, clusters, seed, resamples), confidence)


def interval_of(found: Resamples, confidence: float = 0.95) -> Interval:
    """Interval of an aggregate: BCa as in `mean_interval`, its acceleration from groups of items.

    Over 20,000 items: jackknife over 50 random groups with Student's t (Shao & Wu 1989, Ann Stat
    17:1176). Undefined on more than one draw in ten, there are no bounds.
    """
    tail, n, estimate = tail_of(confidence), found.n, found.estimate
    if not isfinite(estimate):
        return Interval(None, None, None, n, "none", "undefined on this data")
    if found.units < 2:
        return Interval(estimate, None, None, n, "none", "a single item")
    if found.drawn.size == 0:
        if not np.isfinite(found.without).all():
            return Interval(estimate, None, None, n, "none", "undefined on parts of this data")
        margin = -t_quantile(found.without.size - 1, tail) * _error(found)
        return Interval(estimate, estimate - margin, estimate + margin, n, "grouped jackknife")
    kept = found.drawn[np.isfinite(found.drawn)]
    lost = found.drawn.size - kept.size
    note = f"undefined on {lost} resamples" if lost else ""
    if kept.size < 0.9 * found.drawn.size:
        return Interval(estimate, None, None, n, "none", note)
    if without_spread(kept):
        return Interval(estimate, None, None, n, "none", join_notes(note, "all equal"))
    without = found.without[np.isfinite(found.without)]
    # Further out than the draws reach, the bounds are stretched as those of a normal would be.
    reached = max(tail, _DRAWS_BEYOND / found.drawn.size)
    low, high = bca_bounds(kept, estimate, without, found.units, reached)
    if low == high:  # such as a precision of few, wrong on hardly any draw: nothing is certain
        return Interval(estimate, None, None, n, "none", join_notes(note, "nearly all equal"))
    stretch = normal_quantile(tail) / normal_quantile(reached)
    low, high = (estimate + stretch * (each - estimate) for each in (low, high))
    return Interval(estimate, low, high, n, "BCa bootstrap", note)


def interval_of_difference(
    a: Resamples, b: Resamples, confidence: float = 0.95
) -> tuple[Interval, float | None]:
    """Interval of a - b over the same draws of the same items, and a two-sided p.

    The p is of Student's t with the draws' standard error, None where there are no bounds. Raises
    ValueError where the items, or what was drawn of them, are not the same.
    """
    same = (a.items, a.drawn.size, a.without.size) == (b.items, b.drawn.size, b.without.size)
    if not same:
        raise ValueError("the aggregates are of different items")
    gap = Resamples(
        a.estimate - b.estimate,
        a.units,
        a.units,
        a.items,
        a.drawn - b.drawn,
        a.without - b.without,
    )
    if gap.estimate == 0 and not gap.drawn.any() and not gap.without.any():  # NaN is no 0
        return Interval(0.0, 0.0, 0.0, a.units, "paired bootstrap", "equal on every draw"), 1.0
    found = interval_of(gap, confidence)
    method = found.method.replace("BCa", "paired")
    interval = replace(found, method=method)
    if found.low is None or found.estimate is None:
        return interval, None
    return interval, float(2 * t_cdf(gap.units - 1, -abs(found.estimate) / _error(gap)))


def _error(found: Resamples) -> float:
    if found.drawn.size:
        drawn = found.drawn[np.isfinite(found.drawn)]
        return float(drawn.std(ddof=1)) * sqrt(found.units / (found.units - 1))
    groups = found.without.size
    return sqrt((groups - 1) * float(found.without.var()))
