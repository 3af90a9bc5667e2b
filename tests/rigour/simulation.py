"""Shares counted in seeded simulations, each with its Monte-Carlo error."""

from collections.abc import Callable
from math import sqrt

from numpy.random import Generator, default_rng


def share(holds: Callable[[Generator], bool | None], runs: int, seed: int) -> tuple[float, float]:
    """How often `holds` in so many runs, and the error of that; None is not counted."""
    rng = default_rng(seed)
    found = [answer for _ in range(runs) if (answer := holds(rng)) is not None]
    p = sum(found) / max(1, len(found))
    return p, sqrt(max(p * (1 - p), 1 / runs) / max(1, len(found)))
