"""Column types: decided before a row is written, widened where numbers ask for it, never mixed.

SQLite lets any value into any column, and other readers then refuse the table. So this module makes
sure that each value has the type of its column.
"""

import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

from harness.project.values import INTEGER, REAL, TEXT, Row, declared_type

_AS_IS = frozenset({type(None), bool, int, float, str, bytes})

PREDICTIONS = {
    "function_name": TEXT,
    "function_time": REAL,
    "error": TEXT,
    "cache": TEXT,
    "experiment_version": TEXT,
    "task_key": TEXT,
    "item_key": TEXT,
    "code_key": TEXT,
    "input_id": TEXT,
    "repeat": INTEGER,
    "prediction": None,
    "ground_truth": None,
    "raw_response": TEXT,
    "error_type": TEXT,
    "attempts": INTEGER,
    "latency": REAL,
    "fit_asset": TEXT,
}
"""The columns of `predictions` and their types; None means that the first value decides."""
ANSWERS = frozenset({"prediction", "ground_truth", "raw_response"})
"""Those of them that only predict can fill."""


CLUSTER = "cluster"  # what items were drawn with, where [data] of benchmark.toml names it
LOOK = "planned_look"  # at which look of the plan an item came, where PLAN.toml has [looks]


LATENCY_SHARED = "latency_shared"  # true where `latency` is that of a whole batch

# The harness's own columns: predict may not return their names, and a result that is reused leaves
# them behind, since they are of the run that made it and of where an item stood in its design.
RESERVED = frozenset(
    {
        CLUSTER,
        LATENCY_SHARED,
        LOOK,
        "track_id",
        "timestamp",
        "function_name",
        "function_time",
        "cache",
        "experiment_version",
        "task_key",
        "item_key",
        "code_key",
        "repeat",
        "attempts",
        "fit_asset",
        "fit_seconds",
        "cost_estimate",
        "cost_lost",
    }
)


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def make_once_index(connection: Any, table: str) -> None:
    """Make the index that keeps a datapoint from being recorded twice, if there is none."""
    connection.execute(
        f"CREATE UNIQUE INDEX IF NOT EXISTS {quoted(f'once_{table}')} "
        f"ON {quoted(table)} (experiment_version, task_key)"
    )


def drop_once_index(connection: Any, table: str) -> None:
    """Leave that index out; whoever next needs it makes it."""
    connection.execute(f"DROP INDEX IF EXISTS {quoted(f'once_{table}')}")


# Which columns are scores is written down, because it cannot be guessed from their values.
SCORES = (
    "CREATE TABLE IF NOT EXISTS scores (predictions TEXT, name TEXT, UNIQUE (predictions, name))"
)


def score_names(connection: sqlite3.Connection, table: str) -> list[str]:
    """The columns of a predictions table that metrics.py computed."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'scores'").fetchone():
        return []
    rows = connection.execute("SELECT name FROM scores WHERE predictions = ?", (table,)).fetchall()
    return sorted(row[0] for row in rows)


def holds(connection: Any, table: str, column: str) -> bool:
    """Whether any row has a value in a column."""
    query = f"SELECT 1 FROM {quoted(table)} WHERE {quoted(column)} IS NOT NULL LIMIT 1"
    return connection.execute(query).fetchone() is not None


def filled(connection: Any, table: str) -> list[str]:
    """The columns in which some row has a value."""
    found = connection.execute(f"PRAGMA table_info({quoted(table)})").fetchall()
    return [row[1] for row in found if holds(connection, table, row[1])]


class Schema:
    """The columns of one table, changed as rows ask for it. Takes a connection per change."""

    def __init__(self, table: str, types: dict[str, str]) -> None:
        self.table = table
        self.types = types
        self._fitting: set[tuple[object, ...]] = set()

    def fits_as_is(self, row: Row) -> bool:
        """Whether an earlier row of these names and Python types needed no change at all."""
        return (*row, *map(type, row.values())) in self._fitting

    def remember(self, row: Row, kept: Row) -> None:
        """Note that values of these types fit, so that the next such row needs no check.

        Not where a value became NULL: NaN is a float, and its column may still be TEXT.
        """
        if all(type(row[n]) in _AS_IS and (row[n] is None) == (kept[n] is None) for n in row):
            self._fitting.add((*row, *map(type, row.values())))

    @classmethod
    def prepare(
        cls, connection: sqlite3.Connection, table: str, wanted: dict[str, str | None]
    ) -> "Schema":
        """Create the table in xetrack's form where it is missing, and add the wanted columns."""
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {quoted(table)} (track_id VARCHAR, timestamp VARCHAR, "
            "PRIMARY KEY (track_id, timestamp))"
        )
        found = connection.execute(f"PRAGMA table_info({quoted(table)})").fetchall()
        schema = cls(table, {row[1]: (TEXT if row[2] == "VARCHAR" else row[2]) for row in found})
        schema.add(connection, {k: t for k, t in wanted.items() if t is not None})
        return schema

    def missing(self, wanted: dict[str, str]) -> dict[str, str]:
        """Which of the wanted columns are not there yet (SQLite ignores case in names)."""
        known = {name.lower() for name in self.types}
        return {name: kind for name, kind in wanted.items() if name.lower() not in known}

    def add(self, connection: sqlite3.Connection, wanted: dict[str, str]) -> None:
        """Add columns that are not there yet, all or none: one commit for many is much faster."""
        missing = self.missing(wanted)
        if not missing:
            return
        connection.execute("SAVEPOINT columns")
        try:
            for name, kind in missing.items():
                connection.execute(
                    f"ALTER TABLE {quoted(self.table)} ADD COLUMN {quoted(name)} {kind}"
                )
        except sqlite3.Error:
            connection.execute("ROLLBACK TO columns")
            raise
        finally:
            connection.execute("RELEASE columns")
        self.types |= missing

    def retype(self, connection: sqlite3.Connection, name: str, kind: str) -> None:
        """Give a column another type and convert what it holds (used for INTEGER to REAL)."""
        table = quoted(self.table)
        column = quoted(name)
        fresh = quoted(f"{name}__retyped")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"ALTER TABLE {table} ADD COLUMN {fresh} {kind}")
        connection.execute(f"UPDATE {table} SET {fresh} = CAST({column} AS {kind})")
        connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        connection.execute(f"ALTER TABLE {table} RENAME COLUMN {fresh} TO {column}")
        connection.execute("COMMIT")
        self.types[name] = kind
        self.forget()

    def forget(self) -> None:
        """Look at every row again."""
        self._fitting.clear()

    def changes(
        self, rows: Iterable[Row], holds: Callable[[str], bool]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Which columns to add and which to retype, so that `rows` (of plain values) fit.

        `holds(column)` says whether a column has any value yet; one without a value may still get
        any type.
        """
        seen: dict[str, list[str]] = {}
        for row in rows:
            for name, value in row.items():
                kinds = seen.setdefault(name, [])
                if value is not None:
                    kinds.append(declared_type(type(value)))
        added: dict[str, str] = {}
        retyped: dict[str, str] = {}
        for name, kinds in seen.items():
            current = self.types.get(name)
            # The first value decides, however rows fall into batches; only numbers widen.
            wanted = kinds[0] if kinds else None
            if wanted == INTEGER and REAL in kinds:
                wanted = REAL
            if current is None:
                # A column without a value yet is TEXT until its first value says otherwise.
                added[name] = wanted or TEXT
            elif current == INTEGER and REAL in kinds:
                retyped[name] = REAL
            elif wanted in (None, current) or (current, wanted) == (REAL, INTEGER):
                continue
            elif PREDICTIONS.get(name) is None and not holds(name):
                retyped[name] = str(wanted)
        return added, retyped

    def misfit(self, row: Row) -> list[str]:
        """Columns whose value is of another type than the column; INTEGER values fit REAL."""
        wrong = []
        for name, value in row.items():
            if value is None:
                continue
            kind = declared_type(type(value))
            current = self.types[name]
            if kind != current and not (kind == INTEGER and current == REAL):
                wrong.append(name)
        return wrong
