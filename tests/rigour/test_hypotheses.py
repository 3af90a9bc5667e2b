"""Each kind of hypothesis is wrong no more often than it says, just where it is hardest to judge.

Figures with their Monte-Carlo error stand in docs/decisions/statistics.md.
"""

from collections.abc import Iterator
from functools import cache
from math import sqrt

import numpy as np
import pytest

from harness.stats.decision import Kind, Outcome, mirrored, outcome_of, position_of
from harness.stats.intervals import Interval
from harness.stats.paired import paired_verdict
from harness.stats.power import POWER, POWER_OF_BOTH_ENDS, items_needed
from harness.stats.significance import paired_proportions_interval

SEED = 20_261_126
MARGIN = 0.05
LEVEL = 0.025  # on each side of a 95% interval
# Where a hypothesis only just does not hold, and what must then seldom be said of it.
AT_THE_MARGIN: dict[Kind, tuple[float, Outcome]] = {
    "superior": (MARGIN, "supported"),
    "not_worse": (-MARGIN, "supported"),
    "equivalent": (MARGIN, "supported"),
}
# Where it is clear, and what `items_needed` then promises.
CLEAR: dict[Kind, tuple[float, Outcome, float]] = {
    "superior": (0.0, "refuted", POWER),
    "not_worse": (0.0, "supported", POWER),
    "equivalent": (0.0, "supported", POWER_OF_BOTH_ENDS),
}
KINDS: tuple[Kind, ...] = ("superior", "not_worse", "equivalent")


def shares(gap: float, n: int, draws: int, discordant: float = 0.3) -> Iterator[Interval]:
    """Intervals of experiments with n pairs, of which a share disagrees, and a true `gap`."""
    rng = np.random.default_rng(SEED)
    ahead, behind = (discordant + gap) / 2, (discordant - gap) / 2
    for b, c, _ in rng.multinomial(n, [ahead, behind, 1 - discordant], draws).tolist():
        yield known(b, c, n)


@cache
def known(b: int, c: int, n: int) -> Interval:
    """The interval of so many pairs, computed once."""
    return paired_proportions_interval(b, c, n)


def means(gap: float, n: int, draws: int, spread: float = 0.4) -> Iterator[Interval]:
    """The same of scores whose differences have this standard deviation."""
    rng = np.random.default_rng(SEED)
    for sample in rng.normal(gap, spread, (draws, n)):
        yield paired_verdict(sample, np.zeros(n), binary=False).difference


def share_said(kind: Kind, said: Outcome, found: Iterator[Interval], lower: bool = False) -> float:
    """How often a hypothesis of this kind came out so; `lower`: less is better."""
    outcomes = []
    for each in found:
        position = position_of(each.low, each.high, MARGIN)
        outcomes.append(outcome_of(kind, mirrored(position) if lower else position))
    return outcomes.count(said) / len(outcomes)


def error_of(share: float, draws: int) -> float:
    """Three Monte-Carlo standard errors."""
    return 3 * sqrt(share * (1 - share) / draws)


@pytest.mark.parametrize("kind", KINDS)
def test_shares_at_the_margin_are_called_supported_by_chance_alone(kind: Kind) -> None:
    gap, said = AT_THE_MARGIN[kind]
    wrong = share_said(kind, said, shares(gap, 500, 1_500))
    assert wrong <= LEVEL + error_of(LEVEL, 1_500)
    turned = share_said(kind, said, shares(-gap, 500, 1_500), lower=True)
    assert turned <= LEVEL + error_of(LEVEL, 1_500)


@pytest.mark.parametrize("kind", KINDS)
def test_the_items_that_are_promised_decide_shares_four_times_in_five(kind: Kind) -> None:
    gap, said, power = CLEAR[kind]
    needed = items_needed(MARGIN, discordant=0.3, power=power) or 0
    assert share_said(kind, said, shares(gap, needed, 1_500)) == pytest.approx(0.8, abs=0.04)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_means_err_no_more_and_decide_as_promised(kind: Kind) -> None:
    draws = 600
    gap, said = AT_THE_MARGIN[kind]
    wrong = share_said(kind, said, means(gap, 400, draws))
    assert wrong <= LEVEL + error_of(LEVEL, draws)
    gap, said, power = CLEAR[kind]
    needed = items_needed(MARGIN, spread=0.4, power=power) or 0
    decided = share_said(kind, said, means(gap, needed, draws))
    print(f"{kind}: {wrong:.4f} at the margin, {decided:.3f} decided by {needed} items")
    assert decided == pytest.approx(0.8, abs=0.04)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [100, 500, 2_000])
def test_shares_of_any_size_err_no_more(kind: Kind, n: int) -> None:
    draws = 8_000
    gap, said = AT_THE_MARGIN[kind]
    wrong = share_said(kind, said, shares(gap, n, draws))
    print(f"{kind}, n {n}: {wrong:.4f}")
    assert wrong <= LEVEL + error_of(LEVEL, draws)
