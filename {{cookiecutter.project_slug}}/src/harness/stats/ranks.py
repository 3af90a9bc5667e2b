"""Which places among several are possible: rank ranges, and with them who may be the best.

Simultaneous over all pairs, so that with 95% every range holds the true rank: Mogstad, Romano,
Shaikh & Wilhelm 2024 (Rev Econ Stud 91:476). The critical value is that of the largest of all
studentised differences (max-T), stepped down as in Romano & Wolf 2005 (Econometrica 73:1237): it
knows how alike the configurations are, so it is no larger than it has to be.
"""

from collections.abc import Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from harness.stats.distributions import t_cdf
from harness.stats.intervals import Floats

DRAWS = 5_000
STEPPED = 100  # configurations among which the critical value is stepped down
_AT_ONCE = 16  # columns of draws that fit into a processor's cache
Range = tuple[int, int]


def item_noise(values: Floats, seed: int = 0) -> Floats:
    """Draws of how far the means of `values`, shape (items, k), miss; shape (draws, k), NaN free.

    From their covariance on the items that all have. Where these are fewer than two or less than
    half, nothing is known of how they go together, and they are drawn as independent.
    """
    k = values.shape[1]
    whole = values[np.isfinite(values).all(axis=1)]
    rng = np.random.default_rng(seed)
    if len(whole) < max(2, len(values) / 2):
        return rng.normal(size=(DRAWS, k))
    centred = whole - whole.mean(axis=0)
    _, scale, turned = np.linalg.svd(centred / sqrt(len(whole)), full_matrices=False)
    return np.asarray(rng.normal(size=(DRAWS, scale.size)) * scale @ turned)


def cluster_means(values: Floats, clusters: NDArray[np.generic] | None) -> Floats:
    """The mean of each cluster of rows, shape (clusters, k); without labels each row is one."""
    if clusters is None:
        return values
    _, codes = np.unique(clusters, return_inverse=True)
    sums = np.zeros((codes.max() + 1, values.shape[1]))
    np.add.at(sums, codes, values)
    return np.asarray(sums / np.bincount(codes)[:, None])


def told_apart(
    p: Floats, noise: Floats, df: float, confidence: float = 0.95, seed: int = 0
) -> NDArray[np.bool_]:
    """Which pairs can be told apart, all of them together with `confidence`; shape (k, k).

    `p`: two-sided, shape (k, k), NaN where there is none. `noise`: draws of what chance alone does
    to each of the k, shape (draws, k). `df`: degrees of freedom of a difference's standard error.
    """
    k = p.shape[0]
    wide = np.sqrt(df / np.random.default_rng(seed + 1).chisquare(df, len(noise)))
    spread = _spreads(noise)
    open_pairs = np.triu(np.isfinite(p), 1)
    rejected = np.zeros((k, k), dtype=np.bool_)
    while open_pairs.any():
        least = 2 * t_cdf(df, -_largest(noise, spread, open_pairs) * wide)
        limit = float(np.quantile(least, 1 - confidence, method="lower"))
        fresh = open_pairs & (p < limit)
        rejected |= fresh
        open_pairs &= ~fresh
        # Among so many, those that are left need hardly less: one step errs on the safe side.
        if not fresh.any() or k > STEPPED:
            break
    return rejected | rejected.T


def _spreads(noise: Floats) -> Floats:
    """The standard deviation of each two columns' difference; shape (k, k)."""
    centred = noise - noise.mean(axis=0)
    shared = centred.T @ centred / len(noise)
    own = np.diagonal(shared)
    spread = np.sqrt(np.maximum(own[:, None] + own[None, :] - 2 * shared, 0.0))
    # Where two are nearly the same, that is a small difference of large numbers.
    for i, j in np.argwhere(np.triu(spread < 1e-6 * np.abs(noise).max(), 1)):
        spread[i, j] = spread[j, i] = (noise[:, i] - noise[:, j]).std()
    return np.asarray(spread)


def _largest(noise: Floats, spread: Floats, open_pairs: NDArray[np.bool_]) -> Floats:
    """The largest difference of any open pair in each draw, in its standard deviations."""
    draws, tiny = np.ascontiguousarray(noise.T), 1e-12 * np.abs(noise).max()
    # Two that are the same on every item are never told apart.
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > tiny)
    largest = np.zeros(len(noise))
    for i, row in enumerate(open_pairs):
        others = np.flatnonzero(row)
        for start in range(0, others.size, _AT_ONCE):
            some = others[start : start + _AT_ONCE]
            gaps = np.abs(draws[some] - draws[i])
            gaps *= scale[i, some, None]
            np.maximum(largest, gaps.max(axis=0), out=largest)
    return largest


def rank_ranges(values: Sequence[float], apart: NDArray[np.bool_], lower: bool) -> list[Range]:
    """The possible ranks of each, from 1; `lower`: less is better.

    Nobody ranks above who is told to be ahead of it, or below who is told to be behind.
    """
    known = np.asarray(values, dtype=float) * (-1 if lower else 1)
    ahead = apart & (known[:, None] > known[None, :])  # [i, j]: i is ahead of j
    worse = ahead.sum(axis=1)
    better = ahead.sum(axis=0)
    return [(1 + int(b), len(known) - int(w)) for b, w in zip(better, worse, strict=True)]
