"""The sections of a summary that are tables: results, times, hypotheses, errors, provenance."""

from collections.abc import Collection

from duckdb import DuckDBPyConnection

from harness.clock import local
from harness.console import ABSENT
from harness.measure.judge import Judged
from harness.project.declarations import Rule
from harness.project.values import Row
from harness.read.looks import Looks
from harness.read.results import Experiment, label
from harness.read.scores import Scores
from harness.record.metrics_table import PERCENTILES
from harness.record.runs import MADE_BY, RAN_ON, WENT
from harness.stats.intervals import mean_interval, percentile_needs
from harness.tell.ranking import Ranking
from harness.tell.section import (
    Section,
    Table,
    counted,
    interval,
    number,
    time_unit,
    with_own_n,
)

RESULTS, PRICES = "Results", "Latency and cost"  # where the report puts its charts
_SHOWN = ("p50", "p95", "p99")  # of the percentiles in the table metrics


def hypotheses_section(experiment: Experiment, judged: list[Judged], looks: str = "") -> Section:
    """What became of the plan's hypotheses; those that could be seen before stand by themselves."""
    level = 100 * (1 - 0.05 / len(judged))
    text = "The difference is the first configuration minus the second"
    text += f", with its {level:.4g}% interval"
    text += ", so that all of them hold together at 95%." if len(judged) > 1 else "."
    if experiment.looked:
        text += (
            f" It is as wide as it takes to hold at all {experiment.looked[-1]['of']} looks that "
            "were planned (Lan & DeMets 1983), and stands as it was at the look that decided."
        )
    said, tables = [text], []
    if planned := [each for each in judged if not each.exploratory]:
        said[0] = f"As planned before the run. {text}"
        tables.append(_hypotheses(experiment, planned, "outcome"))
    if after := [each for each in judged if each.exploratory]:
        said += [
            f"Exploratory: {each.hypothesis.id}, as {each.exploratory}. New items can confirm it."
            for each in after
        ]
        tables.append(_hypotheses(experiment, after, "exploratory"))
    return Section("Hypotheses", [*said, looks] if looks else said, tables)


def looks_words(looks: Looks, compared: int) -> str:
    """How often these items were looked at, in a sentence; "" where this is the first time."""
    if not looks.before and not compared:
        return ""
    before, names = len(looks.before), ", ".join(looks.before[-5:])
    parts = [f"{before} earlier experiment{'s' if before != 1 else ''}"]
    parts[0] += f" ({names})" if before else ""
    counts = {
        "plan": looks.plans,
        "hypothesis": looks.hypotheses,
        "rescore": looks.rescored,
        "comparison in this clone": compared,
    }
    for what, count in counts.items():
        if count:
            parts.append(f"{count} {what if count == 1 else _PLURALS[what]}")
    return f"Looks at these items: {', '.join(parts)}. The more there are, the more chance finds."


_PLURALS = {
    "plan": "plans",
    "hypothesis": "hypotheses",
    "rescore": "rescores",
    "comparison in this clone": "comparisons in this clone",
}


def _hypotheses(experiment: Experiment, judged: list[Judged], head: str) -> Table:
    rows = []
    for each in judged:
        said, gap = each.hypothesis, each.difference
        test = f" ({each.test})" if each.test != "none" else ""
        called, amount = experiment.rule(said.metric).called, number(said.smallest_difference)
        figures = said.says(called, label(said.better), label(said.than), amount)
        rows.append(
            [
                each.outcome, said.id,
                f"{said.claim}\n({figures})",
                interval(gap.estimate, gap.low, gap.high, signed=True),
                counted(each.items, each.unit), f"{each.reason}{test}",
            ]
        )  # fmt: skip
    return Table((head, "id", "hypothesis", "difference", "items", "because"), rows)


def results_section(experiment: Experiment, scores: Scores, ranking: Ranking) -> Section:
    """Each configuration with its counts and metrics, in the order of the ranking."""
    metrics = _columns(experiment, ranking)
    failed = any(each.summary.get("failed") for each in experiment.configurations)
    apart = [
        each
        for each in metrics
        if failed and each in scores.counted and experiment.rule(each).failure is not None
    ]
    heads = ["#", "configuration", "n", "failed"]
    heads += [experiment.rule(metric).called for metric in metrics]
    # Beside the figure that it is about, which has no column where it is latency or cost.
    place = len(heads) - len(metrics)
    if ranking.behind and ranking.rule is not None:
        place += int(ranking.rule.name in metrics)
        heads.insert(place, f"{ranking.rule.called}, difference to #1")
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
        if ranking.behind:
            row.insert(place, _behind(ranking, index))
        for metric in apart:
            rule, values = experiment.rule(metric), scores.left_out[metric][:, index]
            clusters = scores.units.clusters
            found = mean_interval(values, clusters, binary=rule.binary, bounds=rule.bounds)
            low, high = rule.within(found.low), rule.within(found.high)
            row.append(f"{interval(found.estimate, low, high)}, n {found.n:,}")
        rows.append(row)
    shared = experiment.shared_params
    text = [f"The same in all: {label(shared)}."] if shared and len(rows) > 1 else []
    if ranking.rule is not None and len(rows) > 1:
        text.append(f"In the order of {ranking.rule.called}, {ranking.rule.better} is better.")
        if ranking.aside:
            names = (experiment.configurations[index].label for index in sorted(ranking.aside))
            text.append(f"Not ranked, as no rival of the others: {'; '.join(names)}.")
        if any(first != last for first, last in ranking.ranges):
            text.append(
                "#: the ranks that each may have; with 95% all of these are right. Ranges that "
                "overlap are not separable."
            )
    return Section(RESULTS, text, [Table(heads, rows)])


def _behind(ranking: Ranking, index: int) -> str:
    """The paired difference to the first one, by what the ranks are by."""
    gap = ranking.behind.get(index)
    return interval(gap.estimate, gap.low, gap.high, signed=True) if gap else ABSENT


def _columns(experiment: Experiment, ranking: Ranking) -> list[str]:
    """The metrics, the one that the order is by first."""
    first = ranking.rule.name if ranking.rule else None
    return sorted(experiment.metrics, key=lambda metric: metric != first)


def _metric(summary: Row, rule: Rule) -> str:
    own = summary.get(f"{rule.name}_n")
    if rule.fresh and own == 0 and summary.get("cached"):
        return "cached"
    text = with_own_n(_bounded(summary, rule.name), own, summary.get("n"))
    spread = summary.get(f"{rule.name}_spread")
    return text if spread is None else f"{text}, seeds ±{number(spread, 2)}"


def counting_section(experiment: Experiment) -> Section:
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


def _bounded(summary: Row, name: str, factor: float = 1.0) -> str:
    found = (summary.get(name + end) for end in ("", "_low", "_high"))
    return interval(*(None if each is None else factor * each for each in found))


def times_section(
    experiment: Experiment, order: list[int], others: Collection[str] = ()
) -> Section:
    """Latency and cost, and beside them the `others`: times of the kind."""
    summaries = [experiment.configurations[index].summary for index in order]
    labels = [experiment.configurations[index].label for index in order]
    latency = _percentile_table(labels, summaries, "latency")
    if any(each.get("cost") is not None for each in summaries):
        rows = zip(latency.rows, summaries, strict=True)
        priced = [[*row, number(each.get("cost"))] for row, each in rows]
        latency = Table([*latency.columns, "cost (USD)"], priced)
    there = [time for time in others if any(each.get(f"{time}_n") for each in summaries)]
    tables = [latency, *(_percentile_table(labels, summaries, time) for time in there)]
    text = "Of rows executed in this experiment without error, where n is large enough; a row from "
    text += "the cache took no time of its own."
    return Section(PRICES, [text], tables)


def _percentile_table(labels: list[str], summaries: list[Row], time: str) -> Table:
    unit, per_second = time_unit(each.get(f"{time}_p50") for each in summaries)
    rows = []
    for called, each in zip(labels, summaries, strict=True):
        count, cells = each.get(f"{time}_n") or 0, []
        for percentile in _SHOWN:
            needed = percentile_needs(PERCENTILES[percentile])
            if count >= needed and each.get(f"{time}_{percentile}") is None:
                cells.append("too few clusters")
            elif count >= needed:
                cells.append(_bounded(each, f"{time}_{percentile}", per_second))
            else:
                cells.append("cached" if not count and each.get("cached") else f"needs {needed:,}")
        rows.append([called, f"{count:,}", *cells])
    name = "" if time == "latency" else f"{time}, "
    return Table(["configuration", "n", *(f"{name}{each} ({unit})" for each in _SHOWN)], rows)


def errors_section(con: DuckDBPyConnection, experiment: Experiment) -> Section:
    """What failed, by type, the most frequent first."""
    if not experiment.failed:
        return Section("Errors", ["None."])
    rows = con.execute(
        "SELECT coalesce(error_type, 'unknown'), count(*), count(DISTINCT input_id), "
        "min(left(error, 300)) FROM predictions WHERE experiment_version = ? AND error IS NOT NULL "
        "GROUP BY 1 ORDER BY 2 DESC LIMIT 30",
        [experiment.name],
    ).fetchall()
    cells = [[kind, f"{count:,}", f"{items:,}", text] for kind, count, items, text in rows]
    return Section("Errors", (), [Table(("type", "datapoints", "items", "an example"), cells)])


def provenance_section(experiment: Experiment) -> Section:
    """What made it: code, data, machine, gates."""
    names = ("message", *WENT, "branch", *MADE_BY, *RAN_ON)
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
