"""The plan's segmentations: each score by the values of a column, with n and interval.

Counted by DuckDB, so that the rows of a segment never come into memory.
"""

from collections.abc import Iterator
from typing import Any

from duckdb import DuckDBPyConnection

from harness.read.results import Experiment, rows_of, which
from harness.record.columns import quoted
from harness.stats.intervals import interval_of_sums
from harness.tell.section import Section, Table, interval, with_own_n

SEGMENTS = 30  # values of one segmentation, the commonest
SEGMENT_CONFIGURATIONS = 8  # configurations in the tables of segments, the first ones


def segment_sections(
    con: DuckDBPyConnection, experiment: Experiment, order: list[int]
) -> Iterator[Section]:
    """One section per segmentation; `order` lists the configurations as Results does."""
    shown = order[:SEGMENT_CONFIGURATIONS]
    for name in experiment.plan.segmentations:
        if name not in experiment.columns:
            yield Section(f"By {name}", [f"No row has the column {name}."], warning=True)
            continue
        rows = _segment_rows(con, experiment, name)
        sizes: dict[str, int] = {}
        for row in rows:
            sizes[row["segment"]] = sizes.get(row["segment"], 0) + row["n"]
        kept = sorted(sizes, key=lambda each: (-sizes[each], each))[:SEGMENTS]
        by_place = {(row["segment"], row["c"]): row for row in rows}
        table = [
            [segment, experiment.configurations[index].label, *_cells(experiment, each)]
            for segment in sorted(kept)
            for index in shown
            if (each := by_place.get((segment, index)))
        ]
        text = []
        if len(sizes) > len(kept):
            text.append(f"The {len(kept)} commonest of {len(sizes):,} values.")
        if len(order) > len(shown):
            text.append(f"The first {len(shown)} of {len(order)} configurations.")
        heads = [name, "configuration", "items"]
        heads += [experiment.rule(each).called for each in experiment.scores]
        yield Section(f"By {name}", text, [Table(heads, table)])


def _segment_rows(
    con: DuckDBPyConnection, experiment: Experiment, name: str
) -> list[dict[str, Any]]:
    """Count, sum and spread of each score by segment and configuration, each item once."""
    case, values = which(experiment)
    # Groups by item only where items are repeated: a million groups cost a gigabyte.
    mean = "avg" if experiment.repeated else ""
    means, parts = [], []
    for index, metric in enumerate(experiment.scores):
        counted = experiment.rule(metric).counted(quoted(metric))
        means.append(f"{mean}(CAST({counted} AS DOUBLE)) AS m{index}")
        parts.append(
            f"count(m{index}) AS n{index}, sum(m{index}) AS s{index}, "
            f"stddev_samp(m{index}) AS d{index}, bool_and(m{index} IN (0, 1)) AS p{index}"
        )
    # Who raises returns no column, and left out of its segment a failure would flatter it: what the
    # item's other rows agree on holds for the failed one too.
    value = f"CAST({quoted(name)} AS VARCHAR)"
    mine = "FROM predictions WHERE experiment_version = ?"
    known = (
        f"SELECT input_id AS _item, min({value}) AS _known {mine} AND input_id IN "
        f"(SELECT input_id {mine} AND error IS NOT NULL AND {value} IS NULL) "
        f"GROUP BY 1 HAVING min({value}) = max({value})"
    )
    items = (
        f"SELECT left(coalesce({value}, _known, '(not recorded)'), 200) AS segment, "
        f"{case} AS c, input_id, {', '.join(means) or '1'} "
        f"FROM predictions LEFT JOIN ({known}) ON input_id = _item AND error IS NOT NULL "
        f"WHERE experiment_version = ? {'GROUP BY ALL' if experiment.repeated else ''}"
    )
    return rows_of(
        con,
        f"SELECT segment, c, count(*) AS n, {', '.join(parts) or '1'} FROM ({items}) GROUP BY ALL",
        [*values, experiment.name, experiment.name, experiment.name],
    )


def _cells(experiment: Experiment, row: dict[str, Any]) -> list[str]:
    cells = [f"{row['n']:,}"]
    for index, metric in enumerate(experiment.scores):
        rule = experiment.rule(metric)
        n, total, spread = (row[f"{key}{index}"] for key in "nsd")
        binary = rule.binary and row[f"p{index}"] is not False
        found = interval_of_sums(n, total, spread, binary=binary)
        low, high = rule.within(found.low), rule.within(found.high)
        cells.append(with_own_n(interval(found.estimate, low, high), n, row["n"]))
    return cells
