"""Scores: `score(row)` of metrics.py over stored rows. It sees only what is recorded, so it can be
done again at any time (rescore) without running predict."""

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

from harness.columns import PREDICTIONS, Schema, plain, quoted
from harness.errors import HarnessError
from harness.layout import Place

_BATCH = 2000


def score_rows(
    place: Place, experiment: str, score: Callable[[dict[str, Any]], dict[str, Any]]
) -> list[str]:
    """Compute and store the scores of every good row of an experiment; returns their names.

    A failed row has NULL scores. Raises HarnessError where score raises, returns no dict, or names
    a column that is not its own; the rows scored before that keep their scores.
    """
    connection = sqlite3.connect(place.db, isolation_level=None, timeout=10)
    connection.row_factory = sqlite3.Row
    try:
        schema = Schema.prepare(connection, place.predictions, {})
        own = set(_remembered(connection, place.predictions))
        foreign = (set(schema.types) | set(PREDICTIONS)) - own
        names: set[str] = set()
        for batch in _batches(connection, place, experiment):
            scored = [(row["rowid"], _scored(score, row, foreign)) for row in batch]
            added, retyped = schema.changes(
                (values for _, values in scored), lambda column: column in names
            )
            names.update(name for _, values in scored for name in values)
            # Both or none: a column that a kill left without its note would be taken for a result.
            connection.execute("BEGIN IMMEDIATE")
            _remember(connection, place.predictions, names - own)
            schema.add(connection, added)
            connection.execute("COMMIT")
            for name, kind in retyped.items():
                schema.retype(connection, name, kind)
            own |= names
            columns = sorted(names)
            assigned = ", ".join(f"{quoted(name)} = ?" for name in columns)
            if not columns:
                continue
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                f"UPDATE {quoted(place.predictions)} SET {assigned} WHERE rowid = ?",
                [(*map(values.get, columns), rowid) for rowid, values in scored],
            )
            connection.execute("COMMIT")
        return sorted(names)
    finally:
        connection.close()


def _batches(
    connection: sqlite3.Connection, place: Place, experiment: str
) -> Iterator[list[dict[str, Any]]]:
    last = -1
    while True:
        # By rowid: with the index of keys SQLite would sort the whole experiment for each batch.
        rows = connection.execute(
            f"SELECT rowid AS rowid, * FROM {quoted(place.predictions)} NOT INDEXED "
            "WHERE experiment_version = ? AND error_type IS NULL AND rowid > ? "
            "ORDER BY rowid LIMIT ?",
            (experiment, last, _BATCH),
        ).fetchall()
        if not rows:
            return
        last = rows[-1]["rowid"]
        yield [dict(row) for row in rows]


def _scored(
    score: Callable[[dict[str, Any]], dict[str, Any]], row: dict[str, Any], foreign: set[str]
) -> dict[str, Any]:
    try:
        values = score(row)
    except Exception as error:
        raise HarnessError(
            f"metrics.score failed on input_id {row['input_id']!r}: "
            f"{type(error).__name__}: {error}",
            fix="mend src/benchmark/metrics.py and run `make rescore`; the results are kept",
            code=1,
        ) from error
    if not isinstance(values, dict):
        raise HarnessError(
            f"metrics.score returned {type(values).__name__}, expected a dict",
            fix="return {name: number} from score in src/benchmark/metrics.py",
        )
    taken = sorted(name for name in values if name in foreign)
    if taken:
        raise HarnessError(
            f"metrics.score returned {', '.join(taken)}, which is a column of the run itself",
            fix="give the score another name in src/benchmark/metrics.py",
        )
    return {name: plain(value) for name, value in values.items()}


# Which columns are scores is not to be guessed from their values, so it is written down.
_SCORES = (
    "CREATE TABLE IF NOT EXISTS scores (predictions TEXT, name TEXT, UNIQUE (predictions, name))"
)


def _remembered(connection: sqlite3.Connection, table: str) -> list[str]:
    connection.execute(_SCORES)
    rows = connection.execute("SELECT name FROM scores WHERE predictions = ?", (table,)).fetchall()
    return [row[0] for row in rows]


def _remember(connection: sqlite3.Connection, table: str, names: set[str]) -> None:
    connection.executemany(
        "INSERT OR IGNORE INTO scores VALUES (?, ?)", [(table, name) for name in sorted(names)]
    )


def score_names(connection: sqlite3.Connection, table: str) -> list[str]:
    """The columns of a predictions table that metrics.py computed."""
    return sorted(_remembered(connection, table))
