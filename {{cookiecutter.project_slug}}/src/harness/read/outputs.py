"""What configurations answered to items, cut to a length that can be shown."""

from collections.abc import Sequence

from duckdb import DuckDBPyConnection

from harness.console import shown
from harness.read.results import Experiment, rows_of, where
from harness.record.columns import quoted

_ANSWERS = 3  # of one item that are shown
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


def count_answers(
    con: DuckDBPyConnection,
    experiment: Experiment,
    indexes: Sequence[int],
    items: Sequence[int],
    limit: int,
) -> dict[int, str]:
    """What configurations answered to `items` (hashes of ids) in all repeats: `yes (3), no (1)`.

    The most frequent ones come first; beyond three, only how many others there are.
    """
    if "prediction" not in experiment.columns:
        return {}
    asked = [where(experiment, index) for index in indexes]
    condition = " OR ".join(f"({test})" for test, _ in asked)
    rows = rows_of(
        con,
        f"SELECT hash(input_id) AS item, left(CAST(prediction AS VARCHAR), {limit}) AS answer, "
        f"count(*) AS n FROM predictions WHERE experiment_version = ? AND ({condition}) "
        "AND list_contains(?::UBIGINT[], hash(input_id)) GROUP BY ALL ORDER BY n DESC, answer",
        [
            experiment.name,
            *(value for _, values in asked for value in values),
            [int(each) for each in items],
        ],
    )
    found: dict[int, list[str]] = {}
    for row in rows:
        found.setdefault(row["item"], []).append(f"{shown(row['answer'])} ({row['n']})")
    return {item: _first(answers) for item, answers in found.items()}


def _first(answers: list[str]) -> str:
    more = len(answers) - _ANSWERS
    return ", ".join([*answers[:_ANSWERS], *([f"{more} others"] if more > 0 else [])])
