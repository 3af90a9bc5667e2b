"""The verdict on two configurations on shared items, alone or among a family of others.

A difference is always a - b, and a verdict is always about a; only `higher_is_better` turns it. A
pair in which either value is missing (None, NaN, infinite) is left out and counted in the note.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from harness.stats.decision import MIN_ITEMS, position_of
from harness.stats.intervals import (
    Bounds,
    Floats,
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
)

Decision = Literal["better", "worse", "equivalent", "undecided"]
POWER = 0.80
NO_SIZES = (
    "nothing says how many items the models were fitted on: write fit(params, fold, train), or let "
    "predict return n_train"
)


@dataclass(frozen=True)
class Units:
    """Which of n values belong together; each array has shape (n,), None where none do.

    `clusters` labels what was drawn together, `folds` the models: NaN where a value has none.
    `n_train` and `n_test` are how many items its fold's model was fitted and tested on; NaN where
    nothing says it.
    """

    clusters: NDArray[np.generic] | None = None
    folds: Floats | None = None
    n_train: Floats | None = None
    n_test: Floats | None = None

    def at(self, rows: NDArray[np.intp]) -> "Units":
        """The same of some of the values."""
        arrays = (self.clusters, self.folds, self.n_train, self.n_test)
        return Units(*(None if each is None else each[rows] for each in arrays))  # type: ignore[arg-type]

    @property
    def n_clusters(self) -> int | None:
        """How many clusters there are; None where each value is one."""
        return None if self.clusters is None else len(np.unique(self.clusters))

    @property
    def n_folds(self) -> int:
        """How many folds there are."""
        return 0 if self.folds is None else len(np.unique(self.folds[~np.isnan(self.folds)]))

    @property
    def fitted(self) -> bool:
        """Whether the values are of several models, each of which was fitted for its fold."""
        return self.n_folds > 1


ALONE = Units()  # each value stands for itself


@dataclass(frozen=True)
class Verdict:
    """What a comparison of a with b came to; `n` counts items.

    - "better", "worse": p < 1 - confidence, and the whole interval lies on that side by at least
      `smallest_difference`. "equivalent": the whole interval lies within +-smallest_difference,
      where that is above 0. Otherwise "undecided": the data cannot tell, which does not say that
      there is no difference. See `decision.position_of`.
    - `effect` is what `effect_name` says, positive where a is larger.
    - `items_needed`: items with which a true difference as large as the one seen would be decided
      four times in five; None where that is unknown. Of interest where undecided.
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
    units: Units = ALONE,
    smallest_difference: float = 0.0,
    higher_is_better: bool = True,
    confidence: float = 0.95,
    seed: int = 0,
    binary: bool = True,
    bounds: Bounds | None = None,
) -> Verdict:
    """Compare `a` with `b`, both of shape (n,): a[i] and b[i] are of the same item and repeat.

    Exact McNemar with Tango's interval where all values are 0 or 1 and each is a cluster of its
    own, unless `binary` says that they are no shares; otherwise the mean difference
    (`paired_bootstrap`). Where several models were fitted for their folds (`Units.fitted`), the
    corrected resampled t on the folds' mean differences besides: both have to hold, so the bounds
    are the outer ones of the two and p is the larger (values without a fold are left out, and
    `items_needed` is None). `bounds` are the least and the largest value that a or b can have,
    where that is declared. Raises ValueError for unequal lengths.
    """
    gap = paired_differences(a, b)
    if units.fitted and units.folds is not None:
        gap = np.where(np.isnan(units.folds), np.nan, gap)
    kept = np.isfinite(gap)
    values, codes, note = finite_values(gap, units.clusters)
    sums, sizes = cluster_totals(values, codes)
    if binary and sums.size == values.size > 0 and _all_shares(a, b, kept):
        tested = _of_shares(values, confidence)
    else:
        gaps = (gap, np.zeros(gap.size))
        found = paired_bootstrap(*gaps, units.clusters, confidence, seed, bounds)
        tested = _of_means(*found, sums / sizes)
    if units.fitted:
        tested = _over_folds(tested, values, units.at(np.flatnonzero(kept)), confidence)
    needed, difference = None, tested.difference
    if difference.estimate is not None and (tested.spread or tested.discordant):
        needed = items_needed(
            difference.estimate,
            tested.spread,
            tested.discordant,
            smallest_difference,
            confidence,
            POWER,
        )
    outcome = _decide(
        difference, tested.p, sums.size, smallest_difference, higher_is_better, confidence
    )
    return Verdict(
        difference,
        tested.p,
        tested.test,
        tested.effect,
        tested.effect_name,
        outcome,
        sums.size,
        needed,
        note,
    )


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


def _over_folds(items: _Tested, values: Floats, units: Units, confidence: float) -> _Tested:
    """What the folds say, and no more than the items say by themselves."""
    _, codes = np.unique(np.asarray(units.folds), return_inverse=True)
    sums, sizes = cluster_totals(values, codes)
    name = f"corrected resampled t of {sums.size} folds"
    n_train, n_test = (_by_fold(each, codes, sizes) for each in (units.n_train, units.n_test))
    n_test = np.where(np.isnan(n_test), sizes, n_test)
    effect, called = items.effect, items.effect_name
    if not (n_train > 0).all():
        estimate = items.difference.estimate
        unknown = Interval(estimate, None, None, sums.size, name, NO_SIZES)
        return _Tested(unknown, None, name, effect, called)
    found, p = corrected_resampled_t(sums / sizes, n_train, n_test, confidence, sizes)
    outer = replace(
        found,
        low=_outer(min, found.low, items.difference.low),
        high=_outer(max, found.high, items.difference.high),
    )
    return _Tested(outer, _outer(max, p, items.p), name, effect, called)


def _by_fold(sizes: Floats | None, codes: NDArray[np.intp], tested: Floats) -> Floats:
    """The size that the rows of each fold name; NaN where one names none."""
    if sizes is None:
        return np.full(tested.size, np.nan)
    return np.asarray(np.bincount(codes, sizes) / tested)


def _outer(
    pick: Callable[[float, float], float], one: float | None, other: float | None
) -> float | None:
    return None if one is None or other is None else pick(one, other)


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
    test = "paired bet" if difference.method == "betting" else "paired t"
    return _Tested(difference, p, test, cohen_dz(per_item), "Cohen's dz", spread)


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
