"""How often the interval shown of a bounded mean holds the mean, where few values make it."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.random import Generator
from numpy.typing import NDArray

from harness.stats.intervals import mean_interval
from tests.rigour.simulation import share

Floats = NDArray[np.float64]
CLIP = 34.5


def losses(rng: Generator, n: int) -> Floats:
    """Log losses of a model that is certain of a wrong answer in 2 of 100 items."""
    return np.where(rng.random(n) < 0.02, CLIP, rng.exponential(0.15, n).clip(0.0, CLIP))


def crowded(rng: Generator, n: int) -> Floats:
    """Scores of which most are near 1."""
    return rng.beta(8.0, 0.5, n)


def spread(rng: Generator, n: int) -> Floats:
    """Scores that lie all over their range."""
    return rng.beta(2.0, 2.0, n)


Draw = Callable[[Generator, int], Floats]
MEANS: dict[Draw, tuple[float, float]] = {
    losses: (0.02 * CLIP + 0.98 * 0.15, CLIP),
    crowded: (8 / 8.5, 1.0),
    spread: (0.5, 1.0),
}


def covered(draw: Draw, n: int, runs: int) -> tuple[float, float]:
    """The share of intervals shown that hold the mean."""
    mean, high = MEANS[draw]

    def holds(rng: Generator) -> bool | None:
        found = mean_interval(draw(rng, n), bounds=(0.0, high))
        if found.low is None or found.high is None:
            return None
        return found.low <= mean <= found.high

    return share(holds, runs, seed=n)


def test_rare_huge_losses_are_covered_quick() -> None:
    held, error = covered(losses, 30, 150)
    assert held >= 0.95 - 3 * error


@pytest.mark.slow
@pytest.mark.parametrize("n", [10, 30, 100, 400])
@pytest.mark.parametrize("draw", list(MEANS), ids=lambda draw: draw.__name__)
def test_every_interval_shown_of_a_bounded_mean_covers(draw: Draw, n: int) -> None:
    held, error = covered(draw, n, 1_500)
    print(f"{draw.__name__}, n {n}: {held:.3f} +- {error:.3f}")
    assert held >= 0.93 - 2 * error
