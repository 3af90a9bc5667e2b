"""What `make ready` promises from a dev-run, whose spread is only an estimate: power of 80%."""

from math import sqrt

import numpy as np
import pytest
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from scipy.stats import nct, t

from harness.measure.forecast import Spread
from harness.stats.intervals import ratio_error
from harness.stats.paired import Units, paired_verdict
from harness.stats.power import POWER, items_needed, spread_in_crowds
from harness.stats.significance import paired_proportions_interval
from tests.rigour.simulation import share


def of_a_mean(dev_items: int, difference: float, runs: int) -> tuple[float, float]:
    """The power that comes, on average over dev-runs: as promised, and with the spread as known."""
    rng = default_rng(3)
    came = []
    for _ in range(runs):
        spread = float(rng.normal(size=dev_items).std(ddof=1))
        seen = Spread(spread, spread, False, dev_items, "", freedom=dev_items - 1)
        promised = seen.need(difference, 0.95, POWER)
        known = items_needed(difference, spread) or 2
        n = np.array([promised, known])
        came.append(nct.sf(t.ppf(0.975, n - 1), n - 1, difference * np.sqrt(n)))
    as_promised, as_known = np.mean(came, axis=0)
    return float(as_promised), float(as_known)


def test_a_mean_gets_the_power_that_its_dev_run_promised_quick() -> None:
    promised, known = of_a_mean(12, 0.2, 400)
    assert promised == pytest.approx(0.80, abs=0.02)
    assert known < promised - 0.02


@pytest.mark.slow
@pytest.mark.parametrize("dev_items", [10, 20, 40, 100])
def test_means(dev_items: int) -> None:
    promised, known = of_a_mean(dev_items, 0.1, 4_000)
    print(f"mean, {dev_items} items: {promised:.3f} as promised, {known:.3f} with it as known")
    assert promised == pytest.approx(0.80, abs=0.02)


def no_worse(rng: Generator, dev_items: int, disagree: float, margin: float) -> bool | None:
    """Whether equal sides come out as no worse on as many items as their dev-run asked for."""
    seen = rng.binomial(dev_items, disagree)
    if not seen:
        return None  # no forecast then
    said = Spread(seen / dev_items, 0.0, True, dev_items, "")
    n = said.need(margin, 0.95, POWER)
    ahead, behind, _ = rng.multinomial(n, [disagree / 2, disagree / 2, 1 - disagree])
    low = paired_proportions_interval(int(ahead), int(behind), n).low
    return low is not None and low > -margin


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dev_items", "disagree", "margin"),
    [(20, 0.2, 0.1), (40, 0.2, 0.05), (40, 0.1, 0.05), (100, 0.1, 0.05)],
)
def test_shares(dev_items: int, disagree: float, margin: float) -> None:
    runs = 1_000
    power, error = share(lambda rng: no_worse(rng, dev_items, disagree, margin), runs, seed=4)
    print(f"share, {dev_items} items, {disagree} disagree: {power:.3f} +- {error:.3f}")
    assert 0.76 - 2 * error <= power <= 0.84 + 2 * sqrt(0.16 / runs)


def clustered(rng: Generator, clusters: int, size: int, shared: float) -> NDArray[np.float64]:
    """Differences without an effect, standard deviation 1, that correlate by `shared`."""
    common = np.sqrt(shared) * rng.normal(size=(clusters, 1))
    return np.asarray(common + np.sqrt(1 - shared) * rng.normal(size=(clusters, size)))


def no_worse_by_clusters(rng: Generator, clusters: int, drawn: int, margin: float) -> bool | None:
    """The same of clusters of five, as many as a dev-run asked for that drew items of them.

    `drawn`: how many items of as many clusters of five; all of them: whole clusters.
    """
    chosen = rng.permutation(5 * clusters)[:drawn]
    codes = np.unique(chosen // 5, return_inverse=True)[1]
    seen = clustered(rng, clusters, 5, 0.3).ravel()[chosen]
    # As `measure.forecast` does from what is recorded.
    if drawn == 5 * clusters:
        error = ratio_error(np.bincount(codes, seen).astype(float), np.full(clusters, 5.0))
        value, degrees = error * sqrt(drawn), clusters - 1.0
    else:
        found = spread_in_crowds(seen, codes, 5.0)
        if found is None:
            return None
        value, degrees = found
    said = Spread(value, value, False, drawn, "", clusters, degrees)
    gap = clustered(rng, round(said.need(margin, 0.95, POWER) / 5), 5, 0.3)
    units = Units(np.repeat(np.arange(len(gap)), 5))
    low = paired_verdict(gap.ravel(), np.zeros(gap.size), units, binary=False).difference.low
    return low is not None and low > -margin


@pytest.mark.slow
@pytest.mark.parametrize(
    ("clusters", "drawn"), [(10, 50), (20, 100), (40, 200), (40, 40), (40, 80), (80, 120)]
)
def test_clusters(clusters: int, drawn: int) -> None:
    runs = 1_500
    power, error = share(lambda rng: no_worse_by_clusters(rng, clusters, drawn, 0.25), runs, seed=6)
    print(f"clusters, {drawn} items of {clusters} of five: {power:.3f} +- {error:.3f}")
    assert 0.76 - 2 * error <= power <= 0.84 + 2 * error
