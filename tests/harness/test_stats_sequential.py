"""Levels of looks: against published bounds, and against the multivariate normal itself."""

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import multivariate_normal

from harness.stats.sequential import look_levels, spent

# Lan & DeMets, near to O'Brien & Fleming, two-sided 0.05, looks evenly apart: Reboussin et al. 2000
# (Controlled Clinical Trials 21:190) and the program of theirs.
PUBLISHED = {
    2: (2.9626, 1.9686),
    3: (3.7103, 2.5114, 1.9930),
    4: (4.3326, 2.9631, 2.3590, 2.0141),
    5: (4.8769, 3.3569, 2.6803, 2.2898, 2.0310),
}


@pytest.mark.parametrize("count", PUBLISHED)
def test_bounds_are_those_of_the_published_tables(count: int) -> None:
    levels = look_levels([look / count for look in range(1, count + 1)])
    bounds = -ndtri(np.array(levels) / 2)
    assert bounds == pytest.approx(PUBLISHED[count], abs=1.5e-4)


@pytest.mark.parametrize("alpha", [0.05, 0.025, 0.005])
def test_all_looks_together_hold_at_the_level_asked(alpha: float) -> None:
    shares = np.array([0.2, 0.5, 0.8, 1.0])
    bounds = -ndtri(np.array(look_levels([*shares], alpha)) / 2)
    together = np.sqrt(np.minimum.outer(shares, shares) / np.maximum.outer(shares, shares))
    inside = multivariate_normal.cdf(
        bounds, cov=together, lower_limit=-bounds, abseps=1e-8, releps=1e-8
    )
    assert 1 - inside == pytest.approx(alpha, abs=2e-6)


def test_a_single_look_is_at_the_level_itself_and_half_of_the_items_spend_little() -> None:
    assert look_levels([1.0], 0.03) == pytest.approx([0.03], abs=1e-12)
    assert spent(1.0) == pytest.approx(0.025)
    assert spent(0.5) < 0.002


@pytest.mark.parametrize("shares", [[], [0.0, 1.0], [0.5, 0.5], [0.5, 1.2]])
def test_shares_that_are_no_looks(shares: list[float]) -> None:
    with pytest.raises(ValueError, match="look"):
        look_levels(shares)
