"""Means of values with declared bounds: bets, and when they take the place of the sample."""

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.stats.bounded import NEEDS, Bets, empirical_bernstein
from harness.stats.intervals import interval_of_sums, mean_interval
from harness.stats.paired import paired_verdict

Floats = NDArray[np.float64]
CLIP = 34.5


def kept_by_the_paper(x: Floats, confidence: float) -> list[float]:
    """The candidate means that the hedged capital process of the paper keeps, one bet at a time."""
    alpha, n = 1 - confidence, len(x)
    kept = []
    for m in np.linspace(0.001, 0.999, 999):
        up = down = wealth = 1.0
        spread = 0.25
        for t, value in enumerate(x, start=1):
            bet = np.sqrt(2 * np.log(2 / alpha) / (n * spread))
            up *= 1 + min(bet, 0.5 / m) * (value - m)
            down *= 1 - min(bet, 0.5 / (1 - m)) * (value - m)
            wealth = max(wealth, (up + down) / 2)
            means = [(0.5 + x[: i + 1].sum()) / (i + 2) for i in range(t)]
            spread = (0.25 + sum((v - c) ** 2 for v, c in zip(x[:t], means, strict=True))) / (t + 1)
        if wealth < 1 / alpha:
            kept.append(m)
    return kept


def test_bets_are_those_of_waudby_smith_and_ramdas() -> None:
    x = np.random.default_rng(4).beta(2.0, 5.0, 25)
    order = np.random.default_rng(0).permutation(25)
    kept = kept_by_the_paper(x[order], 0.95)
    low, high = Bets.on(x, np.ones(25), (0.0, 1.0)).interval()
    assert [low, high] == pytest.approx([kept[0], kept[-1]], abs=1e-3)
    assert low < kept[0] < kept[-1] < high
    bets = Bets.on(x, np.ones(25), (0.0, 1.0))
    assert bets.p_value(low) == pytest.approx(0.05, rel=1e-6)


def test_bounds_in_other_units_give_the_same_interval() -> None:
    x = np.random.default_rng(5).beta(2.0, 5.0, 30)
    low, high = Bets.on(x, np.ones(30), (0.0, 1.0)).interval()
    moved = Bets.on(10 * x - 3, np.ones(30), (-3.0, 7.0)).interval()
    assert [*moved] == pytest.approx([10 * low - 3, 10 * high - 3])


def test_a_sample_without_its_tail_says_how_far_the_mean_may_lie() -> None:
    losses = np.random.default_rng(6).exponential(0.1, 40)
    alone = mean_interval(losses)
    bounded = mean_interval(losses, bounds=(0.0, CLIP))
    assert bounded.method == "betting"
    assert alone.high is not None
    assert bounded.high is not None
    assert bounded.low is not None
    assert bounded.high > 10 * alone.high
    assert 0.0 <= bounded.low <= losses.mean()


def test_values_that_all_agree_have_an_interval_where_bounds_are_declared() -> None:
    found = mean_interval(np.zeros(50), binary=False, bounds=(0.0, 1.0))
    assert (found.method, found.low) == ("betting", 0.0)
    assert found.high is not None
    assert 0.07 < found.high < 0.2


def test_scores_that_spread_over_their_bounds_keep_the_interval_of_the_sample() -> None:
    scores = np.random.default_rng(7).beta(2.0, 2.0, 60)
    assert mean_interval(scores, bounds=(0.0, 1.0)) == mean_interval(scores)


def test_too_few_values_for_a_bet_are_said() -> None:
    few = mean_interval(np.linspace(0.1, 0.9, NEEDS - 1), bounds=(0.0, 1.0))
    assert (few.low, few.note) == (None, "n too small, needs 10")
    sums = interval_of_sums(9, 4.5, 0.2, bounds=(0.0, 1.0))
    assert (sums.low, sums.note) == (None, "n too small, needs 10")


def test_sums_of_bounded_values_get_an_empirical_bernstein_bound() -> None:
    found = interval_of_sums(200, 20.0, 0.2, bounds=(0.0, CLIP))
    chance = np.log(4 / 0.05)
    expected = 0.1 + np.sqrt(2 * 0.04 * chance / 200) + 7 * CLIP * chance / (3 * 199)
    assert found.high == pytest.approx(expected)
    assert found.low == 0.0
    assert empirical_bernstein(0.2, 200, (0.0, CLIP), 0.025) == pytest.approx(expected - 0.1)


def test_rare_huge_losses_are_not_taken_for_a_difference() -> None:
    rng = np.random.default_rng(8)
    a, b = rng.exponential(0.10, 60), rng.exponential(0.20, 60)
    assert paired_verdict(a, b, binary=False, higher_is_better=False).verdict == "better"
    bounded = paired_verdict(a, b, binary=False, higher_is_better=False, bounds=(0.0, CLIP))
    assert (bounded.verdict, bounded.test) == ("undecided", "paired bet")
    assert bounded.p_value is not None
    assert bounded.p_value > 0.05
