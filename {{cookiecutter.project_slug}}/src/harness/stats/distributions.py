"""Shares and quantiles of the distributions that intervals and tests are made of.

All but two are scipy's, which the first call loads: that takes longer than many a command has work
to do, and most commands need none of them. The two that nearly every verdict needs, the quantile of
a normal and the tail of a fair coin, do without it.
"""

from math import exp, inf, lgamma, log
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

_STANDARD = NormalDist()


def normal_quantile(share: float) -> float:
    """Below which a standard normal is with this probability; infinite for 0 and 1."""
    if not 0 < share < 1:
        return inf if share >= 1 else -inf
    return _STANDARD.inv_cdf(share)


def normal_cdf(value: ArrayLike) -> NDArray[np.float64]:
    """How likely a standard normal is below each value; its shape is that of `value`."""
    from scipy.special import ndtr

    return np.asarray(ndtr(value))


def t_quantile(degrees: float, share: float) -> float:
    """Below which Student's t with so many degrees of freedom is with this probability."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, share))


def t_cdf(degrees: ArrayLike, value: ArrayLike) -> NDArray[np.float64]:
    """How likely Student's t is below each value; shapes are broadcast."""
    from scipy.special import stdtr

    return np.asarray(stdtr(degrees, value))


def noncentral_t_quantile(degrees: float, shift: float, share: float) -> float:
    """Below which a noncentral t, moved by `shift`, is with this probability."""
    from scipy.special import nctdtrit

    return float(nctdtrit(degrees, shift, share))


def chi_squared_above(degrees: float, share: float) -> float:
    """Above which chi-squared with so many degrees of freedom is with this probability."""
    from scipy.special import chdtri

    return float(chdtri(degrees, share))


def binomial_cdf(successes: ArrayLike, trials: ArrayLike, chance: float) -> NDArray[np.float64]:
    """How likely so many successes or fewer are; shapes are broadcast."""
    from scipy.special import bdtr

    return np.asarray(bdtr(successes, trials, chance))


def binomial_quantile(share: float, trials: int, chance: float) -> float:
    """How many successes or fewer come with this probability, as a fraction between two counts."""
    from scipy.special import bdtrik

    return float(bdtrik(share, trials, chance))


def coin_cdf(heads: int, tosses: int) -> float:
    """How likely so many heads or fewer are in tosses of a fair coin.

    The likelihood of exactly so many, and of each fewer by its ratio to the one before: with a
    million tosses the result is right to eight digits.
    """
    if heads >= tosses:
        return 1.0
    if 2 * heads > tosses:
        return 1 - coin_cdf(tosses - heads - 1, tosses)
    exactly = lgamma(tosses + 1) - lgamma(heads + 1) - lgamma(tosses - heads + 1)
    fewer = np.arange(heads, 0, -1.0)
    ratios = fewer / (tosses - fewer + 1)
    return exp(exactly - tosses * log(2)) * (1 + float(np.cumprod(ratios).sum()))
