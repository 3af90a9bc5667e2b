"""The summary as one HTML file that needs no network or script, with charts and worst items.

What models answered is hostile: every text is escaped by the template, characters that are not seen
are written out, and the page forbids scripts and requests of any kind.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from duckdb import DuckDBPyConnection
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.analysis.charts import forest, tradeoff
from harness.analysis.results import Experiment, Scores, read_outputs
from harness.analysis.section import RAW, Section, Table, number, shown
from harness.analysis.summary import Summary, ranked, summarise_experiment

WORST = 20  # items shown with their raw output
FOREST = 24  # configurations in a chart of intervals
CELL_LIMIT = 4 * RAW  # no text of a page is longer, whoever made its section


def write_report(con: DuckDBPyConnection, name: str, path: Path, kind: str = "") -> Summary:
    """Write the report of an experiment to `path`; `kind` may add sections (see `section`).

    Raises HarnessError where there is no such experiment.
    """
    summary = summarise_experiment(con, name, kind)
    sections = [*summary.sections]
    at = next(i for i, each in enumerate(sections) if each.title == "Results") + 1
    sections[at:at] = list(_charts(summary.experiment))
    sections[-1:-1] = [_worst(con, summary.experiment, summary.scores)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(f"Report on {name}", sections), encoding="utf-8")
    return summary


def render(title: str, sections: Iterable[Section]) -> str:
    """The sections as a whole HTML page."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_fit_to_show,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("report.html")
    return template.render(title=title, sections=list(sections))


def _fit_to_show(value: Any) -> Any:
    return value if isinstance(value, Markup) else shown(value, CELL_LIMIT)


def _charts(experiment: Experiment) -> Iterable[Section]:
    order = [
        index
        for index in ranked(experiment)
        if experiment.metrics
        and experiment.configurations[index].summary.get(experiment.metrics[0]) is not None
    ][:FOREST]
    if not order:
        return
    metric = experiment.metrics[0]
    found = [experiment.configurations[index] for index in order]
    shared = experiment.shared_params
    labels = [
        f"{rank}  " + ", ".join(str(v) for k, v in each.params.items() if k not in shared)
        for rank, each in enumerate(found, start=1)
    ]
    quality = [each.summary[metric] for each in found]
    bounds = [
        (each.summary[metric], each.summary[f"{metric}_low"], each.summary[f"{metric}_high"])
        for each in found
    ]
    text = [f"The best {FOREST} by {metric}."] if len(experiment.configurations) > FOREST else []
    yield Section(f"{metric} and its 95% interval", text, charts=[forest(labels, bounds, metric)])
    prices = {
        "latency, p50 (s)": [each.summary.get("latency_p50") for each in found],
        "cost per datapoint (USD)": [
            (each.summary.get("cost") or 0) / (each.summary.get("executed") or 1) or None
            for each in found
        ],
    }
    for price, values in prices.items():
        known = [(float(value), quality[i], str(i + 1)) for i, value in enumerate(values) if value]
        if len(known) > 1:
            drawn = tradeoff(
                [(cheap, good) for cheap, good, _ in known],
                [each for _, _, each in known],
                price,
                metric,
                experiment.lower_is_better(metric),
            )
            text = [
                "Numbers as in Results. Filled: none is both better and cheaper (the Pareto front)."
            ]
            yield Section(f"{metric} against {price}", text, charts=[drawn])


def _worst(con: DuckDBPyConnection, experiment: Experiment, scores: Scores) -> Section:
    """The items of the lowest mean over all configurations, with the answer of the worst."""
    title = "Worst items"
    if not experiment.scores or not len(scores.items):
        return Section(title, ["No item has a score."])
    metric = experiment.scores[0]
    values = scores.of(experiment, metric)
    sign = -1.0 if experiment.lower_is_better(metric) else 1.0
    known = np.flatnonzero(np.isfinite(values).any(axis=1))
    values = sign * values[known]
    means = np.nanmean(values, axis=1)
    order = [
        int(i) for i in np.argsort(means, kind="stable")[:WORST] if means[i] < np.nanmax(values)
    ]
    if not order:
        return Section(title, [f"All items score alike by {metric}."])
    chosen: dict[int, list[int]] = {}
    for i in order:
        chosen.setdefault(int(np.nanargmin(values[i])), []).append(int(scores.items[known[i]]))
    said = {
        (index, item): row
        for index, items in chosen.items()
        for item, row in read_outputs(con, experiment, index, items, RAW).items()
    }
    rows = []
    for i in order:
        index, item = int(np.nanargmin(values[i])), int(scores.items[known[i]])
        row = said.get((index, item), {})
        answer = row.get("error") if row.get("raw_response") == shown(None) else None
        rows.append(
            [
                row.get("item", ""), number(sign * means[i], 3), row.get("ground_truth", ""),
                experiment.configurations[index].label, row.get("prediction", ""),
                answer or row.get("raw_response", ""),
            ]
        )  # fmt: skip
    heads = (
        "item",
        f"mean {metric}",
        "expected",
        "worst under",
        "predicted",
        "raw output or error",
    )
    text = f"By mean {metric} over the {values.shape[1]} configurations; of many equals, some."
    return Section(title, [text], [Table(heads, rows)])
