"""The verdict on two configurations on shared items, alone or among a family of others.

A difference is always a - b, and a verdict is always about a; only `higher_is_better` turns it. A
pair in which either value is missing (None, NaN, infinite) is left out and counted in the note.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats.decision import MIN_ITEMS, Decision, decision_of, mirrored, position_of
from harness.stats.intervals import (
    Floats,
    Interval,
    Values,
    cluster_totals,
    finite_values,
    join_notes,
)
from harness.stats.power import POWER, items_needed
from harness.stats.resampling import Resamples, interval_of_difference
from harness.stats.significance import (
    cohen_dz,
    cohen_g,
    corrected_resampled_t,
    holm,
    mcnemar_exact,
    paired_bootstrap,
    paired_differences,
    paired_proportions_interval,
    paired_t,
)


@dataclass(frozen=True)
class Verdict:
    """What a comparison of a with b came to; `n` counts items.

    - "better", "worse": p < 1 - confidence, and the whole interval lies on that side by at least
      `smallest_difference`. "equivalent", "not worse": all of `together` lies where it has to.
      Otherwise "undecided": the data cannot tell, which does not say that there is no difference.
      See `decision.decision_of`.
    - `together` is the interval that holds at the same time as those of all other comparisons of
      the family (Bonferroni); `difference` that of this comparison by itself.
    - `effect` is what `effect_name` says, positive where a is larger.
    - `items_needed`: items that tell a difference of `smallest_difference` from none, four times in
      five; it never depends on the difference seen. None where that is 0, or unknown.
    """

    difference: Interval
    p_value: float | None
    test: str
    effect: float | None
    effect_name: str
    verdict: Decision
    n: int
    items_needed: int | None
    together: Interval
    smallest_difference: float = 0.0
    higher_is_better: bool = True
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
    binary: bool = True,
    family: int = 1,
    power: float = POWER,
) -> Verdict:
    """Compare `a` with `b`, both of shape (n,): a[i] and b[i] are of the same item and repeat.

    `clusters` are the items' ids where there are repeats, `folds` the fold of each row where a
    model was fitted per fold. With folds: the corrected resampled t on the folds' mean differences
    (rows whose fold is NaN are left out, and `items_needed` is None). Else exact McNemar with
    Tango's interval where all values are 0 or 1 without repeats, unless `binary` says that they are
    no shares; and otherwise the mean difference (`paired_bootstrap`). `family`: how many
    comparisons are made at once; see `correct_family`. Raises ValueError for unequal lengths.
    """
    gap = paired_differences(a, b)
    labels = None if folds is None else np.asarray(folds)
    if labels is not None and labels.dtype.kind == "f":
        gap = np.where(np.isnan(labels), np.nan, gap)
    kept = np.isfinite(gap)
    values, codes, note = finite_values(gap, clusters)
    sums, sizes = cluster_totals(values, codes)

    def test(confidence: float) -> _Tested:
        if labels is not None:
            return _by_fold(values, sums / sizes, labels[kept], confidence)
        if binary and sums.size == values.size > 0 and _all_shares(a, b, kept):
            return _of_shares(values, confidence)
        found = paired_bootstrap(a, b, clusters, confidence, seed)
        return _of_means(*found, sums / sizes)

    tested = test(confidence)
    among = 1 - (1 - confidence) / max(1, family)
    together = test(among).difference if family > 1 else tested.difference
    needed = None
    if tested.spread or tested.discordant:
        needed = items_needed(smallest_difference, tested.spread, tested.discordant, among, power)
    verdict = Verdict(
        tested.difference,
        tested.p,
        tested.test,
        tested.effect,
        tested.effect_name,
        "undecided",
        sums.size,
        needed,
        together,
        smallest_difference,
        higher_is_better,
        note,
    )
    return replace(verdict, verdict=_decide(verdict, tested.p, confidence))


def paired_p(
    a: Values, b: Values, folds: ArrayLike | None = None, binary: bool = True
) -> float | None:
    """The p of `paired_verdict` by itself, of items without repeats; None below 10 shared items."""
    gap = paired_differences(a, b)
    kept = np.isfinite(gap)
    if folds is not None:
        labels = np.asarray(folds)
        kept &= ~np.isnan(labels)
    values = gap[kept]
    if values.size < MIN_ITEMS:
        return None
    if folds is not None:
        return _by_fold(values, values, labels[kept], 0.95).p
    if binary and _all_shares(a, b, kept):
        return mcnemar_exact(int((values > 0).sum()), int((values < 0).sum()))
    return paired_t(values)


def aggregate_verdict(
    a: Resamples,
    b: Resamples,
    smallest_difference: float = 0.0,
    higher_is_better: bool = True,
    confidence: float = 0.95,
    family: int = 1,
) -> Verdict:
    """Compare two aggregates over the same draws of the same items; see `paired_verdict`.

    Raises ValueError where the items are not the same.
    """
    difference, p = interval_of_difference(a, b, confidence)
    among = 1 - (1 - confidence) / max(1, family)
    together = interval_of_difference(a, b, among)[0] if family > 1 else difference
    verdict = Verdict(
        difference,
        p,
        "paired bootstrap",
        None,
        "",
        "undecided",
        a.units,
        None,
        together,
        smallest_difference,
        higher_is_better,
    )
    return replace(verdict, verdict=_decide(verdict, p, confidence))


@dataclass(frozen=True, slots=True)
class _Tested:
    """What one test found; `spread` or `discordant` where `items_needed` can use it."""

    difference: Interval
    p: float | None
    test: str
    effect: float | None
    effect_name: str
    spread: float | None = None
    discordant: float | None = None


def _all_shares(a: Values, b: Values, kept: NDArray[np.bool_]) -> bool:
    sides = [np.asarray(side, dtype=float).ravel()[kept] for side in (a, b)]
    return bool(np.isin(sides, (0.0, 1.0)).all())


def _by_fold(
    values: Floats, per_item: Floats, labels: NDArray[np.generic], confidence: float
) -> _Tested:
    _, codes = np.unique(labels, return_inverse=True)
    sums, sizes = cluster_totals(values, codes)
    n_test = values.size / max(1, sums.size)
    difference, p = corrected_resampled_t(sums / sizes, values.size - n_test, n_test, confidence)
    name = f"corrected resampled t of {sums.size} folds"
    return _Tested(difference, p, name, cohen_dz(per_item), "Cohen's dz")


def _of_shares(values: Floats, confidence: float) -> _Tested:
    ahead, behind = int((values > 0).sum()), int((values < 0).sum())
    return _Tested(
        paired_proportions_interval(ahead, behind, values.size, confidence),
        mcnemar_exact(ahead, behind),
        "exact McNemar",
        cohen_g(ahead, behind),
        "Cohen's g",
        discordant=(ahead + behind) / values.size,
    )


def _of_means(difference: Interval, p: float | None, per_item: Floats) -> _Tested:
    spread = float(per_item.std(ddof=1)) if per_item.size > 1 else None
    return _Tested(difference, p, "paired t", cohen_dz(per_item), "Cohen's dz", spread)


def correct_family(
    verdicts: Sequence[Verdict],
    confidence: float = 0.95,
    others: Sequence[float | None] = (),
) -> list[Verdict]:
    """The verdicts of one family of comparisons after Holm's correction; `others` are the p of
    those in the family that were not asked for.

    "better" and "worse" stand only where the adjusted p is still below 1 - confidence; what is
    "equivalent" or "not worse" was found in `together`, which is wide enough for the family that
    `paired_verdict` was told of. The bounds of `difference` stay those of each comparison alone.
    """
    adjusted = holm([*(verdict.p_value for verdict in verdicts), *others])
    family = max(1, sum(p is not None for p in adjusted))
    corrected = []
    for verdict, p in zip(verdicts, adjusted, strict=False):
        decided = _decide(verdict, p, confidence)
        note = verdict.note
        if verdict.verdict in ("better", "worse") and decided != verdict.verdict:
            note = join_notes(note, f"not clear among {family} comparisons")
        corrected.append(replace(verdict, p_adjusted=p, verdict=decided, note=note))
    return corrected


def _decide(verdict: Verdict, p: float | None, confidence: float) -> Decision:
    if p is None:
        return "undecided"
    alone = _decided(verdict, verdict.difference)
    if alone in ("better", "worse") and p < 1 - confidence:
        return alone
    among = _decided(verdict, verdict.together)
    if among == "worse" or verdict.smallest_difference == 0:
        return "undecided"
    # Bounds without width, where a few items all differ alike, are no proof that all others do.
    if verdict.together.low == verdict.together.high and verdict.n < MIN_ITEMS:
        return "undecided"
    # Better by more than what matters is not worse, also where the p is not small enough.
    return "not worse" if among == "better" else among


def _decided(verdict: Verdict, difference: Interval) -> Decision:
    smallest = verdict.smallest_difference
    position = position_of(difference.low, difference.high, smallest)
    return decision_of(position if verdict.higher_is_better else mirrored(position), smallest)
