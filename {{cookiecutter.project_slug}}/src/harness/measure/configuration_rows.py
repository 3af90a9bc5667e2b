"""The rows of one configuration, read as arrays: a few dozen bytes a row, not Python objects."""

import hashlib
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.project.values import Row, plain
from harness.record.columns import quoted
from harness.record.layout import Place

# Resampling and sums of floats depend on the order of rows, and workers finish in any order.
IN_ORDER = "ORDER BY task_key"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A configuration as columns, and its `params_key`."""

    columns: Row
    key: str


@dataclass(slots=True)
class ConfigurationRows:
    """Columns of one configuration's rows; `values` by score name, NaN where there is none.

    `items` hashes what is independent, a cluster or an item; None where each row is.
    """

    failed: npt.NDArray[np.bool_]
    cached: npt.NDArray[np.bool_]
    latency: npt.NDArray[np.float64]
    cost: npt.NDArray[np.float64]
    items: npt.NDArray[np.uint64] | None
    values: dict[str, npt.NDArray[np.float64]]


def _params(connection: sqlite3.Connection, table: str) -> list[str]:
    found = connection.execute(f"PRAGMA table_info({quoted(table)})")
    return [row[1] for row in found if row[1].startswith("params_") and row[1] != "params_key"]


def recorded_configurations(
    connection: sqlite3.Connection, place: Place, experiment: str
) -> list[Chosen]:
    """The configurations that an experiment has rows of, in the order in which they came."""
    names = _params(connection, place.predictions)
    listed = ", ".join(map(quoted, names))
    rows = connection.execute(
        f"SELECT {listed} FROM {quoted(place.predictions)} WHERE experiment_version = ? "
        f"GROUP BY {listed} ORDER BY min(rowid)",
        (experiment,),
    ).fetchall()
    have = set(_params(connection, place.metrics))
    chosen = []
    for row in rows:
        columns = dict(zip(names, row, strict=True))
        tests = " AND ".join(f"{quoted(name)} IS ?" for name in names if name in have) or "1"
        key = connection.execute(
            f"SELECT params_key FROM {quoted(place.metrics)} WHERE experiment_version = ? "
            f"AND {tests}",
            (experiment, *(columns[name] for name in names if name in have)),
        ).fetchone()
        chosen.append(Chosen(columns, str(key[0]) if key else ""))
    return chosen


def index_by_params(connection: sqlite3.Connection, place: Place, experiment: str) -> None:
    """Each configuration's rows by number: a search for each would look at all rows each time."""
    listed = ", ".join(map(quoted, _params(connection, place.predictions)))
    connection.execute("DROP TABLE IF EXISTS temp.of_params")
    connection.execute(
        f"CREATE TEMP TABLE of_params AS SELECT rowid AS number, {listed} "
        f"FROM {quoted(place.predictions)} WHERE experiment_version = ?",
        (experiment,),
    )
    connection.execute(f"CREATE INDEX temp.by_params ON of_params ({listed})")


def selection(
    place: Place, experiment: str, chosen: Chosen, indexed: bool
) -> tuple[str, list[object]]:
    columns = {name: plain(value) for name, value in chosen.columns.items()}
    wanted = " AND ".join(f"{quoted(name)} IS ?" for name in columns) or "1"
    if indexed:
        numbers = f"SELECT number FROM temp.of_params WHERE {wanted}"
        return f"FROM {quoted(place.predictions)} WHERE rowid IN ({numbers})", [*columns.values()]
    where = f"FROM {quoted(place.predictions)} WHERE experiment_version = ? AND {wanted}"
    return where, [experiment, *columns.values()]


def read_rows(
    connection: sqlite3.Connection,
    where: str,
    values: list[object],
    measured: Mapping[str, str],
    clustered: str = "",
) -> ConfigurationRows:
    """Fill arrays batch by batch: latency, cost where it is `measured`, and the scores.

    `measured`: by name, the SQL of what a row counts as. `clustered`: the column of what items were
    drawn with, if there is one.
    """
    query = f"SELECT count(*), max(repeat), count({clustered or 'NULL'}) {where}"
    count, last_repeat, drawn_together = connection.execute(query, values).fetchone()
    failed, cached = np.zeros(count, dtype=np.bool_), np.zeros(count, dtype=np.bool_)
    numbers = {name: np.empty(count) for name in measured}
    units = last_repeat or drawn_together
    items = np.empty(count, dtype=np.uint64) if units else None
    unit = f"coalesce({clustered}, input_id)" if clustered else "input_id"
    cursor = connection.execute(
        f"SELECT error_type IS NOT NULL, cache != '', {unit}, "
        f"{', '.join(measured.values())} {where} {IN_ORDER}",
        values,
    )
    filled = 0
    while batch := cursor.fetchmany(5000):
        stop = filled + len(batch)
        columns = list(zip(*batch, strict=True))
        failed[filled:stop], cached[filled:stop] = columns[0], columns[1]
        if items is not None:
            items[filled:stop] = [_hash(name) for name in columns[2]]
        for name, column in zip(measured, columns[3:], strict=True):
            numbers[name][filled:stop] = np.array(column, dtype=np.float64)
        filled = stop
    latency, cost = numbers.pop("latency"), numbers.pop("cost", np.empty(0))
    return ConfigurationRows(failed, cached, latency, cost, items, numbers)


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
