"""Aggregates compared over the same draws: how often they err, and what pairing is worth."""

from math import sqrt

import numpy as np
import pytest

from harness.stats.decision import position_of
from harness.stats.intervals import Floats, Indices
from harness.stats.resampling import Resamples, interval_of, interval_of_difference, resample


def rmse(errors: Floats) -> Resamples:
    def statistic(chosen: Indices) -> float:
        return sqrt(float(np.square(errors[chosen]).mean()))

    return resample(errors.size, statistic)


def simulated(gap: float, draws: int, n: int = 120) -> tuple[float, float, float]:
    """Of RMSEs that differ by about `gap`: covered, told apart paired, told apart by intervals."""
    rng = np.random.default_rng(20_261_126)
    covered = paired = apart = 0
    for _ in range(draws):
        hard = rng.normal(0, 1, n)
        x, y = hard + rng.normal(0, 0.3, n), hard * (1 + gap) + rng.normal(0, 0.3, n)
        true = sqrt((1 + gap) ** 2 + 0.09) - sqrt(1.09)
        a, b = rmse(x), rmse(y)
        found, _ = interval_of_difference(b, a)
        covered += (found.low or 0.0) <= true <= (found.high or 0.0)
        paired += position_of(found.low, found.high) == "above"
        first, second = interval_of(a), interval_of(b)
        apart += (second.low or 0.0) > (first.high or 0.0)
    return covered / draws, paired / draws, apart / draws


@pytest.mark.slow
def test_paired_aggregates_cover_and_decide_far_more_often() -> None:
    draws = 600
    covered, _, _ = simulated(0.0, draws)
    clear, paired, apart = simulated(0.09, draws)
    print(f"covered {covered:.3f}, {clear:.3f}; told apart {paired:.3f} paired, {apart:.3f} not")
    assert 0.93 - 0.02 < covered < 0.97 + 0.02
    assert 0.93 - 0.02 < clear < 0.97 + 0.02
    assert paired > 5 * apart
