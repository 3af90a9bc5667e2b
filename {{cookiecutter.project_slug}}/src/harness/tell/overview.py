"""What a table of predictions holds, of this harness or any other: as figures and as Markdown."""

from collections.abc import Iterator, Sequence
from math import sqrt
from typing import Any

from harness.console import brief, out
from harness.findings import Finding, within
from harness.read.facts import Facts
from harness.stats.intervals import interval_of_sums
from harness.tell.section import bounded, with_own_n
from harness.tell.tables import Table, inline, to_markdown_table


def cache_hits(facts: Facts) -> list[dict[str, Any]]:
    """Per experiment: rows, executed, reused, failed, seconds that reuse saved, and their runs.

    `seconds_saved` is None where the table does not say how long a prediction took.
    """
    saved, origin = "NULL", ""
    if {"task_key", "function_time", "cache"} <= facts.have:
        # A reused row took no time itself: what it saved stands in the row of its execution.
        saved = f"sum(took) FILTER ({facts.reused})"
        origin = (
            "LEFT JOIN (SELECT task_key, max(function_time) AS took FROM predictions "
            f"WHERE NOT {facts.reused} GROUP BY 1) USING (task_key) "
        )
    elif "latency" in facts.have:
        saved = f"sum(latency) FILTER ({facts.reused})"
    runs = "list(DISTINCT cache ORDER BY cache)" if "cache" in facts.have else "[]"
    rows = facts.ask(
        f"SELECT {facts.experiment} AS e, count(*), count(*) FILTER (NOT {facts.reused}), "
        f"count(*) FILTER ({facts.reused}), count(*) FILTER ({facts.failed}), {saved}, {runs} "
        f"FROM predictions {origin}GROUP BY 1 ORDER BY 1"
    )
    names = ("experiment", "rows", "executed", "reused", "failed", "seconds_saved", "from_runs")
    return [
        {**dict(zip(names, row, strict=True)), "from_runs": [run for run in row[-1] if run]}
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


def overview_markdown(facts: Facts, title: str, findings: Sequence[Finding]) -> str:
    """A table per experiment: each configuration with its counts, scores and latency.

    `facts` must have been read with their scores, which count as they were declared; a table that
    declares nothing leaves out failures. Proportions carry their Wilson interval, other means
    Student's t (both 95%); rows count as independent, which repeats of an item are not. Latency is
    of executed rows without an error.
    """
    lines = [f"# {inline(title)}", ""]
    names = [name.strip('"').removeprefix("params_") for name in facts.configuration]
    scores = [name.strip('"') for name in facts.scores]
    heads = [*names, "n", "executed", "reused", "failed", *scores, "latency p50", "p95"]
    for experiment, rows in _by_experiment(_figures(facts)):
        lines += [f"## {inline(experiment)}", ""] if experiment else []
        cells = [_cells(row, len(names), len(scores)) for row in rows]
        table = Table(heads, cells)
        lines += [to_markdown_table(table, range(len(names), len(heads))), ""]
    lines += ["## Findings", ""]
    lines += [f"- {f.severity}: {f.check}: {inline(f.message)}" for f in findings] or ["None."]
    return "\n".join(lines) + "\n"


def _figures(facts: Facts) -> list[tuple[Any, ...]]:
    """Per experiment and configuration: counts, four sums a score, and two percentiles."""
    group = ["e", *facts.configuration]
    listed = ", ".join(group)
    counts = [
        f"coalesce(sum(n) FILTER ({which}), 0)::BIGINT"
        for which in ("true", "NOT reused", "reused", "failed")
    ]
    sums = [
        f"[{', '.join(f'sum(s{i}[{j}])' for j in (1, 2, 3, 4))}]" for i in range(len(facts.scores))
    ]
    names = "".join(f"{name}, " for name in facts.configuration)
    times = f"SELECT {listed}, any_value(times) AS p FROM tally WHERE timed > 0 GROUP BY {listed}"
    # Percentiles of parts do not add up: where a configuration has several, the rows are asked.
    if facts.ask(
        f"SELECT 1 FROM tally WHERE timed > 0 GROUP BY {listed} HAVING count(*) > 1 LIMIT 1"
    ):
        times = (
            f"SELECT {facts.experiment} AS e, {names} {facts.percentiles} AS p "
            "FROM predictions GROUP BY ALL"
        )
    same = " AND ".join(f"t.{name} IS NOT DISTINCT FROM l.{name}" for name in group)
    return facts.ask(
        f"""SELECT t.*, l.p[1], l.p[2]
        FROM (SELECT {listed}, {", ".join([*counts, *sums])} FROM tally GROUP BY {listed}) AS t
        LEFT JOIN ({times}) AS l ON {same} ORDER BY ALL"""
    )


def _by_experiment(rows: Sequence[tuple[Any, ...]]) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    for experiment in dict.fromkeys(row[0] for row in rows):
        yield experiment or "", [row[1:] for row in rows if row[0] == experiment]


def _cells(row: tuple[Any, ...], names: int, scores: int) -> list[str]:
    counts = names + 4
    shown = ["" if value is None else brief(value) for value in row[:counts]]
    for values in row[counts : counts + scores]:
        text = _mean(*values)
        shown.append(with_own_n(text, int(values[0] or 0), row[names]) if text else text)
    return shown + ["" if value is None else f"{value:.4g} s" for value in row[counts + scores :]]


def _mean(n: float, total: float | None, squares: float | None, others: float) -> str:
    """The mean of n values by their sums; `others` counts those that are neither 0 nor 1."""
    if not n or total is None or squares is None:
        return ""
    if not others:
        found = interval_of_sums(round(n), total, None, binary=True)
        return bounded(total / n, found.low, found.high, ".3f")
    mean = total / n
    spread = sqrt(max(0.0, squares - n * mean**2) / (n - 1)) if n > 1 else 0.0
    # What rounding leaves of a difference of squares is no spread.
    found = interval_of_sums(
        round(n), total, spread if spread > 1e-9 * abs(mean) * sqrt(n) else None
    )
    return bounded(mean, found.low, found.high, ".4g")
