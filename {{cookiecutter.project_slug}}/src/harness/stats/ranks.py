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
from scipy.special import stdtr

from harness.stats.intervals import Floats

DRAWS = 5_000
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
    first, second = np.triu_indices(k, 1)
    observed = p[first, second]
    chance = _chance(noise, first, second, df, seed)
    open_pairs = np.isfinite(observed)
    rejected = np.zeros(first.size, dtype=np.bool_)
    while open_pairs.any():
        least = chance[:, open_pairs].min(axis=1)
        limit = float(np.quantile(least, 1 - confidence, method="lower"))
        fresh = open_pairs & (observed < limit)
        if not fresh.any():
            break
        rejected |= fresh
        open_pairs &= ~fresh
    apart = np.zeros((k, k), dtype=np.bool_)
    apart[first, second] = apart[second, first] = rejected
    return apart


def _chance(
    noise: Floats, first: NDArray[np.intp], second: NDArray[np.intp], df: float, seed: int
) -> NDArray[np.float32]:
    """The p of each pair in each draw, where chance alone is at work; shape (draws, pairs)."""
    rng = np.random.default_rng(seed + 1)
    wide = np.sqrt(df / rng.chisquare(df, len(noise)))
    found = np.empty((len(noise), first.size), dtype=np.float32)
    for place, (i, j) in enumerate(zip(first, second, strict=True)):
        gap = noise[:, i] - noise[:, j]
        spread = float(gap.std())
        # Two that are the same on every item are never told apart.
        z = np.abs(gap) / spread * wide if spread > 1e-12 * np.abs(noise).max() else 0 * gap
        found[:, place] = 2 * stdtr(df, -z)
    return found


def rank_ranges(values: Sequence[float], apart: NDArray[np.bool_], lower: bool) -> list[Range]:
    """The possible ranks of each, from 1; `lower`: less is better.

    Nobody ranks above who is told to be ahead of it, or below who is told to be behind.
    """
    known = np.asarray(values, dtype=float) * (-1 if lower else 1)
    ahead = apart & (known[:, None] > known[None, :])  # [i, j]: i is ahead of j
    worse = ahead.sum(axis=1)
    better = ahead.sum(axis=0)
    return [(1 + int(b), len(known) - int(w)) for b, w in zip(better, worse, strict=True)]
