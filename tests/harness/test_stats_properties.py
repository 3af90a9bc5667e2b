# mypy: disable-error-code="operator"
# A bound that is None where a number is expected is a failure of the test, not of its types.
"""What holds for any data: bounds, symmetry, order."""

from itertools import pairwise
from math import isclose
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from harness.stats.distributions import coin_cdf, normal_quantile
from harness.stats.intervals import Interval, mean_interval, percentiles, wilson
from harness.stats.paired import Units, correct_family, paired_verdict
from harness.stats.power import items_needed
from harness.stats.resampling import statistic_interval
from harness.stats.significance import (
    holm,
    mcnemar_exact,
    paired_proportions_interval,
)

number = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([0.0, 1.0, 0.5]))
value = st.one_of(number, st.none(), st.sampled_from([float("nan"), float("inf")]))
pvalue = st.floats(0.0, 1.0)
MIRRORED = {("better", "worse"), ("equivalent", "equivalent"), ("undecided", "undecided")}
# Who is not worse than the other may well be better: the other one knows nothing by that.
MIRRORED |= {("not worse", "undecided")}


def mirrors(one: str, other: str) -> bool:
    """Whether two verdicts are of the same difference, seen from both sides."""
    return not MIRRORED.isdisjoint({(one, other), (other, one)})


def check(interval: Interval, most: int) -> None:
    """The estimate lies within its bounds, and nothing is NaN or infinite."""
    numbers = (interval.estimate, interval.low, interval.high)
    assert all(each is None or np.isfinite(each) for each in numbers)
    assert 0 <= interval.n <= most
    if interval.low is None or interval.high is None or interval.estimate is None:
        assert interval.low is None
        assert interval.high is None
        assert interval.note
    else:
        assert interval.low <= interval.estimate <= interval.high


@given(st.data(), st.integers(0, 500))
def test_wilson_holds_its_estimate_and_mirrors(data: st.DataObject, n: int) -> None:
    successes = data.draw(st.integers(0, n))
    interval, mirrored = wilson(successes, n), wilson(n - successes, n)
    check(interval, n)
    if interval.low is not None:
        assert mirrored.high == pytest.approx(1 - interval.low)
        assert interval.low >= 0.0


@given(st.integers(0, 50), st.integers(1, 50), st.integers(2, 10))
def test_wilson_narrows_with_n(successes: int, failures: int, times: int) -> None:
    n = successes + failures
    few, many = wilson(successes, n), wilson(successes * times, n * times)
    assert many.high - many.low < few.high - few.low


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(value, st.integers(0, 30)), max_size=80))
def test_any_values_get_a_sound_interval(rows: list[tuple[float | None, int]]) -> None:
    values, clusters = [row[0] for row in rows], [row[1] for row in rows]
    check(mean_interval(values), len(rows))
    check(mean_interval(values, clusters), len(rows))
    for interval in (
        *percentiles(values, [0.1, 0.5, 0.99]).values(),
        *percentiles(values, [0.1, 0.5, 0.99], clusters).values(),
    ):
        check(interval, len(rows))


@settings(max_examples=40, deadline=None)
@given(st.lists(number, min_size=1, max_size=60))
def test_any_aggregate_gets_a_sound_interval(values: list[float]) -> None:
    x = np.array(values)
    for labels in (None, np.arange(x.size) // 2):
        check(
            statistic_interval(x.size, lambda i: float(np.median(x[i])), labels, resamples=50), 60
        )


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1000), min_size=2, max_size=60), st.floats(0.1, 10), number)
def test_the_interval_moves_with_the_units(values: list[float], scale: float, by: float) -> None:
    plain = mean_interval(values, binary=False)
    moved = mean_interval(np.array(values) * scale + by, binary=False)
    bounded = plain.low is not None and moved.low is not None  # not where all are equal
    for end in ("estimate", "low", "high")[: 3 if bounded else 1]:
        expected = getattr(plain, end) * scale + by
        assert isclose(getattr(moved, end), expected, rel_tol=1e-6, abs_tol=1e-5 * (1 + abs(by)))


@given(st.lists(number, min_size=100, max_size=300))
def test_percentiles_keep_their_order(values: list[float]) -> None:
    found = list(percentiles(values, [0.1, 0.25, 0.5, 0.75, 0.9]).values())
    for lower, upper in pairwise(found):
        for end in ("estimate", "low", "high"):
            assert getattr(lower, end) <= getattr(upper, end)


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 500))
def test_paired_proportions_hold_and_swap(b: int, c: int, rest: int) -> None:
    n = b + c + rest
    interval, swapped = (
        paired_proportions_interval(b, c, n),
        paired_proportions_interval(c, b, n),
    )
    check(interval, n)
    assert mcnemar_exact(b, c) == pytest.approx(mcnemar_exact(c, b))
    if n:
        assert interval.low >= -1.0
        assert interval.high <= 1.0
        assert swapped.high == pytest.approx(-interval.low, abs=1e-6)
        wider = paired_proportions_interval(b, c, n, 0.99)
        assert wider.low <= interval.low + 1e-9
        assert wider.high >= interval.high - 1e-9


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(value, value, st.integers(0, 20)), max_size=60),
    st.sampled_from([0.0, 0.1]),
    st.booleans(),
)
def test_swapping_the_sides_swaps_the_verdict(
    rows: list[tuple[float | None, float | None, int]], smallest: float, binary: bool
) -> None:
    a, b = ([row[i] for row in rows] for i in range(2))
    labels = np.array([row[2] for row in rows], dtype=float)
    some: dict[str, Any] = {"smallest_difference": smallest, "binary": binary}
    for units in (Units(), Units(labels), Units(None, labels, np.full(len(rows), 40.0))):
        verdict = paired_verdict(a, b, units, **some)
        swapped = paired_verdict(b, a, units, **some)
        turned = paired_verdict(a, b, units, higher_is_better=False, **some)
        check(verdict.difference, len(rows))
        assert verdict.p_value is None or 0.0 <= verdict.p_value <= 1.0
        assert mirrors(verdict.verdict, turned.verdict)
        if verdict.p_value is not None:
            assert swapped.p_value == pytest.approx(verdict.p_value)
            assert swapped.difference.estimate == pytest.approx(-verdict.difference.estimate)
        if verdict.effect is not None:
            assert swapped.effect == pytest.approx(-verdict.effect, rel=1e-6)
        # The same items are drawn, but a mirrored quantile may round to the other side of a limit.
        ends = (verdict.difference.low, verdict.difference.high)
        if all(end is None or abs(abs(end) - smallest) > 1e-6 for end in ends):
            assert mirrors(verdict.verdict, swapped.verdict)


@given(st.lists(st.one_of(pvalue, st.none()), max_size=12))
def test_holm_raises_every_p_and_keeps_their_order(pvalues: list[float | None]) -> None:
    adjusted = holm(pvalues)
    known = sorted(
        (p, q) for p, q in zip(pvalues, adjusted, strict=True) if p is not None and q is not None
    )
    assert [q is None for q in adjusted] == [p is None for p in pvalues]
    assert all(p <= q <= 1.0 for p, q in known)
    assert all(first[1] <= second[1] for first, second in pairwise(known))
    if known:
        assert known[0][1] == min(1.0, len(known) * known[0][0])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), min_size=1, max_size=6))
def test_a_family_never_gains_a_verdict(counts: list[tuple[int, int]]) -> None:
    family = [
        paired_verdict(np.repeat([1.0, 0.0], [b, c + 20]), np.repeat([0.0, 1.0, 0.0], [b, c, 20]))
        for b, c in counts
    ]
    for before, after in zip(family, correct_family(family), strict=True):
        assert after.verdict in (before.verdict, "undecided")
        assert after.p_adjusted >= before.p_value


@given(st.floats(0.01, 1.0), st.floats(0.05, 5.0), st.floats(1.1, 3.0))
def test_smaller_differences_need_more_items(difference: float, spread: float, by: float) -> None:
    few = items_needed(difference, spread)
    assert items_needed(difference / by, spread) >= few
    assert items_needed(difference, spread, confidence=0.99) >= few
    assert items_needed(difference, spread, power=0.9) >= few
    assert items_needed(-difference, spread) == few


@given(st.data(), st.integers(0, 2_000_000))
def test_the_tail_of_a_fair_coin_is_scipys(data: st.DataObject, tosses: int) -> None:
    # Also far out, where a share of a millionth of a millionth still tells two systems apart.
    middle = tosses // 2
    heads = data.draw(st.integers(0, tosses) | st.integers(max(0, middle - 3_000), middle))
    expected = float(special.bdtr(heads, tosses, 0.5))
    # Against exact fractions, of 30,000 tosses, both are right to ten digits; of millions to seven.
    assert coin_cdf(heads, tosses) == pytest.approx(expected, rel=1e-6, abs=1e-300)


@given(st.floats(0.0, 1.0))
def test_the_quantile_of_a_normal_is_scipys(share: float) -> None:
    assert normal_quantile(share) == pytest.approx(float(special.ndtri(share)), rel=1e-9, abs=1e-12)
