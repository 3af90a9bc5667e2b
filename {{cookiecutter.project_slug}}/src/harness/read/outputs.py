"""What configurations answered to items, cut to a length that can be shown."""

from collections.abc import Sequence

from duckdb import DuckDBPyConnection

from harness.console import shown
from harness.read.results import Experiment, rows_of, where
from harness.record.columns import quoted

OUTPUTS = ("ground_truth", "prediction", "raw_response", "error")


def read_outputs(
    con: DuckDBPyConnection,
    experiment: Experiment,
    index: int,
    items: Sequence[int],
    limit: int,
    told: Sequence[str] = (),
) -> dict[int, dict[str, str]]:
    """What one configuration answered to `items` (hashes of ids): the first repeat, fit to show.

    `told` are columns that say more of an item: they come as `told_0`, `told_1` and so on.
    """
    condition, values = where(experiment, index)
    parts = ["hash(input_id) AS item", "CAST(input_id AS VARCHAR) AS input_id"]
    # A column may be called what another one here is, so these go by their place.
    named = {name: name for name in OUTPUTS} | {f"told_{i}": name for i, name in enumerate(told)}
    for name, column in named.items():
        text = f"CAST({quoted(column)} AS VARCHAR)" if column in experiment.columns else "NULL"
        parts.append(f"left({text}, {limit}) AS {name}, length({text}) AS {name}_length")
    rows = rows_of(
        con,
        f"SELECT {', '.join(parts)} FROM predictions WHERE experiment_version = ? AND {condition} "
        f"AND list_contains(?::UBIGINT[], hash(input_id)) ORDER BY repeat DESC",
        [experiment.name, *values, [int(each) for each in items]],
    )
    return {
        row["item"]: {"item": shown(row["input_id"])}
        | {name: shown(row[name], limit, row[f"{name}_length"]) for name in named}
        for row in rows
    }
