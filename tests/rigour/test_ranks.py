"""The true best lies in its confidence set, and the true rank in its range, in 95% or more."""

from itertools import combinations

import numpy as np
import pytest

from harness.stats.intervals import Floats
from harness.stats.paired import paired_p
from harness.stats.ranks import item_noise, rank_ranges, told_apart
from harness.stats.significance import paired_bootstrap


def ranges_of(values: Floats, binary: bool) -> list[tuple[int, int]]:
    k = values.shape[1]
    p = np.full((k, k), np.nan)
    for i, j in combinations(range(k), 2):
        found = paired_p(values[:, i], values[:, j], binary=binary)
        p[i, j] = np.nan if found is None else found
    apart = told_apart(p, item_noise(values), len(values) - 1)
    return rank_ranges(values.mean(axis=0).tolist(), apart, lower=False)


def share_right(
    k: int, draws: int, spread: float, binary: bool, n: int = 150
) -> tuple[float, float]:
    """How often all ranks lie in their ranges, and how large the set of the best is; of `k`
    configurations whose true quality falls by `spread` from first to last."""
    rng = np.random.default_rng(20_261_126 + k)
    true = np.linspace(0, -spread, k)
    right, size = 0, 0
    for _ in range(draws):
        latent = rng.normal(size=(n, 1)) + rng.normal(size=(n, k)) + true
        found = ranges_of((latent > 0).astype(float) if binary else latent, binary)
        # Equal ones may have any rank among each other: the best are all that are as good.
        ranks = [(1 + int((true > each).sum()), int((true >= each).sum())) for each in true]
        right += all(low <= last and first <= high
                     for (low, high), (first, last) in zip(found, ranks, strict=True))  # fmt: skip
        size += sum(low == 1 for low, _ in found)
    return right / draws, size / draws


@pytest.mark.parametrize("binary", [True, False])
def test_equal_configurations_all_may_be_the_best(binary: bool) -> None:
    draws = 80
    rng = np.random.default_rng(5)
    whole = 0
    for _ in range(draws):
        latent = rng.normal(size=(120, 1)) + rng.normal(size=(120, 6))
        found = ranges_of((latent > 0).astype(float) if binary else latent, binary)
        whole += all(each == (1, 6) for each in found)
    assert whole / draws >= 0.95 - 3 * (0.05 * 0.95 / draws) ** 0.5


def test_clear_differences_leave_one_best_and_its_order() -> None:
    rng = np.random.default_rng(6)
    values = rng.normal(size=(400, 1)) + rng.normal(size=(400, 4)) * 0.2 + np.array([0, 1, 2, 1])
    assert ranges_of(values, binary=False) == [(4, 4), (2, 3), (1, 1), (2, 3)]


@pytest.mark.slow
@pytest.mark.parametrize("k", [2, 8, 28])
@pytest.mark.parametrize("spread", [0.0, 0.6])
@pytest.mark.parametrize("binary", [True, False])
def test_true_ranks_lie_in_their_ranges(k: int, spread: float, binary: bool) -> None:
    draws = 300
    right, size = share_right(k, draws, spread, binary)
    print(f"k {k}, spread {spread}, binary {binary}: {right:.3f} right, {size:.1f} may be best")
    assert right >= 0.95 - 3 * (0.05 * 0.95 / draws) ** 0.5


@pytest.mark.slow
def test_equal_configurations_by_clipped_log_losses_all_may_be_the_best() -> None:
    # The p of a bet in the place of Student's: rare huge values, between declared bounds.
    draws, bounds = 200, (0.0, 34.5)
    rng = np.random.default_rng(8)
    whole, betted = 0, 0
    for _ in range(draws):
        values = rng.exponential(0.3, (150, 8))
        values[rng.random((150, 8)) < 0.02] = 34.5
        p = np.full((8, 8), np.nan)
        for i, j in combinations(range(8), 2):
            gap = values[:, i] - values[:, j]
            interval, found = paired_bootstrap(gap, np.zeros(gap.size), bounds=bounds)
            betted += interval.method == "betting"
            p[i, j] = np.nan if found is None else found
        apart = told_apart(p, item_noise(values), len(values) - 1)
        ranges = rank_ranges(values.mean(axis=0).tolist(), apart, lower=True)
        whole += all(each == (1, 8) for each in ranges)
    print(f"log losses: {whole / draws:.3f} right, {betted / draws / 28:.2f} of pairs by bets")
    assert betted > 0
    assert whole / draws >= 0.95 - 3 * (0.05 * 0.95 / draws) ** 0.5
