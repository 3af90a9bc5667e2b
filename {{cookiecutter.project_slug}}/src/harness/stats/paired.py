"""The verdict on two configurations on shared items, alone or among a family of others.

A difference is always a - b, and a verdict is always about a; only `higher_is_better` turns it. A
pair in which either value is missing (None, NaN, infinite) is left out and counted in the note.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from harness.stats.decision import MIN_ITEMS, position_of
from harness.stats.intervals import (
    Interval,
    Values,
    cluster_totals,
    finite_values,
    join_notes,
    tail_of,
)
from harness.stats.significance import (
    cohen_dz,
    cohen_g,
    corrected_resampled_t,
    holm,
    items_needed,
    mcnemar_exact,
    paired_bootstrap,
    paired_differences,
    paired_proportions_interval,
    rank_biserial,
    wilcoxon_paired,
)

Decision = Literal["better", "worse", "equivalent", "undecided"]
PairedTest = Literal["auto", "mcnemar", "wilcoxon", "bootstrap"]
POWER = 0.80


@dataclass(frozen=True)
class Verdict:
    """What a comparison of a with b came to; `n` counts items.

    - "better", "worse": p < 1 - confidence, and the whole interval lies on that side by at least
      `smallest_difference`. "equivalent": the whole interval lies within +-smallest_difference,
      where that is above 0. Otherwise "undecided": the data cannot tell, which does not say that
      there is no difference. See `decision.position_of`.
    - `effect` is what `effect_name` says, positive where a is larger.
    - `items_needed`: items with which a true difference as large as the one seen would be decided
      four times in five; None where that cannot be told. Of interest where undecided.
    """

    difference: Interval
    p_value: float | None
    test: str
    effect: float | None
    effect_name: str
    verdict: Decision
    n: int
    items_needed: int | None
    note: str = ""
    p_adjusted: float | None = None


def paired_verdict(
    a: Values,
    b: Values,
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
    model was fitted per fold. With folds: the corrected resampled t on the folds' mean differences
    (rows whose fold is NaN are left out, and `items_needed` is None). Else `auto` takes exact
    McNemar with Tango's interval where all values are 0 or 1 without repeats, and otherwise the
    mean difference (`paired_bootstrap`). Raises ValueError for unequal lengths, and for a McNemar
    test of other values.
    """
    gap = paired_differences(a, b)
    labels = None if folds is None else np.asarray(folds)
    if labels is not None and labels.dtype.kind == "f":
        gap = np.where(np.isnan(labels), np.nan, gap)
    kept = np.isfinite(gap)
    values, codes, note = finite_values(gap, clusters)
    sums, sizes = cluster_totals(values, codes)
    per_item = sums / sizes
    sides = [np.asarray(side, dtype=float).ravel()[kept] for side in (a, b)]
    binary = sums.size == values.size > 0 and bool(np.isin(sides, (0.0, 1.0)).all())
    if test == "mcnemar" and not binary:
        raise ValueError("McNemar's test needs one 0 or 1 per item: no repeats, no other scores")
    effect, effect_name = cohen_dz(per_item), "Cohen's dz"
    spread = float(per_item.std(ddof=1)) if per_item.size > 1 else None
    discordant: float | None = None
    p: float | None
    if labels is not None:
        _, fold_codes = np.unique(labels[kept], return_inverse=True)
        fold_sums, fold_sizes = cluster_totals(values, fold_codes)
        n_test = values.size / max(1, fold_sums.size)
        per_fold = fold_sums / fold_sizes
        difference, p = corrected_resampled_t(per_fold, values.size - n_test, n_test, confidence)
        name, spread = f"corrected resampled t of {per_fold.size} folds", None
    elif test == "mcnemar" or (test == "auto" and binary):
        ahead, behind = int((values > 0).sum()), int((values < 0).sum())
        difference = paired_proportions_interval(ahead, behind, values.size, confidence)
        p, name = mcnemar_exact(ahead, behind), "exact McNemar"
        effect, effect_name = cohen_g(ahead, behind), "Cohen's g"
        spread, discordant = None, (ahead + behind) / values.size
    else:
        difference, p = paired_bootstrap(a, b, clusters, confidence, seed)
        name = "paired t"
        if test == "wilcoxon" and p is not None:
            p, name = wilcoxon_paired(per_item, np.zeros(per_item.size)), "Wilcoxon signed rank"
            effect, effect_name = rank_biserial(per_item), "rank-biserial correlation"
    needed = None
    if difference.estimate is not None and (spread or discordant):
        needed = items_needed(
            difference.estimate, spread, discordant, smallest_difference, confidence, POWER
        )
    outcome = _decide(difference, p, sums.size, smallest_difference, higher_is_better, confidence)
    return Verdict(difference, p, name, effect, effect_name, outcome, sums.size, needed, note)


def correct_family(verdicts: Sequence[Verdict], confidence: float = 0.95) -> list[Verdict]:
    """The verdicts of one family of comparisons after Holm's correction.

    "better" and "worse" stand only where the adjusted p is still below 1 - confidence; the bounds
    stay those of each comparison by itself. `items_needed` grows to what the smallest p of the
    family has to pass.
    """
    adjusted = holm([verdict.p_value for verdict in verdicts])
    family = max(1, sum(p is not None for p in adjusted))
    tails = np.array([tail_of(confidence) / family, tail_of(confidence)])
    alone, among = (ndtri(POWER) - ndtri(tails[::-1])) ** 2
    corrected = []
    for verdict, p in zip(verdicts, adjusted, strict=True):
        needed = verdict.items_needed and ceil(verdict.items_needed * float(among / alone))
        changed = replace(verdict, p_adjusted=p, items_needed=needed)
        if verdict.verdict in ("better", "worse") and (p is None or p >= 1 - confidence):
            note = join_notes(verdict.note, f"not clear among {family} comparisons")
            changed = replace(changed, verdict="undecided", note=note)
        corrected.append(changed)
    return corrected


def _decide(
    difference: Interval,
    p: float | None,
    n: int,
    smallest: float,
    higher_is_better: bool,
    confidence: float,
) -> Decision:
    position = position_of(difference.low, difference.high, smallest)
    if p is None:
        return "undecided"
    if position == "within":
        # Bounds without width, where a few items all differ alike, are no proof that all others do.
        return "undecided" if difference.low == difference.high and n < MIN_ITEMS else "equivalent"
    if position not in ("above", "below") or p >= 1 - confidence:
        return "undecided"
    return "better" if (position == "above") == higher_is_better else "worse"
