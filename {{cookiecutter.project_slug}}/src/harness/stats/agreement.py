"""How far a judge agrees with people, and what its scores come to once its errors are known.

Pure functions on numpy. `person` and `judge` are the same answers, as a person and as the judge
scored them.
"""

from math import sqrt

import numpy as np
from numpy.typing import ArrayLike

from harness.stats.distributions import normal_quantile, t_quantile
from harness.stats.intervals import Floats, Interval, wilson

_Z = normal_quantile(0.975)
# Labels without which the judge's errors are not known: in simulations with 20 labels of true and
# false, intervals covered 87% where one in ten answers was bad.
NEEDS = 30


def kappa(person: ArrayLike, judge: ArrayLike, *, ordered: bool = False) -> Interval:
    """Cohen's kappa with its 95% interval; `ordered`: with quadratic weights, for a scale.

    Its standard error is that of Fleiss, Cohen & Everitt 1969 (Psychol Bull 72:323). Without an
    estimate where both gave a single category: what agrees by chance alone cannot be told then.
    """
    a, b = np.asarray(person, dtype=float), np.asarray(judge, dtype=float)
    if not a.size:
        return Interval(None, None, None, 0, "none", "no values")
    categories, codes = np.unique(np.concatenate([a, b]), return_inverse=True)
    k = categories.size
    if k == 1:
        return Interval(None, None, None, int(a.size), "none", "a single category")
    cells = np.bincount(codes[: a.size] * k + codes[a.size :], minlength=k * k)
    p = cells.reshape(k, k) / a.size
    weights = np.eye(k)
    if ordered:
        weights = 1 - ((categories[:, None] - categories) / np.ptp(categories)) ** 2
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    seen = float((weights * p).sum())
    chance = float(rows @ weights @ columns)
    if chance >= 1:
        return Interval(None, None, None, int(a.size), "none", "a single category")
    estimate = (seen - chance) / (1 - chance)
    both = (weights @ columns)[:, None] + rows @ weights
    spread = float((p * (weights * (1 - chance) - both * (1 - seen)) ** 2).sum())
    spread -= (seen * chance - 2 * chance + seen) ** 2
    error = sqrt(max(0.0, spread) / a.size) / (1 - chance) ** 2
    low, high = max(-1.0, estimate - _Z * error), min(1.0, estimate + _Z * error)
    return Interval(estimate, low, high, int(a.size), "Fleiss, Cohen & Everitt")


def sensitivity(person: ArrayLike, judge: ArrayLike) -> Interval:
    """Of what a person called good (1), how much the judge did too."""
    a, b = np.asarray(person, dtype=float), np.asarray(judge, dtype=float)
    return wilson(int(((a == 1) & (b == 1)).sum()), int((a == 1).sum()))


def specificity(person: ArrayLike, judge: ArrayLike) -> Interval:
    """Of what a person called bad (0), how much the judge did too."""
    a, b = np.asarray(person, dtype=float), np.asarray(judge, dtype=float)
    return wilson(int(((a == 0) & (b == 0)).sum()), int((a == 0).sum()))


def rogan_gladen(share: float, n: float, person: ArrayLike, judge: ArrayLike) -> Interval:
    """The share that people would call good, where the judge said so of `share` of n answers.

    The estimate of Rogan & Gladen 1978 (Am J Epidemiol 107:71), the interval of Lang & Reiczigel
    2014 (Prev Vet Med 113:13), which knows that sensitivity and specificity are estimates too.
    It holds where the judge errs on these answers as often as on the labelled ones.
    """
    right, wrong = sensitivity(person, judge), specificity(person, judge)
    size = int(n)
    if right.estimate is None or wrong.estimate is None:
        note = "labels have to name good and bad answers"
        return Interval(None, None, None, size, "none", note)
    if right.estimate + wrong.estimate <= 1:
        return Interval(None, None, None, size, "none", "the judge is no better than chance")
    estimate = (share + wrong.estimate - 1) / (right.estimate + wrong.estimate - 1)
    # With prior counts, as the interval has them.
    p, m = (n * share + _Z**2 / 2) / (n + _Z**2), n + _Z**2
    se, m_se = (right.n * right.estimate + 1) / (right.n + 2), right.n + 2
    sp, m_sp = (wrong.n * wrong.estimate + 1) / (wrong.n + 2), wrong.n + 2
    apart = se + sp - 1
    if apart <= 0:
        return Interval(None, None, None, size, "none", "the judge is no better than chance")
    centre = (p + sp - 1) / apart
    of_se, of_sp = se * (1 - se) / m_se, sp * (1 - sp) / m_sp
    shift = 2 * _Z**2 * (centre * of_se - (1 - centre) * of_sp)
    variance = p * (1 - p) / m + centre**2 * of_se + (1 - centre) ** 2 * of_sp
    margin = _Z * sqrt(variance) / apart
    estimate, low, high = (
        min(1.0, max(0.0, each))
        for each in (estimate, centre + shift - margin, centre + shift + margin)
    )
    return Interval(estimate, min(low, estimate), max(high, estimate), size, "Rogan-Gladen")


def prediction_powered(
    person: ArrayLike, judge: ArrayLike, rest: ArrayLike, *, binary: bool = False
) -> Interval:
    """The mean that people would give, from few labels and the judge's scores of all answers.

    `judge` are its scores of the labelled answers, `rest` those of the others; the labelled ones
    are a random sample. Prediction-powered inference (Angelopoulos et al. 2023, Science 382:669),
    tuned as in PPI++ (Angelopoulos, Duchi & Zrnic 2023, arXiv:2311.01453), with Student's t. It
    holds however the judge errs.
    """
    y, f = np.asarray(person, dtype=float), np.asarray(judge, dtype=float)
    others = np.asarray(rest, dtype=float)
    n, m = y.size, others.size
    total = n + m
    if n < NEEDS:
        return Interval(None, None, None, total, "none", f"{n} labels, needs {NEEDS}")
    if not m:
        return _labels_alone(y)
    trust = _trust(y, f, others)
    corrected = y - trust * f
    estimate = float(trust * others.mean() + corrected.mean())
    if binary:
        # One error of each sort more than was seen: none in a few labels does not mean none.
        corrected = np.concatenate([corrected, [1.0, -trust]])
    variance = corrected.var(ddof=1) / n
    if m > 1:
        variance += trust**2 * others.var(ddof=1) / m
    if variance <= 0:
        return Interval(estimate, None, None, total, "none", "all equal")
    margin = t_quantile(n - 1, 0.975) * sqrt(variance)
    return Interval(estimate, estimate - margin, estimate + margin, total, "PPI++")


def errors_shared(person: ArrayLike, judge: ArrayLike, scores: ArrayLike) -> Interval:
    """The mean of `scores`, by the judge, less its mean error on labelled answers of any origin.

    For a scale, as `rogan_gladen` is for a share: it holds where the judge errs on these answers
    as it does on the labelled ones, which need not be among them.
    """
    y, f = np.asarray(person, dtype=float), np.asarray(judge, dtype=float)
    judged = np.asarray(scores, dtype=float)
    if y.size < NEEDS or judged.size < 2:
        note = f"{y.size} labels, needs {NEEDS}"
        return Interval(None, None, None, int(judged.size), "none", note)
    estimate = float(judged.mean() + (y - f).mean())
    variance = float((y - f).var(ddof=1)) / y.size + float(judged.var(ddof=1)) / judged.size
    if variance <= 0:
        return Interval(estimate, None, None, int(judged.size), "none", "all equal")
    margin = t_quantile(min(y.size, judged.size) - 1, 0.975) * sqrt(variance)
    n = int(judged.size)
    return Interval(estimate, estimate - margin, estimate + margin, n, "mean error")


def _labels_alone(y: Floats) -> Interval:
    """Every answer has a label, so the judge adds nothing."""
    margin = t_quantile(y.size - 1, 0.975) * float(y.std(ddof=1)) / sqrt(y.size)
    mean = float(y.mean())
    return Interval(mean, mean - margin, mean + margin, int(y.size), "labels alone")


def _trust(y: Floats, f: Floats, others: Floats) -> float:
    """How far the judge's scores are used, 0 to 1: what makes the variance least."""
    every = np.concatenate([f, others])
    spread = float(every.var(ddof=1))
    if spread <= 0:
        return 0.0
    shared = float(np.cov(y, f, ddof=0)[0, 1])
    return min(1.0, max(0.0, shared / ((1 + y.size / others.size) * spread)))
