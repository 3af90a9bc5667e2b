"""Each hypothesis of PLAN.toml held against what was recorded: supported, refuted or undecided.

The difference between the two configurations is estimated on the items that both have. With several
hypotheses every interval is widened (Bonferroni), so that together they hold at 95%.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Literal

import numpy as np
from scipy.special import ndtri

from harness.project.declarations import Rule
from harness.project.hypotheses import Hypothesis, matches
from harness.read.results import Experiment, label
from harness.read.scores import Numbers, Scores
from harness.stats.decision import MIN_ITEMS, position_of
from harness.stats.intervals import Interval
from harness.stats.paired import paired_verdict
from harness.stats.significance import items_needed

Judgement = Literal["supported", "refuted", "undecided"]


@dataclass(frozen=True, slots=True)
class Judged:
    """A hypothesis and what came of it; `difference` is better - than, in units of the metric.

    `items` is how many both sides have (`difference.n` counts folds where there are some).
    `answerable` is False where the results could not have decided it: what it names did not run.
    """

    hypothesis: Hypothesis
    outcome: Judgement
    difference: Interval
    test: str
    reason: str
    items: int = 0
    answerable: bool = True


def judge(experiment: Experiment, scores: Scores) -> list[Judged]:
    """Judge the plan under which the experiment's first run was started.

    - supported: the whole interval lies beyond `smallest_difference` in the direction claimed;
    - refuted: the whole interval lies short of it, so any difference is too small to matter, or
      points the other way;
    - undecided: the interval holds both, or there are too few items to say.
    """
    hypotheses = experiment.plan.hypotheses
    confidence = 1 - 0.05 / max(1, len(hypotheses))
    return [_judge(each, experiment, scores, confidence) for each in hypotheses]


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
            a, b, scores.units, confidence=confidence, binary=rule.binary, bounds=rule.bounds
        )
        judged = _outcome(hypothesis, verdict.difference, verdict.test, verdict.n)
        if cached := not_timed(experiment, rule, [*sides["better"], *sides["than"]]):
            judged = replace(judged, reason=f"{judged.reason}; {cached}")
        if not scores.units.fitted and judged.answerable and judged.outcome == "undecided":
            return _with_items_needed(judged, float(np.nanstd(a - b, ddof=1)), confidence)
        return judged
    if metric in experiment.metrics:
        if lost := left_out_of(experiment, metric, [*sides["better"], *sides["than"]]):
            reason = f"{lost}, so it says nothing of them"
            return Judged(hypothesis, "undecided", nothing, "none", reason, answerable=False)
        if any(len(indices) > 1 for indices in sides.values()):
            note = "names several configurations of an aggregate"
            difference = Interval(None, None, None, 0, "none", note)
        else:
            better, than = (sides[side][0] for side in ("better", "than"))
            difference = apart(experiment, metric, better, than, confidence)
        return _outcome(hypothesis, difference, difference.method, difference.n)
    reason = f"no row of {experiment.name} has the metric {metric!r}"
    return Judged(hypothesis, "undecided", nothing, "none", reason, answerable=False)


def apart(
    experiment: Experiment, metric: str, first: int, second: int, confidence: float
) -> Interval:
    """Bounds of a difference of two aggregates (first - second), known by their own intervals only.

    Both intervals together can only be too wide for the difference, so a verdict on it is safe. At
    another confidence they are stretched as a normal interval would be.
    """
    a, b = (experiment.configurations[index].summary for index in (first, second))
    if any(row.get(f"{metric}{end}") is None for row in (a, b) for end in ("", "_low", "_high")):
        return Interval(None, None, None, 0, "none", "has no interval for each configuration")
    stretch = float(ndtri((1 + confidence) / 2) / ndtri(0.975))
    estimate = a[metric] - b[metric]
    low = a[f"{metric}_low"] - b[f"{metric}_high"]
    high = a[f"{metric}_high"] - b[f"{metric}_low"]
    return Interval(
        estimate,
        estimate - stretch * (estimate - low),
        estimate + stretch * (high - estimate),
        int(min(row.get(f"{metric}_n") or row["n"] for row in (a, b))),
        "both intervals apart",
    )


def _outcome(hypothesis: Hypothesis, difference: Interval, test: str, items: int) -> Judged:
    smallest = hypothesis.smallest_difference
    outcome: Judgement = "undecided"
    if difference.low is None or difference.high is None or difference.estimate is None:
        reason = difference.note or "no item has a value under both"
        return Judged(hypothesis, outcome, difference, test, reason, items, False)
    if not all(map(isfinite, (difference.low, difference.high, difference.estimate))):
        reason = "the difference is no finite number"
        return Judged(hypothesis, outcome, difference, test, reason, items, False)
    if items < MIN_ITEMS:
        reason = f"{items} shared items, at least {MIN_ITEMS} are needed"
        return Judged(hypothesis, outcome, difference, test, reason, items, False)
    up = hypothesis.direction == "higher"
    low, high = (difference.low, difference.high) if up else (-difference.high, -difference.low)
    position = position_of(low, high, smallest)
    if position == "above":
        outcome, reason = "supported", "the whole interval is a difference that matters"
    elif position in ("open", "not below"):
        reason = "the interval holds both a difference that matters and one that does not"
    else:
        outcome, reason = "refuted", "the interval holds no difference as large as claimed"
        if high < 0:
            reason = "the other one is better"
        elif position == "within":
            reason = "any difference is too small to matter"
    return Judged(hypothesis, outcome, difference, test, reason, items)


def _with_items_needed(judged: Judged, spread: float, confidence: float) -> Judged:
    """How many items would tell the difference seen from the smallest one that matters."""
    claimed = judged.hypothesis.smallest_difference
    limit = claimed if judged.hypothesis.direction == "higher" else -claimed
    apart = (judged.difference.estimate or 0.0) - limit
    needed = items_needed(apart, spread, confidence=confidence)
    if needed is None or needed <= judged.items:
        return judged
    return replace(judged, reason=f"{judged.reason}; about {needed:,} items would decide")
