"""Column types: decided before a row is written, widened where numbers ask for it, never mixed.

SQLite lets any value into any column and other readers then refuse the table, so the types that
stand in the schema are kept true here.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

INTEGER, REAL, TEXT, BLOB = "INTEGER", "REAL", "TEXT", "BLOB"
_DECLARED: dict[type, str] = {bool: INTEGER, int: INTEGER, float: REAL, str: TEXT, bytes: BLOB}
_AS_IS = frozenset({type(None), bool, int, float, str, bytes})
_INT64 = 2**63

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


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def declared_type(kind: type) -> str:
    """The column type of a Python type (anything nested is JSON text)."""
    return _DECLARED.get(kind, TEXT)


def plain(value: Any) -> Any:
    """A value as SQLite keeps it: numpy scalars unwrapped, nested values as JSON text, NaN as NULL.

    Raises TypeError for a value that is no data (a model, a client): those become assets.
    """
    if value is None or type(value) in (int, str, bytes):
        return _bounded(value) if type(value) is int else value
    if isinstance(value, float):
        return None if value != value else float(value)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, (int, str)):
        return _bounded(int(value)) if isinstance(value, int) else str(value)
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, (dict, list, tuple, set, frozenset)):
        return json.dumps(_ordered(value), ensure_ascii=False, default=_nested)
    raise TypeError(f"a {type(value).__name__} is no data")


def _bounded(value: int) -> int | str:
    return value if -_INT64 <= value < _INT64 else str(value)


def _ordered(value: Any) -> Any:
    return sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value


def _nested(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (set, frozenset)):
        return _ordered(value)
    return str(value)


def readable(text: str) -> str:
    """Text that UTF-8 can hold: lone surrogates become visible escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


class Schema:
    """The columns of one table, changed as rows ask for it. Takes a connection per change."""

    def __init__(self, table: str, types: dict[str, str]) -> None:
        self.table = table
        self.types = types
        self._fitting: set[tuple[Any, ...]] = set()

    def fits_as_is(self, row: dict[str, Any]) -> bool:
        """Whether a row of these names and Python types has been seen to need no change at all."""
        return (*row, *map(type, row.values())) in self._fitting

    def remember(self, row: dict[str, Any]) -> None:
        """Note that plain values of these types fit: the next such row is not looked at."""
        if all(type(value) in _AS_IS for value in row.values()):
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
        """Add columns that are not there yet."""
        for name, kind in self.missing(wanted).items():
            connection.execute(f"ALTER TABLE {quoted(self.table)} ADD COLUMN {quoted(name)} {kind}")
            self.types[name] = kind

    def retype(self, connection: sqlite3.Connection, name: str, kind: str) -> None:
        """Give a column another type and convert what it holds (used for INTEGER to REAL)."""
        table, column, fresh = quoted(self.table), quoted(name), quoted(f"{name}__retyped")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"ALTER TABLE {table} ADD COLUMN {fresh} {kind}")
        connection.execute(f"UPDATE {table} SET {fresh} = CAST({column} AS {kind})")
        connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        connection.execute(f"ALTER TABLE {table} RENAME COLUMN {fresh} TO {column}")
        connection.execute("COMMIT")
        self.types[name] = kind
        self._fitting.clear()

    def changes(
        self, rows: Iterable[dict[str, Any]], holds: Callable[[str], bool]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Which columns to add and which to retype, so that `rows` (of plain values) fit.

        `holds(column)` tells whether a column has any value yet: one that has none may still become
        anything.
        """
        seen: dict[str, set[str]] = {}
        for row in rows:
            for name, value in row.items():
                if value is not None:
                    seen.setdefault(name, set()).add(declared_type(type(value)))
                else:
                    seen.setdefault(name, set())
        added: dict[str, str] = {}
        retyped: dict[str, str] = {}
        for name, kinds in seen.items():
            widest = REAL if kinds == {INTEGER, REAL} else min(kinds, default=None)
            current = self.types.get(name)
            if current is None:
                # A column without a value yet is TEXT until its first value says otherwise.
                added[name] = widest or TEXT
            elif widest in (None, current) or (current, widest) == (REAL, INTEGER):
                continue
            elif (current, widest) == (INTEGER, REAL) or not holds(name):
                retyped[name] = widest
        return added, retyped

    def misfit(self, row: dict[str, Any]) -> list[str]:
        """Columns whose value is of another type than the column; INTEGER values fit REAL."""
        wrong = []
        for name, value in row.items():
            if value is None:
                continue
            kind, current = declared_type(type(value)), self.types[name]
            if kind != current and not (kind == INTEGER and current == REAL):
                wrong.append(name)
        return wrong
