"""The p of every two of many columns at once: with 500 configurations there are 124,750 pairs.

The same as `paired_p` of each pair, where a product of matrices or a row of vectors gives it;
what needs resampling or a bet is left to `paired_p`, pair by pair.
"""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from harness.stats.decision import MIN_ITEMS
from harness.stats.distributions import binomial_cdf, t_cdf
from harness.stats.intervals import Bounds, Floats
from harness.stats.paired import ALONE, Units, paired_p


def pairwise_p(
    values: Floats, units: Units = ALONE, binary: bool = True, bounds: Bounds | None = None
) -> Floats:
    """`paired_p` of every two columns of `values`, shape (items, k).

    Returns shape (k, k), symmetric, NaN on the diagonal and where there is no p.
    """
    known = np.isfinite(values)
    alone = not units.fitted and units.n_clusters in (None, len(values))
    if alone and binary and bool(np.isin(values[known], (0.0, 1.0)).all()):
        return _mcnemar(values, known)
    if alone and bounds is None and known.all() and len(values) >= MIN_ITEMS:
        return _paired_t(values)
    k = values.shape[1]
    p = np.full((k, k), np.nan)
    for i, j in combinations(range(k), 2):
        found = paired_p(values[:, i], values[:, j], units, binary, bounds)
        p[i, j] = p[j, i] = np.nan if found is None else found
    return p


def _mcnemar(values: Floats, known: NDArray[np.bool_]) -> Floats:
    """As `mcnemar_exact`."""
    right = np.where(known, values, 0.0)
    wrong = known - right
    ahead = right.T @ wrong  # right under i and wrong under j
    shared = known.T.astype(float) @ known
    counted = (ahead + ahead.T).astype(int)
    p = np.minimum(1.0, 2 * binomial_cdf(np.minimum(ahead, ahead.T), counted, 0.5))
    p[shared < MIN_ITEMS] = np.nan
    np.fill_diagonal(p, np.nan)
    return np.asarray(p)


def _paired_t(values: Floats) -> Floats:
    """As `paired_t`, with its tests of differences that are rounding or all alike."""
    n, k = values.shape
    p = np.full((k, k), np.nan)
    for i in range(k - 1):
        one, others = values[:, i, None], values[:, i + 1 :]
        same = np.isclose(one, others, rtol=1e-12, atol=0.0)
        gap = np.where(same, 0.0, one - others)
        mean = gap.mean(axis=0)
        squares = ((gap - mean) ** 2).sum(axis=0)
        alike = np.ptp(gap, axis=0) <= 1e-9 * np.abs(gap).max(axis=0)
        error = np.where(alike, 0.0, np.sqrt(squares / (n - 1) / n))
        toss = np.where(mean != 0, 0.5 ** (n - 1), 1.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.where(error == 0, toss, 2 * t_cdf(n - 1, -np.abs(mean) / error))
        p[i, i + 1 :] = p[i + 1 :, i] = found
    return p
