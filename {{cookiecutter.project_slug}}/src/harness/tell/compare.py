"""Two experiments, or the configurations of one, held against each other on the items they share.

Every verdict is about B, seen from A, after Holm's correction over all comparisons of the call.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations

import numpy as np
from duckdb import DuckDBPyConnection
from numpy.typing import NDArray

from harness.console import CELL, progress
from harness.errors import HarnessError
from harness.measure.judge import apart, left_out_of, not_timed, pooled
from harness.project.declarations import Rule
from harness.project.scores import MEASURED
from harness.read.outputs import count_answers, read_outputs
from harness.read.results import Experiment, read_experiment
from harness.read.scores import Numbers, read_scores
from harness.stats.decision import MIN_ITEMS
from harness.stats.intervals import join_notes
from harness.stats.paired import (
    Units,
    Verdict,
    aggregate_verdict,
    correct_family,
    paired_verdict,
)
from harness.stats.pairwise import pairwise_p
from harness.tell.changes import changes
from harness.tell.section import number
from harness.tell.sides import Side, facing, selected

FLIPS = 20  # items shown for one comparison
PAIRS = 40  # comparisons shown, with the items that changed most; all count in the correction
MOST_PAIRS = 1_000  # of one experiment; of more, those with the best are compared
Facing = list[tuple[tuple[int, ...], tuple[int, ...]]]  # configurations on either side


@dataclass(frozen=True, slots=True)
class Pair:
    """One comparison. `verdict` is None where it is "not comparable", for the `reason` given.

    `failures` warns where leaving out failed datapoints reverses the ranking; `called` is what
    people read for the metric.
    """

    metric: str
    a: str
    b: str
    outcome: str
    reason: str = ""
    verdict: Verdict | None = None
    failures: str = ""
    flips: list[dict[str, str]] = field(default_factory=list)
    called: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `make compare` says. `changed` lists differences as (what, in A, in B), `data`
    is the data version of B. `best`: the configuration that all others are compared with, where
    there are too many pairs. `confidence`: of the intervals.
    """

    a: str
    b: str
    changed: list[tuple[str, str, str]]
    pairs: list[Pair]
    warnings: list[str]
    data: str = ""
    best: str = ""
    confidence: float = 0.95

    @property
    def exit_code(self) -> int:
        """1 where nothing could be compared or there is a warning, else 0 whatever the verdicts."""
        silent = all(pair.outcome == "not comparable" for pair in self.pairs)
        return int(silent or bool(self.warnings))

    def as_json(self) -> dict[str, object]:
        """Everything, as values for json.dumps."""
        return asdict(self) | {"changed": [list(each) for each in self.changed]}


def compare(
    con: DuckDBPyConnection,
    a: str,
    b: str = "",
    metric: str | None = None,
    force: bool = False,
    alone: bool = False,
    flips: bool = True,
) -> Comparison:
    """Compare B with A; each is a tag, or a tag and params: `e0.0.1:depth=8,model=forest`.

    Two tags: each configuration that both ran. Params: the configurations that they match (of
    several, each item's mean); `depth=None` matches those whose depth is None, and no others. One
    tag: every two of its configurations, or where these are more than MOST_PAIRS each one with the
    first by the ranking; naming two of one tag shows this pair alone. Both correct for all pairs
    that the tag makes. `metric` is a score, an aggregate, latency or cost; without one the
    plan's metrics are compared, or all scores where it has none. B's declarations say how scores
    count, and which way is better. `alone`: "equivalent" and "not worse" are of each pair by
    itself, for who asks for all of them to hold. `flips`: read the answers of the items that differ
    most.

    Raises HarnessError for an unknown tag, params or metric, and where the data differ (`force`
    compares the shared items all the same, with a warning).
    """
    name_a, wanted_a = selected(a)
    name_b, wanted_b = selected(b or a)
    first = read_experiment(con, name_a)
    second = first if name_b == name_a else read_experiment(con, name_b)
    warnings = _data_warnings(first, second, force)
    metrics = _metrics(first, second, metric)
    rules = {name: _rule(first, second, name) for name in metrics}
    warnings += _direction_warnings(first, second, metrics)
    of_items = [name for name in metrics if not rules[name].aggregate]
    by_repeat = first.grouped or second.grouped
    side_a = side_b = Side(first, read_scores(con, first, of_items, rules, by_repeat))
    if second is not first:
        side_b = Side(second, read_scores(con, second, of_items, rules, by_repeat))
    best = ""
    if second is not first or wanted_a or wanted_b:
        chosen = facing(first, second, wanted_a, wanted_b)
    else:
        chosen, best = _within(side_a)
        if not chosen:
            raise HarnessError(
                f"{name_a} has a single configuration, so there is nothing to compare",
                fix=f"make compare A={name_a} B=<another tag>",
            )
    shared = _Shared.of(side_a, side_b) if of_items else None
    others = _others(side_a, chosen, rules) if second is first else []
    family = len(metrics) * len(chosen) + len(others)
    matters = {name: _smallest(first, second, name) for name in metrics}
    asked = [(name, x, y) for name in metrics for x, y in chosen]
    pairs = [
        _pair(
            con if flips and place < PAIRS else None,
            rules[name],
            replace(side_a, chosen=x),
            replace(side_b, chosen=y),
            shared,
            matters[name],
            1 if alone else family,
        )
        for place, (name, x, y) in enumerate(progress(asked, "comparisons"))
    ]
    verdicts = [pair.verdict for pair in pairs if pair.verdict]
    confidence = _confidence(side_a, side_b)
    corrected = iter(correct_family(verdicts, confidence, others))
    for index, pair in enumerate(pairs):
        if pair.verdict:
            final = next(corrected)
            outcome = _outcome(rules[pair.metric], final)
            reason = join_notes(final.note, pair.reason)
            pairs[index] = replace(pair, verdict=final, outcome=outcome, reason=reason)
    warnings += [f"{pair.a} / {pair.b}: {pair.failures}" for pair in pairs if pair.failures]
    changed = changes(first, second)
    data = second.data_version
    return Comparison(a, b or a, changed, pairs, warnings, data, best, confidence)


def _confidence(a: Side, b: Side) -> float:
    """Of the intervals: more than 95% where a plan ended one of both at an early look."""
    return max(a.experiment.confidence, b.experiment.confidence)


def _within(side: Side) -> tuple[Facing, str]:
    """Every two configurations of one experiment; of too many each with the best, and its name."""
    from harness.tell.ranking import rank

    count = len(side.experiment.configurations)
    chosen: Facing
    if count * (count - 1) // 2 <= MOST_PAIRS:
        chosen = [((i,), (j,)) for i, j in combinations(range(count), 2)]
        return chosen, ""
    order = rank(side.experiment, side.scores).order
    best = order[0]
    chosen = [((best,), (index,)) for index in order[1:]]
    return chosen, side.experiment.configurations[best].label


def _others(
    side: Side,
    chosen: Facing,
    rules: Mapping[str, Rule],
) -> list[float | None]:
    """The p of the pairs of one experiment that were not asked for.

    Who asks for one pair has seen the figures of all, and has chosen it by them.
    """
    asked = {frozenset(i + j) for i, j in chosen}
    every = combinations(range(len(side.experiment.configurations)), 2)
    left = [pair for pair in every if frozenset(pair) not in asked]
    found: list[float | None] = []
    for rule in rules.values() if left else ():
        if rule.aggregate:
            one = side.experiment
            found += [apart(one, i, one, j, rule.name, 0.95)[1] for i, j in left]
            continue
        p = pairwise_p(side.scores.counted[rule.name], side.scores.units, rule.binary, rule.bounds)
        found += [None if np.isnan(p[pair]) else float(p[pair]) for pair in left]
    return found


def _rule(first: Experiment, second: Experiment, metric: str) -> Rule:
    """How a metric counts on both sides: as B declares it, or A where B does not."""
    theirs, ours = first.rule(metric), second.rule(metric)
    return theirs if theirs.declared and not ours.declared else ours


def _smallest(first: Experiment, second: Experiment, metric: str) -> float:
    """The smallest difference that matters: as B's plan has it, or A's where B's says nothing."""
    return second.plan.smallest_difference(metric) or first.plan.smallest_difference(metric)


_SAME = "every shared item has the same value on both sides"
_WITHOUT_DIRECTION = {"better": "higher", "worse": "lower", "not worse": "not lower"}


def _outcome(rule: Rule, verdict: Verdict) -> str:
    """The verdict on B; only higher or lower where nothing declares which way is better."""
    if rule.ranks:
        return verdict.verdict
    return _WITHOUT_DIRECTION.get(verdict.verdict, verdict.verdict)


def reversal(metric: str, wrong: float, left_out: float) -> str:
    """A warning where B - A changes its sign with the way failures are counted, or ''."""
    # A difference that is nothing but rounding has no sign.
    if not wrong * left_out < 0 or abs(left_out) <= 1e-9 * abs(wrong):
        return ""
    return (
        f"the ranking by {metric} is reversed: B - A is {number(wrong, 3)} with failures counted "
        f"wrong, {number(left_out, 3)} with failures left out"
    )


def _data_warnings(first: Experiment, second: Experiment, force: bool) -> list[str]:
    if first.data_version == second.data_version:
        return []
    versions = [each.data_version[:12] or "unknown" for each in (first, second)]
    message = f"{first.name} and {second.name} ran on different data ({' and '.join(versions)})"
    if not force:
        raise HarnessError(
            f"{message}, so a difference may come from the data alone",
            fix="compare experiments on the same data, or ask for it: make compare … FORCE=1",
        )
    return [f"{message}: items with the same id were compared, their content may differ"]


def _direction_warnings(first: Experiment, second: Experiment, metrics: list[str]) -> list[str]:
    ways = {name: (first.rule(name), second.rule(name)) for name in metrics}
    return [
        f"{second.name} declares {ours.better} {name} better, {first.name} has it the other way"
        for name, (theirs, ours) in ways.items()
        if theirs.ranks and ours.ranks and theirs.better != ours.better
    ]


def _metrics(first: Experiment, second: Experiment, metric: str | None) -> list[str]:
    scores = [each for each in first.scores if each in second.scores]
    aggregates = [each for each in first.metrics if each in second.metrics and each not in scores]
    known = scores + sorted(MEASURED & first.columns & second.columns - set(scores)) + aggregates
    if metric is not None and metric not in known:
        raise HarnessError(
            f"{metric!r} is no score or aggregate that {first.name} and {second.name} have",
            fix=f"name one of: {', '.join(known) or 'none was recorded'}",
        )
    planned = [each for each in _planned(second) if each in known]
    if chosen := [metric] if metric else planned or scores:
        return chosen
    raise HarnessError(f"{first.name} and {second.name} have no score in common", code=1)


def _planned(experiment: Experiment) -> list[str]:
    return list(dict.fromkeys(each.metric for each in experiment.plan.hypotheses))


@dataclass(frozen=True, slots=True)
class _Shared:
    """The rows that both sides have: where each has them, of which items, in which units."""

    at_a: NDArray[np.intp]
    at_b: NDArray[np.intp]
    items: NDArray[np.uint64]
    units: Units

    @classmethod
    def of(cls, a: Side, b: Side) -> "_Shared":
        _, at_a, at_b = np.intersect1d(a.scores.rows, b.scores.rows, return_indices=True)
        told = a.experiment.grouped or not b.experiment.grouped  # else only B says what is alike
        units = a.scores.units.at(at_a) if told else b.scores.units.at(at_b)
        return cls(at_a, at_b, a.scores.items[at_a], units)


def _pair(
    con: DuckDBPyConnection | None,
    rule: Rule,
    a: Side,
    b: Side,
    there: _Shared | None,
    smallest: float,
    family: int,
) -> Pair:
    """One comparison; the items that changed most are looked up where there is a `con`."""
    if rule.aggregate or there is None:
        return _aggregate_pair(rule, a, b, smallest, family)
    tagged, metric = a.experiment is not b.experiment, rule.name
    x = pooled(a.scores.counted[metric][there.at_a], list(a.chosen))
    y = pooled(b.scores.counted[metric][there.at_b], list(b.chosen))
    pair = Pair(
        metric,
        a.label(tagged),
        b.label(tagged),
        "not comparable",
        _cached(rule, a, b),
        called=rule.called,
    )
    shared = len(np.unique(there.items[np.isfinite(x - y)]))
    if shared < MIN_ITEMS:
        reason = f"{shared} shared items with a value, at least {MIN_ITEMS} are needed"
        return replace(pair, reason=join_notes(reason, pair.reason))
    both = np.isfinite(x) & np.isfinite(y)
    if np.array_equal(x[both], y[both]):
        pair = replace(pair, reason=join_notes(_SAME, pair.reason))
    left_out = [pooled(side.scores.left_out[metric], list(side.chosen)) for side in (a, b)]
    if not all(np.isfinite(each).any() for each in left_out):
        return replace(pair, reason="every datapoint of a side failed")
    wrong = [pooled(side.scores.worst[metric], list(side.chosen)) for side in (a, b)]
    gaps = [float(np.nanmean(after) - np.nanmean(before)) for before, after in (wrong, left_out)]
    verdict = paired_verdict(
        y,
        x,
        there.units,
        higher_is_better=not rule.lower,
        binary=rule.binary,
        bounds=rule.bounds,
        smallest_difference=smallest,
        confidence=_confidence(a, b),
        family=family,
    )
    return replace(
        pair,
        outcome="undecided",
        verdict=verdict,
        failures=reversal(rule.called, *gaps),
        flips=[] if con is None else _flips(con, a, b, there.items, y - x),
    )


def _aggregate_pair(rule: Rule, a: Side, b: Side, smallest: float, family: int) -> Pair:
    """The comparison of an aggregate, over the same draws of the same items."""
    tagged, metric = a.experiment is not b.experiment, rule.name
    pair = Pair(metric, a.label(tagged), b.label(tagged), "not comparable", called=rule.called)
    if len(a.chosen) > 1 or len(b.chosen) > 1:
        return replace(pair, reason="an aggregate is of one configuration, a side has several")
    for side in (a, b):
        if lost := left_out_of(side.experiment, metric, side.chosen):
            return replace(pair, reason=f"{lost}, so it says nothing of them")
    [i], [j] = a.chosen, b.chosen
    there = [e.resamples.get(metric, {}).get(k) for e, k in ((a.experiment, i), (b.experiment, j))]
    if there[0] is None or there[1] is None:
        again = f"make rescore TAG={(a if there[0] is None else b).experiment.name}"
        return replace(pair, reason=f"its draws are not recorded; {again} records them")
    if there[0].items != there[1].items:
        return replace(pair, reason="the two are not of the same items")
    if there[0].units < MIN_ITEMS:
        reason = f"{there[0].units} shared items with a value, at least {MIN_ITEMS} are needed"
        return replace(pair, reason=reason)
    verdict = aggregate_verdict(
        there[1],
        there[0],
        smallest_difference=smallest,
        higher_is_better=not rule.lower,
        confidence=_confidence(a, b),
        family=family,
    )
    return replace(pair, outcome="undecided", verdict=verdict)


def _cached(rule: Rule, a: Side, b: Side) -> str:
    """What a time leaves out on either side, as words."""
    said = [
        (side.experiment.name, not_timed(side.experiment, rule, side.chosen)) for side in (a, b)
    ]
    return "; ".join(f"{name}: {words}" for name, words in said if words)


def _flips(
    con: DuckDBPyConnection, a: Side, b: Side, items: NDArray[np.uint64], change: Numbers
) -> list[dict[str, str]]:
    """The items whose score differs most in the mean of their repeats, and what was answered.

    Of several answers to an item, the most frequent are shown with their number, and none raw.
    """
    each, gap = _by_item(items, change)
    size = np.abs(gap)
    order = [int(i) for i in np.argsort(-size, kind="stable")[:FLIPS] if size[i] > 0]
    chosen = [int(each[i]) for i in order]
    single = [len(side.chosen) == 1 and not side.experiment.repeated for side in (a, b)]
    said = [_said(con, side, chosen, one) for side, one in zip((a, b), single, strict=True)]
    flips = []
    for index, item in zip(order, chosen, strict=True):
        both = [side.get(item, {}) for side in said]
        flip = {
            "item": both[0].get("item", ""),
            "B - A": number(gap[index], 3),
            "expected": both[0].get("ground_truth", ""),
        }
        for heading, name in (("answered", "prediction"), ("raw", "raw_response")):
            for letter, one, side in zip("AB", single, both, strict=True):
                if one or name == "prediction":
                    flip[f"{letter} {heading}"] = side.get(name, "")
        flips.append(flip)
    return flips


def _by_item(
    items: NDArray[np.uint64], change: Numbers
) -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
    """Each item once, in their order, with its mean change over repeats; 0 where none is known."""
    _, first, which = np.unique(items, return_index=True, return_inverse=True)
    known = np.isfinite(change)
    sums = np.bincount(which, np.where(known, change, 0.0))
    gap = sums / np.maximum(np.bincount(which, known), 1)
    order = np.argsort(first)
    return items[first[order]], gap[order]


def _said(
    con: DuckDBPyConnection, side: Side, items: list[int], single: bool
) -> dict[int, dict[str, str]]:
    """What a side answered to each of `items`: once, if `single`."""
    said = read_outputs(con, side.experiment, side.chosen[0], items, CELL)
    if single:
        return said
    answers = count_answers(con, side.experiment, side.chosen, items, CELL)
    return {item: found | {"prediction": answers.get(item, "")} for item, found in said.items()}
