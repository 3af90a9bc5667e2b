# mypy: disable-error-code="operator"
# A bound that is None where a number is expected is a failure of the test, not of its types.
"""Tests, differences, effect sizes, Holm and verdicts against published values and scipy."""

from math import nan
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from harness.stats.paired import Units, Verdict, correct_family, paired_verdict
from harness.stats.power import detectable, items_needed
from harness.stats.significance import (
    cohen_dz,
    cohen_g,
    corrected_resampled_t,
    holm,
    mcnemar_exact,
    paired_bootstrap,
    paired_differences,
    paired_proportions_interval,
)


def pairs(both: int, only_a: int, only_b: int, neither: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Two columns of 0 and 1 with these counts."""
    a = [1] * both + [1] * only_a + [0] * only_b + [0] * neither
    b = [1] * both + [0] * only_a + [1] * only_b + [0] * neither
    return np.array(a, dtype=float), np.array(b, dtype=float)


# Depression scale before and after, Hollander & Wolfe 1973, p. 29, as in R's ?wilcox.test, which
# reports V = 40 and a one-sided p of 0.01953.
BEFORE = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
AFTER = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]


def test_mcnemar_gives_the_published_p() -> None:
    # Approval of the prime minister, Agresti 2013, table 11.1: 150 and 86 discordant pairs;
    # mcnemar.exact of R's exact2x2 reports p = 3.716e-05.
    assert mcnemar_exact(150, 86) == pytest.approx(3.716e-05, rel=1e-4)
    assert mcnemar_exact(86, 150) == mcnemar_exact(150, 86)
    assert mcnemar_exact(1, 7) == pytest.approx(2 * (1 + 8) / 2**8)  # by hand
    assert mcnemar_exact(0, 0) == 1.0
    assert mcnemar_exact(5, 5) == 1.0


# Tango 1998 (Stat Med 17:891): both examples; Agresti & Min 2005 (Stat Med 24:729): crossover.
@pytest.mark.parametrize(
    ("b", "c", "n", "confidence", "low", "high"),
    [
        (9, 3, 32, 0.95, -0.027, 0.390),
        (0, 1, 44, 0.90, -0.096, 0.037),
        (16, 8, 86, 0.95, -0.020, 0.207),
    ],
)
def test_paired_proportions_give_the_published_bounds(
    b: int, c: int, n: int, confidence: float, low: float, high: float
) -> None:
    interval = paired_proportions_interval(b, c, n, confidence)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-4)


def test_paired_proportions_at_the_edges() -> None:
    # By hand, with no discordant pair the equation is n d^2 = z^2 d (1 - d), so d = z^2/(n + z^2).
    z2 = scipy_stats.norm.ppf(0.975) ** 2
    interval = paired_proportions_interval(0, 0, 20)
    assert (interval.low, interval.high) == pytest.approx((-z2 / (20 + z2), z2 / (20 + z2)))
    interval = paired_proportions_interval(20, 0, 20)
    assert interval.high == 1.0
    assert interval.low is not None
    assert 0.5 < interval.low < 0.9
    assert paired_proportions_interval(0, 0, 0).estimate is None
    with pytest.raises(ValueError, match="b, c"):
        paired_proportions_interval(3, 3, 5)


def test_holm_gives_what_r_gives() -> None:
    # p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm") of R's stats.
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    # Holm 1979 as in Wright 1992, and NA, which R leaves out of the family.
    assert holm([0.04, None, 0.01, nan, 0.03]) == [
        pytest.approx(0.06),
        None,
        pytest.approx(0.03),
        None,
        pytest.approx(0.06),
    ]
    assert holm([]) == []
    assert holm([0.7, 0.9]) == [1.0, 1.0]


def test_the_corrected_resampled_t_follows_nadeau_and_bengio() -> None:
    # By hand from eq. 16 of the paper: mean 0.02, variance 0.00025, J = 5, n2/n1 = 1/4, so
    # t = 0.02 / sqrt(0.00025 * 0.45) = 1.88562; the uncorrected one would be 2.82843.
    interval, p = corrected_resampled_t([0.02, 0.03, 0.01, 0.04, 0.00], 80, 20)
    assert p == pytest.approx(2 * scipy_stats.t.sf(1.885618, 4), rel=1e-6)
    assert interval.estimate == pytest.approx(0.02)
    assert interval.high == pytest.approx(0.02 + 2.776445 * 0.0106066, abs=1e-6)
    _, plain = corrected_resampled_t([0.02, 0.03, 0.01, 0.04, 0.00], 80, 0)
    assert plain == pytest.approx(2 * scipy_stats.t.sf(2.828427, 4), rel=1e-6)


def test_folds_of_unequal_size_weigh_by_their_items() -> None:
    # The mean of items: (90 x 0.1 - 10 x 0.5) / 100. With equal weights it has the other sign.
    d, sizes = np.array([0.1, -0.5]), np.array([90.0, 10.0])
    interval, _ = corrected_resampled_t(d, 100, sizes, weights=sizes)
    assert interval.estimate == pytest.approx(0.04)
    w = sizes / 100
    shared = 0.9**2 + 0.1**2
    error = (w @ (d - 0.04) ** 2 / (1 - shared) * (shared + w @ (sizes / 100))) ** 0.5
    assert interval.high == pytest.approx(0.04 + scipy_stats.t.isf(0.025, 1 / shared - 1) * error)


def test_folds_are_never_surer_than_the_items() -> None:
    rng = np.random.default_rng(5)
    folds = np.arange(200) % 10.0
    gap = rng.normal(0.0, 1.0, 200)
    for fold in range(10):  # all folds alike, though their items are not
        gap[folds == fold] += 0.1 - gap[folds == fold].mean()
    units = Units(None, folds, np.full(200, 180.0))
    found = paired_verdict(gap, np.zeros(200), units)
    alone = paired_verdict(gap, np.zeros(200))
    assert (found.difference.low, found.p_value) == (alone.difference.low, alone.p_value)
    assert found.verdict == "undecided"


def test_one_fold_has_no_test() -> None:
    interval, p = corrected_resampled_t([0.1], 80, 20)
    assert (interval.estimate, interval.low, p) == (0.1, None, None)
    interval, p = corrected_resampled_t([], 80, 20)
    assert (interval.estimate, p) == (None, None)
    assert corrected_resampled_t([0.1, 0.1, 0.1], 80, 20)[1] == 0.25


def test_the_paired_difference_is_scipys_paired_t() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(1.0, 1.0, 3_000), rng.normal(0.97, 1.0, 3_000)
    expected = scipy_stats.ttest_rel(a, b)
    interval, p = paired_bootstrap(a, b)
    assert p == pytest.approx(expected.pvalue)
    bounds = expected.confidence_interval()
    assert (interval.low, interval.high) == pytest.approx((bounds.low, bounds.high))


def test_paired_repeats_are_tested_by_item() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(0.5, 1.0, 40), rng.normal(0.0, 1.0, 40)
    clusters = np.repeat(np.arange(40), 6)
    _, p = paired_bootstrap(np.repeat(a, 6), np.repeat(b, 6), clusters)
    assert p == pytest.approx(scipy_stats.ttest_rel(a, b).pvalue)


def test_differences_by_rounding_are_none() -> None:
    assert paired_differences([0.1 + 0.2, 1.0, None], [0.3, 0.5, 1.0]).tolist() == [
        0.0,
        0.5,
        pytest.approx(nan, nan_ok=True),
    ]
    with pytest.raises(ValueError, match="2 and 1"):
        paired_differences([1.0, 2.0], [1.0])


def test_effect_sizes_by_hand() -> None:
    assert cohen_g(15, 5) == 0.25
    assert cohen_g(0, 0) is None
    assert cohen_dz([1.0, 2.0, 3.0]) == 2.0
    assert cohen_dz([1.0, 1.0]) is None
    assert cohen_dz([1.0]) is None


def test_items_needed_for_a_mean_agrees_with_r() -> None:
    # power.t.test(delta = 0.5, sd = 1, power = 0.8, type = "paired") of R: n = 33.4; 0.2: 198.2.
    assert items_needed(0.5, spread=1.0) == 34
    assert items_needed(-0.2, spread=1.0) == 199


def test_items_needed_for_mcnemar_agrees_with_connor() -> None:
    # By hand, p10 = 0.45 and p01 = 0.05: (1.95996 sqrt 0.5 + 0.84162 sqrt 0.34)^2 / 0.4^2 = 22.01.
    assert items_needed(0.4, discordant=0.5) == 23


def test_no_number_of_items_shows_a_difference_of_nothing() -> None:
    assert items_needed(0.0, spread=1.0) is None
    with pytest.raises(ValueError, match="either"):
        items_needed(0.1)
    # A difference between shares is at least as many pairs that disagree.
    assert items_needed(0.4, discordant=0.1) == items_needed(0.4, discordant=0.4)


@pytest.mark.parametrize("given", [{"spread": 0.7}, {"discordant": 0.2}])
def test_what_some_items_can_detect_is_what_needs_so_many(given: dict[str, float]) -> None:
    for n in (12, 240, 5_000):
        least = detectable(n, **given)
        assert least is not None
        assert items_needed(least * 1.001, **given) <= n < items_needed(least * 0.97, **given)
    # By hand: 2.80159 x 0.7 / sqrt(240 - 1.92073) = 0.12709.
    assert detectable(240, spread=0.7) == pytest.approx(0.12709, abs=1e-5)
    assert detectable(240, spread=0.0) is None
    assert detectable(2, discordant=0.5) is None


def test_binary_pairs_get_mcnemar_and_tango() -> None:
    verdict = paired_verdict(*pairs(794, 150, 86, 570))
    assert verdict.test == "exact McNemar"
    assert verdict.p_value == pytest.approx(3.716e-05, rel=1e-4)
    assert verdict.difference.method == "Tango score"
    assert verdict.difference.estimate == pytest.approx(64 / 1600)
    assert verdict.effect_name == "Cohen's g"
    assert verdict.effect == pytest.approx(150 / 236 - 0.5)
    assert (verdict.verdict, verdict.n) == ("better", 1_600)


def test_lower_can_be_better() -> None:
    a, b = pairs(794, 150, 86, 570)
    assert paired_verdict(a, b, higher_is_better=False).verdict == "worse"
    assert paired_verdict(b, a, higher_is_better=False).verdict == "better"
    assert paired_verdict(b, a).verdict == "worse"


def test_a_difference_that_may_be_too_small_to_matter_is_not_called_better() -> None:
    a, b = pairs(794, 150, 86, 570)  # 0.04, from 0.021 to 0.059
    assert paired_verdict(a, b, smallest_difference=0.02).verdict == "better"
    assert paired_verdict(a, b, smallest_difference=0.03).verdict == "not worse"
    assert paired_verdict(a, b, smallest_difference=0.05).verdict == "not worse"
    assert paired_verdict(b, a, smallest_difference=0.05).verdict == "undecided"
    assert paired_verdict(a, b, smallest_difference=0.05, higher_is_better=False).verdict == (
        "undecided"
    )
    assert paired_verdict(a, b, smallest_difference=0.06).verdict == "equivalent"


def test_an_undecided_comparison_says_how_many_items_would_decide() -> None:
    first, second = (
        paired_verdict(*pairs(60, *counts), smallest_difference=0.05)
        for counts in ((12, 8, 20), (10, 10, 20))
    )
    assert first.verdict == second.verdict == "undecided"
    # The same for both, whatever difference was seen.
    assert first.items_needed == second.items_needed == items_needed(0.05, discordant=0.2)
    assert first.items_needed is not None
    assert first.items_needed > first.n
    assert paired_verdict(*pairs(60, 12, 8, 20)).items_needed is None


def test_scores_and_repeats_get_the_mean_difference() -> None:
    rng = np.random.default_rng(2)
    quality = rng.normal(0.0, 1.0, 60)
    a, b = quality + 0.5 + rng.normal(0, 0.3, 60), quality + rng.normal(0, 0.3, 60)
    verdict = paired_verdict(a, b)
    assert (verdict.test, verdict.difference.method) == ("paired t", "BCa bootstrap")
    assert verdict.effect_name == "Cohen's dz"
    assert verdict.verdict == "better"
    # The items differ by far more than a and b do: with each by itself nothing would show.
    assert scipy_stats.ttest_ind(a, b).pvalue > 100 * verdict.p_value
    x, y = pairs(30, 15, 5, 10)
    repeated = paired_verdict(x, y, Units(np.repeat(np.arange(20), 3)))
    assert (repeated.test, repeated.n, repeated.difference.n) == ("paired t", 20, 60)
    items = scipy_stats.ttest_rel(x.reshape(20, 3).mean(axis=1), y.reshape(20, 3).mean(axis=1))
    assert repeated.p_value == pytest.approx(items.pvalue)


def test_shares_get_mcnemar_and_other_scores_of_0_and_1_the_mean() -> None:
    x, y = pairs(30, 15, 5, 10)
    assert paired_verdict(x, y).test == "exact McNemar"
    assert paired_verdict(x, y, binary=False).test == "paired t"


def test_clusters_in_which_nobody_disagrees_leave_room_for_some_that_do() -> None:
    same = np.ones(200)
    clusters = Units(np.repeat(np.arange(40), 5))
    found = paired_verdict(same, same, clusters, smallest_difference=0.05)
    # As of 40 items: three of forty others may disagree.
    assert found.difference == paired_verdict(same[:40], same[:40]).difference
    assert found.verdict == "undecided"
    assert paired_verdict(same, same, clusters, smallest_difference=0.1).verdict == "equivalent"


def test_folds_get_the_corrected_resampled_t() -> None:
    per_fold = [0.02, 0.03, 0.01, 0.04, 0.00]
    a, b = np.repeat(per_fold, 20), np.zeros(100)
    folds = np.repeat([1.0, 2.0, 3.0, 4.0, 5.0], 20)
    units = Units(None, folds, np.full(100, 80.0))
    verdict = paired_verdict(a, b, units)
    interval, p = corrected_resampled_t(per_fold, 80, 20)
    assert verdict.test == "corrected resampled t of 5 folds"
    assert verdict.p_value == pytest.approx(p)
    assert verdict.difference.high == pytest.approx(interval.high)
    assert (verdict.verdict, verdict.n, verdict.items_needed) == ("undecided", 100, None)
    unknown = Units(None, np.append(folds, nan), np.append(np.full(100, 80.0), nan))
    with_unknown = paired_verdict([*a, 9.0], [*b, 0.0], unknown)
    assert with_unknown.p_value == pytest.approx(p)
    assert with_unknown.n == 100
    unsaid = paired_verdict(a, b, Units(None, folds))
    assert unsaid.p_value is None
    assert unsaid.verdict == "undecided"
    assert "nothing says how many items the models were fitted on" in unsaid.difference.note


def test_a_pair_with_a_missing_side_is_left_out() -> None:
    x, y = pairs(30, 15, 5, 10)
    with_gaps = paired_verdict([*x, None, 1.0, nan], [*y, 1.0, None, nan])
    whole = paired_verdict(x, y)
    assert (with_gaps.p_value, with_gaps.n) == (whole.p_value, 60)
    assert with_gaps.note == "3 of 63 missing"


@pytest.mark.parametrize(("a", "b"), [([], []), ([None], [1.0]), ([1.5], [2.5])])
def test_too_little_to_compare_is_undecided(a: list[float], b: list[float]) -> None:
    for verdict in (
        paired_verdict(a, b),
        paired_verdict(a, b, binary=False),
        paired_verdict(a, b, Units(None, np.arange(len(a)) % 2.0)),
    ):
        assert verdict.verdict == "undecided"
        assert verdict.difference.low is None
        assert verdict.p_value is None
        assert verdict.items_needed is None


def test_items_that_all_differ_alike_are_tosses_of_a_coin() -> None:
    four, six = paired_verdict([1.5] * 4, [1.0] * 4), paired_verdict([1.5] * 6, [1.0] * 6)
    assert (four.p_value, four.verdict) == (2 / 2**4, "undecided")
    assert (six.p_value, six.verdict) == (2 / 2**6, "better")
    same = paired_verdict([1.5] * 9, [1.5] * 9, smallest_difference=0.1)
    assert (same.p_value, same.verdict) == (1.0, "undecided")
    assert paired_verdict([1.5] * 10, [1.5] * 10, smallest_difference=0.1).verdict == "equivalent"


def test_a_family_is_corrected_together() -> None:
    clear, close, even = (
        paired_verdict(*pairs(*counts), smallest_difference=0.0)
        for counts in ((794, 150, 86, 570), (60, 20, 8, 12), (60, 10, 10, 20))
    )
    assert (clear.verdict, close.verdict, even.verdict) == ("better", "better", "undecided")
    corrected = correct_family([clear, close, even])
    assert [v.verdict for v in corrected] == ["better", "undecided", "undecided"]
    assert [v.p_adjusted for v in corrected] == holm([v.p_value for v in (clear, close, even)])
    assert corrected[1].note == "not clear among 3 comparisons"
    assert corrected[1].p_value == close.p_value
    assert correct_family([close])[0].verdict == "better"
    assert correct_family([]) == []


def test_what_is_equivalent_or_not_worse_holds_for_the_whole_family() -> None:
    a, b = pairs(844, 100, 86, 570)  # 0.0088, alone from -0.0079 to 0.0255
    alone = paired_verdict(a, b, smallest_difference=0.027)
    among = paired_verdict(a, b, smallest_difference=0.027, family=10)
    assert (alone.verdict, among.verdict) == ("equivalent", "not worse")
    assert alone.together == alone.difference == among.difference
    wide = paired_verdict(a, b, confidence=1 - 0.05 / 10).difference
    assert (among.together.low, among.together.high) == (wide.low, wide.high)
    # z of 0.05/3 is 2.394: ((2.394 + 0.8416) / (1.960 + 0.8416))^2 = 1.334 times as many.
    few, many = (
        paired_verdict(*pairs(60, 12, 8, 20), smallest_difference=0.05, family=size)
        for size in (1, 3)
    )
    assert many.items_needed == pytest.approx(1.334 * (few.items_needed or 0), rel=0.01)


def test_a_gain_that_the_family_makes_unclear_is_still_not_worse() -> None:
    close = paired_verdict(*pairs(60, 20, 8, 12), smallest_difference=0.01, family=3)
    assert close.verdict == "better"
    even = paired_verdict(*pairs(60, 10, 10, 20))
    corrected = correct_family([close, even, even])[0]
    assert (corrected.verdict, corrected.note) == ("not worse", "not clear among 3 comparisons")


def test_a_comparison_without_a_p_does_not_count_towards_the_family() -> None:
    close, unknown = paired_verdict(*pairs(60, 20, 8, 12)), paired_verdict([], [])
    corrected = correct_family([close, unknown])
    assert [v.verdict for v in corrected] == ["better", "undecided"]
    assert corrected[1].p_adjusted is None


def test_the_confidence_reaches_the_verdict() -> None:
    close: Verdict = paired_verdict(*pairs(60, 20, 8, 12), confidence=0.99)
    assert (close.verdict, close.p_value < 0.05) == ("undecided", True)
    strict = correct_family([paired_verdict(*pairs(60, 20, 8, 12))], confidence=0.99)
    assert strict[0].verdict == "undecided"


def test_folds_that_items_widen_name_both() -> None:
    rng = np.random.default_rng(2)
    folds = np.repeat(np.arange(50), 4)
    n_train, n_test = np.full(200, 196.0), np.full(200, 4.0)
    units = Units(np.arange(200) % 40, folds.astype(float), n_train, n_test)
    losses = rng.normal(2.0, 0.1, 200)
    verdict = paired_verdict(losses, losses + 1.1, units, bounds=(0.0, 34.5), binary=False)
    said = "corrected resampled t of 50 folds, widened to the items' paired bet"
    assert verdict.test == said
