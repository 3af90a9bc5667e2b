"""Phases of load: each is one observation, since the requests within it wait for each other."""

from math import sqrt

import numpy as np

from harness.stats.distributions import t_quantile
from harness.stats.intervals import Floats, Indices, Interval, tail_of

SLOWER = 0.02  # seconds of latency per second of load that a server which keeps up does not gain


def trend(phases: Indices, due: Floats, latency: Floats, confidence: float = 0.95) -> Interval:
    """By how many seconds latencies rise in a second of load: the mean slope of the phases.

    Each of shape (n,): the phase of a request, when it was due since its phase began, and its
    latency. The slope of each phase is that of least squares, the interval Student's t over phases.
    A queue that grows without end gains arrivals / capacity - 1.
    """
    slopes = []
    for phase in np.unique(phases):
        mine = phases == phase
        away = due[mine] - due[mine].mean()
        if (size := float((away**2).sum())) > 0:
            slopes.append(float((away * latency[mine]).sum()) / size)
    count = len(slopes)
    if count < 2:
        return Interval(slopes[0] if slopes else None, None, None, count, "none", "a single phase")
    estimate = float(np.mean(slopes))
    margin = -t_quantile(count - 1, tail_of(confidence)) * float(np.std(slopes, ddof=1))
    margin /= sqrt(count)
    return Interval(estimate, estimate - margin, estimate + margin, count, "t over phases")


def rises(found: Interval) -> bool:
    """Whether a backlog grows in the phases, so that percentiles depend on their length."""
    return found.low is not None and found.low > 0 and (found.estimate or 0.0) > SLOWER / 10


def keeps_up(found: Interval) -> bool:
    """Whether the phases are enough to say that no backlog grows."""
    return found.high is not None and found.high < SLOWER
