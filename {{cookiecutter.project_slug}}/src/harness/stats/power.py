"""How many items it takes, and what a number of items can tell: before money is spent.

All of it is about telling a true difference from none: half the width of the interval, and a bit
more so that it happens four times in five. A hypothesis whose smallest difference that matters is
so large is decided by as many items, whichever kind it is of, wherever the truth is clear: no
difference, or one of twice that.
"""

from math import ceil, isfinite, sqrt

import numpy as np

from harness.stats.distributions import noncentral_t_quantile, normal_cdf, normal_quantile
from harness.stats.halving import root_between
from harness.stats.intervals import Floats, Indices, tail_of

POWER = 0.80
# Of an equivalence both ends of the interval have to lie inside, each nine times in ten.
POWER_OF_BOTH_ENDS = 0.90


def items_needed(
    difference: float,
    spread: float | None = None,
    discordant: float | None = None,
    confidence: float = 0.95,
    power: float = POWER,
) -> int | None:
    """Items (pairs) that tell a true `difference` from none with probability `power`.

    None where none would: the difference is 0, or far too many would be needed. Give the standard
    deviation of the items' differences as `spread`: (z_a + z_b)^2 spread^2 / d^2 + z_a^2 / 2
    (Guenther 1981, Am Stat 35:243). Or the share of pairs that disagree as `discordant`, for
    McNemar's test: ((z_a sqrt(psi) + z_b sqrt(psi - d^2)) / d)^2 (Connor 1987, Biometrics 43:207),
    where psi is at least d. Raises ValueError unless one of both is given.
    """
    if (spread is None) == (discordant is None):
        raise ValueError("items_needed takes either spread or discordant")
    if difference == 0:
        return None
    needed = _needed(abs(difference), spread, discordant, confidence, power)
    return max(2, ceil(needed)) if isfinite(needed) and needed < 1e12 else None


def power_to_plan_with(power: float, confidence: float, degrees: float) -> float:
    """What to plan for where a spread is an estimate, so that `power` is what comes on average.

    `degrees` of freedom of the estimate. A spread that came out too small by chance promises too
    much, and one that came out too large makes up for less than that; Julious & Owen 2006 (Pharm
    Stat 5:29) put the quantile of a noncentral t in the place of z_a + z_b.
    """
    za = -normal_quantile(tail_of(confidence))
    return float(normal_cdf(noncentral_t_quantile(max(degrees, 1.0), za, power) - za))


def crowd_of(sizes: Indices) -> float:
    """How many items the cluster of an item has, itself among them, on average over items.

    A mean over items in clusters is as uncertain as one of items that vary by the variance within
    clusters and so many times that between them.
    """
    return float((sizes.astype(float) ** 2).sum() / sizes.sum())


def spread_in_crowds(x: Floats, codes: Indices, crowd: float) -> tuple[float, float] | None:
    """What items that stand for themselves would vary by, to be as uncertain as in such clusters.

    `codes` numbers the cluster of each value, and `crowd` is what `crowd_of` will be, which may be
    another one than here: of 40 items drawn from 40 passages of five, most come alone. The second
    number is its degrees of freedom. Variances within and between clusters are those of a one-way
    analysis with unequal sizes (Searle, Casella & McCulloch 1992, section 3.6), the degrees those
    of Satterthwaite 1946 (Biometrics Bull 2:110). None where no two values share a cluster, or all
    do, though they will.
    """
    sizes = np.bincount(codes)
    n, units = x.size, sizes.size
    if crowd <= 1 or units < 2 or n == units:
        return (float(x.std(ddof=1)), n - 1.0) if crowd <= 1 else None
    means = np.bincount(codes, x) / sizes
    within = float(((x - means[codes]) ** 2).sum()) / (n - units)
    between = float((sizes * (means - x.mean()) ** 2).sum()) / (units - 1)
    if between <= within:
        return float(x.std(ddof=1)), n - 1.0
    share = crowd * (units - 1) / (n - float((sizes**2).sum()) / n)
    parts = np.array([(1 - share) * within, share * between])
    degrees = parts.sum() ** 2 / float((parts**2 / [n - units, units - 1]).sum())
    return sqrt(float(parts.sum())), float(degrees)


def detectable(
    items: int,
    spread: float | None = None,
    discordant: float | None = None,
    confidence: float = 0.95,
    power: float = POWER,
) -> float | None:
    """The smallest difference that `items` tell from none with probability `power`.

    It is `items_needed` the other way round. None where nothing varies, or where they are too few
    for any difference.
    """
    if (spread is None) == (discordant is None):
        raise ValueError("detectable takes either spread or discordant")
    if not (spread or discordant):
        return None

    def missing(difference: float) -> float:
        return _needed(difference, spread, discordant, confidence, power) - items

    least = 1e-9 * (spread or 1.0)
    most = 1.0 if discordant is not None else 1e6 * (spread or 1.0)
    if missing(most) > 0:
        return None
    return root_between(missing, most, least) if missing(least) > 0 else least


def _needed(
    difference: float,
    spread: float | None,
    discordant: float | None,
    confidence: float,
    power: float,
) -> float:
    za, zb = -normal_quantile(tail_of(confidence)), normal_quantile(power)
    if discordant is None:
        return ((za + zb) * (spread or 0.0) / difference) ** 2 + za**2 / 2
    share = max(discordant, difference)
    against = za * sqrt(share) + zb * sqrt(max(0.0, share - difference**2))
    return (against / difference) ** 2
