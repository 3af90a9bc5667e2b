"""The summary as one HTML file that needs no network or script, with charts and worst items.

What models answered is hostile: every text is escaped by the template, characters that are not seen
are written out, and the page forbids scripts and requests of any kind.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from duckdb import DuckDBPyConnection

from harness.console import RAW, brief, shown
from harness.project.declarations import Rule
from harness.project.kind import PLAIN, Kind
from harness.read.outputs import read_outputs
from harness.read.results import Experiment, RecordedConfiguration
from harness.read.scores import Numbers, Scores
from harness.tell.flipped import MOST, flipped
from harness.tell.page import render
from harness.tell.ranking import Ranking
from harness.tell.result_sections import PRICES, RESULTS
from harness.tell.section import Section, Table, number, time_unit
from harness.tell.summary import Summary, summarise_experiment

WORST = 20  # items shown with their raw output
FOREST = 24  # configurations in a chart of intervals


def write_report(
    con: DuckDBPyConnection,
    name: str,
    path: Path,
    kind: Kind = PLAIN,
    item_columns: Sequence[str] = (),
    root: Path | None = None,
) -> Summary:
    """Write the report of an experiment to `path`; `kind` and `root`: see `summarise_experiment`.

    `item_columns` of `predictions` show what an item is, beside its id. Raises HarnessError where
    there is no such experiment.
    """
    summary = summarise_experiment(con, name, kind, root)
    experiment = summary.experiment
    ranking = summary.ranking
    drawn = {RESULTS: _forest(experiment, ranking), PRICES: _tradeoffs(experiment, ranking)}
    sections = [_with_charts(each, drawn.get(each.title, [])) for each in summary.sections]
    told = [each for each in item_columns if each in experiment.columns]
    sections[-1:-1] = [
        *_flipped(con, experiment, summary.scores, ranking, told),
        _worst(con, experiment, summary.scores, ranking, told),
    ]
    run = experiment.runs[-1] if experiment.runs else {}
    about = (run.get("settings", {}).get("benchmark", {}).get("name"), run.get("message"))
    path.parent.mkdir(parents=True, exist_ok=True)
    page = render(f"Report on {name}", sections, ": ".join(filter(None, about)))
    path.write_text(page, encoding="utf-8")
    return summary


def _with_charts(section: Section, charts: list[tuple[str, str]]) -> Section:
    text = [*section.text, *dict.fromkeys(said for said, _ in charts if said)]
    return replace(section, text=text, charts=[*section.charts, *(chart for _, chart in charts)])


def _drawn(experiment: Experiment, ranking: Ranking) -> list[tuple[int, RecordedConfiguration]]:
    """The configurations that a chart shows, with their ranks in Results; none without ranks."""
    if ranking.rule is None or ranking.rule.name not in experiment.metrics:
        return []
    found = [experiment.configurations[index] for index in ranking.order]
    known = [each for each in found if each.summary.get(ranking.rule.name) is not None]
    return list(enumerate(known[:FOREST], start=1))


def _forest(experiment: Experiment, ranking: Ranking) -> list[tuple[str, str]]:
    """A remark and the chart of the intervals of what the ranks are by."""
    # matplotlib takes 35 MB, and so does reading a million items, for a moment before.
    from harness.tell.charts import forest

    found = _drawn(experiment, ranking)
    if not found or ranking.rule is None:
        return []
    metric, called, shared = ranking.rule.name, ranking.rule.called, experiment.shared_params
    unit, per_unit = _unit(ranking.rule, [each.summary.get(metric) for _, each in found])
    labels, bounds = [], []
    for rank, each in found:
        values = [brief(value) for key, value in each.params.items() if key not in shared]
        labels.append(f"{rank}. {', '.join(values)}")
        estimate, low, high = (
            None if each.summary[metric + end] is None else per_unit * each.summary[metric + end]
            for end in ("", "_low", "_high")
        )
        bounds.append((estimate or 0.0, low, high))
    more = len(experiment.configurations) > FOREST
    text = f"Drawn are the first {FOREST} by {called}." if more else ""
    return [(text, forest(labels, bounds, called, unit))]


def _unit(rule: Rule, values: Sequence[float | None]) -> tuple[str, float]:
    """The unit of an axis and how many of it are in one; times take the one that suits them."""
    return time_unit(values) if rule.kind == "time" else ("", 1.0)


def _tradeoffs(experiment: Experiment, ranking: Ranking) -> list[tuple[str, str]]:
    """A remark and a chart for each price that two configurations have."""
    from harness.tell.charts import tradeoff  # here as in `_forest`

    if ranking.rule is None:
        return []
    found = [(rank, each.summary) for rank, each in _drawn(experiment, ranking)]
    unit, per_second = time_unit(each.get("latency_p50") for _, each in found)
    times = [(each.get("latency_p50") or 0.0) * per_second for _, each in found]
    costs = [(each.get("cost") or 0.0) / (each.get("executed") or 1) for _, each in found]
    text = "The numbers are the ranks in Results. Filled and joined is the Pareto front: "
    text += "no other is both better and cheaper."
    drawn = []
    for price, values in ((f"latency, p50 ({unit})", times), ("cost per datapoint (USD)", costs)):
        known = [(rank, each, x) for (rank, each), x in zip(found, values, strict=True) if x]
        if len(known) > 1:
            rule = ranking.rule
            points = [(x, float(each[rule.name])) for _, each, x in known]
            names = [str(rank) for rank, *_ in known]
            drawn.append((text, tradeoff(points, names, price, rule.called, rule.lower)))
    return drawn


def _flipped(
    con: DuckDBPyConnection,
    experiment: Experiment,
    scores: Scores,
    ranking: Ranking,
    told: Sequence[str],
) -> list[Section]:
    found = flipped(con, experiment, scores, ranking, told)
    if not found:
        return []
    text = (
        f"What both answered to items on which they differ, the largest difference first, {MOST} "
        "of a pair at most; of repeats the first. Words that only one side has are marked."
    )
    return [Section("Flipped items", [text], flips=found)]


def _per_item(scores: Scores, name: str) -> tuple[npt.NDArray[np.uint64], Numbers]:
    """The items that have a value, and their means: an item has a row for each of its folds."""
    items, values = scores.items, scores.counted[name]
    known = np.isfinite(values)
    means = np.where(known, values, np.nan)
    if not np.array_equal(items, scores.rows):
        items, place = np.unique(items, return_inverse=True)
        sums = np.zeros((len(items), values.shape[1]))
        counts = np.zeros_like(sums)
        np.add.at(sums, place, np.where(known, values, 0.0))
        np.add.at(counts, place, known)
        with np.errstate(invalid="ignore"):
            means = sums / counts
    there = np.flatnonzero(np.isfinite(means).any(axis=1))
    return items[there], means[there]


def _worst(
    con: DuckDBPyConnection,
    experiment: Experiment,
    scores: Scores,
    ranking: Ranking,
    told: Sequence[str],
) -> Section:
    """The items of the worst mean over all configurations, with the answer of the worst."""
    title = "Worst items"
    able = [each for each in experiment.scores if experiment.rule(each).ranks]
    if ranking.rule is not None and ranking.rule.name in able:
        able.insert(0, ranking.rule.name)
    if not able or not len(scores.items):
        return Section(title, ["No item has a score that says which way is better."])
    rule, metric = experiment.rule(able[0]), experiment.rule(able[0]).called
    sign = -1.0 if rule.lower else 1.0
    items, values = _per_item(scores, rule.name)
    values = sign * values
    means = np.nanmean(values, axis=1)
    order = [
        int(i) for i in np.argsort(means, kind="stable")[:WORST] if means[i] < np.nanmax(values)
    ]
    if not order:
        return Section(title, [f"All items score alike by {metric}."])
    chosen: dict[int, list[int]] = {}
    for i in order:
        chosen.setdefault(int(np.nanargmin(values[i])), []).append(int(items[i]))
    said = {
        (index, item): row
        for index, items in chosen.items()
        for item, row in read_outputs(con, experiment, index, items, RAW, told).items()
    }
    rows = []
    for i in order:
        index, item = int(np.nanargmin(values[i])), int(items[i])
        row = said.get((index, item), {})
        answer = row.get("error") if row.get("raw_response") == shown(None) else None
        rows.append(
            [
                row.get("item", ""), *(row.get(f"told_{i}", "") for i in range(len(told))),
                row.get("ground_truth", ""), row.get("prediction", ""),
                answer or row.get("raw_response", ""), experiment.configurations[index].label,
                number(sign * means[i], 3),
            ]
        )  # fmt: skip
    heads = (
        "item",
        *(shown(each) for each in told),
        "expected",
        "predicted",
        "raw output or error",
        "answered by",
        f"mean {metric}",
    )
    text = f"By mean {metric} over all configurations ({values.shape[1]}); of many equals, some. "
    text += "Each with the answer of the configuration that did worst on it."
    if not told:
        text += (
            " What else of an item is shown here is said by `item` in [report] of benchmark.toml."
        )
    return Section(title, [text], [Table(heads, rows)])
