"""The verdict on two configurations on shared items, alone or among a family of others.

A difference is always a - b, and a verdict is always about a; only `higher_is_better` turns it. A
pair in which either value is missing (None, NaN, infinite) is left out and counted in the note.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness.stats.decision import MIN_ITEMS, Decision, decision_of, mirrored, position_of
from harness.stats.intervals import (
    Bounds,
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

NO_SIZES = (
    "nothing says how many items the models were fitted on: write fit(params, fold, train), or let "
    "predict return n_train"
)


@dataclass(frozen=True)
class Units:
    """Which of n values belong together; each array has shape (n,), None where none do.

    `clusters` labels what was drawn together, `folds` the models: NaN where a value has none.
    `n_train` and `n_test` are how many items its fold's model was fitted and tested on; NaN where
    nothing says it. `called` is the word for what is counted once: clusters of items, or items.
    """

    clusters: NDArray[np.generic] | None = None
    folds: Floats | None = None
    n_train: Floats | None = None
    n_test: Floats | None = None
    called: str = "items"

    def at(self, rows: NDArray[np.intp]) -> "Units":
        """The same of some of the values."""
        names = ("clusters", "folds", "n_train", "n_test")
        known = {name: getattr(self, name) for name in names}
        some = {name: array[rows] for name, array in known.items() if array is not None}
        return replace(self, **some)

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
    """What a comparison of a with b came to; `n` counts items, or clusters where `unit` says so.

    - "better", "worse": p < 1 - confidence, and the whole interval lies on that side by at least
      `smallest_difference`. "equivalent", "not worse": all of `together` lies where it has to.
      Otherwise "undecided": the data cannot tell, which does not say that there is no difference.
      See `decision.decision_of`.
    - `together` is the interval that holds at the same time as those of all other comparisons of
      the family (Bonferroni); `difference` that of this comparison by itself.
    - `effect` is what `effect_name` says, positive where a is larger.
    - `items_needed`: as many of them tell a difference of `smallest_difference` from none, four
      times in five; it never depends on the difference seen. None where that is 0, or unknown.
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
    unit: str = "items"

    @property
    def would_decide(self) -> str:
        """`about 900 items would decide`; "" where there are as many, or nothing is known."""
        if (self.items_needed or 0) <= self.n:
            return ""
        return f"about {self.items_needed:,} {self.unit} would decide"


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
    family: int = 1,
    power: float = POWER,
) -> Verdict:
    """Compare `a` with `b`, both of shape (n,): a[i] and b[i] are of the same item and repeat.

    Exact McNemar with Tango's interval where all values are 0 or 1 and each is a cluster of its
    own, unless `binary` says that they are no shares; otherwise the mean difference
    (`paired_bootstrap`). Where several models were fitted for their folds (`Units.fitted`), the
    corrected resampled t on the folds' mean differences besides: both have to hold, so the bounds
    are the outer ones of the two and p is the larger (values without a fold are left out, and
    `items_needed` is None). `bounds` are the least and the largest value that a or b can have,
    where that is declared. `family`: how many comparisons are made at once; see `correct_family`.
    Raises ValueError for unequal lengths.
    """
    gap = paired_differences(a, b)
    if units.fitted and units.folds is not None:
        gap = np.where(np.isnan(units.folds), np.nan, gap)
    kept = np.isfinite(gap)
    values, codes, note = finite_values(gap, units.clusters)
    sums, sizes = cluster_totals(values, codes)

    def test(confidence: float) -> _Tested:
        shares = binary and values.size > 0 and _all_shares(a, b, kept)
        if shares and (sums.size == values.size or not values.any()):
            # Clusters in which nobody disagrees count once: their members cannot show more.
            tested = _of_shares(values if sums.size == values.size else sums, confidence)
        else:
            gaps = (gap, np.zeros(gap.size))
            found = paired_bootstrap(*gaps, units.clusters, confidence, seed, bounds)
            tested = _of_means(*found, sums / sizes)
        if not units.fitted:
            return tested
        return _over_folds(tested, values, units.at(np.flatnonzero(kept)), confidence)

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
        unit=units.called,
    )
    return replace(verdict, verdict=_decide(verdict, tested.p, confidence))


def paired_p(
    a: Values,
    b: Values,
    units: Units = ALONE,
    binary: bool = True,
    bounds: Bounds | None = None,
) -> float | None:
    """The p of `paired_verdict` by itself; None below 10 shared items (or clusters)."""
    gap = paired_differences(a, b)
    kept = np.isfinite(gap)
    values, codes, _ = finite_values(gap, units.clusters)
    size = cluster_totals(values, codes)[0].size
    if size < MIN_ITEMS:
        return None
    if units.fitted:
        return paired_verdict(a, b, units, binary=binary, bounds=bounds).p_value
    if binary and size == values.size and _all_shares(a, b, kept):
        return mcnemar_exact(int((values > 0).sum()), int((values < 0).sum()))
    if bounds is not None:
        return paired_bootstrap(gap, np.zeros(gap.size), units.clusters, bounds=bounds)[1]
    return paired_t(gap, units.clusters)


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
    larger = _outer(max, p, items.p)
    if (outer.low, outer.high, larger) != (found.low, found.high, p):
        name += f", widened to the items' {items.test}"
    return _Tested(outer, larger, name, effect, called)


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
