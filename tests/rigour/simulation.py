"""Shares counted in seeded simulations, with the Monte-Carlo error that says what they are worth."""

from collections.abc import Callable
from math import sqrt

from numpy.random import Generator, default_rng


def share(holds: Callable[[Generator], bool | None], runs: int, seed: int) -> tuple[float, float]:
    """How often `holds` does in `runs` (None: it says nothing, and is not counted), +- its error."""
    rng = default_rng(seed)
    found = [answer for _ in range(runs) if (answer := holds(rng)) is not None]
    p = sum(found) / max(1, len(found))
    return p, sqrt(max(p * (1 - p), 1 / runs) / max(1, len(found)))
