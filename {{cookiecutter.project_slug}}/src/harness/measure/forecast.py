"""What the planned number of items can tell, from what is recorded already: before money is spent.

The spread of the differences comes from the newest experiment that had both sides of a hypothesis,
else from the dev-run. A few items know it only roughly, so a forecast has its best case as well.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path

import numpy as np
import numpy.typing as npt
from duckdb import DuckDBPyConnection

from harness.errors import HarnessError
from harness.measure.judge import columns_of, pooled, power_of
from harness.project.hypotheses import Hypothesis, Plan
from harness.project.settings import Settings
from harness.read.results import Experiment, read_experiment, rows_of
from harness.read.scores import Numbers, Scores, read_scores
from harness.read.views import columns, connect
from harness.record.layout import DEV, databases
from harness.stats.decision import MIN_ITEMS
from harness.stats.distributions import chi_squared_above
from harness.stats.intervals import cluster_totals, ratio_error, wilson
from harness.stats.power import (
    crowd_of,
    detectable,
    items_needed,
    power_to_plan_with,
    spread_in_crowds,
)

UNSURE = 0.10  # the true spread is below the best case in one of ten


_ALIKE = 1.1  # clusters that are no larger than this beside those seen are as those


@dataclass(frozen=True, slots=True)
class Planned:
    """How many items both sides of a hypothesis will have, and the sizes of their clusters."""

    items: int
    cluster_sizes: npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Spread:
    """How much the items' differences vary: a standard deviation, or a share that disagrees.

    `least` is the same in the best case, `items` how many were seen, `source` where. `clusters`:
    how many they came in; None where each stands for itself. `freedom`: the degrees of freedom of
    its square; None of a share.
    """

    value: float
    least: float
    shares: bool
    items: int
    source: str
    clusters: int | None = None
    freedom: float | None = None

    @property
    def degrees(self) -> float:
        """Of freedom of its square; that of a share is known as well as one with so many."""
        if self.freedom is not None:
            return self.freedom
        return 2 * self.value * self.items / max(1 - self.value, 1 / self.items)

    def need(self, difference: float, confidence: float, power: float, best: bool = False) -> int:
        """Items that tell a difference from none; 0 where that is unknown.

        The best case takes the least spread as known; else it is an estimate, which takes more.
        """
        spread, discordant = self._as_given(self.least if best else self.value)
        if not best:
            power = power_to_plan_with(power, confidence, self.degrees)
        return items_needed(difference, spread, discordant, confidence, power) or 0

    def detects(self, items: int, confidence: float, power: float) -> float | None:
        """The smallest difference that so many items tell from none."""
        spread, discordant = self._as_given(self.value)
        power = power_to_plan_with(power, confidence, self.degrees)
        return detectable(items, spread, discordant, confidence, power)

    def _as_given(self, value: float) -> tuple[float | None, float | None]:
        return (None, value) if self.shares else (value, None)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What `items` can tell of a hypothesis, in 80% of experiments.

    `detects` is the smallest difference that they tell from none (None: unknown, for the `reason`
    given), `needed` how many the smallest difference that matters takes, `at_least` how many in the
    best case.
    """

    hypothesis: Hypothesis
    items: int
    detects: float | None = None
    needed: int = 0
    at_least: int = 0
    spread: Spread | None = None
    reason: str = ""

    @property
    def too_few(self) -> bool:
        """Whether the items cannot decide it, even in the best case."""
        return self.items < MIN_ITEMS or self.at_least > self.items

    def words(self) -> str:
        """`H1 (correct): 240 items tell 0.09 from no difference; 0.05 needs about 900`."""
        said = self.hypothesis
        head = f"{said.id} ({said.metric}): {self.items:,} items"
        if self.items < MIN_ITEMS:
            return f"{head}, at least {MIN_ITEMS} are needed for any verdict"
        if self.detects is None or self.spread is None:
            return f"{head}, no forecast: {self.reason}"
        told = f"{head} tell {self.detects:.2g} from no difference"
        asked = said.smallest_difference
        if not asked:
            told += "; the plan says no smallest_difference"
        elif self.needed > self.items:
            told += f"; you ask for {asked:g}, which needs about {self.needed:,}"
        else:
            told += f"; you ask for {asked:g}, which takes about {self.needed:,}"
        seen = f"{self.spread.items:,} items"
        if self.spread.clusters is not None:
            seen += f" in {self.spread.clusters:,} clusters"
        return f"{told} (in 80%; seen on {seen} of {self.spread.source})"


def forecasts(
    root: Path, settings: Settings, plan: Plan, planned: Callable[[Hypothesis], Planned]
) -> list[Forecast]:
    """A forecast for each hypothesis of a plan."""
    confidence = plan.confidence
    plans = {each.id: planned(each) for each in plan.hypotheses}
    crowds = {name: crowd_of(each.cluster_sizes) for name, each in plans.items()}
    spreads = _spreads(root, settings, plan, crowds)
    found = []
    for each in plan.hypotheses:
        spread, n, power = spreads[each.id], plans[each.id].items, power_of(each)
        if isinstance(spread, str):
            found.append(Forecast(each, n, reason=spread))
            continue
        asked = each.smallest_difference
        detects = spread.detects(n, confidence, power)
        needed = spread.need(asked, confidence, power)
        least = spread.need(asked, confidence, power, best=True)
        reason = "" if detects else "no difference is large enough for so few items"
        found.append(Forecast(each, n, detects, needed, least, spread, reason))
    return found


def _spreads(
    root: Path, settings: Settings, plan: Plan, crowds: Mapping[str, float]
) -> Mapping[str, Spread | str]:
    """The spread of each hypothesis, or why it is unknown, by id."""
    found: dict[str, Spread | str] = {
        each.id: "nothing is recorded yet" for each in plan.hypotheses
    }
    for phase in ("experiment", DEV):
        unknown = [each for each in plan.hypotheses if isinstance(found[each.id], str)]
        files = databases(root, settings, phase)
        if not unknown or not files:
            continue
        try:
            with connect(files) as con:
                found |= _of_phase(con, unknown, crowds)
        except HarnessError as error:  # a broken database; other gates say so
            found |= {each.id: error.message for each in unknown}
    return found


def _of_phase(
    con: DuckDBPyConnection, wanted: Sequence[Hypothesis], crowds: Mapping[str, float]
) -> dict[str, Spread | str]:
    name = _newest(con)
    if name is None:
        return {}
    experiment = read_experiment(con, name)
    counted = [*experiment.scores, *({"latency", "cost"} & experiment.columns)]
    metrics = dict.fromkeys(each.metric for each in wanted if each.metric in counted)
    scores = read_scores(con, experiment, list(metrics))
    found: dict[str, Spread | str] = {}
    for each in wanted:
        sides = [columns_of(experiment, side) for side in (each.better, each.than)]
        if not all(sides):
            found[each.id] = f"{_source(name)} did not have both sides"
        elif scores.units.fitted:
            found[each.id] = (
                "how far folds differ depends on how many there are, and on the items that their "
                "models are fitted on; an experiment tells"
            )
        elif each.metric not in metrics:
            every = np.ones(scores.items.size, dtype=np.bool_)
            clusters = _by_item(scores, np.zeros(every.size), every)[1]
            found[each.id] = _of_aggregate(
                experiment, each.metric, sides, clusters, crowds[each.id]
            )
        else:
            gap = np.subtract(*(pooled(scores.counted[each.metric], side) for side in sides))
            kept = np.isfinite(gap)
            gap, clusters = _by_item(scores, gap, kept)
            if clusters is not None:
                found[each.id] = _of_clusters(experiment, gap, clusters, crowds[each.id])
            elif crowds[each.id] > _ALIKE:
                found[each.id] = _alone(_source(name))
            else:
                found[each.id] = _spread(experiment, each.metric, gap)
    return found


def _by_item(
    scores: Scores, values: Numbers, kept: npt.NDArray[np.bool_]
) -> tuple[Numbers, npt.NDArray[np.generic] | None]:
    """The mean of each item over its repeats, and its cluster; None where it stands for itself."""
    _, first, code = np.unique(scores.items[kept], return_index=True, return_inverse=True)
    means = np.bincount(code, values[kept]) / np.bincount(code)
    clusters = scores.units.clusters
    if clusters is None or scores.units.called == "items":
        return means, None
    return means, clusters[kept][first]


def _of_aggregate(
    experiment: Experiment,
    metric: str,
    sides: Sequence[Sequence[int]],
    clusters: npt.NDArray[np.generic] | None,
    crowd: float,
) -> Spread | str:
    """From how far the difference moves on draws of the items; it falls with their root."""
    source, drawn = _source(experiment.name), experiment.resamples.get(metric, {})
    if any(len(side) > 1 or side[0] not in drawn for side in sides):
        return f"{source} has no draws of {metric} for one configuration on each side"
    a, b = (drawn[side[0]] for side in sides)
    if a.items != b.items:
        return f"{source} has {metric} of both sides on other items"
    if a.units < MIN_ITEMS:
        return f"{source} has {a.units} items, at least {MIN_ITEMS} are needed"
    if a.drawn.size == 0 or not np.isfinite(gaps := a.drawn - b.drawn).all():
        return f"{metric} is undefined on parts of {source}"
    error, n, seen = float(gaps.std(ddof=1)), a.units, 1.0
    if clusters is not None:
        n = clusters.size
        seen = crowd_of(np.unique(clusters, return_counts=True)[1])
    if not crowd / _ALIKE <= seen <= crowd * _ALIKE:
        return (
            f"clusters have about {seen:.1f} items in {source} and {crowd:.1f} in an "
            "experiment, which tells"
        )
    # How well draws know their spread depends on the aggregate: precision counts few of the items.
    # So its best case is open, and a gate does not hold it against a plan.
    spread = _known(error * sqrt(n), n, source, None if clusters is None else a.units)
    return spread if isinstance(spread, str) else replace(spread, least=0.0)


def _of_clusters(
    experiment: Experiment, gap: Numbers, clusters: npt.NDArray[np.generic], crowd: float
) -> Spread | str:
    """As if items stood for themselves and differed by so much that the mean is as uncertain.

    A dev-run draws items, so few of them share a cluster: then those of an experiment are forecast
    from how alike items of one are.
    """
    codes = np.unique(clusters, return_inverse=True)[1]
    sums, sizes = cluster_totals(gap, codes)
    source, n = _source(experiment.name), sums.size
    if n < MIN_ITEMS:
        return f"{source} has {n} clusters with a value, at least {MIN_ITEMS} are needed"
    if crowd <= crowd_of(sizes.astype(int)) * _ALIKE:
        return _known(ratio_error(sums, sizes) * sqrt(gap.size), gap.size, source, n)
    found = spread_in_crowds(gap, codes, crowd)
    if found is None:
        return _alone(source)
    return _known(found[0], gap.size, source, n, found[1])


def _alone(source: str) -> str:
    return f"no two items of {source} share a cluster, so how alike those are is not known yet"


def _known(
    value: float,
    items: int,
    source: str,
    clusters: int | None = None,
    freedom: float | None = None,
) -> Spread | str:
    if value < 1e-9:
        what = f"{items:,} items" if clusters is None else f"{clusters:,} clusters"
        return f"all {what} of {source} differ alike"
    freedom = freedom or (clusters or items) - 1.0
    least = value * sqrt(freedom / chi_squared_above(freedom, UNSURE))
    return Spread(value, least, False, items, source, clusters, freedom)


def _newest(con: DuckDBPyConnection) -> str | None:
    if "experiment_version" not in columns(con, "runs"):
        return None
    query = "SELECT experiment_version AS name FROM runs ORDER BY timestamp DESC LIMIT 1"
    rows = rows_of(con, query, [])
    return str(rows[0]["name"]) if rows else None


def _spread(experiment: Experiment, metric: str, gap: Numbers) -> Spread | str:
    source, n = _source(experiment.name), gap.size
    if n < MIN_ITEMS:
        return f"{source} has {n} shared items with a value, at least {MIN_ITEMS} are needed"
    if np.ptp(gap) <= 1e-9 * np.abs(gap).max():
        return f"all {n:,} items of {source} differ alike"
    if experiment.rule(metric).binary and np.isin(gap, (-1.0, 0.0, 1.0)).all():
        differ = int(np.count_nonzero(gap))
        least = wilson(differ, n, 1 - 2 * UNSURE).low or 0.0
        return Spread(differ / n, least, True, n, source)
    return _known(float(gap.std(ddof=1)), n, source)


def _source(name: str) -> str:
    return "the dev-run" if name == DEV else name
