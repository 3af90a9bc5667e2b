"""In which order configurations stand, and whether the first can be told from the others.

The order is by the plan's first metric, else by the first entry of SCORES that says which way is
better. Where neither says it there is none, and the order is that of the grid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite

import numpy as np

from harness.console import brief
from harness.measure.judge import apart, left_out_of
from harness.project.declarations import Rule, in_order_of_rank
from harness.project.scores import MEASURED
from harness.project.values import Row
from harness.read.results import Experiment, RecordedConfiguration
from harness.read.scores import Scores
from harness.stats.decision import MIN_ITEMS, position_of
from harness.stats.intervals import Interval
from harness.stats.paired import Verdict, correct_family, paired_verdict
from harness.tell.section import interval


@dataclass(frozen=True, slots=True)
class Ranking:
    """`order`: indices of the configurations, best first by `rule`, whose figures are `values`.

    Without a `rule` the order is the grid's, and `reason` says why. `alike`: those that cannot be
    told from the first, by paired comparisons under Holm's correction. `behind`: each other one's
    difference to the first (it - the first), by its index.
    """

    order: list[int]
    rule: Rule | None = None
    values: Sequence[float | None] = ()
    alike: frozenset[int] = frozenset()
    reason: str = ""
    behind: Mapping[int, Interval] = field(default_factory=dict)

    @property
    def leads(self) -> bool:
        """Whether the first one is ahead of every other."""
        return self.rule is not None and not self.alike and len(self.order) > 1

    def place(self, index: int) -> str:
        """`3`, or `3 (=1)` for one that cannot be told from the first; `–` where none is ranked."""
        if self.rule is None or self.values[index] is None:
            return "–"
        place = str(self.order.index(index) + 1)
        return f"{place} (=1)" if index in self.alike else place

    def short_words(self) -> str:
        """`8 configurations, 3 cannot be told from the first by accuracy`."""
        count = f"{len(self.order)} configurations"
        if self.rule is None:
            return f"{count}, not ranked"
        return f"{count}, {len(self.alike)} cannot be told from the first by {self.rule.called}"

    def words(self, experiment: Experiment) -> str:
        """What is to be said of the order, in one sentence without its full stop."""
        if len(self.order) < 2:
            return ""
        if self.rule is None:
            return f"{self.short_words()}: {self.reason}"
        first = experiment.configurations[self.order[0]]
        figure = f"{_figure(self.rule, first, self.values[self.order[0]])}, {first.label}"
        if self.leads:
            return f"{'Lowest' if self.rule.lower else 'Highest'} {self.rule.called}: {figure}"
        return f"{self.short_words()}: {figure}"


def rank(experiment: Experiment, scores: Scores) -> Ranking:
    """Order the configurations of an experiment, which stand in the order of the grid."""
    grid = list(range(len(experiment.configurations)))
    able = in_order_of_rank(_rules(experiment))
    if not able:
        return Ranking(grid, reason=_why_none(experiment))
    rule = able[0]
    if reason := _not_ranked_on(experiment, rule):
        return Ranking(grid, reason=reason)
    values = [_value(experiment, scores, rule, index) for index in grid]
    known = [index for index in grid if values[index] is not None]
    if not known:
        return Ranking(grid, reason=f"no configuration has a value of {rule.called}")
    sign = 1 if rule.lower else -1
    order = sorted(known, key=lambda index: sign * (values[index] or 0.0))
    unknown = [index for index in grid if index not in known]
    # Who has no value is not behind: nothing is known of it.
    gaps, like = _against_the_first(experiment, scores, rule, order)
    alike = like | set(unknown)
    behind = {other: _turned(gap) for other, gap in gaps.items()}
    return Ranking(order + unknown, rule, values, alike, behind=behind)


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


def _against_the_first(
    experiment: Experiment, scores: Scores, rule: Rule, order: Sequence[int]
) -> tuple[dict[int, Interval], frozenset[int]]:
    """How far the first is from each other, and those that cannot be told from it, which by chance
    alone may be the better ones."""
    first, others = order[0], order[1:]
    if rule.name in scores.counted:
        verdicts = [_versus(scores, rule, first, other) for other in others]
        gaps = [verdict.difference for verdict in verdicts]
        ahead = [verdict.verdict == "better" for verdict in correct_family(verdicts)]
    else:
        # Of an aggregate only its own interval is known.
        confidence = 1 - 0.05 / max(1, len(others))
        gaps = [apart(experiment, rule.name, first, other, confidence) for other in others]
        wanted = "below" if rule.lower else "above"
        ahead = [position_of(gap.low, gap.high) == wanted for gap in gaps]
    alike = frozenset(other for other, led in zip(others, ahead, strict=True) if not led)
    return dict(zip(others, gaps, strict=True)), alike


def _turned(gap: Interval) -> Interval:
    """The same difference seen from the other side."""
    estimate, low, high = (
        None if each is None else 0.0 - each for each in (gap.estimate, gap.high, gap.low)
    )
    return replace(gap, estimate=estimate, low=low, high=high)


def _versus(scores: Scores, rule: Rule, first: int, other: int) -> Verdict:
    values = scores.counted[rule.name]
    verdict = paired_verdict(
        values[:, first],
        values[:, other],
        scores.units,
        higher_is_better=not rule.lower,
        binary=rule.binary,
        bounds=rule.bounds,
    )
    return verdict if verdict.n >= MIN_ITEMS else replace(verdict, verdict="undecided")


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
