"""Latencies in queues: what ten phases say of them, at loads from a third to nine tenths."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.random import Generator
from numpy.typing import NDArray

from harness.stats.intervals import percentiles
from harness.stats.paired import Units, paired_verdict
from harness.stats.phases import keeps_up, rises, trend
from tests.rigour.simulation import share

Floats = NDArray[np.float64]
PHASES, WARMUP = 10, 300
Service = Callable[[Generator, tuple[int, int]], Floats]


def exponential(rng: Generator, shape: tuple[int, int]) -> Floats:
    """Service times of M/M/1, mean 1."""
    return rng.exponential(1.0, shape)


def uneven(rng: Generator, shape: tuple[int, int]) -> Floats:
    """Service times of M/G/1, mean 1: one in ten takes 5.5 times as long as the others."""
    rare = rng.random(shape) < 0.1
    return np.asarray(np.where(rare, 3.7931, 0.6897) * rng.uniform(0.5, 1.5, shape))


def load(
    rng: Generator, utilisation: float, service: Service, requests: int, gaps: Floats | None = None
) -> tuple[Floats, Floats]:
    """When requests are due and their latencies, both (PHASES, requests), after a warm-up."""
    shape = (PHASES, requests + WARMUP)
    gaps = rng.exponential(1 / utilisation, shape) if gaps is None else gaps
    took = service(rng, shape)
    # Lindley: a request waits for what is left of the work of those before it.
    walk = np.cumsum(np.concatenate([np.zeros((PHASES, 1)), took[:, :-1] - gaps[:, 1:]], 1), axis=1)
    latency = walk - np.minimum.accumulate(walk, axis=1) + took
    due = np.cumsum(gaps, axis=1)
    return (due - due[:, [WARMUP]])[:, WARMUP:], latency[:, WARMUP:]


QS = [0.5, 0.95, 0.99]


def truth(utilisation: float, service: Service, requests: int) -> list[float]:
    rng = np.random.default_rng(99)
    drawn = [load(rng, utilisation, service, requests)[1] for _ in range(500)]
    return [float(each) for each in np.quantile(np.concatenate(drawn), QS)]


def covered(utilisation: float, service: Service, requests: int, runs: int) -> None:
    """Of the percentiles shown, how many intervals hold the true one."""
    true = truth(utilisation, service, requests)
    phase = np.repeat(np.arange(PHASES), requests)
    rng = np.random.default_rng(round(100 * utilisation))
    shown, held = np.zeros(len(QS)), np.zeros(len(QS))
    for _ in range(runs):
        due, latency = load(rng, utilisation, service, requests)
        if rises(trend(phase, due.ravel(), latency.ravel())):
            continue
        found = percentiles(latency.ravel(), QS, phase)
        for place, (q, value) in enumerate(zip(QS, true, strict=True)):
            low, high = found[q].low, found[q].high
            if low is not None and high is not None:
                shown[place] += 1
                held[place] += low <= value <= high
    for q, number, right in zip(QS, shown, held, strict=True):
        share = right / max(1, number)
        error = np.sqrt(max(share * (1 - share), 1 / runs) / max(1, number))
        line = f"{service.__name__} {utilisation}, p{100 * q:g}: {share:.3f} +- {error:.3f}, "
        print(line + f"shown {number / runs:.3f}")
        # What is shown in two of a hundred simulations is shown where its tail was missed.
        assert share >= 0.93 - 2 * error or number <= 0.02 * runs, line


def test_ten_phases_cover_what_is_shown_quick() -> None:
    covered(0.5, exponential, 500, 120)


@pytest.mark.slow
@pytest.mark.parametrize("service", [exponential, uneven], ids=lambda each: each.__name__)
@pytest.mark.parametrize("utilisation", [0.3, 0.5, 0.6, 0.7, 0.8, 0.9])
def test_ten_phases_cover_what_is_shown(service: Service, utilisation: float) -> None:
    covered(utilisation, service, 1_000, 1_000)


def told_apart(rng: Generator, utilisation: float, service: Service, requests: int) -> bool:
    """Whether two servers that are the same get a verdict on their mean latency."""
    gaps = rng.exponential(1 / utilisation, (PHASES, requests + WARMUP))
    a, b = (load(rng, utilisation, service, requests, gaps)[1].ravel() for _ in range(2))
    units = Units(np.repeat(np.arange(PHASES), requests))
    return paired_verdict(a, b, units, binary=False).verdict in ("better", "worse")


@pytest.mark.slow
@pytest.mark.parametrize("service", [exponential, uneven], ids=lambda each: each.__name__)
@pytest.mark.parametrize("utilisation", [0.3, 0.7, 0.9])
def test_servers_that_are_the_same_are_rarely_told_apart(
    service: Service, utilisation: float
) -> None:
    wrong, error = share(lambda rng: told_apart(rng, utilisation, service, 500), 600, seed=7)
    print(f"{service.__name__} {utilisation}: {wrong:.3f} +- {error:.3f} false verdicts")
    assert wrong <= 0.05 + 2 * error


def states(utilisation: float, requests: int, runs: int) -> tuple[float, float]:
    """How often a load is called saturated, and how often sustained."""
    phase, counts, rng = np.repeat(np.arange(PHASES), requests), [0, 0], np.random.default_rng(3)
    for _ in range(runs):
        due, latency = load(rng, utilisation, exponential, requests)
        found = trend(phase, due.ravel(), latency.ravel())
        counts[0] += rises(found)
        counts[1] += keeps_up(found) and not rises(found)
    return counts[0] / runs, counts[1] / runs


@pytest.mark.slow
def test_a_rate_above_capacity_is_not_called_sustained() -> None:
    for utilisation in (0.5, 0.7, 0.9, 1.04, 1.2):
        saturated, sustained = states(utilisation, 2_000, 200)
        print(f"{utilisation}: saturated {saturated:.3f}, sustained {sustained:.3f}")
        if utilisation > 1:
            assert sustained <= 0.05
        elif utilisation <= 0.7:
            assert sustained >= 0.9
            assert saturated <= 0.05
