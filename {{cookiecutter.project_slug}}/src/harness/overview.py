"""What a table of predictions holds, of this harness or any other: as figures and as Markdown."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import sqrt
from pathlib import Path
from typing import Any

import duckdb

from harness.console import out
from harness.errors import HarnessError
from harness.facts import Facts, read_facts
from harness.findings import Finding, within
from harness.stats import wilson
from harness.validate import MEMORY
from harness.views import columns, connect, first_line, identifier

_NO_SCORES = {"repeat", "fold", "seed", "attempts", "latency", "function_time", "cost", "id"}
_MOST_SCORES = 8


@contextmanager
def reading(databases: Sequence[Path], table: str | None) -> Iterator[Facts]:
    """The facts of a table, with every error told in a sentence."""
    with connect(databases, table=table, memory_limit=MEMORY) as con:
        try:
            yield read_facts(con, whole=table is None)
        except duckdb.Error as error:
            raise HarnessError(f"The results cannot be read: {first_line(error)}") from error


def cache_hits(databases: Sequence[Path], table: str | None = None) -> list[dict[str, Any]]:
    """Per experiment: rows, executed, reused, failed, seconds that reuse saved, and their runs.

    `seconds_saved` is None where the table does not say how long a prediction took.
    """
    with reading(databases, table) as facts:
        saved = f"sum(latency) FILTER ({facts.reused})" if "latency" in facts.have else "NULL"
        runs = "list(DISTINCT cache)" if "cache" in facts.have else "[]"
        rows = facts.ask(
            f"SELECT {facts.experiment} AS e, count(*), count(*) FILTER (NOT {facts.reused}), "
            f"count(*) FILTER ({facts.reused}), count(*) FILTER ({facts.failed}), {saved}, {runs} "
            "FROM predictions GROUP BY 1 ORDER BY 1"
        )
    names = ("experiment", "rows", "executed", "reused", "failed", "seconds_saved", "from_runs")
    return [
        {**dict(zip(names, row, strict=True)), "from_runs": sorted(run for run in row[-1] if run)}
        for row in rows
    ]


def show_cache_hits(hits: Sequence[dict[str, Any]]) -> None:
    """Print `cache_hits` for people."""
    for each in hits:
        share, saved = each["reused"] / each["rows"], each["seconds_saved"]
        line = f"{within(each['experiment'])}{each['reused']:,} of {each['rows']:,} rows reused"
        line += f" ({share:.1%})" + (f", {saved:,.1f} s of predictions saved" if saved else "")
        out.print(f"{line}; {each['executed']:,} executed, {each['failed']:,} failed", markup=False)
        if each["from_runs"]:
            out.print(f"  computed by {', '.join(each['from_runs'])}", markup=False)


def summary_markdown(
    databases: Sequence[Path], table: str | None, findings: Sequence[Finding]
) -> str:
    """A table per experiment: each configuration with its counts, scores and latency.

    Proportions carry their Wilson interval, other means the normal one (both 95%); rows count as
    independent, which repeats of an item are not. Latency is of executed rows without an error.
    """
    with reading(databases, table) as facts:
        lines = [f"# Results of {', '.join(path.name for path in databases)}", ""]
        scores = _scores(facts)
        names = [name.strip('"').removeprefix("params_") for name in facts.configuration]
        header = [
            *map(_plain, names),
            "n",
            "executed",
            "reused",
            "failed",
            *map(_plain, scores),
            "latency p50",
            "p95",
        ]
        for experiment, rows in _by_experiment(_figures(facts, scores)):
            lines += [f"## {_plain(experiment)}", ""] if experiment else []
            lines += [_row(header), _row(["---"] * len(header))]
            lines += [_row(_cells(row, len(names), len(scores))) for row in rows] + [""]
    lines += ["## Findings", ""]
    lines += [f"- {f.severity}: {f.check}: {_plain(f.message)}" for f in findings] or ["None."]
    return "\n".join(lines) + "\n"


def _scores(facts: Facts) -> list[str]:
    """The numeric columns that are results: those that metrics summarises, if it is there."""
    have, metrics = columns(facts.con), columns(facts.con, "metrics")
    summarised = [name for name in have if f"{name}_low" in metrics]
    others = [
        name
        for name, kind in have.items()
        if kind in ("BIGINT", "DOUBLE", "BOOLEAN")
        and identifier(name) not in (*facts.task, facts.item)
        and name not in _NO_SCORES
    ]
    return (summarised or others)[:_MOST_SCORES]


def _figures(facts: Facts, scores: Sequence[str]) -> list[tuple[Any, ...]]:
    parts = [facts.experiment + " AS e", *facts.configuration, "count(*)"]
    parts += [f"count(*) FILTER ({what})" for what in (f"NOT {facts.reused}", facts.reused)]
    parts.append(f"count(*) FILTER ({facts.failed})")
    for name in scores:
        value = f"CAST({identifier(name)} AS DOUBLE)"
        parts.append(
            f"[count({value}), sum({value}), stddev_samp({value}), "
            f"count(*) FILTER ({value} NOT IN (0, 1))]"
        )
    fresh = f"FILTER (NOT {facts.reused} AND NOT {facts.failed})"
    time = "latency" if "latency" in facts.have else "CAST(NULL AS DOUBLE)"
    parts += [f"quantile_cont({time}, {q}) {fresh}" for q in (0.5, 0.95)]
    groups = ", ".join(str(i + 1) for i in range(1 + len(facts.configuration)))
    return facts.ask(
        f"SELECT {', '.join(parts)} FROM predictions GROUP BY {groups} ORDER BY {groups}"
    )


def _by_experiment(rows: Sequence[tuple[Any, ...]]) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    for experiment in dict.fromkeys(row[0] for row in rows):
        yield experiment or "", [row[1:] for row in rows if row[0] == experiment]


def _cells(row: tuple[Any, ...], names: int, scores: int) -> list[str]:
    counts = names + 4
    shown = ["" if value is None else _plain(str(value)) for value in row[:counts]]
    shown += [_mean(*values) for values in row[counts : counts + scores]]
    return shown + ["" if value is None else f"{value:.4g} s" for value in row[counts + scores :]]


def _mean(n: float, total: float | None, spread: float | None, others: float) -> str:
    if not n or total is None:
        return ""
    mean = total / n
    if not others:
        bounds = wilson(int(total), int(n))
        return f"{mean:.3f} [{bounds.low:.3f}, {bounds.high:.3f}]"
    half = 1.96 * (spread or 0.0) / sqrt(n)
    return f"{mean:.4g} [{mean - half:.4g}, {mean + half:.4g}]" if n > 1 else f"{mean:.4g}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _plain(text: str) -> str:
    """Recorded text as one cell: no line breaks, and nothing that Markdown or HTML would act on."""
    one_line = " ".join(text.split())
    return "".join("\\" + c if c in "\\`*_[]<>|#" else c for c in one_line)
