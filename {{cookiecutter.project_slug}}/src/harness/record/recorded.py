"""Results in the rows of earlier experiments, used where the cache does not have them.

A clone that DVC restored has the databases and no cache. What is recorded there is paid for
already.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.project.values import Row
from harness.record.columns import RESERVED, quoted, score_names
from harness.record.database_file import set_strangers_aside
from harness.record.layout import JUDGEMENTS

Known = dict[str, tuple[Row, str]]
# Columns of a row that are no part of what predict returned, but belong to its entry in the cache.
_KEPT = frozenset(
    {"function_time", "attempts", "latency", "fit_asset", "fit_seconds", "cost_estimate"}
)
_OWN = (RESERVED | {"error", "error_type", "input_id"}) - _KEPT


@contextlib.contextmanager
def reading(db: Path) -> Iterator[sqlite3.Connection]:
    """A connection for reading a database, closed at once afterwards."""
    set_strangers_aside(db)
    connection = sqlite3.connect(db, isolation_level=None, timeout=10)
    connection.row_factory = sqlite3.Row
    try:
        yield connection
    finally:
        connection.close()


def prefixes(connection: sqlite3.Connection, but_not: str = "") -> npt.NDArray[np.uint64]:
    """Eight bytes of the key of every row, except those of the experiment `but_not`."""
    found = bytearray()
    for table in _tables(connection):
        cursor = connection.execute(
            f"SELECT substr(task_key, 1, 16) FROM {quoted(table)} WHERE experiment_version <> ?",
            (but_not,),
        )
        while batch := cursor.fetchmany(10_000):
            found += bytes.fromhex("".join([row[0] for row in batch]))
    return np.frombuffer(found, dtype=">u8").astype(np.uint64)


def results(connection: sqlite3.Connection, keys: Sequence[str]) -> Known:
    """What was recorded under each of `keys`, and the run that computed it; failures are left out.

    As `ResultCache.get_many`.
    """
    known: Known = {}
    marks = ", ".join("?" * len(keys))
    for table in _tables(connection):
        scores = set(score_names(connection, table))
        # By experiment, since that is how the table is indexed; `runs` is small.
        for experiment in _experiments(connection):
            rows = connection.execute(
                f"SELECT * FROM {quoted(table)} WHERE experiment_version = ? "
                f"AND task_key IN ({marks}) AND error_type IS NULL",
                (experiment, *keys),
            )
            for row in rows:
                known[row["task_key"]] = (
                    _result(dict(row), scores),
                    row["cache"] or row["track_id"],
                )
    return known


def _result(row: Row, scores: set[str]) -> Row:
    """What predict returned, as far as it was kept; a value that is NULL is left out."""
    return {
        name: value
        for name, value in row.items()
        if value is not None
        and name not in _OWN
        and name not in scores
        and not name.startswith("params_")
    }


def _tables(connection: sqlite3.Connection) -> list[str]:
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    tables = [
        row[0]
        for row in names
        if row[0] in ("predictions", JUDGEMENTS) or row[0].startswith("predictions_")
    ]
    wanted = {"experiment_version", "task_key", "error_type", "cache", "track_id"}
    if not _columns(connection, "runs"):
        return []
    return [table for table in tables if wanted <= _columns(connection, table)]


def _experiments(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute("SELECT DISTINCT experiment_version FROM runs ORDER BY 1")
    return [row[0] for row in rows]


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in connection.execute(f"PRAGMA table_info({quoted(table)})")}


def together(parts: Iterable[npt.NDArray[np.uint64]]) -> npt.NDArray[np.uint64]:
    """All prefixes, ascending, for a binary search."""
    return np.sort(np.concatenate([np.empty(0, np.uint64), *parts]))
