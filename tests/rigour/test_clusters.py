"""Items that were drawn together: what intervals over clusters cover, and what equal pairs get.

Clusters of five items, 30% of whose variance is their cluster's, as questions on one passage.
"""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.random import Generator
from numpy.typing import NDArray

from harness.stats.intervals import mean_interval
from harness.stats.paired import Units, paired_verdict
from tests.rigour.simulation import share

CLUSTERS, SIZE, WITHIN = 100, 5, 0.3
LABELS = np.repeat(np.arange(CLUSTERS), SIZE)
Floats = NDArray[np.float64]


def drawn(rng: Generator) -> Floats:
    """Scores with mean 0 and variance 1, of which `WITHIN` is shared by a cluster."""
    shared = np.repeat(rng.normal(size=CLUSTERS), SIZE)
    return np.asarray(
        np.sqrt(WITHIN) * shared + np.sqrt(1 - WITHIN) * rng.normal(size=LABELS.size),
        dtype=np.float64,
    )


def mean_is_covered(rng: Generator) -> bool:
    found = mean_interval(drawn(rng), LABELS)
    assert found.low is not None
    assert found.high is not None
    return found.low <= 0 <= found.high


def share_is_covered(rng: Generator) -> bool:
    found = mean_interval((drawn(rng) > 0).astype(float), LABELS)
    assert found.low is not None
    assert found.high is not None
    return found.low <= 0.5 <= found.high


def pair_is_told_apart(rng: Generator) -> bool:
    gap = drawn(rng)
    return paired_verdict(gap, np.zeros(gap.size), Units(LABELS)).verdict != "undecided"


def test_means_and_equal_pairs_of_clusters_quick() -> None:
    covered, error = share(mean_is_covered, 200, seed=1)
    assert covered >= 0.95 - 3 * error
    wrong, error = share(pair_is_told_apart, 200, seed=2)
    assert wrong <= 0.05 + 3 * error


@pytest.mark.slow
@pytest.mark.parametrize("holds", [mean_is_covered, share_is_covered])
def test_intervals_over_clusters_cover(holds: Callable[[Generator], bool]) -> None:
    covered, error = share(holds, 1_500, seed=3)
    print(f"{holds.__name__}: {covered:.4f} +- {error:.4f}")
    assert 0.93 - 2 * error <= covered <= 0.97 + 2 * error


@pytest.mark.slow
def test_equal_pairs_of_clusters_are_told_apart_in_no_more_than_one_in_twenty() -> None:
    wrong, error = share(pair_is_told_apart, 1_500, seed=4)
    print(f"pairs told apart: {wrong:.4f} +- {error:.4f}")
    assert wrong <= 0.05 + 2 * error
