"""Comparisons of two configurations: tests, effect sizes, Holm's correction and a verdict.

Pure functions on numpy and scipy. A difference is always a - b, in the units of the metric, and a
verdict is always about a; only `higher_is_better` turns it. A pair in which either value is missing
(None, NaN, infinite) is left out and counted in the note.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, isfinite, sqrt
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.optimize import brentq
from scipy.special import ndtri

from harness.stats import (
    Interval,
    cluster_totals,
    finite_values,
    join_notes,
    mean_interval,
    ratio_error,
    wilson,
)

Outcome = Literal["better", "worse", "equivalent", "undecided"]
PairedTest = Literal["auto", "mcnemar", "wilcoxon", "bootstrap"]


@dataclass(frozen=True)
class Verdict:
    """What a comparison of a with b came to; `n` counts the values (pairs, where paired) used.

    - "better", "worse": p < 1 - confidence, and the whole interval lies beyond
      `smallest_difference` on that side. "equivalent": the whole interval lies within
      +-smallest_difference (only where that is above 0). Otherwise "undecided", which says that
      the data cannot tell, not that there is no difference.
    - `effect`: see `effect_name`; positive where a is larger.
    - `items_needed`: items at which a difference as large as the one seen would be decided in 80%
      of repetitions; None where it cannot be told. Read it only where undecided.
    """

    difference: Interval
    p_value: float | None
    test: str
    effect: float | None
    effect_name: str
    verdict: Outcome
    n: int
    items_needed: int | None
    note: str = ""
    p_adjusted: float | None = None


def mcnemar_exact(b: int, c: int) -> float:
    """Two-sided exact p of `b` against `c` discordant pairs (binomial; Agresti 2013, sec. 11.1)."""
    return 1.0 if b + c == 0 else float(stats.binomtest(b, b + c, 0.5).pvalue)


def paired_proportions_interval(b: int, c: int, n: int, confidence: float = 0.95) -> Interval:
    """Score interval of (b - c) / n: Tango 1998 (Stat Med 17:891).

    Among `n` pairs, `b` are right only under a and `c` only under b.
    """
    if min(b, c) < 0 or b + c > n:
        raise ValueError(f"need b, c >= 0 and b + c <= n, got {b}, {c} of {n}")
    if n == 0:
        return Interval(None, None, None, 0, "Tango score", "no values")
    z = float(ndtri(0.5 + confidence / 2))
    estimate = (b - c) / n

    def excess(true: float) -> float:
        linear = (2 * n - b + c) * true - b - c
        q = (sqrt(max(0.0, linear**2 + 8 * n * c * true * (1 - true))) - linear) / (4 * n)
        variance = max(0.0, n * (2 * q + true * (1 - true)))
        return (b - c - n * true) ** 2 - z * z * variance

    # The estimate itself is a root where no pair or every pair differs: start beside it.
    below, above = estimate - 1e-9, estimate + 1e-9
    low = -1.0 if below < -1 or excess(-1.0) <= 0 else float(brentq(excess, -1.0, below))
    high = 1.0 if above > 1 or excess(1.0) <= 0 else float(brentq(excess, above, 1.0))
    return Interval(estimate, low, high, n, "Tango score")


def wilcoxon_paired(a: ArrayLike, b: ArrayLike) -> float:
    """Two-sided p of Wilcoxon's signed-rank test, ties at zero dropped (Wilcoxon 1945).

    It asks whether the differences are symmetric about 0, not quite whether their mean is 0.
    """
    differences, _, _ = finite_values(np.asarray(a, float) - np.asarray(b, float), None)
    differences = differences[differences != 0]
    return float(stats.wilcoxon(differences).pvalue) if differences.size else 1.0


def paired_bootstrap(
    a: ArrayLike,
    b: ArrayLike,
    clusters: ArrayLike | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[Interval, float | None]:
    """Interval of mean(a - b) as `mean_interval` makes it, and a two-sided p.

    The p is Student's t on the same item totals: resampling can give no p below 1 in the number of
    resamples, and Holm's correction over many configurations needs smaller ones.
    """
    gap = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    interval = mean_interval(gap, clusters, confidence, seed, binary=False)
    kept, codes, _ = finite_values(gap, clusters)
    sums, sizes = cluster_totals(kept, codes)
    if interval.estimate is None or sums.size < 2:
        return interval, None
    if np.ptp(sums / sizes) == 0:  # no spread for a t: the sign test, each item one coin
        return interval, 1.0 if interval.estimate == 0 else float(0.5 ** (sums.size - 1))
    t = interval.estimate / ratio_error(sums, sizes)
    return interval, float(2 * stats.t.sf(abs(t), sums.size - 1))


def corrected_resampled_t(
    differences_per_fold: ArrayLike, n_train: float, n_test: float, confidence: float = 0.95
) -> tuple[Interval, float | None]:
    """Interval and two-sided p of the mean difference over folds or repeated splits.

    Training sets overlap, so the plain t is far too sure: the variance is multiplied by
    1/J + n_test/n_train instead of 1/J (Nadeau & Bengio 2003, Machine Learning 52:239).
    """
    d, _, note = finite_values(differences_per_fold, None)
    if d.size < 2:
        estimate = float(d[0]) if d.size else None
        return Interval(
            estimate, None, None, d.size, "corrected resampled t", "too few folds"
        ), None
    estimate = float(d.mean())
    error = sqrt(float(d.var(ddof=1)) * (1 / d.size + n_test / n_train))
    margin = float(stats.t.ppf(0.5 + confidence / 2, d.size - 1)) * error
    interval = Interval(
        estimate, estimate - margin, estimate + margin, d.size, "corrected resampled t", note
    )
    if error == 0:
        return interval, 1.0 if estimate == 0 else float(0.5 ** (d.size - 1))
    return interval, float(2 * stats.t.sf(abs(estimate) / error, d.size - 1))


def cohen_g(b: int, c: int) -> float | None:
    """Share of discordant pairs that favour a, minus one half (Cohen 1988, ch. 5)."""
    return b / (b + c) - 0.5 if b + c else None


def odds_ratio(b: int, c: int) -> float | None:
    """Conditional odds ratio of paired proportions, b / c; None where c is 0."""
    return b / c if c else None


def cohen_dz(differences: ArrayLike) -> float | None:
    """Mean difference in standard deviations of the differences (Cohen 1988, sec. 2.3.5)."""
    d, _, _ = finite_values(differences, None)
    spread = float(d.std(ddof=1)) if d.size > 1 else 0.0
    return float(d.mean()) / spread if spread > 0 else None


def rank_biserial(differences: ArrayLike) -> float | None:
    """Matched-pairs rank-biserial correlation, -1 to 1 (Kerby 2014): goes with Wilcoxon's test."""
    d, _, _ = finite_values(differences, None)
    d = d[d != 0]
    if d.size == 0:
        return None
    ranks = stats.rankdata(np.abs(d))
    return float((ranks * np.sign(d)).sum() / ranks.sum())


def cliffs_delta(a: ArrayLike, b: ArrayLike) -> float | None:
    """P(a > b) - P(a < b) for unpaired values (Cliff 1993, Psychological Bulletin 114:494)."""
    x, _, _ = finite_values(a, None)
    y, _, _ = finite_values(b, None)
    if x.size == 0 or y.size == 0:
        return None
    above = stats.rankdata(np.concatenate([x, y]))[: x.size].sum() - x.size * (x.size + 1) / 2
    return float(2 * above / (x.size * y.size) - 1)


def holm(pvalues: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjusted p-values, in the order given (Holm 1979, Scand J Stat 6:65).

    A missing one (None, NaN) stays None and does not count towards the family, as in R's p.adjust.
    """
    known = [i for i, p in enumerate(pvalues) if p is not None and not np.isnan(p)]
    adjusted: list[float | None] = [None] * len(pvalues)
    worst = 0.0
    for rank, i in enumerate(sorted(known, key=lambda i: float(pvalues[i] or 0.0))):
        worst = max(worst, min(1.0, (len(known) - rank) * float(pvalues[i] or 0.0)))
        adjusted[i] = worst
    return adjusted


def correct_family(verdicts: Sequence[Verdict], confidence: float = 0.95) -> list[Verdict]:
    """The verdicts of one family of comparisons after Holm's correction.

    "better" and "worse" stand only where the adjusted p is still below 1 - confidence;
    `items_needed` grows to what the smallest p of such a family would have to pass.
    """
    adjusted = holm([verdict.p_value for verdict in verdicts])
    family = max(1, sum(p is not None for p in adjusted))
    growth = (_z(1 - (1 - confidence) / family) / _z(confidence)) ** 2
    corrected = []
    for verdict, p in zip(verdicts, adjusted, strict=True):
        needed = verdict.items_needed and ceil(verdict.items_needed * growth)
        changed = replace(verdict, p_adjusted=p, items_needed=needed)
        if verdict.verdict in ("better", "worse") and (p is None or p >= 1 - confidence):
            note = join_notes(verdict.note, f"not clear among {family} comparisons")
            changed = replace(changed, verdict="undecided", note=note)
        corrected.append(changed)
    return corrected


def items_needed(
    difference: float,
    spread: float | None = None,
    discordant: float | None = None,
    smallest_difference: float = 0.0,
    confidence: float = 0.95,
    power: float = 0.80,
) -> int | None:
    """Items (pairs) that decide a true `difference` with probability `power`; None if none would.

    Give the standard deviation of the item differences as `spread`: (z_a + z_b)^2 spread^2 / m^2 +
    z_a^2 / 2 (Guenther 1981, Am Stat 35:243). Or the share of pairs that disagree as `discordant`,
    for McNemar's test: ((z_a sqrt(psi) + z_b sqrt(psi - d^2)) / m)^2 (Connor 1987, Biometrics
    43:207). m is the distance of the difference from what it is judged against: 0, or the nearer
    of +-smallest_difference.
    """
    margin = abs(abs(difference) - smallest_difference)
    za, zb = float(ndtri(0.5 + confidence / 2)), float(ndtri(power))
    if margin == 0:
        return None
    if discordant is not None:
        against = za * sqrt(discordant) + zb * sqrt(max(0.0, discordant - difference**2))
        needed = (against / margin) ** 2
    elif spread is not None:
        needed = ((za + zb) * spread / margin) ** 2 + za**2 / 2
    else:
        raise ValueError("items_needed takes either spread or discordant")
    return max(2, ceil(needed)) if isfinite(needed) and needed < 1e12 else None


def paired_verdict(
    a: ArrayLike,
    b: ArrayLike,
    clusters: ArrayLike | None = None,
    folds: ArrayLike | None = None,
    smallest_difference: float = 0.0,
    higher_is_better: bool = True,
    confidence: float = 0.95,
    seed: int = 0,
    test: PairedTest = "auto",
) -> Verdict:
    """Compare `a` with `b`, both of shape (n,): a[i] and b[i] are of the same item and repeat.

    `clusters` are the items' ids where there are repeats, `folds` the fold of each row where a
    model was fitted per fold. `auto`: folds given, corrected resampled t; only 0 and 1 without
    repeats, exact McNemar with Tango's interval; else the mean difference (`paired_bootstrap`).
    """
    x, y = np.asarray(a, dtype=float).ravel(), np.asarray(b, dtype=float).ravel()
    if x.shape != y.shape:
        raise ValueError(f"paired values must be of equal length, got {x.size} and {y.size}")
    gap, codes, note = finite_values(x - y, clusters)
    kept = np.isfinite(x - y)
    sums, sizes = cluster_totals(gap, codes)
    repeated = sums.size != gap.size
    binary = bool(np.isin(x[kept], (0, 1)).all() and np.isin(y[kept], (0, 1)).all())
    per_item = sums / sizes
    spread = float(per_item.std(ddof=1)) if per_item.size > 1 else None
    effect, effect_name = cohen_dz(per_item), "Cohen's dz"
    discordant: float | None = None
    p: float | None
    if test == "mcnemar" and (repeated or not binary):
        raise ValueError("McNemar's test needs one 0 or 1 per item: no repeats, no other scores")
    if folds is not None:
        _, labels = np.unique(np.asarray(folds)[kept], return_inverse=True)
        fold_sums, fold_sizes = cluster_totals(gap, labels)
        n_test = gap.size / max(1, fold_sums.size)
        difference, p = corrected_resampled_t(
            fold_sums / fold_sizes, gap.size - n_test, n_test, confidence
        )
        name, spread = "corrected resampled t", None
    elif test == "mcnemar" or (test == "auto" and binary and not repeated and gap.size):
        ahead, behind = int((gap > 0).sum()), int((gap < 0).sum())
        difference = paired_proportions_interval(ahead, behind, gap.size, confidence)
        p, name = mcnemar_exact(ahead, behind), "exact McNemar"
        effect, effect_name = cohen_g(ahead, behind), "Cohen's g"
        discordant = (ahead + behind) / gap.size
    else:
        difference, p = paired_bootstrap(x, y, clusters, confidence, seed)
        name = "paired t"
        if test == "wilcoxon":
            p, name = wilcoxon_paired(per_item, np.zeros(per_item.size)), "Wilcoxon signed rank"
            effect, effect_name = rank_biserial(per_item), "rank-biserial correlation"
    outcome = _judge(difference, p, smallest_difference, higher_is_better, confidence)
    needed = None
    if difference.estimate is not None and (spread or discordant):
        needed = items_needed(
            difference.estimate, spread, discordant, smallest_difference, confidence
        )
    return Verdict(difference, p, name, effect, effect_name, outcome, gap.size, needed, note)


def unpaired_verdict(
    a: ArrayLike,
    b: ArrayLike,
    clusters_a: ArrayLike | None = None,
    clusters_b: ArrayLike | None = None,
    smallest_difference: float = 0.0,
    higher_is_better: bool = True,
    confidence: float = 0.95,
) -> Verdict:
    """Compare where items are not shared: much weaker than paired, so only where that cannot be.

    Only 0 and 1 without repeats: Fisher's exact test with the hybrid score interval (method 10 of
    Newcombe 1998, Stat Med 17:873). Else Welch's t on the items. Effect: Cliff's delta.
    `items_needed` is per side, for sides of equal size.
    """
    (x, codes_x, note_x), (y, codes_y, note_y) = (
        finite_values(a, clusters_a),
        finite_values(b, clusters_b),
    )
    note = join_notes(note_x, note_y)
    (sx, mx), (sy, my) = cluster_totals(x, codes_x), cluster_totals(y, codes_y)
    effect = cliffs_delta(sx / mx, sy / my)
    n = int(x.size + y.size)
    if min(sx.size, sy.size) < 2:
        empty = Interval(None, None, None, n, "none", "fewer than two items on a side")
        return Verdict(empty, None, "none", effect, "Cliff's delta", "undecided", n, None, note)
    estimate = float(x.mean() - y.mean())
    both = np.concatenate([x, y])
    if np.isin(both, (0, 1)).all() and (sx.size, sy.size) == (x.size, y.size):
        right_x, right_y = int(x.sum()), int(y.sum())
        table = [[right_x, x.size - right_x], [right_y, y.size - right_y]]
        p, name = float(stats.fisher_exact(table).pvalue), "Fisher's exact"
        difference = _newcombe(right_x, x.size, right_y, y.size, confidence)
    else:
        ex, ey = ratio_error(sx, mx), ratio_error(sy, my)
        error = sqrt(ex**2 + ey**2)
        name = "Welch's t"
        if error == 0:
            p, margin = float(estimate == 0), 0.0
        else:
            df = error**4 / (ex**4 / (sx.size - 1) + ey**4 / (sy.size - 1))
            p = float(2 * stats.t.sf(abs(estimate) / error, df))
            margin = float(stats.t.ppf(0.5 + confidence / 2, df)) * error
        difference = Interval(estimate, estimate - margin, estimate + margin, n, name)
    spread = sqrt(float((sx / mx).var(ddof=1) + (sy / my).var(ddof=1)))
    needed = (
        items_needed(estimate, spread, None, smallest_difference, confidence) if spread else None
    )
    outcome = _judge(difference, p, smallest_difference, higher_is_better, confidence)
    return Verdict(difference, p, name, effect, "Cliff's delta", outcome, n, needed, note)


def _newcombe(x: int, m: int, y: int, n: int, confidence: float) -> Interval:
    a, b = wilson(x, m, confidence), wilson(y, n, confidence)
    p, q = x / m, y / n
    below = sqrt((p - (a.low or 0.0)) ** 2 + ((b.high or 0.0) - q) ** 2)
    above = sqrt(((a.high or 0.0) - p) ** 2 + (q - (b.low or 0.0)) ** 2)
    return Interval(p - q, p - q - below, p - q + above, m + n, "Newcombe hybrid score")


def _z(confidence: float) -> float:
    return float(ndtri(0.5 + confidence / 2) + ndtri(0.8))


def _judge(
    difference: Interval, p: float | None, smallest: float, higher: bool, confidence: float
) -> Outcome:
    if difference.low is None or difference.high is None or p is None:
        return "undecided"
    if smallest > 0 and -smallest < difference.low and difference.high < smallest:
        return "equivalent"
    if p < 1 - confidence and difference.low > smallest:
        return "better" if higher else "worse"
    if p < 1 - confidence and difference.high < -smallest:
        return "worse" if higher else "better"
    return "undecided"
