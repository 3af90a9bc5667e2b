"""In which order configurations stand, which ranks each may have, and who may be the best.

The order is by the plan's first metric, else by the first entry of SCORES that says which way is
better. Where neither says it there is none, and the order is that of the grid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from math import isfinite

import numpy as np

from harness.console import brief
from harness.measure.judge import apart, left_out_of
from harness.project.declarations import Rule, in_order_of_rank
from harness.project.scores import MEASURED
from harness.project.values import Row
from harness.read.results import Experiment, RecordedConfiguration
from harness.read.scores import Numbers, Scores
from harness.stats.decision import MIN_ITEMS
from harness.stats.intervals import Interval
from harness.stats.missing import gap_bounds
from harness.stats.paired import paired_verdict
from harness.stats.pairwise import pairwise_p
from harness.stats.ranks import Range, cluster_means, item_noise, rank_ranges, told_apart
from harness.tell.section import interval


@dataclass(frozen=True, slots=True)
class Ranking:
    """`order`: indices of the configurations, best first by `rule`, whose figures are `values`.

    Without a `rule` the order is the grid's, and `reason` says why. `ranges`: the ranks that each
    configuration may have, all of them right together with 95%; see `stats.ranks`. `aside`: those
    that the kind ranks among no others, the last ones of the order. `behind`: each other one's
    difference to the first (it - the first), by its index.
    """

    order: list[int]
    rule: Rule | None = None
    values: Sequence[float | None] = ()
    ranges: Sequence[Range] = ()
    reason: str = ""
    aside: frozenset[int] = frozenset()
    behind: Mapping[int, Interval] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many are ranked."""
        return len(self.order) - len(self.aside)

    @property
    def best(self) -> list[int]:
        """Who may be the best, in the order of their figures: in 95% the best one is among them."""
        return [index for index in self.order if self.ranges and self.ranges[index][0] == 1]

    @property
    def leads(self) -> bool:
        """Whether the first one is ahead of every other."""
        return self.count > 1 and len(self.best) == 1

    def place(self, index: int) -> str:
        """`3`, or `1–3` where more than one rank is possible; `–` where none is known."""
        if self.rule is None or self.values[index] is None or index in self.aside:
            return "–"
        first, last = self.ranges[index]
        return str(first) if first == last else f"{first}–{last}"

    def short_words(self) -> str:
        """`8 configurations, by accuracy 3 of them may be the best`."""
        count = f"{len(self.order)} configurations"
        if self.rule is None:
            return f"{count}, not ranked"
        return f"{count}, by {self.rule.called} {len(self.best)} of them may be the best"

    def words(self, experiment: Experiment) -> str:
        """What is to be said of the order, in one sentence without its full stop."""
        if self.count < 2:
            return ""
        if self.rule is None:
            return f"{self.short_words()}: {self.reason}"
        first = experiment.configurations[self.order[0]]
        figure = f"{first.label}, {_figure(self.rule, first, self.values[self.order[0]])}"
        if self.leads:
            return f"Best by {self.rule.called}, ahead of all others: {figure}"
        last = max(self.ranges[index][1] for index in self.best)
        names = [experiment.configurations[index].label for index in self.best[:SHOWN]]
        more = f" and {len(self.best) - SHOWN} more" if len(self.best) > SHOWN else ""
        return (
            f"Best by {self.rule.called}, not separable (ranks 1–{last} of {self.count}): "
            f"{'; '.join(names)}{more}"
        )


SHOWN = 8  # configurations that may be the best, by name


def rank(
    experiment: Experiment, scores: Scores, unranked: Mapping[str, object] | None = None
) -> Ranking:
    """Order the configurations of an experiment, which stand in the order of the grid.

    `unranked`: see `project.kind.Kind`.
    """
    grid = list(range(len(experiment.configurations)))
    able = in_order_of_rank(_rules(experiment))
    if not able:
        return Ranking(grid, reason=_why_none(experiment))
    rule = able[0]
    if reason := _not_ranked_on(experiment, rule):
        return Ranking(grid, reason=reason)
    values = [_value(experiment, scores, rule, index) for index in grid]
    aside = frozenset(
        index
        for index in grid
        if any(
            experiment.configurations[index].params.get(name) == value
            for name, value in (unranked or {}).items()
        )
    )
    known = [index for index in grid if values[index] is not None and index not in aside]
    if not known:
        return Ranking(grid, reason=f"no configuration has a value of {rule.called}")
    sign = 1 if rule.lower else -1
    order = sorted(known, key=lambda index: sign * (values[index] or 0.0))
    unknown = [index for index in grid if index not in known and index not in aside]
    ranges = _ranges(experiment, scores, rule, order, values)
    # Who has no value may be anywhere, and nobody is ahead of it: nothing is known of it.
    ranges = {index: (low, high + len(unknown)) for index, (low, high) in ranges.items()}
    ranges |= dict.fromkeys(unknown, (1, len(grid) - len(aside)))
    ranges |= dict.fromkeys(aside, (0, 0))
    every = [*order, *unknown, *sorted(aside)]
    possible = [ranges[index] for index in grid]
    behind = _behind(experiment, scores, rule, order)
    return Ranking(every, rule, values, possible, aside=aside, behind=behind)


def _rules(experiment: Experiment) -> list[Rule]:
    """What there are figures of: scores, aggregates, and latency or cost where planned."""
    found = [rule for name, rule in experiment.rules.items() if name in experiment.metrics]
    for name in sorted(MEASURED & experiment.columns):
        place = experiment.plan.place_of(name)
        if place is not None:
            found.append(replace(experiment.rule(name), planned=place))
    return found


def _why_none(experiment: Experiment) -> str:
    if not experiment.metrics:
        return "there is no metric"
    return "nothing says which way is better (SCORES in metrics.py, or a hypothesis in PLAN.toml)"


def _not_ranked_on(experiment: Experiment, rule: Rule) -> str:
    """Why a metric would flatter those that fail or do not answer; "" where it does not."""
    every = range(len(experiment.configurations))
    if rule.aggregate:
        return left_out_of(experiment, rule.name, every)
    for each in experiment.configurations:
        n, own = each.summary.get("n"), each.summary.get(f"{rule.name}_n")
        if n is None or own is None:
            continue  # latency or cost, or recorded before scores were declared
        failed = (each.summary.get("failed") or 0) if rule.failure is None else 0
        cached = (each.summary.get("cached") or 0) if rule.fresh else 0
        missing = n - own - failed - cached
        if (failed and not rule.failure_said) or (missing > 0 and not rule.missing_said):
            return (
                f"{rule.called} leaves out {failed + missing:,} of the {n:,} datapoints of "
                f"{each.label}, and nothing declared says what they count as"
            )
    return ""


def _value(experiment: Experiment, scores: Scores, rule: Rule, index: int) -> float | None:
    """What a configuration is ranked by: its metric, or the mean over items of latency or cost."""
    if rule.name in experiment.metrics:
        value = experiment.configurations[index].summary.get(rule.name)
    else:
        column = scores.counted[rule.name][:, index]
        value = float(np.nanmean(column)) if np.isfinite(column).any() else None
    return value if value is not None and isfinite(value) else None


def _ranges(
    experiment: Experiment,
    scores: Scores,
    rule: Rule,
    known: Sequence[int],
    values: Sequence[float | None],
) -> dict[int, Range]:
    """The possible ranks of the configurations that have a value."""
    if len(known) == 1:
        return {known[0]: (1, 1)}
    count = len(known)
    p = np.full((count, count), np.nan)
    if rule.name in scores.counted:
        columns = scores.counted[rule.name][:, list(known)]
        units, ran = scores.units, scores.ran[:, list(known)]
        p = pairwise_p(columns, units, rule.binary, rule.bounds)
        if np.isfinite(columns).all():
            means, figures = columns.mean(axis=0), np.array([values[i] or 0.0 for i in known])
            agree = np.subtract.outer(means, means) * np.subtract.outer(figures, figures) > 0
            p[~agree] = np.nan
        else:
            for i, j in np.argwhere(np.triu(np.isfinite(p), 1)):
                # Where what they share says otherwise than all of it, nothing is clear.
                gap = np.nanmean(columns[:, i] - columns[:, j])
                agree = gap * ((values[known[i]] or 0.0) - (values[known[j]] or 0.0)) > 0
                both = ran[:, i] & ran[:, j]
                sides = columns[both, i], columns[both, j]
                if not (agree and _whatever_is_missing(*sides, rule)):
                    p[i, j] = np.nan
        of_units = cluster_means(columns, units.clusters)
        noise, df = item_noise(of_units), max(1, np.isfinite(of_units).sum(axis=0).min() - 1)
    else:
        noise, df = _aggregate_noise(experiment, rule, known)
        for i, j in combinations(range(count), 2):
            between, found = apart(experiment, known[i], experiment, known[j], rule.name, 0.95)
            if between.n >= MIN_ITEMS and found is not None:
                p[i, j] = found
    separate = told_apart(p, noise, float(df), experiment.confidence)
    every = [values[index] or 0.0 for index in known]
    return dict(zip(known, rank_ranges(every, separate, rule.lower), strict=True))


def _behind(
    experiment: Experiment, scores: Scores, rule: Rule, order: Sequence[int]
) -> dict[int, Interval]:
    """How far each is from the first, paired."""
    first, found = order[0], dict[int, Interval]()
    for other in order[1:]:
        if rule.name in scores.counted:
            values = scores.counted[rule.name]
            found[other] = paired_verdict(
                values[:, other],
                values[:, first],
                scores.units,
                binary=rule.binary,
                bounds=rule.bounds,
            ).difference
        else:
            found[other], _ = apart(experiment, other, experiment, first, rule.name, 0.95)
    return found


def _whatever_is_missing(a: Numbers, b: Numbers, rule: Rule) -> bool:
    """Whether what is left out could not turn two configurations round."""
    if rule.fresh or np.isfinite(a - b).all():
        return True
    low, high = gap_bounds(a, b, rule.low, rule.high)
    return low > 0 or high < 0


def _aggregate_noise(
    experiment: Experiment, rule: Rule, known: Sequence[int]
) -> tuple[Numbers, int]:
    """How far an aggregate's draws lie from its value; independent where they are not paired."""
    found = [experiment.resamples.get(rule.name, {}).get(index) for index in known]
    drawn = [each.drawn - each.estimate for each in found if each is not None and each.drawn.size]
    if len(drawn) < len(known):
        return item_noise(np.empty((0, len(known)))), 1
    noise = np.column_stack(drawn)
    return noise[np.isfinite(noise).all(axis=1)], min(each.units for each in found if each) - 1


def _figure(rule: Rule, configuration: RecordedConfiguration, value: float | None) -> str:
    """The first one's figure with its interval, where the table metrics has one."""
    bounds = (configuration.summary.get(f"{rule.name}{end}") for end in ("_low", "_high"))
    return interval(value, *bounds)


def tag_params(row: Mapping[str, object]) -> str:
    """The params of a row of metrics in one line, a long one shortened."""
    names = [name for name in row if name.startswith("params_") and name != "params_key"]
    return " ".join(f"{name.removeprefix('params_')}={brief(row[name])}" for name in names)


def tag_figures(row: Row, rules: Sequence[Rule]) -> str:
    """`accuracy=0.95 log_loss=0.2 (n=133)`: the metrics of a row in one line."""
    figures = []
    for rule in rules:
        value, own = row.get(rule.name), row.get(f"{rule.name}_n")
        if value is not None:
            aside = "" if own in (None, row["n"]) else f" (n={own})"
            figures.append(f"{rule.called}={value:.4g}{aside}")
    return " ".join(figures) or "no metric"
