"""Tests, intervals of a difference, effect sizes, Holm's correction.

Pure functions on numpy. A difference is always a - b, in the units of the metric. A pair
in which either value is missing (None, NaN, infinite) is left out. Every p is two-sided.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import isnan, sqrt

import numpy as np
from numpy.typing import ArrayLike

from harness.stats.bounded import Bets
from harness.stats.distributions import coin_cdf, normal_quantile, t_cdf, t_quantile
from harness.stats.halving import root_between
from harness.stats.intervals import (
    Floats,
    Interval,
    Values,
    cluster_totals,
    finite_values,
    mean_interval,
    ratio_error,
    tail_of,
    without_spread,
)


def paired_differences(a: Values, b: Values) -> Floats:
    """a - b of shape (n,), NaN where either is missing, exactly 0 where they differ by rounding."""
    x, y = np.asarray(a, dtype=float).ravel(), np.asarray(b, dtype=float).ravel()
    if x.size != y.size:
        raise ValueError(f"paired values must be of equal length, got {x.size} and {y.size}")
    known = np.isfinite(x) & np.isfinite(y)
    x, y = np.where(known, x, np.nan), np.where(known, y, np.nan)
    return np.where(np.isclose(x, y, rtol=1e-12, atol=0.0), 0.0, x - y)


def mcnemar_exact(b: int, c: int) -> float:
    """p of `b` pairs right only under a against `c` only under b (Agresti 2013, sec. 11.1)."""
    return min(1.0, 2 * coin_cdf(min(b, c), b + c))


def paired_proportions_interval(b: int, c: int, n: int, confidence: float = 0.95) -> Interval:
    """Score interval of (b - c) / n: Tango 1998 (Stat Med 17:891).

    Among `n` pairs, `b` are right only under a and `c` only under b.
    """
    z2 = normal_quantile(tail_of(confidence)) ** 2
    if min(b, c) < 0 or b + c > n:
        raise ValueError(f"need b, c >= 0 and b + c <= n, got {b}, {c} of {n}")
    if n == 0:
        return Interval(None, None, None, 0, "none", "no values")
    estimate = (b - c) / n

    def excess(true: float) -> float:
        linear = (2 * n - b + c) * true - b - c
        q = (sqrt(max(0.0, linear**2 + 8 * n * c * true * (1 - true))) - linear) / (4 * n)
        variance = max(0.0, n * (2 * q + true * (1 - true)))
        return (b - c - n * true) ** 2 - z2 * variance

    # The estimate itself is a root where no pair or every pair differs: start beside it.
    below, above = estimate - 1e-9, estimate + 1e-9
    low = -1.0 if below < -1 or excess(-1.0) <= 0 else root_between(excess, -1.0, below)
    high = 1.0 if above > 1 or excess(1.0) <= 0 else root_between(excess, 1.0, above)
    return Interval(estimate, low, high, n, "Tango score")


def paired_bootstrap(
    a: Values,
    b: Values,
    clusters: ArrayLike | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    bounds: tuple[float, float] | None = None,
) -> tuple[Interval, float | None]:
    """Interval of mean(a - b) as `mean_interval` makes it, and a p (None below two items).

    The p is Student's t on the same item totals: resampling can give no p below 1 in the number of
    resamples, and Holm's correction over many comparisons needs smaller ones. `bounds` are
    those of the values of a and b; where their differences get the interval of a bet, p is its own.
    """
    gap = paired_differences(a, b)
    reach = None if bounds is None else (bounds[0] - bounds[1], bounds[1] - bounds[0])
    interval = mean_interval(gap, clusters, confidence, seed, binary=False, bounds=reach)
    estimate, error, units = _paired_t(gap, clusters)
    if interval.estimate is None or units < 2:
        return interval, None
    if reach is not None and interval.method == "betting":
        kept, codes, _ = finite_values(gap, clusters)
        sums, sizes = cluster_totals(kept, codes)
        return interval, Bets.on(sums, sizes, reach, confidence, seed).p_value(0.0)
    if reach is not None and interval.low is None:
        return interval, None
    if error == 0:  # every item differs alike: the p says whether there are enough of them
        interval = replace(interval, low=interval.estimate, high=interval.estimate)
    return interval, _t_test(estimate, error, units)


def paired_t(gap: Values, clusters: ArrayLike | None = None) -> float | None:
    """p of `paired_bootstrap` by itself, from the differences; None below two items."""
    estimate, error, units = _paired_t(gap, clusters)
    return _t_test(estimate, error, units) if units > 1 else None


def _paired_t(gap: Values, clusters: ArrayLike | None) -> tuple[float, float, int]:
    """Mean difference, its standard error, and how many items there are."""
    kept, codes, _ = finite_values(gap, clusters)
    sums, sizes = cluster_totals(kept, codes)
    if sums.size < 2:
        return 0.0, 0.0, sums.size
    error = 0.0 if without_spread(sums / sizes) else ratio_error(sums, sizes)
    return float(kept.mean()), error, sums.size


def corrected_resampled_t(
    differences_per_fold: Values,
    n_train: ArrayLike,
    n_test: ArrayLike,
    confidence: float = 0.95,
    weights: ArrayLike | None = None,
) -> tuple[Interval, float | None]:
    """Interval and p of the mean difference over the J folds of all splits (None below two).

    `n_train` and `n_test` are how many items each fold's model was fitted and tested on, one number
    or shape (J,). `weights` are the folds' sizes, so that the mean is that over items; without them
    all weigh alike. Training sets overlap, so the plain t is far too sure: the variance is
    multiplied by 1/J + n_test/n_train instead of 1/J (Nadeau & Bengio 2003, Machine Learning
    52:239), over the folds of all repeats together (Bouckaert & Frank 2004, PAKDD, LNCS 3056:3).
    """
    d = np.asarray(differences_per_fold, dtype=float).ravel()
    kept = np.isfinite(d)
    w = np.ones(d.size) if weights is None else np.asarray(weights, dtype=float).ravel()
    ratios = np.broadcast_to(np.asarray(n_test, float) / np.asarray(n_train, float), d.shape)[kept]
    d, w = d[kept], w[kept] / max(float(w[kept].sum()), 1e-300)
    note = "" if kept.all() else f"{int((~kept).sum())} of {kept.size} missing"
    name, tail = "corrected resampled t", tail_of(confidence)
    if d.size < 2:
        return Interval(float(d[0]) if d.size else None, None, None, d.size, name, "one fold"), None
    estimate = float((w * d).sum())
    shared = float((w**2).sum())  # 1/J where all weigh alike
    variance = float((w * (d - estimate) ** 2).sum()) / (1 - shared)
    spread = 0.0 if without_spread(d) else sqrt(variance)
    error = spread * sqrt(shared + float((w * ratios).sum()))
    margin = -t_quantile(1 / shared - 1, tail) * error
    interval = Interval(estimate, estimate - margin, estimate + margin, d.size, name, note)
    return interval, _t_test(estimate, error, 1 / shared)


def cohen_g(b: int, c: int) -> float | None:
    """Share of discordant pairs that favour a, less one half (Cohen 1988, ch. 5)."""
    return b / (b + c) - 0.5 if b + c else None


def cohen_dz(differences: Values) -> float | None:
    """Mean difference in standard deviations of the differences (Cohen 1988, sec. 2.3.5)."""
    d, _, _ = finite_values(differences)
    spread = float(d.std(ddof=1)) if d.size > 1 and not without_spread(d) else 0.0
    return float(d.mean()) / spread if spread else None  # 0 where squares underflow


def holm(pvalues: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjusted p-values, in the order given (Holm 1979, Scand J Stat 6:65).

    A missing one (None, NaN) comes back as None and does not count, as in R's p.adjust.
    """
    known = sorted((p, i) for i, p in enumerate(pvalues) if p is not None and not isnan(p))
    adjusted: list[float | None] = [None] * len(pvalues)
    largest = 0.0
    for rank, (p, i) in enumerate(known):
        adjusted[i] = largest = max(largest, min(1.0, (len(known) - rank) * p))
    return adjusted


def _t_test(estimate: float, error: float, units: float) -> float:
    if error == 0:  # no spread to measure by: the sign test, each unit one toss of a coin
        return 0.5 ** (units - 1) if estimate else 1.0
    return float(2 * t_cdf(units - 1, -abs(estimate) / error))
