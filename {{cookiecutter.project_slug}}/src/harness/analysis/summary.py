"""What an experiment found, as sections: Markdown by `make summary`, HTML by `make report`."""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from duckdb import DuckDBPyConnection

from harness.analysis.compare import turned
from harness.analysis.judge import MIN_ITEMS, Judged, judge
from harness.analysis.results import (
    Experiment,
    Scores,
    label,
    planned_metrics,
    read_experiment,
    read_scores,
)
from harness.analysis.section import Section, Table, interval, number
from harness.analysis.segments import segment_sections
from harness.analysis.stats import mean_interval, percentile_needs


@dataclass(frozen=True, slots=True)
class Summary:
    """An experiment read and judged. `findings` are what keeps its numbers from being believed."""

    experiment: Experiment
    scores: Scores
    judged: list[Judged]
    sections: list[Section]
    findings: list[str]

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
    sections = [Section("At a glance", [_at_a_glance(experiment, scores)])]
    if warnings := findings + list(_warnings(experiment, scores)):
        sections.append(Section("Read this first", warnings, warning=True))
    if experiment.plan.questions:
        sections.append(Section("Questions", experiment.plan.questions))
    if judged:
        sections.append(_hypotheses(judged))
    order = ranked(experiment)
    sections += [_results(experiment, scores, order), _latency(experiment, order)]
    sections += list(segment_sections(con, experiment, scores, order))
    sections += _of_kind(con, name, kind)
    sections += [_errors(con, experiment), _provenance(experiment)]
    return Summary(experiment, scores, judged, sections, findings)


def ranked(experiment: Experiment) -> list[int]:
    """Indices of the configurations, best by the first metric first."""
    if not experiment.metrics:
        return list(range(len(experiment.configurations)))
    metric = experiment.metrics[0]
    sign = 1 if experiment.lower_is_better(metric) else -1
    values = [each.summary.get(metric) for each in experiment.configurations]
    return sorted(
        range(len(values)), key=lambda i: (values[i] is None, sign * (values[i] or 0.0), i)
    )


def _findings(experiment: Experiment, scores: Scores, judged: list[Judged]) -> Iterator[str]:
    if not experiment.metrics:
        yield "There are no metrics: the experiment is not finished, or score() returned no number."
    if experiment.plan_problem:
        yield f"No hypothesis could be judged: {experiment.plan_problem}."
    if len(scores.items) < MIN_ITEMS:
        yield f"Only {len(scores.items)} items: at least {MIN_ITEMS} are needed for any verdict."
    for each in experiment.configurations:
        n, failed = each.summary.get("n"), each.summary.get("failed")
        if n and n == failed:
            yield f"{each.label}: all {n:,} datapoints failed."
    for verdict in judged:
        if not verdict.answerable:
            yield f"Hypothesis {verdict.hypothesis.id} cannot be judged: {verdict.reason}."


def _warnings(experiment: Experiment, scores: Scores) -> Iterator[str]:
    runs = experiment.runs
    overridden = {gate for run in runs for gate, how in run["gates"].items() if how == "overridden"}
    if overridden:
        yield f"Gates overridden: {', '.join(sorted(overridden))}."
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
    for metric in sorted(scores.proportions & set(experiment.metrics)):
        yield from _turned(experiment, scores, metric)


def _turned(experiment: Experiment, scores: Scores, metric: str) -> Iterator[str]:
    """Pairs of configurations that change places with the way failures are counted."""
    known = np.flatnonzero(np.isfinite(scores.left_out[metric]).any(axis=0))
    wrong, left_out = (
        {int(i): float(np.nanmean(values[metric][:, i])) for i in known}
        for values in (scores.wrong, scores.left_out)
    )
    names = [each.label for each in experiment.configurations]
    found = [
        f"A = {names[i]}, B = {names[j]}: {text}."
        for i in wrong
        for j in wrong
        if i < j and (text := turned(metric, wrong[j] - wrong[i], left_out[j] - left_out[i]))
    ]
    yield from found[:5]
    if len(found) > 5:
        yield f"The same holds for {len(found) - 5} more pairs by {metric}."


def _at_a_glance(experiment: Experiment, scores: Scores) -> str:
    total = {
        key: sum(each.summary.get(key) or 0 for each in experiment.configurations)
        for key in ("n", "executed", "cached", "failed")
    }
    versions = {each.summary.get("score_version") for each in experiment.configurations} - {None}
    rescored = (
        f" Scored again after the run, by {', '.join(sorted(map(str, versions)))}."
        if versions
        else ""
    )
    failures = "count as wrong" if experiment.failed_is_wrong else "are left out"
    return (
        f"{len(scores.items):,} items, {len(experiment.configurations)} configurations, "
        f"{total['n']:,} datapoints: {total['executed']:,} executed, {total['cached']:,} from the "
        f"cache, {total['failed']:,} failed. Failed ones {failures} in proportions. Intervals in "
        f"brackets are 95%. Data {experiment.data_version[:12] or 'of unknown version'}."
        f"{rescored}"
    )


def _hypotheses(judged: list[Judged]) -> Section:
    rows = []
    for each in judged:
        said, gap = each.hypothesis, each.difference
        amount = f"≥ {number(said.smallest_difference)} " if said.smallest_difference else ""
        rows.append(
            [
                said.id, said.claim, each.outcome,
                interval(gap.estimate, gap.low, gap.high),
                f"{said.metric} {amount}{said.direction}",
                f"{each.items:,}", f"{each.reason} ({each.test})",
            ]
        )  # fmt: skip
    level = 100 * (1 - 0.05 / len(judged))
    text = "As committed before the run. The difference is better - than"
    text += f"; each interval is at {level:.4g}%, so that all hold together at 95%."
    heads = ("id", "claim", "outcome", "difference", "claimed", "items", "because")
    return Section("Hypotheses", [text], [Table(heads, rows)])


def _results(experiment: Experiment, scores: Scores, order: list[int]) -> Section:
    metrics = experiment.metrics
    failed = any(each.summary.get("failed") for each in experiment.configurations)
    apart = [each for each in metrics if failed and each in scores.proportions]
    heads = ["#", "configuration", "n", "failed", *metrics]
    heads += [f"{metric}, failures left out" for metric in apart]
    rows = []
    for rank, index in enumerate(order, start=1):
        each = experiment.configurations[index]
        row = [
            str(rank),
            each.label,
            f"{each.summary.get('n') or 0:,}",
            f"{each.summary.get('failed') or 0:,}",
        ]
        for metric in metrics:
            row.append(interval(*(each.summary.get(metric + end) for end in ("", "_low", "_high"))))
        for metric in apart:
            found = mean_interval(scores.left_out[metric][:, index])
            row.append(interval(found.estimate, found.low, found.high) + f", n {found.n:,}")
        rows.append(row)
    shared = experiment.shared_params
    text = [f"The same in all: {label(shared)}."] if shared and len(order) > 1 else []
    return Section("Results", text, [Table(heads, rows)])


def _latency(experiment: Experiment, order: list[int]) -> Section:
    rows = []
    for index in order:
        each = experiment.configurations[index]
        count = each.summary.get("latency_n") or 0
        figures = []
        for p in (50, 95, 99):
            found, needed = each.summary.get(f"latency_p{p}"), percentile_needs(p / 100)
            figures.append(number(found) if count >= needed else f"needs {needed}")
        rows.append([each.label, f"{count:,}", *figures, number(each.summary.get("cost"))])
    text = "Of rows executed in this experiment without error, where n is large enough."
    heads = ("configuration", "n", "p50 (s)", "p95 (s)", "p99 (s)", "cost (USD)")
    return Section("Latency and cost", [text], [Table(heads, rows)])


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
    return Section("Errors", (), [Table(("type", "datapoints", "items", "one of them"), cells)])


def _provenance(experiment: Experiment) -> Section:
    names = (
        "started", "ended", "ended_how", "executed", "cached", "failed", "branch", "commit_hash",
        "dirty", "code_key", "data_version", "lock_hash", "python", "platform", "cpu",
    )  # fmt: skip
    # Facts down, runs across only where there is one; else a line per run.
    rows = [[str(run.get(name) or "")[:40] for name in names] for run in experiment.runs]
    heads = [name.replace("_", " ") for name in names]
    if len(rows) == 1:
        table = Table(("", "run"), [list(each) for each in zip(heads, rows[0], strict=True)])
    else:
        table = Table(heads, rows)
    gates = experiment.runs[-1]["gates"] if experiment.runs else {}
    text = ["Gates: " + (", ".join(f"{gate} {how}" for gate, how in gates.items()) or "none") + "."]
    return Section("Provenance", text, [table])


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
