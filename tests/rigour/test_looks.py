"""Ten looks at results while they come: how often they decide wrongly, at the margin itself."""

import numpy as np
import pytest
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from scipy.stats import t as student

from harness.project.interim import Looks
from harness.stats.decision import Kind, outcome_of, position_of
from harness.stats.paired import paired_verdict
from tests.rigour.simulation import share

Floats = NDArray[np.float64]
LOOKS = Looks(count=10)
TEN, LEVELS = LOOKS.shares, [1 - each for each in LOOKS.confidences()]
MARGIN, SPREAD = 0.05, 0.4
# The true difference at which a claim only just fails.
AT: dict[Kind, float] = {"superior": MARGIN, "not_worse": -MARGIN, "equivalent": MARGIN}


def ends_of_means(
    rng: Generator, mean: float, runs: int, n: int, levels: list[float]
) -> tuple[Floats, Floats]:
    """Student's bounds of the mean of normal differences at each look, shape (runs, looks).

    What comes between two looks is drawn as a whole: its sum, and the squares within it.
    """
    sizes = np.array([round(share * n) for share in TEN])
    new = np.diff(sizes, prepend=0)
    sums = rng.normal(new * mean, SPREAD * np.sqrt(new), (runs, len(TEN)))
    squares = SPREAD**2 * rng.chisquare(new - 1, sums.shape) + sums**2 / new
    means = np.cumsum(sums, axis=1) / sizes
    spread = np.sqrt((np.cumsum(squares, axis=1) - sizes * means**2) / (sizes - 1))
    reach = -student.ppf(np.array(levels) / 2, sizes - 1) * spread / np.sqrt(sizes)
    return means - reach, means + reach


def supported(kind: Kind, low: Floats, high: Floats) -> tuple[float, float]:
    """How often a claim is supported and how often refuted, by the first look that decides."""
    came: dict[str, int] = {"supported": 0, "refuted": 0}
    for lows, highs in zip(low.tolist(), high.tolist(), strict=True):
        for ends in zip(lows, highs, strict=True):
            outcome = outcome_of(kind, position_of(*ends, MARGIN))
            if outcome != "undecided":
                came[outcome] += 1
                break
    return came["supported"] / len(low), came["refuted"] / len(low)


def wrong_of_means(kind: Kind, levels: list[float], runs: int, n: int = 400) -> tuple[float, float]:
    return supported(kind, *ends_of_means(default_rng(5), AT[kind], runs, n, levels))


def test_without_levels_of_their_own_ten_looks_are_wrong_in_a_fifth_quick() -> None:
    plain = sum(wrong_of_means("superior", [0.05] * 10, 2_000))
    planned = sum(wrong_of_means("superior", LEVELS, 2_000))
    assert plain > 0.15
    assert planned < 0.05 + 2 * 0.005


@pytest.mark.slow
@pytest.mark.parametrize("n", [40, 100, 400])
@pytest.mark.parametrize("kind", AT)
def test_ten_looks_at_means_decide_wrongly_in_a_twentieth(kind: Kind, n: int) -> None:
    runs = 200_000
    claimed, denied = wrong_of_means(kind, LEVELS, runs, n)
    error = (0.05 * 0.95 / runs) ** 0.5
    print(f"{kind}, {n} items: supported {claimed:.4f}, refuted {denied:.4f} +- {error:.4f} in all")
    assert claimed <= 0.025 + 2 * error
    assert claimed + denied <= 0.05 + 2 * error


def looked_at(rng: Generator, kind: Kind, n: int, binary: bool) -> bool:
    """Whether the harness's own intervals support a claim that only just fails."""
    b = rng.random(n) < 0.6 if binary else rng.gamma(2.0, 0.2, n)
    if binary:
        # Three pairs of ten disagree, and one side is ahead by the margin.
        ahead, behind = 0.15 + AT[kind] / 2, 0.15 - AT[kind] / 2
        drawn = rng.random(n)
        a = np.where(drawn < ahead, 1.0, np.where(drawn < ahead + behind, 0.0, b))
        b = np.where(drawn < ahead, 0.0, np.where(drawn < ahead + behind, 1.0, b))
    else:
        a = b + AT[kind] + rng.gamma(2.0, 0.2, n) - 0.4
    for place, level in zip(TEN, LEVELS, strict=True):
        known = slice(0, round(place * n))
        gap = paired_verdict(a[known], b[known], confidence=1 - level, binary=binary).difference
        outcome = outcome_of(kind, position_of(gap.low, gap.high, MARGIN))
        if outcome != "undecided":
            return outcome == "supported"
    return False


@pytest.mark.slow
@pytest.mark.parametrize("binary", [True, False], ids=["shares", "skewed scores"])
@pytest.mark.parametrize("kind", AT)
def test_ten_looks_as_the_harness_takes_them(kind: Kind, binary: bool) -> None:
    wrong, error = share(lambda rng: looked_at(rng, kind, 400, binary), 600, seed=11)
    called = "shares" if binary else "skewed scores"
    print(f"{kind}, {called}: supported {wrong:.3f} +- {error:.3f}")
    assert wrong <= 0.03 + 2 * error
