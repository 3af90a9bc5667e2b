"""Intervals for one configuration: proportions, means, a person's own aggregates, percentiles.

Pure functions on numpy. A value that is None, NaN or infinite is missing: it is left out, and the
note says how many were. An estimate or a bound that the data cannot give is None, never NaN: NULL
in a table, null in JSON.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf, log, sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats.bounded import NEEDS, Bets, empirical_bernstein, unseen
from harness.stats.distributions import (
    binomial_cdf,
    binomial_quantile,
    chi_squared_above,
    normal_cdf,
    normal_quantile,
    t_quantile,
)

Values = ArrayLike | Sequence[float | None]
Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Bounds = tuple[float, float]

RESAMPLES = 2_000
_RESAMPLES_BEYOND = 3  # beyond a bound, so that it is one of them
BOOTSTRAP_UNITS = range(15, 2_001)  # with fewer or more independent units: Student's t
DRAWS_AT_ONCE = 100_000  # random indices at a time, so that they stay in the processor's cache


@dataclass(frozen=True)
class Interval:
    """An estimate and its bounds; `n` counts the values used, missing ones left out.

    `None` means that the data cannot give this number, and the note says why: the estimate where
    n is 0 or too small for a percentile, the bounds where there are fewer than two units or all
    units agree, since what never varied does not show how much it may.
    """

    estimate: float | None
    low: float | None
    high: float | None
    n: int
    method: str
    note: str = ""


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Score interval of a proportion. Wilson 1927; method 3 of Newcombe 1998 (Stat Med 17:857).

    Raises ValueError unless 0 <= successes <= n.
    """
    tail = tail_of(confidence)
    if not 0 <= successes <= n:
        raise ValueError(f"successes must lie between 0 and n, got {successes} of {n}")
    if n == 0:
        return Interval(None, None, None, 0, "none", "no values")
    return Interval(successes / n, *_score_bounds(successes / n, n, tail), n, "Wilson")


def mean_interval(
    values: Values,
    clusters: ArrayLike | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    binary: bool | None = None,
    bounds: Bounds | None = None,
) -> Interval:
    """Interval of the mean of `values` (shape (n,)); repeats of an item share a `clusters` label.

    The estimate is the plain mean of all values; the unit that is drawn again is the item.
    - Only 0 and 1 (or `binary=True`): Wilson; with repeats at the effective sample size of Korn &
      Graubard 1998 (Survey Methodology 24:193), as a bootstrap is certain where all are right.
    - Otherwise, 15 to 2,000 items: BCa bootstrap (Efron 1987) of 2,000 seeded resamples, its levels
      widened by Hesterberg's expansion (2015, Am Stat 69:371), without which it covered 92.6% of
      normal samples of 20 instead of 95%.
    - Fewer or more items, or a confidence above 99.7%: Student's t on item totals
      (`ratio_error`). Of few items a resample cannot leave the range of the data; of many, both
      agree.
    Strong skew makes the bounds too narrow, and a sample cannot tell, as what it misses is the
    tail: of log-normal values with sigma 1, 50 gave 91% and 200 gave 93% (sigma 0.5: 93.5%, 95%).
    So prefer percentiles for latencies. Where the values have `bounds` (low, high), no tail is
    missed: a sample that says less than a value at a bound could change (`bounded.unseen`) gets the
    bounds of a bet, `bounded.Bets`, and fewer than 10 items get none. Raises ValueError for a
    proportion outside 0 to 1, and for a value outside its bounds.
    """
    tail = tail_of(confidence)
    x, codes, note = finite_values(values, clusters)
    if x.size == 0:
        return Interval(None, None, None, 0, "none", note or "no values")
    estimate = float(x.mean())
    sums, sizes = cluster_totals(x, codes)
    units = sums.size
    if units < x.size:
        note = join_notes(note, f"repeats of {units} items")
    if np.isin(x, (0.0, 1.0)).all() if binary is None else binary:
        if x.min() < 0 or x.max() > 1:
            raise ValueError("a proportion needs values between 0 and 1")
        size = units if units == x.size else _effective_size(sums, sizes, tail)
        method = "Wilson" if units == x.size else "Wilson, effective n"
        return Interval(estimate, *_score_bounds(estimate, size, tail), x.size, method, note)
    if bounds is None:
        return _of_sample(x, sums, sizes, tail, seed, note)
    if units < NEEDS:
        short = join_notes(note, f"n too small, needs {NEEDS}")
        return Interval(estimate, None, None, x.size, "none", short)
    found = _of_sample(x, sums, sizes, tail, seed, note)
    shown = found.low is not None and found.high is not None
    if shown and not unseen(estimate, found.low or 0.0, found.high or 0.0, units, bounds, tail):
        return found
    low, high = Bets.on(sums, sizes, bounds, confidence, seed).interval()
    return Interval(estimate, min(low, estimate), max(high, estimate), x.size, "betting", note)


def _of_sample(
    x: Floats, sums: Floats, sizes: Floats, tail: float, seed: int, note: str
) -> Interval:
    """Interval of a mean from the sample alone."""
    estimate, units = float(x.mean()), sums.size
    if units < 2:
        return Interval(estimate, None, None, x.size, "none", join_notes(note, "a single item"))
    if without_spread(sums / sizes):
        return Interval(estimate, None, None, x.size, "none", join_notes(note, "all equal"))
    # Of so small a tail 2,000 resamples have too few.
    if units not in BOOTSTRAP_UNITS or tail * RESAMPLES < _RESAMPLES_BEYOND:
        margin = -t_quantile(units - 1, tail) * ratio_error(sums, sizes)
        return Interval(estimate, estimate - margin, estimate + margin, x.size, "t", note)
    drawn = _resampled_means(sums, sizes, seed)
    without = (sums.sum() - sums) / (sizes.sum() - sizes)
    bounds = bca_bounds(drawn, estimate, without, units, tail)
    return Interval(estimate, *bounds, x.size, "BCa bootstrap", note)


def percentiles(
    values: Values,
    qs: Sequence[float],
    clusters: ArrayLike | None = None,
    confidence: float = 0.95,
) -> dict[float, Interval]:
    """Percentiles at `qs` (fractions, 0.99 = p99) with intervals from order statistics.

    The bounds interpolate the two neighbouring order statistics whose binomial errors surround the
    wanted one (Beran & Hall 1993, JRSS B 55:643), whatever the shape. Where n is too small for a
    bound on both sides (`percentile_needs`), the estimate is None and the note says what is needed.
    Clusters count by their effective sample size (Woodruff 1952, JASA 47:635), and by no more than
    that at the median. Whether they are enough is judged by what that is at least (one-sided 99%),
    and not by the tail: samples that missed the longest queues look independent there, so that
    of a p95 at utilisation .9 a third was shown, and 54% of those covered. Beyond p95 even that
    says too little of how long busy times are, and twice as much is asked for.
    """
    tail = tail_of(confidence)
    x, codes, note = finite_values(values, clusters)
    ranked = np.sort(x)
    result: dict[float, Interval] = {}
    for q in qs:
        needed = asked = percentile_needs(q, confidence)
        effective, sure = x.size, float(x.size)
        if codes is not None:
            asked *= 2 if max(q, 1 - q) > 0.95 else 1
            effective, sure = _independent(x, codes, ranked, q, tail)
        if sure < asked or effective < needed:
            short = join_notes(note, f"n too small, needs {asked}")
            if x.size >= asked and codes is not None:
                units = len(np.unique(codes))
                more = ceil(units * max(asked / max(sure, 1), needed / max(effective, 1)))
                short = join_notes(note, f"{units} clusters are too few, about {more} would do")
            result[q] = Interval(None, None, None, x.size, "order statistics", short)
            continue
        estimate = float(np.quantile(ranked, q))
        below, above = _sizes_at_the_ends(q, effective, needed, asked / sure, codes is not None)
        first = _lower_rank(below, q, tail) / (below + 1)
        last = _lower_rank(above, 1 - q, tail) / (above + 1)
        ranks = np.array([first, 1 - last]) * (x.size + 1)
        low, high = np.interp(ranks, np.arange(1, x.size + 1), ranked)
        bounds = min(float(low), estimate), max(float(high), estimate)
        result[q] = Interval(estimate, *bounds, x.size, "order statistics", note)
    return result


def _sizes_at_the_ends(
    q: float, effective: int, needed: int, hurdle: float, clustered: bool
) -> tuple[int, int]:
    """The effective size by which each bound is found; `hurdle`: what is asked of what is sure.

    Clusters that only just are enough often seem so because they missed long queues, and then the
    percentile lies beyond the bound towards the tail: that one counts them for less, by 70% at the
    limit, and is the extreme value at most. Found with queues, see docs/decisions/statistics.md of
    the template.
    """
    if not clustered or q == 0.5:
        return effective, effective
    outwards = max(needed, int(effective * (1 - 0.7 * hurdle)))
    return (effective, outwards) if q > 0.5 else (outwards, effective)


def _independent(
    x: Floats, codes: Indices, ranked: Floats, q: float, tail: float
) -> tuple[int, float]:
    """The effective size at a percentile, and how large it is at least, judged by the median."""
    if x.size == 0:
        return 0, 0.0
    sizes = []
    for at in (q, 0.5):
        below = (x <= np.quantile(ranked, at)).astype(float)
        sizes.append(_effective_size(*cluster_totals(below, codes), tail))
    units = len(np.unique(codes))
    if q == 0.5 or units < 2:
        return int(sizes[0]), sizes[0]
    # A variance over few clusters is known within the limits of chi-squared.
    return int(min(sizes)), sizes[1] * chi_squared_above(units - 1, 0.99) / (units - 1)


def percentile_needs(q: float, confidence: float = 0.95) -> int:
    """Smallest n with an interval on both sides: the extreme value must pass `q` surely enough.

    At 95%: 6 for p50, 36 for p90, 72 for p95, 368 for p99, 3,688 for p99.9.
    """
    if not 0 < q < 1:
        raise ValueError(f"a percentile is given as a fraction between 0 and 1, got {q}")
    return ceil(log(tail_of(confidence)) / log(max(q, 1 - q)))


def interval_of_sums(
    n: int,
    total: float | None,
    spread: float | None,
    *,
    binary: bool = False,
    bounds: Bounds | None = None,
) -> Interval:
    """The mean of n values, each of an item of its own, with its 95% interval from their sums.

    `total` is their sum and `spread` their standard deviation (n - 1), as a database counts them.
    Wilson where each value is 0 or 1 (`binary`), else Student's t; no bounds without spread. Values
    with `bounds` as in `mean_interval`, by an empirical Bernstein bound in place of a bet.
    """
    mean = (total or 0.0) / n if n else None
    if binary:
        return wilson(round(total or 0), n)
    if mean is None or not spread:
        return Interval(mean, None, None, n, "none")
    if bounds is not None and n < NEEDS:
        return Interval(mean, None, None, n, "none", f"n too small, needs {NEEDS}")
    margin, method = t_quantile(n - 1, 0.975) * spread / sqrt(n), "t"
    if bounds is not None and unseen(mean, mean - margin, mean + margin, n, bounds, 0.025):
        margin, method = empirical_bernstein(spread, n, bounds, 0.025), "empirical Bernstein"
    low, high = bounds or (-inf, inf)
    return Interval(mean, max(low, mean - margin), min(high, mean + margin), n, method)


def interval_of_clusters(
    n: int, total: float | None, units: int, error: float | None, binary: bool = False
) -> Interval:
    """The mean of n values that were drawn in `units` clusters, with its 95% interval.

    `error` is the standard error of the mean over clusters (`ratio_error`), None where they do not
    differ. Wilson at the effective n for 0 and 1 (`binary`), else Student's t.
    """
    mean = (total or 0.0) / n if n else None
    if mean is None or units < 2:
        return Interval(mean, None, None, n, "none", "a single cluster" if n else "no values")
    if binary:
        size = _size_with(error, mean, units, n, 0.025) if error else float(units)
        return Interval(mean, *_score_bounds(mean, size, 0.025), n, "Wilson, effective n")
    if error is None:
        return Interval(mean, None, None, n, "none", "all equal")
    margin = t_quantile(units - 1, 0.975) * error
    return Interval(mean, mean - margin, mean + margin, n, "t")


def tail_of(confidence: float) -> float:
    """What is left out on each side; ValueError unless 0 < confidence < 1."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    return (1 - confidence) / 2


def join_notes(*notes: str) -> str:
    """The notes that say something, in one line."""
    return "; ".join(note for note in notes if note)


def finite_values(
    values: Values, clusters: ArrayLike | None = None
) -> tuple[Floats, Indices | None, str]:
    """The values that are not missing, their cluster codes, a note of how many are missing."""
    x = np.asarray(values, dtype=float).ravel()
    kept = np.isfinite(x)
    codes = None if clusters is None else _codes(clusters, x.size)[kept]
    note = "" if kept.all() else f"{x.size - int(kept.sum())} of {x.size} missing"
    return x[kept], codes, note


def cluster_totals(x: Floats, codes: Indices | None) -> tuple[Floats, Floats]:
    """Sum and size of each cluster that has values; without codes each value is one."""
    if codes is None:
        return x, np.ones(x.size)
    sizes = np.bincount(codes).astype(float)
    return np.bincount(codes, x)[sizes > 0].astype(float), sizes[sizes > 0]


def ratio_error(sums: Floats, sizes: Floats) -> float:
    """Standard error of sums.sum() / sizes.sum() over two or more units (Cochran 1977, ch. 6)."""
    residuals = sums - sums.sum() / sizes.sum() * sizes
    return sqrt(sums.size / (sums.size - 1) * float((residuals**2).sum())) / float(sizes.sum())


def without_spread(x: Floats) -> bool:
    """Whether all values are the same but for rounding."""
    return bool(np.ptp(x) <= 1e-9 * np.abs(x).max())


def _codes(clusters: ArrayLike, n: int) -> Indices:
    labels, seen = np.asarray(clusters).tolist(), dict[Any, int]()
    if len(labels) != n:
        raise ValueError(f"clusters has {len(labels)} labels for {n} values")
    return np.fromiter((seen.setdefault(label, len(seen)) for label in labels), np.intp, n)


def _effective_size(sums: Floats, sizes: Floats, tail: float) -> float:
    p = float(sums.sum() / sizes.sum())
    error = ratio_error(sums, sizes) if sums.size > 1 else 0.0
    if error == 0:  # every item has the same mean: repeats cannot show that they add anything
        return float(sums.size)
    return _size_with(error, p, sums.size, float(sizes.sum()), tail)


def _size_with(error: float, p: float, units: int, n: float, tail: float) -> float:
    few_units = (normal_quantile(tail) / t_quantile(units - 1, tail)) ** 2
    return min(n, p * (1 - p) / error**2 * few_units)


def _score_bounds(p: float, n: float, tail: float) -> Bounds:
    z2 = normal_quantile(tail) ** 2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    margin = sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    # At p of 0 and 1 the bound is p itself; rounding must not push it past the estimate.
    return min(max(0.0, centre - margin), p), max(min(1.0, centre + margin), p)


def _resampled_means(sums: Floats, sizes: Floats, seed: int) -> Floats:
    rng, means = np.random.default_rng(seed), np.empty(RESAMPLES)
    for start in range(0, RESAMPLES, rows := max(1, DRAWS_AT_ONCE // sums.size)):
        drawn = rng.integers(0, sums.size, (min(rows, RESAMPLES - start), sums.size))
        means[start : start + rows] = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    return means


def bca_bounds(drawn: Floats, estimate: float, without: Floats, units: int, tail: float) -> Bounds:
    """Bounds from resampled statistics and those with one unit (or group of units) left out."""
    share = ((drawn < estimate).mean() + (drawn <= estimate).mean()) / 2
    bias = normal_quantile(float(np.clip(share, 0.5 / drawn.size, 1 - 0.5 / drawn.size)))
    away = without.mean() - without if without.size else np.zeros(1)
    away = away / (np.abs(away).max() or 1.0)
    acceleration = float((away**3).sum()) / (6 * (float((away**2).sum()) or 1.0) ** 1.5)
    t = t_quantile(units - 1, tail) * sqrt(units / (units - 1))
    at = bias + np.array([t, -t])
    low, high = np.quantile(drawn, normal_cdf(bias + at / np.maximum(1 - acceleration * at, 0.1)))
    return min(float(low), estimate), max(float(high), estimate)


def _lower_rank(n: int, q: float, tail: float) -> float:
    """Fractional rank, from 1, of the order statistic that lies above the q-quantile in `tail`."""
    k = ceil(binomial_quantile(tail, n, q))
    k -= bool(binomial_cdf(k - 1, n, q) >= tail)  # where rounding put an exact k just above itself
    before, at = binomial_cdf([k - 1, k], n, q)
    return k + float((tail - before) / (at - before))
