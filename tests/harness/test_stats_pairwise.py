"""Many configurations at once give the p of each two alone, and 500 are compared in seconds."""

from itertools import combinations

import numpy as np
import pytest

from harness.stats.intervals import Floats
from harness.stats.paired import ALONE, Units, paired_p
from harness.stats.pairwise import pairwise_p
from harness.stats.ranks import item_noise, told_apart

RNG = np.random.default_rng(7)
SHARES = (RNG.random((40, 6)) < np.linspace(0.2, 0.9, 6)).astype(float)
GAPS = np.where(RNG.random(SHARES.shape) < 0.2, np.nan, SHARES)
MEANS = RNG.normal(size=(40, 6)) + np.linspace(0, 1, 6)
ALIKE = np.column_stack([MEANS[:, 0], MEANS[:, 0] + 1e-15, MEANS[:, 0] + 2, MEANS[:, 1]])
REPEATED = Units(clusters=np.arange(40) // 2)


@pytest.mark.parametrize(
    ("values", "units", "binary", "bounds"),
    [
        (SHARES, ALONE, True, None),
        (GAPS, ALONE, True, None),
        (GAPS[:14], ALONE, True, None),
        (SHARES, REPEATED, True, None),
        (MEANS, ALONE, False, None),
        (ALIKE, ALONE, False, None),
        (np.where(MEANS > 2, np.nan, MEANS), ALONE, False, None),
        (np.clip(MEANS, 0, 1), ALONE, False, (0.0, 1.0)),
    ],
)
def test_the_p_of_every_two_is_that_of_each_two_alone(
    values: Floats, units: Units, binary: bool, bounds: tuple[float, float] | None
) -> None:
    found = pairwise_p(values, units, binary, bounds)
    assert np.isnan(np.diagonal(found)).all()
    for i, j in combinations(range(values.shape[1]), 2):
        alone = paired_p(values[:, i], values[:, j], units, binary, bounds)
        assert found[i, j] == pytest.approx(np.nan if alone is None else alone, nan_ok=True)
        assert found[j, i] == pytest.approx(found[i, j], nan_ok=True)


def test_of_many_configurations_those_that_differ_are_told_apart_and_their_equals_are_not() -> None:
    """250 pairs of twins: more than are stepped down, in more pairs than fit into memory."""
    ability = np.repeat(np.linspace(0, 25, 250), 2)
    values = RNG.normal(size=(30, 500)) * 0.1 + ability
    values[:, 1::2] = values[:, ::2]
    apart = told_apart(pairwise_p(values, binary=False), item_noise(values), len(values) - 1)
    assert not apart[np.arange(0, 500, 2), np.arange(1, 500, 2)].any()
    assert apart[0, 100:].all()
    assert (apart == apart.T).all()
