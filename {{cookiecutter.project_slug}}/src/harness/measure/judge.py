"""Each hypothesis of PLAN.toml held against what was recorded: supported, refuted or undecided.

The difference between the two configurations is estimated on the items that both have. With several
hypotheses every interval is widened (Bonferroni), so that together they hold at 95%.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite

import numpy as np

from harness.project.declarations import Rule
from harness.project.hypotheses import Hypothesis, matches
from harness.project.scores import LARGEST
from harness.read.results import Experiment, label
from harness.read.scores import Numbers, Scores
from harness.stats.decision import (
    MIN_ITEMS,
    Outcome,
    Position,
    mirrored,
    outcome_of,
    position_of,
)
from harness.stats.distributions import normal_quantile
from harness.stats.intervals import Interval
from harness.stats.missing import gap_bounds
from harness.stats.paired import paired_verdict
from harness.stats.power import POWER, POWER_OF_BOTH_ENDS
from harness.stats.resampling import interval_of_difference


@dataclass(frozen=True, slots=True)
class Judged:
    """A hypothesis and what came of it; `difference` is better - than, in units of the metric.

    `items` is how many both sides have (`difference.n` counts folds where there are some), or how
    many clusters of them where `unit` says so.
    `exploratory` says why it is no prediction: its result could be seen before it was written.
    `look`: at which look of the plan; 0 where it has none. `answerable` is False where the results
    could not have decided it: what it names did not run.
    """

    hypothesis: Hypothesis
    outcome: Outcome
    difference: Interval
    test: str
    reason: str
    items: int = 0
    answerable: bool = True
    exploratory: str = ""
    look: int = 0
    unit: str = "items"

    @property
    def verdict(self) -> str:
        """The outcome as a tag has it: `supported`, or `supported (exploratory)`."""
        return f"{self.outcome} (exploratory)" if self.exploratory else self.outcome


def judge(experiment: Experiment, scores: Scores, looks: int | None = None) -> list[Judged]:
    """Judge the plan under which the experiment's first run was started.

    Supported and refuted are what `stats.decision.outcome_of` says of the interval. Undecided: the
    interval holds both, or there are too few items to say. Where the plan has looks, each of those
    that were taken (or the first `looks`) is held against what was known then, by an interval that
    is wide enough for all of them; the first one that decides stands.
    """
    plan = experiment.plan
    taken = len(experiment.looked) if looks is None else looks
    if plan.looks is None or not taken:
        return [_judge(each, experiment, scores, plan.confidence) for each in plan.hypotheses]
    count = len(plan.looks.shares)
    found: dict[str, Judged] = {}
    for look, confidence in enumerate(
        plan.looks.confidences(len(plan.hypotheses))[:taken], start=1
    ):
        known = scores.upto(look)
        for each in plan.hypotheses:
            if each.id not in found or found[each.id].outcome == "undecided":
                said = _judge(each, experiment, known, confidence)
                found[each.id] = replace(said, look=look, reason=_at(said, look, count))
    return [found[each.id] for each in plan.hypotheses]


def _at(judged: Judged, look: int, count: int) -> str:
    how = "not decided" if judged.outcome == "undecided" else "decided"
    return f"{judged.reason}; {how} at look {look} of {count}"


def columns_of(experiment: Experiment, wanted: dict[str, object]) -> list[int]:
    """Indices of the configurations that `wanted` matches; a seed in it is not looked at."""
    wanted = {name: value for name, value in wanted.items() if name not in experiment.seeds}
    found = enumerate(experiment.configurations)
    return [index for index, each in found if matches(each.params, wanted)]


def pooled(values: Numbers, chosen: list[int]) -> Numbers:
    """Per item the mean over the chosen configurations; NaN where one of them has no value."""
    return np.asarray(values[:, chosen].mean(axis=1))


def not_timed(experiment: Experiment, rule: Rule, chosen: Sequence[int]) -> str:
    """What is to be said of cached rows where a score is a time; "" where there is nothing."""
    if not rule.fresh:
        return ""
    cached = sum(experiment.configurations[i].summary.get("cached") or 0 for i in chosen)
    if not cached:
        return ""
    rows = f"{cached:,} cached row{'s' if cached > 1 else ''}"
    return f"{rows} left out: another run's {rule.name}"


def left_out_of(experiment: Experiment, metric: str, chosen: Sequence[int]) -> str:
    """What is to be said of failed datapoints that an aggregate does not see; "" where it does."""
    rule = experiment.rule(metric)
    if not rule.aggregate or rule.given:
        return ""
    failed = sum(experiment.configurations[i].summary.get("failed") or 0 for i in chosen)
    if not failed:
        return ""
    return (
        f"{rule.called} leaves out {failed:,} failed datapoint{'s' if failed > 1 else ''} "
        '(failure="given" in SCORES hands them over)'
    )


def _judge(
    hypothesis: Hypothesis, experiment: Experiment, scores: Scores, confidence: float
) -> Judged:
    nothing = Interval(None, None, None, 0, "none")
    sides = {}
    for side in ("better", "than"):
        wanted = getattr(hypothesis, side)
        sides[side] = columns_of(experiment, wanted)
        if not sides[side]:
            reason = f"{label(wanted)} ({side}) did not run in {experiment.name}"
            return Judged(hypothesis, "undecided", nothing, "none", reason, answerable=False)
    metric = hypothesis.metric
    if metric in scores.counted:
        values = scores.counted[metric]
        a, b = (pooled(values, sides[side]) for side in ("better", "than"))
        rule = experiment.rule(metric)
        verdict = paired_verdict(
            a,
            b,
            scores.units,
            confidence=confidence,
            binary=rule.binary,
            bounds=rule.bounds,
            smallest_difference=hypothesis.smallest_difference,
            power=power_of(hypothesis),
        )
        judged = _outcome(
            hypothesis, verdict.difference, verdict.test, verdict.n, scores.units.called
        )
        if cached := not_timed(experiment, rule, [*sides["better"], *sides["than"]]):
            judged = replace(judged, reason=f"{judged.reason}; {cached}")
        if judged.outcome == "undecided":
            more = verdict.would_decide if judged.answerable else ""
            return replace(judged, reason=f"{judged.reason}; {more}") if more else judged
        both = scores.ran[:, sides["better"] + sides["than"]].all(axis=1)
        return _unless_reversed(judged, rule, a[both], b[both])
    if metric in experiment.metrics:
        if lost := left_out_of(experiment, metric, [*sides["better"], *sides["than"]]):
            reason = f"{lost}, so it says nothing of them"
            return Judged(hypothesis, "undecided", nothing, "none", reason, answerable=False)
        if any(len(indices) > 1 for indices in sides.values()):
            note = "names several configurations of an aggregate"
            difference = Interval(None, None, None, 0, "none", note)
        else:
            better, than = (sides[side][0] for side in ("better", "than"))
            difference, _ = apart(experiment, better, experiment, than, metric, confidence)
        return _outcome(hypothesis, difference, difference.method, difference.n)
    reason = f"no row of {experiment.name} has the metric {metric!r}"
    return Judged(hypothesis, "undecided", nothing, "none", reason, answerable=False)


def apart(
    a: Experiment, first: int, b: Experiment, second: int, metric: str, confidence: float
) -> tuple[Interval, float | None]:
    """The difference of two aggregates (a's configuration `first` - b's `second`), and a p.

    Paired, where both were computed on the same draws of the same items. Else only their own
    intervals are known: both together can only be too wide for the difference, so a verdict on it
    is safe, and there is no p. At another confidence they are stretched as a normal interval.
    """
    one, other = (e.resamples.get(metric, {}).get(i) for e, i in ((a, first), (b, second)))
    if one is not None and other is not None and one.items == other.items:
        return interval_of_difference(one, other, confidence)
    return _both_intervals(a, first, b, second, metric, confidence), None


def _both_intervals(
    a: Experiment, first: int, b: Experiment, second: int, metric: str, confidence: float
) -> Interval:
    x, y = a.configurations[first].summary, b.configurations[second].summary
    if any(row.get(f"{metric}{end}") is None for row in (x, y) for end in ("", "_low", "_high")):
        return Interval(None, None, None, 0, "none", "has no interval for each configuration")
    stretch = normal_quantile((1 + confidence) / 2) / normal_quantile(0.975)
    estimate = x[metric] - y[metric]
    low = x[f"{metric}_low"] - y[f"{metric}_high"]
    high = x[f"{metric}_high"] - y[f"{metric}_low"]
    return Interval(
        estimate,
        estimate - stretch * (estimate - low),
        estimate + stretch * (high - estimate),
        int(min(row.get(f"{metric}_n") or row["n"] for row in (x, y))),
        "both intervals apart",
    )


def _outcome(
    hypothesis: Hypothesis, difference: Interval, test: str, items: int, unit: str = "items"
) -> Judged:
    outcome: Outcome = "undecided"
    if difference.low is None or difference.high is None or difference.estimate is None:
        reason = difference.note or "no item has a value under both"
        return Judged(hypothesis, outcome, difference, test, reason, items, False, unit=unit)
    if not all(map(isfinite, (difference.low, difference.high, difference.estimate))):
        reason = "the difference is no finite number"
        return Judged(hypothesis, outcome, difference, test, reason, items, False, unit=unit)
    if items < MIN_ITEMS:
        reason = f"{items} shared {unit}, at least {MIN_ITEMS} are needed"
        return Judged(hypothesis, outcome, difference, test, reason, items, False, unit=unit)
    position = position_of(difference.low, difference.high, hypothesis.smallest_difference)
    if hypothesis.lower:
        position = mirrored(position)
    outcome = outcome_of(hypothesis.kind, position)
    high = -difference.low if hypothesis.lower else difference.high
    reason = _because(hypothesis, outcome, position, ahead=high >= 0)
    if difference.low == difference.high:
        reason += f"; all {items:,} {unit} differ alike, which says little of others"
    return Judged(hypothesis, outcome, difference, test, reason, items, unit=unit)


def _because(hypothesis: Hypothesis, outcome: Outcome, position: Position, ahead: bool) -> str:
    """The reason in words; `ahead`: some of the interval is on the side that is claimed."""
    matters = (
        "a loss that matters" if hypothesis.kind == "not_worse" else "a difference that matters"
    )
    if outcome == "undecided":
        return f"the interval holds both {matters} and one that does not"
    if hypothesis.kind == "superior" and outcome == "refuted":
        if not ahead:
            return "the other one is better"
        if position == "within":
            return "any difference is too small to matter"
        return "the interval holds no difference as large as claimed"
    if hypothesis.kind != "superior" and outcome == "supported":
        return f"the interval holds no {matters.removeprefix('a ')}"
    return f"the whole interval is {matters}"


def _unless_reversed(judged: Judged, rule: Rule, a: Numbers, b: Numbers) -> Judged:
    """Undecided, where values that are left out could make the outcome another one."""
    if rule.fresh or np.isfinite(a - b).all():
        return judged
    said = judged.hypothesis
    for end in gap_bounds(a, b, rule.low, rule.high):
        position = position_of(*_point(end), said.smallest_difference)
        if outcome_of(said.kind, mirrored(position) if said.lower else position) != judged.outcome:
            missing = int(a.size - np.isfinite(a - b).sum())
            reason = (
                f"{missing:,} items are left out, and whatever they had scored could reverse it"
            )
            return replace(judged, outcome="undecided", reason=f"{judged.reason}; {reason}")
    return judged


def _point(value: float) -> tuple[float, float]:
    # An infinite bound is no bound: as far out as a number that counts can be.
    finite = max(-LARGEST, min(LARGEST, value))
    return finite, finite


def power_of(hypothesis: Hypothesis) -> float:
    """How surely each end of the interval must lie where it has to, so that it decides in 80%."""
    return POWER_OF_BOTH_ENDS if hypothesis.kind == "equivalent" else POWER
