"""What an experiment found, as sections: Markdown by `make summary`, HTML by `make report`."""

import importlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import get_args

import numpy as np
from duckdb import DuckDBPyConnection

from harness.errors import HarnessError, in_words
from harness.measure.judge import Judged, judge
from harness.measure.over_seeds import with_bounds_over_seeds
from harness.project.declarations import Rule, uncounted_words
from harness.project.holdout import OPENED
from harness.project.interim import ended_words
from harness.project.kind import PLAIN, Kind, resolve
from harness.read.looks import Looks, read_looks
from harness.read.results import Experiment, doubt_words, planned_metrics, read_experiment
from harness.read.scores import Scores, read_scores
from harness.record.layout import DEV, UNFINISHED
from harness.seal import identity, modified_words
from harness.stats.decision import MIN_ITEMS, Outcome
from harness.stats.missing import mean_bounds
from harness.tell.compare import reversal
from harness.tell.judge_section import judge_sections
from harness.tell.method import method_section
from harness.tell.ranking import Ranking, rank
from harness.tell.result_sections import (
    counting_section,
    errors_section,
    hypotheses_section,
    looks_words,
    provenance_section,
    results_section,
    times_section,
)
from harness.tell.section import Section, number
from harness.tell.segments import segment_sections
from harness.version.looks_log import comparisons_on

_OWN = "benchmark.report:sections"


@dataclass(frozen=True, slots=True)
class Summary:
    """An experiment read and judged. `findings` are what keeps its numbers from being believed."""

    experiment: Experiment
    scores: Scores
    judged: list[Judged]
    sections: list[Section]
    findings: list[str]
    ranking: Ranking
    looks: Looks

    @property
    def leader(self) -> str | None:
        """The `params_key` of the configuration that is ahead of all others; None: none is."""
        if not self.ranking.leads:
            return None
        first = self.experiment.configurations[self.ranking.order[0]]
        return first.summary.get("params_key")

    @property
    def exit_code(self) -> int:
        """1 where there are findings."""
        return int(bool(self.findings))


def summarise_experiment(
    con: DuckDBPyConnection, name: str, kind: Kind = PLAIN, root: Path | None = None
) -> Summary:
    """Read and judge an experiment; `kind` may add sections (see `section`).

    `root`: the clone whose comparisons count as looks. Raises HarnessError where there is none of
    that name.
    """
    experiment = read_experiment(con, name)
    scores = read_scores(con, experiment, planned_metrics(experiment))
    experiment = with_bounds_over_seeds(experiment, scores)
    looks = read_looks(con, experiment)
    judged = [
        replace(each, exploratory=looks.exploratory(each.hypothesis))
        for each in judge(experiment, scores)
    ]
    findings = list(_findings(experiment, scores, judged))
    ranking = rank(experiment, scores, kind.unranked)
    found = Summary(experiment, scores, judged, [], findings, ranking, looks)
    compared = comparisons_on(root, experiment.data_version) if root else 0
    found.sections.extend(_opening(found, kind, looks_words(looks, compared)))
    found.sections.extend(_figures(con, found, kind))
    found.sections.extend(_closing(con, found))
    return found


def _opening(found: Summary, kind: Kind, looks: str) -> Iterator[Section]:
    """What came out, what to be careful about, and what was asked."""
    experiment, scores, judged = found.experiment, found.scores, found.judged
    yield Section("At a glance", list(_at_a_glance(experiment, scores, judged, found.ranking)))
    if warnings := [*found.findings, *_warnings(experiment, scores, kind)]:
        yield Section("Read this first", warnings, warning=True)
    if experiment.plan.questions:
        yield Section("Questions", experiment.plan.questions)
    yield method_section(experiment, scores, found.ranking, judged)
    if judged:
        yield hypotheses_section(experiment, judged, looks)


def _figures(con: DuckDBPyConnection, found: Summary, kind: Kind) -> Iterator[Section]:
    """Each configuration in numbers, as a whole and by segments."""
    experiment, order = found.experiment, found.ranking.order
    yield results_section(experiment, found.scores, found.ranking)
    yield from judge_sections(con, experiment, order)
    yield times_section(experiment, order, kind.times)
    yield from segment_sections(con, experiment, order)
    yield from _added(con, experiment.name, kind)


def _closing(con: DuckDBPyConnection, found: Summary) -> Iterator[Section]:
    """How scores count, what failed, and what made all of it."""
    if found.experiment.rules:
        yield counting_section(found.experiment)
    yield errors_section(con, found.experiment)
    yield provenance_section(found.experiment)


def _findings(experiment: Experiment, scores: Scores, judged: list[Judged]) -> Iterator[str]:
    if not experiment.measured:
        name = experiment.name
        again = "make dev-run" if name == DEV else f"make experiment TAG={name}"
        yield f"There are no figures yet, as scores are computed once all has run: {again} goes on."
    elif not experiment.metrics:
        yield "There are no metrics: score() returned no number."
    if experiment.plan_problem:
        yield f"No hypothesis could be judged: {experiment.plan_problem}."
    if scores.n_items < MIN_ITEMS:
        yield f"Only {scores.n_items} items: at least {MIN_ITEMS} are needed for any verdict."
    for name in dict.fromkeys(each.name for each in experiment.uncounted):
        yield f"{uncounted_words(name, experiment.uncounted)}."
    if any(each.summary.get("score_version") == UNFINISHED for each in experiment.configurations):
        again = f"make rescore TAG={experiment.name}"
        yield f"Only some of its scores are computed again: {again} finishes that."
    for each in experiment.configurations:
        n, failed = each.summary.get("n"), each.summary.get("failed")
        if n and n == failed:
            yield f"{each.label}: all {n:,} datapoints failed."
    for verdict in judged:
        if not verdict.answerable:
            yield f"Hypothesis {verdict.hypothesis.id} cannot be judged: {verdict.reason}."


def _how_far(experiment: Experiment) -> str:
    planned = experiment.runs[-1].get("planned") if experiment.runs else None
    far = f"{experiment.recorded:,}" + (f" of {planned:,}" if planned else "")
    return f"Not finished: {far} datapoints are recorded."


def _warnings(experiment: Experiment, scores: Scores, kind: Kind) -> Iterator[str]:
    runs = experiment.runs
    yield from doubt_words([each.summary for each in experiment.configurations], kind.doubts)
    overridden = {gate for run in runs for gate, how in run["gates"].items() if how == "overridden"}
    if overridden:
        yield f"Gates overridden: {', '.join(sorted(overridden))}."
    yield from _imported(experiment)
    yield from _modified_harness(experiment)
    if any(run.get("dirty") for run in runs):
        yield "Some of it ran on code that was not committed."
    for what, key in (("code", "code_key"), ("data", "data_version"), ("plan", "plan")):
        if len({run.get(key) for run in runs}) > 1:
            first = "; the first run's is judged" if key == "plan" else ""
            yield f"The {what} changed between its runs{first}."
    if runs and runs[-1].get("ended_how") != "finished":
        yield f"Its last run did not finish ({runs[-1].get('ended_how') or 'it was killed'})."
    count = len(experiment.configurations)
    if count == 1:
        yield "A single configuration ran, so nothing here says whether another would do better."
    for metric in experiment.metrics:
        if metric in scores.counted:
            yield from _reversals(experiment, scores, metric)
            yield from _left_out(experiment, scores, metric)


def _imported(experiment: Experiment) -> Iterator[str]:
    """Which tool ran it, where that was another one."""
    for said in {run["imported"] for run in experiment.runs if run.get("imported")}:
        about = json.loads(said)
        files = ", ".join(about["files"])
        tool = f"{about['tool']} {about['version']}".strip()
        yield f"Imported: {tool} ran it ({files}); its scores are those of that tool."


def _modified_harness(experiment: Experiment) -> Iterator[str]:
    """What ran, and what reads it now, where that is not what the harness's version names."""
    # Rows of the dev phase are of its last run alone.
    counted = experiment.runs[-1:] if experiment.name == DEV else experiment.runs
    edited = {name for run in counted for name in run["harness_edited"]}
    if edited:
        yield f"Recorded by a {modified_words(sorted(edited))}."
    if now := modified_words(identity().edited):
        yield f"Read by a {now}."


def _reversals(experiment: Experiment, scores: Scores, metric: str) -> Iterator[str]:
    """Pairs of configurations that change places with the way failures are counted."""
    known = np.flatnonzero(np.isfinite(scores.left_out[metric]).any(axis=0))
    wrong, left_out = (
        {int(i): float(np.nanmean(values[metric][:, i])) for i in known}
        for values in (scores.worst, scores.left_out)
    )
    names = [each.label for each in experiment.configurations]
    called = experiment.rule(metric).called
    found = [
        f"A = {names[i]}, B = {names[j]}: {text}."
        for i in wrong
        for j in wrong
        if i < j and (text := reversal(called, wrong[j] - wrong[i], left_out[j] - left_out[i]))
    ]
    yield from found[:5]
    if len(found) > 5:
        yield f"The same holds for {len(found) - 5} more pairs by {called}."


def _left_out(experiment: Experiment, scores: Scores, metric: str) -> Iterator[str]:
    """What the mean could be, whatever the datapoints that are left out had scored."""
    rule = experiment.rule(metric)
    if rule.fresh:
        return
    for index, each in enumerate(experiment.configurations):
        values = scores.counted[metric][scores.ran[:, index], index]
        missing = int(np.isnan(values).sum())
        if not missing or missing == values.size:
            continue
        limits = _limits(*mean_bounds(values, rule.low, rule.high))
        yield (
            f"{each.label}: {rule.called} leaves out {missing:,} of {values.size:,} items; "
            f"{limits}."
        )


def _limits(low: float, high: float) -> str:
    if isfinite(low) and isfinite(high):
        within = f"lies between {number(low)} and {number(high)}"
    elif isfinite(low):
        within = f"is at least {number(low)}"
    elif isfinite(high):
        within = f"is at most {number(high)}"
    else:
        return "as it has no declared bounds, they could have given it any mean"
    return f"whatever they had scored, its mean {within}"


def _at_a_glance(
    experiment: Experiment, scores: Scores, judged: list[Judged], ranking: Ranking
) -> Iterator[str]:
    if not experiment.measured:
        yield _how_far(experiment)
        return
    outcomes = [each.outcome for each in judged if not each.exploratory]
    counts = [f"{outcomes.count(each)} {each}" for each in get_args(Outcome)]
    counts.append(f"{len(judged) - len(outcomes)} exploratory")
    if judged:
        yield f"Hypotheses: {', '.join(each for each in counts if each[0] != '0')}."
    if words := ranking.words(experiment):
        yield f"{words}."
    total = {
        key: sum(each.summary.get(key) or 0 for each in experiment.configurations)
        for key in ("n", "executed", "cached", "failed")
    }
    versions = {each.summary.get("score_version") for each in experiment.configurations}
    versions -= {None, UNFINISHED}
    rescored = (
        f" Scored again after the run, by {', '.join(sorted(map(str, versions)))}."
        if versions
        else ""
    )
    if experiment.ended_by_plan:
        yield f"{ended_words(experiment.looked[-1], experiment.ended_by_plan)}."
    if experiment.runs and experiment.runs[-1].get("holdout") == OPENED:
        yield "On the holdout, opened once under this plan."
    failures = _failures_words(experiment, ranking.rule) if total["failed"] else ""
    count = len(experiment.configurations)
    yield (
        f"{scores.n_items:,} items, {count} configuration{'s' if count != 1 else ''}, "
        f"{total['n']:,} datapoints: {total['executed']:,} executed, {total['cached']:,} from the "
        f"cache, {total['failed']:,} failed.{failures} Intervals in brackets are 95%. "
        f"Data {experiment.data_version[:12] or 'of unknown version'}.{rescored}"
    )


def _failures_words(experiment: Experiment, rule: Rule | None) -> str:
    """How the failed ones count in what the ranks are by; all of it stands further on."""
    if rule is None:
        return " How they count is said below."
    if rule.aggregate:
        return f" {rule.called} sees them too." if rule.given else ""
    if rule.failure is None:
        return f" They are left out of {rule.called}."
    return f" They count as {number(rule.failure)} in {rule.called}."


def _added(con: DuckDBPyConnection, name: str, kind: Kind) -> list[Section]:
    """Sections of the person's `benchmark.report`, where there is one, and of the kind."""
    made: list[Section] = []
    for reference in dict.fromkeys((_OWN, *kind.sections)):
        try:
            function = resolve(reference) if reference in kind.sections else _own_function()
            made += function(con, name) if function else []
        except Exception as error:
            # A mistake in an extra section must not cost the person the report.
            said = error.message if isinstance(error, HarnessError) else in_words(error)
            text = f"{reference} failed: {said}"
            made.append(Section(f"Sections of {reference}", [text], warning=True))
    return made


def _own_function() -> Callable[..., list[Section]] | None:
    # find_spec imports the package, and raises where there is none.
    if not (find_spec("benchmark") and find_spec("benchmark.report")):
        return None
    return getattr(importlib.import_module("benchmark.report"), "sections", None)
