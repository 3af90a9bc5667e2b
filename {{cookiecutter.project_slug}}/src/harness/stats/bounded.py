"""Means of values with declared bounds: when a sample is not enough, and what holds even then.

A mean of rare huge values (a log loss) is often estimated from a sample that has none of them, and
no interval made of the sample alone can know that. The bounds can. Whoever bets against a mean `m`
that is true does not get rich, whatever the values between the bounds; who multiplies the stake by
1/alpha has shown that `m` is wrong.
"""

from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Limits = tuple[float, float]

NEEDS = 10  # with fewer values none of them could narrow the mean to half its range at 95%
_BOLD = 0.5  # the share of the stake that one bet may lose, as in the paper
_STEPS = 40  # of bisection, to 1e-12 of the range


@dataclass(frozen=True, slots=True)
class Bets:
    """Bets on the mean of values between `low` and `high`, in independent clusters.

    The hedged capital process with predictable plug-in bets for a fixed n of Waudby-Smith & Ramdas
    2024 (JRSS B 86:1, theorem 3, equation 26). A cluster's bet is on its sum less m times its size.
    `sums` and `sizes` (shape (n,)) are scaled so that values lie in 0..1 and sizes do not pass 1;
    `stakes` are the bets before they are cut so that none can lose all.
    """

    sums: Floats
    sizes: Floats
    stakes: Floats
    low: float
    high: float
    confidence: float

    @classmethod
    def on(
        cls,
        sums: Floats,
        sizes: Floats,
        bounds: Limits,
        confidence: float = 0.95,
        seed: int = 0,
    ) -> "Bets":
        """Bets on the mean sums.sum() / sizes.sum(), the clusters in seeded random order.

        Raises ValueError where a cluster's mean lies outside the bounds by more than rounding.
        """
        low, high = bounds
        order = np.random.default_rng(seed).permutation(sums.size)
        size = sizes[order]
        x = (sums[order] / size - low) / (high - low)
        if x.size and (x.min() < -1e-9 or x.max() > 1 + 1e-9):
            raise ValueError(f"a value lies outside the declared bounds {low:g} to {high:g}")
        x, size = np.clip(x, 0.0, 1.0), size / size.max()
        total = np.cumsum(size)
        mean = (0.5 + np.cumsum(size * x)) / (1 + total)
        away = np.cumsum((size * (x - mean)) ** 2)
        spread = np.concatenate([[0.25], (0.25 + away) / (np.arange(x.size) + 2)])[:-1]
        stakes = np.sqrt(2 * log(2 / (1 - confidence)) / (x.size * spread))
        return cls(size * x, size, stakes, low, high, confidence)

    def interval(self) -> Limits:
        """Bounds of the mean that hold with `confidence` or more at every n."""
        grid = np.linspace(0.0, 1.0, 41)
        middle = min([float(self.sums.sum() / self.sizes.sum()), *grid], key=self._wealth)
        ends = [self._end(middle, limit) for limit in (0.0, 1.0)]
        return self.low + ends[0] * (self.high - self.low), self.low + ends[1] * (
            self.high - self.low
        )

    def p_value(self, mean: float) -> float:
        """A p of the hypothesis that the true mean is `mean` (Ville's inequality)."""
        return min(1.0, exp(-self._wealth((mean - self.low) / (self.high - self.low))))

    def _end(self, inside: float, outside: float) -> float:
        """Where the means that were not shown to be wrong end, on the way to a bound."""
        enough = -log(1 - self.confidence)
        if self._wealth(outside) < enough or self._wealth(inside) >= enough:
            return outside
        for _ in range(_STEPS):
            between = (inside + outside) / 2
            if self._wealth(between) < enough:
                inside = between
            else:
                outside = between
        return outside

    def _wealth(self, m: float) -> float:
        """The logarithm of the most that the stake was multiplied by, betting against a mean m."""
        gain = self.sums - m * self.sizes
        up = np.log1p(np.minimum(self.stakes, _BOLD / max(m, 1e-12)) * gain).cumsum()
        down = np.log1p(-np.minimum(self.stakes, _BOLD / max(1 - m, 1e-12)) * gain).cumsum()
        return float(np.logaddexp(up, down).max() - log(2))


def unseen(estimate: float, low: float, high: float, n: int, bounds: Limits, tail: float) -> bool:
    """Whether what a sample of n may have missed would matter more than its interval says.

    A share of 1 - tail^(1/n) of all values is missed by a sample with probability `tail`. At a
    declared bound it would move the mean; where that is more than from the estimate to `low` or
    `high`, the interval is not to be believed.
    """
    missed = 1 - tail ** (1 / n)
    above = missed * (bounds[1] - estimate) > high - estimate
    below = missed * (estimate - bounds[0]) > estimate - low
    return bool(above or below)


def empirical_bernstein(spread: float, n: int, bounds: Limits, tail: float) -> float:
    """Half the width of an interval of a mean of bounded values, from their standard deviation.

    Maurer & Pontil 2009 (COLT, theorem 4), for where only sums are known. It covers more than it
    says.
    """
    chance = log(2 / tail)
    return sqrt(2 * spread**2 * chance / n) + 7 * (bounds[1] - bounds[0]) * chance / (3 * (n - 1))
