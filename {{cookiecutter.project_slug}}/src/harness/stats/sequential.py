"""Looking at results while they come: how sure each look has to be, so that all together are right.

Who tests at 5% at each of ten looks is wrong in 19%. Here each look may spend a part of the 5%.
"""

from collections.abc import Sequence
from functools import cache
from math import sqrt

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray

from harness.stats.distributions import normal_cdf, normal_quantile
from harness.stats.halving import root_between

_NODES = 120  # of the quadrature: as many again change no level by 1e-9
# What a look may be sure of at most: beyond, 1 - level has too few digits left.
_LEAST_LEVEL = 1e-12


def spent(share: float, alpha: float = 0.05) -> float:
    """How much of a two-sided `alpha` may be spent on each side once a share of the items is known.

    Near to the bounds of O'Brien & Fleming: next to nothing early, nearly all at the end (Lan &
    DeMets 1983, Biometrika 70:659).
    """
    return float(2 * normal_cdf(normal_quantile(alpha / 4) / sqrt(share)))


def look_levels(shares: Sequence[float], alpha: float = 0.05) -> list[float]:
    """The two-sided level of each look, at these shares of all items (ascending, from 0 to 1).

    Intervals with confidence 1 - level hold at all looks together with 1 - alpha (Jennison &
    Turnbull 1989, JRSS B 51:305), so whatever one of them decides is decided. The integral is that
    of Armitage, McPherson & Rowe 1969 (JRSS A 132:235). Raises ValueError for other shares.
    """
    if not shares or not all(0 < a < b for a, b in zip([1e-9, *shares], shares, strict=False)):
        raise ValueError(f"looks need ascending shares above 0, got {list(shares)}")
    if shares[-1] > 1:
        raise ValueError(f"the last look is at {shares[-1]:g} of the items; 1 is all of them")
    return list(_levels(tuple(shares), alpha))


@cache
def _levels(shares: tuple[float, ...], alpha: float) -> tuple[float, ...]:
    nodes, weights = leggauss(_NODES)  # type: ignore[no-untyped-call]
    found: list[float] = []
    # Where the sum stands that no look has stopped yet: at these places, with this density.
    places, density = np.zeros(1), np.ones(1)
    before, used = 0.0, 0.0
    for share in shares:
        step = sqrt(share - before)
        allowed = spent(share, alpha) - used

        def beyond(z: float, share: float = share, step: float = step) -> float:
            """How surely the sum passes z now, who has not stopped before."""
            return float((density * normal_cdf((places - z * sqrt(share)) / step)).sum())  # noqa: B023

        def left(z: float, allowed: float = allowed) -> float:
            return beyond(z) - allowed

        most = -normal_quantile(_LEAST_LEVEL / 2)
        bound = root_between(left, 0.0, most) if left(most) < 0 else most
        found.append(float(2 * normal_cdf(-bound)))
        used += beyond(bound)
        edge = bound * sqrt(share)
        further = edge * nodes
        density = edge * weights * _moved(places, density, further, step)
        places, before = further, share
    return tuple(found)


def _moved(
    places: NDArray[np.float64],
    density: NDArray[np.float64],
    further: NDArray[np.float64],
    step: float,
) -> NDArray[np.float64]:
    """The density after another step of a normal walk with this standard deviation."""
    away = (further[:, None] - places[None, :]) / step
    return np.asarray(np.exp(-(away**2) / 2) @ density / (step * sqrt(2 * np.pi)))
