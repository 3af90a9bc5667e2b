"""How often at least one of k tries is right (pass@k), and how often all of them are (pass^k).

    from harness.stats.passes import pass_at_k, pass_hat_k

    SCORES = {"pass_at_3": Score("mean", better="higher", low=0.0, high=1.0, failure="given")}
    AGGREGATES = {"pass_at_3": pass_at_k("correct", 3)}

The tries are the repeats of an item; [run] repeats says how many there are, at least k.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from harness.stats.intervals import Floats

Aggregate = Callable[[pd.DataFrame], float]


def pass_at_k(score: str, k: int) -> Aggregate:
    """The mean over items of the chance that one of k tries is right, without bias.

    1 - C(n - c, k) / C(n, k) for an item with c of n tries right (Chen et al. 2021,
    arXiv 2107.03374, equation 1). `score` is a column of 0 and 1. The function raises ValueError
    where an item has fewer than k tries.
    """
    return lambda rows: _mean(rows, score, k, lambda n, c: 1 - _share(n - c, n, k))


def pass_hat_k(score: str, k: int) -> Aggregate:
    """The mean over items of the chance that k tries are all right: C(c, k) / C(n, k).

    Yao et al. 2024 (tau-bench, arXiv 2406.12045). Otherwise as `pass_at_k`.
    """
    return lambda rows: _mean(rows, score, k, lambda n, c: _share(c, n, k))


def _mean(
    rows: pd.DataFrame, score: str, k: int, chance: Callable[[Floats, Floats], Floats]
) -> float:
    codes, names = pd.factorize(rows["input_id"])
    right = np.nan_to_num(rows[score].to_numpy(dtype=float))
    # An item that a resample drew m times is m items of n tries, and not one of m times n.
    tries, _ = pd.factorize(rows["repeat"])
    size = tries.max() + 1
    drawn = np.bincount(codes * size + tries, minlength=len(names) * size).reshape(-1, size)
    drawn = drawn.max(axis=1).astype(float)
    n, c = np.bincount(codes) / drawn, np.bincount(codes, right) / drawn
    if (short := np.flatnonzero(~(n >= k))).size:
        few = np.bincount(codes)[short[0]]
        raise ValueError(f"item {names[short[0]]} has {few} tries, and {k} are needed")
    return float(np.average(chance(n, c), weights=drawn))


def _share(of: Floats, n: Floats, k: int) -> Floats:
    """C(of, k) / C(n, k)."""
    found = np.ones_like(n)
    for step in range(k):
        found *= np.maximum(of - step, 0.0) / (n - step)
    return found
