# mypy: disable-error-code="operator"
# A bound that is None where a number is expected is a failure of the test, not of its types.
"""Intervals against published values, against scipy, and where there is little to go by."""

import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from harness.stats import resampling
from harness.stats.intervals import (
    mean_interval,
    percentile_needs,
    percentiles,
    wilson,
)
from harness.stats.resampling import statistic_interval


@pytest.fixture
def latencies() -> NDArray[Any]:
    return np.random.default_rng(3).lognormal(0.0, 0.5, 1_500)


# Newcombe 1998, Two-sided confidence intervals for the single proportion, Stat Med 17:857,
# table I, method 3.
@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_newcombes_table(successes: int, n: int, low: float, high: float) -> None:
    interval = wilson(successes, n)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)


def test_wilson_agrees_with_scipy_at_another_confidence() -> None:
    expected = scipy_stats.binomtest(7, 40).proportion_ci(0.9, method="wilson")
    interval = wilson(7, 40, confidence=0.9)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(("successes", "n"), [(-1, 5), (6, 5)])
def test_wilson_refuses_impossible_counts(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="between 0 and n"):
        wilson(successes, n)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_a_confidence_is_a_fraction(confidence: float) -> None:
    for compute in (
        lambda: wilson(1, 2, confidence),
        lambda: mean_interval([1.5, 2.0], confidence=confidence),
        lambda: statistic_interval(3, lambda chosen: 1.0, confidence=confidence),
        lambda: percentiles([1.0], [0.5], confidence=confidence),
    ):
        with pytest.raises(ValueError, match="confidence"):
            compute()


def test_the_mean_of_zeros_and_ones_gets_wilson() -> None:
    interval = mean_interval([True] * 81 + [False] * 182)
    assert interval == wilson(81, 263)


def test_the_bootstrap_agrees_with_scipys_bca(latencies: NDArray[Any]) -> None:
    ours = mean_interval(latencies)
    theirs = scipy_stats.bootstrap(
        (latencies,), np.mean, n_resamples=9_999, rng=np.random.default_rng(1)
    ).confidence_interval
    assert ours.method == "BCa bootstrap"
    noise = 0.06 * (theirs.high - theirs.low)  # of 2,000 resamples, and 1.001 times as wide
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=noise)


def test_bca_shifts_towards_the_long_tail() -> None:
    interval = mean_interval(np.random.default_rng(2).lognormal(0.0, 1.0, 100))
    assert interval.high - interval.estimate > 1.15 * (interval.estimate - interval.low)


def test_few_and_very_many_values_get_students_t() -> None:
    rng = np.random.default_rng(4)
    for n in (5, 3_000):
        values = rng.normal(10.0, 2.0, n)
        expected = scipy_stats.ttest_1samp(values, 0.0).confidence_interval()
        interval = mean_interval(values)
        assert interval.method == "t"
        assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def test_equal_repeats_are_as_good_as_their_items_means() -> None:
    rng = np.random.default_rng(5)
    means = rng.normal(0.0, 1.0, 12)
    values = (means[:, None] + [-0.1, 0.0, 0.1]).ravel()
    interval = mean_interval(values, clusters=np.repeat(list("abcdefghijkl"), 3))
    expected = scipy_stats.ttest_1samp(means, 0.0).confidence_interval()
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert interval.n == 36
    assert interval.note == "repeats of 12 items"


def test_repeats_that_echo_their_item_do_not_narrow_the_interval(
    latencies: NDArray[Any],
) -> None:
    items = latencies[:80]
    alone = mean_interval(items, seed=1)
    echoed = mean_interval(np.repeat(items, 10), clusters=np.repeat(np.arange(80), 10), seed=1)
    assert (echoed.low, echoed.high) == pytest.approx((alone.low, alone.high))
    ones = (items > 1).astype(float)
    echoed = mean_interval(np.repeat(ones, 10), clusters=np.repeat(np.arange(80), 10))
    alone = wilson(int(ones.sum()), 80)
    assert echoed.method == "Wilson, effective n"
    assert (echoed.low, echoed.high) == pytest.approx((alone.low, alone.high), abs=0.005)


def test_unequal_repeats_leave_the_plain_mean_as_the_estimate() -> None:
    interval = mean_interval([1.0, 1.0, 1.0, 5.0, 2.0], clusters=["a", "a", "a", "b", "c"])
    assert interval.estimate == 2.0


def test_repeats_that_are_always_right_are_counted_once_an_item() -> None:
    interval = mean_interval(np.ones(60), clusters=np.repeat(np.arange(20), 3))
    assert (interval.low, interval.high) == pytest.approx((1 - 0.1611, 1.0), abs=5e-5)


def test_the_same_seed_gives_the_same_bounds_and_another_one_others(
    latencies: NDArray[Any],
) -> None:
    values = latencies[:50]
    assert mean_interval(values, seed=7) == mean_interval(values, seed=7)
    assert mean_interval(values, seed=7) != mean_interval(values, seed=8)


def test_missing_values_are_left_out_and_counted() -> None:
    interval = mean_interval([1.0, None, 3.0, float("nan"), 4.0, float("inf")])
    complete = mean_interval([1.0, 3.0, 4.0])
    assert (interval.low, interval.high, interval.n) == (complete.low, complete.high, 3)
    assert interval.note == "3 of 6 missing"


def test_missing_values_take_their_clusters_with_them() -> None:
    interval = mean_interval([1.0, None, 4.0, 4.5], clusters=list("abcc"))
    assert interval.note == "1 of 4 missing; repeats of 2 items"
    assert interval.n == 3


@pytest.mark.parametrize("nothing", [[], [None], [float("nan")] * 3])
def test_no_values_give_none_rather_than_nan(nothing: list[float | None]) -> None:
    interval = mean_interval(nothing)
    assert (interval.estimate, interval.low, interval.high, interval.n) == (None, None, None, 0)
    found = percentiles(nothing, [0.5])[0.5]
    assert (found.estimate, found.low, found.high, found.n) == (None, None, None, 0)
    assert statistic_interval(0, lambda chosen: 1.0).estimate is None
    assert wilson(0, 0).estimate is None


def test_one_value_has_no_bounds_unless_it_is_a_proportion() -> None:
    interval = mean_interval([2.5])
    assert (interval.estimate, interval.low, interval.high) == (2.5, None, None)
    interval = mean_interval([1.0, 2.0, 3.0], clusters=["a", "a", "a"])
    assert (interval.estimate, interval.low, interval.high) == (2.0, None, None)
    assert "a single item" in interval.note
    assert mean_interval([1.0]) == wilson(1, 1)


def test_equal_values_say_so_in_place_of_certainty() -> None:
    interval = mean_interval([0.1 + 0.2, 0.3, 0.3])
    assert interval.estimate == pytest.approx(0.3)
    assert (interval.low, interval.high) == (None, None)
    assert interval.note == "all equal"


def test_a_precision_of_one_has_no_bounds_however_often_it_is_drawn_again() -> None:
    # 8 of 8 called ones are right; their true share may be 0.63 (Clopper & Pearson).
    called, right = np.repeat([True, False], [8, 12]), np.ones(20)
    interval = statistic_interval(20, lambda i: float(right[i][called[i]].mean()))
    assert (interval.estimate, interval.low, interval.high) == (1.0, None, None)
    assert interval.note == "all equal"


def test_an_aggregate_that_hardly_any_draw_changes_has_no_bounds_of_no_width() -> None:
    """A precision of the few that were called: 1, and 0 on the draws in which none was."""
    called = np.arange(20) < 5
    interval = statistic_interval(20, lambda i: float(called[i].any()))
    assert interval.estimate == 1
    assert interval.low is None
    assert interval.note == "nearly all equal"


def test_an_aggregate_warns_of_the_whole_once_and_of_no_draw() -> None:
    def noisy(chosen: NDArray[Any]) -> float:
        warnings.warn(f"a class is missing among {chosen.sum()}", stacklevel=1)
        return float(chosen.mean())

    with pytest.warns(UserWarning, match="a class is missing") as seen:
        statistic_interval(50, noisy)
    assert len(seen) == 1


def test_zeros_and_ones_are_no_proportion_where_told_so() -> None:
    values = np.tile([0.0, 0.0, 1.0], 20)
    assert mean_interval(values, binary=False).method == "BCa bootstrap"
    assert mean_interval(np.zeros(20), binary=False).high is None
    assert mean_interval([0.5, 1.0, 0.0], binary=True).method == "Wilson"
    with pytest.raises(ValueError, match="between 0 and 1"):
        mean_interval([0.5, 2.0], binary=True)


def test_clusters_must_label_every_value() -> None:
    with pytest.raises(ValueError, match="2 labels for 3 values"):
        mean_interval([1.0, 2.0, 3.0], clusters=["a", "b"])


def test_an_aggregate_that_is_a_mean_gets_the_bounds_of_the_mean(latencies: NDArray[Any]) -> None:
    values = latencies[:300]
    expected = mean_interval(values)
    found = statistic_interval(300, lambda chosen: float(values[chosen].mean()), resamples=2_000)
    assert found.method == "BCa bootstrap"
    width = (expected.high or 0.0) - (expected.low or 0.0)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.06 * width)


def test_an_aggregate_over_repeats_draws_whole_items() -> None:
    rng = np.random.default_rng(6)
    items = rng.normal(0.0, 1.0, 60)
    values = np.repeat(items, 5)

    def mean(chosen: NDArray[Any]) -> float:
        return float(values[chosen].mean())

    order = rng.permutation(300)  # repeats need not stand together
    values = values[order]
    clustered = statistic_interval(300, mean, clusters=np.repeat(np.arange(60), 5)[order])
    alone = statistic_interval(300, mean)
    ratio = (clustered.high - clustered.low) / (alone.high - alone.low)
    assert ratio == pytest.approx(5**0.5, rel=0.1)


@pytest.mark.parametrize(("n", "most"), [(30, 231), (5_000, 301), (20_001, 51)])
def test_an_aggregate_is_called_a_bounded_number_of_times(n: int, most: int) -> None:
    calls = 0

    def statistic(chosen: NDArray[Any]) -> float:
        nonlocal calls
        calls += 1
        return float(chosen.mean())

    statistic_interval(n, statistic, resamples=200)
    assert 0 < calls <= most


def test_the_grouped_jackknife_agrees_with_the_bootstrap(
    latencies: NDArray[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def median(chosen: NDArray[Any]) -> float:
        return float(np.median(latencies[chosen]))

    bootstrap = statistic_interval(1_500, median)
    monkeypatch.setattr(resampling, "STATISTIC_UNITS", 1_000)
    widths = []
    for seed in range(20):
        jackknife = statistic_interval(1_500, median, seed=seed)
        assert jackknife.method == "grouped jackknife"
        widths.append(jackknife.high - jackknife.low)
    assert np.mean(widths) == pytest.approx(bootstrap.high - bootstrap.low, rel=0.25)


def test_an_aggregate_that_some_resamples_cannot_have_is_told_with_their_number() -> None:
    truth = np.array([1] * 6 + [0] * 34)

    def share_of_class_one(chosen: NDArray[Any]) -> float:
        return 5 / truth[chosen].sum() if truth[chosen].any() else float("nan")

    def impossible(chosen: NDArray[Any]) -> float:
        if len(set(chosen.tolist())) < 40:
            raise ZeroDivisionError
        return 1.0

    interval = statistic_interval(40, share_of_class_one)
    assert interval.note.startswith("undefined on ")
    assert interval.low is not None
    interval = statistic_interval(40, impossible)
    assert (interval.estimate, interval.low, interval.note) == (
        1.0,
        None,
        "undefined on 1000 resamples",
    )
    assert statistic_interval(40, lambda chosen: float("nan")).note == "undefined on this data"
    assert statistic_interval(40, lambda chosen: 2.0).note == "all equal"
    assert statistic_interval(4, lambda chosen: 2.0, clusters=[1, 1, 1, 1]).low is None


def test_an_aggregate_that_cannot_leave_one_out_still_gets_bounds() -> None:
    values = np.random.default_rng(1).normal(size=40)

    def of_pairs(chosen: NDArray[Any]) -> float:
        return float(values[chosen].reshape(-1, 2).max(axis=1).mean())  # an odd number has no pairs

    interval = statistic_interval(40, of_pairs)
    assert interval.low is not None
    assert interval.low < interval.high


def test_what_an_aggregate_raises_on_the_whole_data_is_raised() -> None:
    def broken(chosen: NDArray[Any]) -> float:
        raise ValueError("no such class")

    with pytest.raises(ValueError, match="no such class"):
        statistic_interval(10, broken)


def test_percentile_bounds_interpolate_between_the_right_ranks() -> None:
    # By hand: with X ~ Bin(10, 1/2), P(X <= 1) = 11/1024 and P(X <= 2) = 56/1024 surround 0.025,
    # so the rank is 2 + (0.025 - 11/1024) / (45/1024) = 2.3244.
    interval = percentiles(np.arange(1.0, 11.0), [0.5])[0.5]
    assert interval.estimate == 5.5
    assert (interval.low, interval.high) == pytest.approx((2.32444, 8.67556), abs=1e-5)


@pytest.mark.parametrize(
    ("q", "needed"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368), (0.999, 3_688), (0.01, 368)]
)
def test_a_percentile_needs_enough_values(q: float, needed: int) -> None:
    # By hand: the largest of n exceeds the q-quantile with probability 1 - q^n, which must reach
    # 97.5%; for the median n >= 6 is in every table (Conover 1999, sec. 3.2).
    assert percentile_needs(q) == needed
    values = np.random.default_rng(1).exponential(size=needed)
    short = percentiles(values[:-1], [q])[q]
    assert (short.estimate, short.low, short.high) == (None, None, None)
    assert short.note == f"n too small, needs {needed}"
    enough = percentiles(values, [q])[q]
    assert enough.note == ""
    assert values.min() <= enough.low <= enough.estimate <= enough.high <= values.max()


@pytest.mark.parametrize("q", [0.0, 1.0, 99.0])
def test_a_percentile_is_a_fraction(q: float) -> None:
    with pytest.raises(ValueError, match="fraction"):
        percentiles([1.0, 2.0], [q])


def test_percentiles_of_repeats_count_items() -> None:
    values = np.random.default_rng(2).exponential(size=50)
    alone = percentiles(values, [0.5])[0.5]
    clusters = np.repeat(np.arange(50), 4)
    echoed = percentiles(np.repeat(values, 4), [0.5, 0.95], clusters)
    assert echoed[0.5].low == pytest.approx(alone.low, rel=0.15)
    assert echoed[0.5].high == pytest.approx(alone.high, rel=0.15)
    assert echoed[0.95].note == "50 clusters are too few, about 131 would do"
    assert percentiles(np.repeat(values, 4), [0.95])[0.95].estimate is not None


def test_missing_values_do_not_enter_a_percentile() -> None:
    interval = percentiles([None, *range(1, 11)], [0.5])[0.5]
    assert (interval.estimate, interval.n, interval.note) == (5.5, 10, "1 of 11 missing")


def test_a_million_values_are_no_special_case() -> None:
    values = np.random.default_rng(1).lognormal(size=1_000_000)
    clusters = np.repeat(np.arange(200_000), 5)
    plain = mean_interval(values)
    assert plain.low is not None
    assert plain.high is not None
    assert plain.low < float(np.exp(0.5)) < plain.high
    assert mean_interval(values, clusters).n == 1_000_000
    assert mean_interval(values > 1, clusters).n == 1_000_000
    percentiles(values, [0.5, 0.95, 0.99, 0.999], clusters)
    statistic_interval(1_000_000, lambda chosen: float(values[chosen].mean()))
