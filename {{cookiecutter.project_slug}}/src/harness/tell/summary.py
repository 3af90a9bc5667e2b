"""What an experiment found, as sections: Markdown by `make summary`, HTML by `make report`."""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, get_args

import numpy as np
from duckdb import DuckDBPyConnection

from harness.clock import local
from harness.console import ABSENT
from harness.measure.judge import MIN_ITEMS, Judged, Outcome, judge
from harness.project.declarations import Rule, uncounted_words
from harness.project.hypotheses import LATENCIES
from harness.read.results import (
    Experiment,
    Scores,
    canned_words,
    label,
    planned_metrics,
    read_experiment,
    read_scores,
)
from harness.record.layout import DEV, UNFINISHED
from harness.seal import identity, modified_words
from harness.stats.intervals import mean_interval, percentile_needs
from harness.tell.compare import turned
from harness.tell.ranking import Ranking, rank
from harness.tell.section import Section, Table, interval, number, time_unit, with_own_n
from harness.tell.segments import segment_sections

RESULTS, PRICES = "Results", "Latency and cost"  # where the report puts its charts


@dataclass(frozen=True, slots=True)
class Summary:
    """An experiment read and judged. `findings` are what keeps its numbers from being believed."""

    experiment: Experiment
    scores: Scores
    judged: list[Judged]
    sections: list[Section]
    findings: list[str]
    ranking: Ranking

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


def summarise_experiment(con: DuckDBPyConnection, name: str, kind: str = "") -> Summary:
    """Read and judge an experiment; `kind` may add sections (see `section`).

    Raises HarnessError where there is none of that name.
    """
    experiment = read_experiment(con, name)
    scores = read_scores(con, experiment, planned_metrics(experiment))
    judged = judge(experiment, scores)
    findings = list(_findings(experiment, scores, judged))
    ranking = rank(experiment, scores)
    sections = [Section("At a glance", list(_at_a_glance(experiment, scores, judged, ranking)))]
    if warnings := findings + list(_warnings(experiment, scores)):
        sections.append(Section("Read this first", warnings, warning=True))
    if experiment.plan.questions:
        sections.append(Section("Questions", experiment.plan.questions))
    if judged:
        sections.append(_hypotheses(experiment, judged))
    sections += [_results(experiment, scores, ranking), _latency(experiment, ranking.order)]
    sections += list(segment_sections(con, experiment, ranking.order))
    sections += _of_kind(con, name, kind)
    if experiment.rules:
        sections.append(_counting(experiment))
    sections += [_errors(con, experiment), _provenance(experiment)]
    return Summary(experiment, scores, judged, sections, findings, ranking)


def _findings(experiment: Experiment, scores: Scores, judged: list[Judged]) -> Iterator[str]:
    if not experiment.metrics:
        yield "There are no metrics: the experiment is not finished, or score() returned no number."
    if experiment.plan_problem:
        yield f"No hypothesis could be judged: {experiment.plan_problem}."
    if len(scores.items) < MIN_ITEMS:
        yield f"Only {len(scores.items)} items: at least {MIN_ITEMS} are needed for any verdict."
    for name in dict.fromkeys(each.name for each in experiment.uncounted):
        yield f"{uncounted_words(name, experiment.uncounted)}."
    if any(each.summary.get("score_version") == UNFINISHED for each in experiment.configurations):
        yield f"Its scores are half made anew: make rescore TAG={experiment.name} finishes that."
    for each in experiment.configurations:
        n, failed = each.summary.get("n"), each.summary.get("failed")
        if n and n == failed:
            yield f"{each.label}: all {n:,} datapoints failed."
    for verdict in judged:
        if not verdict.answerable:
            yield f"Hypothesis {verdict.hypothesis.id} cannot be judged: {verdict.reason}."


def _warnings(experiment: Experiment, scores: Scores) -> Iterator[str]:
    runs = experiment.runs
    if words := canned_words([each.summary for each in experiment.configurations]):
        yield words
    overridden = {gate for run in runs for gate, how in run["gates"].items() if how == "overridden"}
    if overridden:
        yield f"Gates overridden: {', '.join(sorted(overridden))}."
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
            yield from _turned(experiment, scores, metric)


def _modified_harness(experiment: Experiment) -> Iterator[str]:
    """What ran, and what reads it now, where that is not what the harness's version names."""
    # Rows of the dev phase are of its last run alone.
    counted = experiment.runs[-1:] if experiment.name == DEV else experiment.runs
    edited = {name for run in counted for name in run["harness_edited"]}
    if edited:
        yield f"Recorded by a {modified_words(sorted(edited))}."
    if now := modified_words(identity().edited):
        yield f"Read by a {now}."


def _turned(experiment: Experiment, scores: Scores, metric: str) -> Iterator[str]:
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
        if i < j and (text := turned(called, wrong[j] - wrong[i], left_out[j] - left_out[i]))
    ]
    yield from found[:5]
    if len(found) > 5:
        yield f"The same holds for {len(found) - 5} more pairs by {called}."


def _at_a_glance(
    experiment: Experiment, scores: Scores, judged: list[Judged], ranking: Ranking
) -> Iterator[str]:
    outcomes = [each.outcome for each in judged]
    if outcomes:
        counts = [f"{outcomes.count(each)} {each}" for each in get_args(Outcome)]
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
    failures = _failures_words(experiment, ranking.rule) if total["failed"] else ""
    count = len(experiment.configurations)
    yield (
        f"{len(scores.items):,} items, {count} configuration{'s' if count != 1 else ''}, "
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


def _hypotheses(experiment: Experiment, judged: list[Judged]) -> Section:
    rows = []
    for each in judged:
        said, gap = each.hypothesis, each.difference
        amount = f"{number(said.smallest_difference)} or more " if said.smallest_difference else ""
        test = f" ({each.test})" if each.test != "none" else ""
        sides = f"{label(said.better)} than {label(said.than)}"
        called = experiment.rule(said.metric).called
        rows.append(
            [
                each.outcome, said.id,
                f"{said.claim}\n({called} {amount}{said.direction}: {sides})",
                interval(gap.estimate, gap.low, gap.high, signed=True),
                f"{each.items:,}", f"{each.reason}{test}",
            ]
        )  # fmt: skip
    level = 100 * (1 - 0.05 / len(judged))
    text = "As planned before the run. The difference is the first configuration minus the second"
    text += f", with its {level:.4g}% interval"
    text += ", so that all of them hold together at 95%." if len(judged) > 1 else "."
    heads = ("outcome", "id", "hypothesis", "difference", "items", "because")
    return Section("Hypotheses", [text], [Table(heads, rows)])


def _results(experiment: Experiment, scores: Scores, ranking: Ranking) -> Section:
    metrics = _columns(experiment, ranking)
    failed = any(each.summary.get("failed") for each in experiment.configurations)
    apart = [
        each
        for each in metrics
        if failed and each in scores.counted and experiment.rule(each).failure is not None
    ]
    heads = ["#", "configuration", "n", "failed"]
    heads += [experiment.rule(metric).called for metric in metrics]
    heads += [f"{experiment.rule(metric).called}, failures left out" for metric in apart]
    rows = []
    for index in ranking.order:
        each = experiment.configurations[index]
        row = [
            ranking.place(index),
            each.label,
            f"{each.summary.get('n') or 0:,}",
            f"{each.summary.get('failed') or 0:,}",
        ]
        row += [_metric(each.summary, experiment.rule(metric)) for metric in metrics]
        for metric in apart:
            rule, values = experiment.rule(metric), scores.left_out[metric][:, index]
            found = mean_interval(values, binary=rule.binary)
            low, high = rule.within(found.low), rule.within(found.high)
            row.append(f"{interval(found.estimate, low, high)}, n {found.n:,}")
        rows.append(row)
    shared = experiment.shared_params
    text = [f"The same in all: {label(shared)}."] if shared and len(rows) > 1 else []
    if ranking.rule is not None and len(rows) > 1:
        text.append(f"In the order of {ranking.rule.called}, {ranking.rule.better} is better.")
        if ranking.alike:
            text.append("(=1): paired on the same items, it cannot be told from the first.")
    return Section(RESULTS, text, [Table(heads, rows)])


def _columns(experiment: Experiment, ranking: Ranking) -> list[str]:
    """The metrics, the one that the order is by first."""
    first = ranking.rule.name if ranking.rule else None
    return sorted(experiment.metrics, key=lambda metric: metric != first)


def _metric(summary: dict[str, Any], rule: Rule) -> str:
    own = summary.get(f"{rule.name}_n")
    if rule.fresh and own == 0 and summary.get("cached"):
        return "cached"
    return with_own_n(_bounded(summary, rule.name), own, summary.get("n"))


def _counting(experiment: Experiment) -> Section:
    """How scores are counted, defaults among them."""
    rows = []
    for rule in experiment.rules.values():
        rows.append(
            [
                rule.called if rule.called == rule.name else f"{rule.called} ({rule.name})",
                f"{rule.kind}{', of rows together' if rule.aggregate else ''}",
                _bounds_words(rule),
                rule.better or "not declared",
                "" if rule.aggregate else _counts_as(rule.missing, rule.missing_said),
                _aggregate_failures(rule)
                if rule.aggregate
                else _counts_as(rule.failure, rule.failure_said),
            ]
        )  # fmt: skip
    heads = ("score", "kind", "values", "better", "None counts as", "a failure counts as")
    text = "As SCORES in metrics.py and the plan say; what neither says is a default."
    return Section("How scores are counted", [text], [Table(heads, rows)])


def _bounds_words(rule: Rule) -> str:
    if rule.low is not None and rule.high is not None:
        return f"{number(rule.low)} to {number(rule.high)}"
    if rule.low is not None:
        return f"from {number(rule.low)} on"
    return "" if rule.high is None else f"up to {number(rule.high)}"


def _counts_as(value: float | None, said: bool) -> str:
    text = "left out" if value is None else number(value)
    return text if said else f"{text} (default)"


def _aggregate_failures(rule: Rule) -> str:
    if rule.given:
        return "given to it"
    return "left out" if rule.failure_said else "left out (default)"


def _bounded(summary: dict[str, Any], name: str, factor: float = 1.0) -> str:
    found = (summary.get(name + end) for end in ("", "_low", "_high"))
    return interval(*(None if each is None else factor * each for each in found))


def _latency(experiment: Experiment, order: list[int]) -> Section:
    names = ("latency_p50", "latency_p95", "latency_p99")
    summaries = [experiment.configurations[index].summary for index in order]
    unit, per_second = time_unit(each.get("latency_p50") for each in summaries)
    priced = any(each.get("cost") is not None for each in summaries)
    rows = []
    for index, each in zip(order, summaries, strict=True):
        count, cells = each.get("latency_n") or 0, []
        for name in names:
            needed = percentile_needs(LATENCIES[name])
            if count >= needed:
                cells.append(_bounded(each, name, per_second))
            else:
                cells.append("cached" if not count and each.get("cached") else f"needs {needed:,}")
        cells += [number(each.get("cost"))] if priced else []
        rows.append([experiment.configurations[index].label, f"{count:,}", *cells])
    text = "Of rows executed in this experiment without error, where n is large enough; a row from "
    text += "the cache took no time of its own."
    heads = ["configuration", "n", *(f"{name[-3:]} ({unit})" for name in names)]
    return Section(PRICES, [text], [Table(heads + ["cost (USD)"] * priced, rows)])


def _errors(con: DuckDBPyConnection, experiment: Experiment) -> Section:
    rows = con.execute(
        "SELECT coalesce(error_type, 'unknown'), count(*), count(DISTINCT input_id), "
        "min(left(error, 300)) FROM predictions WHERE experiment_version = ? AND error IS NOT NULL "
        "GROUP BY 1 ORDER BY 2 DESC LIMIT 30",
        [experiment.name],
    ).fetchall()
    if not rows:
        return Section("Errors", ["None."])
    cells = [[kind, f"{count:,}", f"{items:,}", text] for kind, count, items, text in rows]
    return Section("Errors", (), [Table(("type", "datapoints", "items", "an example"), cells)])


def _provenance(experiment: Experiment) -> Section:
    names = (
        "message", "started", "ended", "ended_how", "executed", "cached", "failed", "branch",
        "commit_hash", "dirty", "code_key", "data_version", "lock_hash", "harness_version",
        "harness_digest", "python", "platform", "cpu",
    )  # fmt: skip
    # Facts down, runs across only where there is one; else a line per run.
    rows = [[_fact(name, run.get(name)) for name in names] for run in experiment.runs]
    heads = [name.replace("_", " ") for name in names]
    if len(rows) == 1:
        table = Table(
            ("what", "of the run"), [list(each) for each in zip(heads, *rows, strict=True)]
        )
    else:
        table = Table(heads, rows)
    gates = experiment.runs[-1]["gates"] if experiment.runs else {}
    text = ["Gates: " + (", ".join(f"{gate} {how}" for gate, how in gates.items()) or "none") + "."]
    if files := experiment.runs[-1]["grid_files"] if experiment.runs else {}:
        listed = ", ".join(f"{name} {sha[:12]}" for name, sha in sorted(files.items()))
        text.append(f"Files of configurations: {listed}.")
    return Section("Provenance", text, [table])


def _fact(name: str, value: object) -> str:
    if name in ("started", "ended") and value:
        return local(str(value))
    return f"{value:,}" if isinstance(value, int) else str(value or ABSENT)


def _of_kind(con: DuckDBPyConnection, name: str, kind: str) -> list[Section]:
    """Sections of the person's `benchmark.report` and of `harness.<kind>`, where there are such."""
    made: list[Section] = []
    for module in filter(None, ("benchmark.report", kind and f"harness.{kind}")):
        try:
            # find_spec imports the package, and raises where there is none.
            if not (find_spec(module.partition(".")[0]) and find_spec(module)):
                continue
            function = getattr(importlib.import_module(module), "sections", None)
            made += function(con, name) if function else []
        except Exception as error:
            # A mistake in an extra section must not cost the person the report.
            text = f"{module}.sections failed: {type(error).__name__}: {error}"
            made.append(Section(f"Sections of {module}", [text], warning=True))
    return made
