"""Column types: decided before a row is written, widened where numbers ask for it, never mixed.

SQLite lets any value into any column and other readers then refuse the table, so the types that
stand in the schema are kept true here.
"""

import json
import math
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

INTEGER, REAL, TEXT, BLOB = "INTEGER", "REAL", "TEXT", "BLOB"
_DECLARED: dict[type, str] = {bool: INTEGER, int: INTEGER, float: REAL, str: TEXT, bytes: BLOB}
_AS_IS = frozenset({type(None), bool, int, float, str, bytes})
_AS_TEXT = (Decimal, date, time, timedelta, Enum, PurePath, UUID)
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
ANSWERS = frozenset({"prediction", "ground_truth", "raw_response"})
"""Those of them that predict fills, if anybody does."""


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


# Which columns are scores is not to be guessed from their values, so it is written down.
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


def declared_type(kind: type) -> str:
    """The column type of a Python type (anything nested is JSON text)."""
    return _DECLARED.get(kind, TEXT)


def plain(value: Any) -> Any:
    """A value as SQLite keeps it: numpy scalars unwrapped, nested values as JSON text, NaN as NULL.

    Dates, decimals, paths and the like become their text, as they do inside nested values. A whole
    number beyond 64 bits becomes text, which keeps every digit. Raises TypeError for a value that
    is no data (a model, a client): those become assets. Raises ValueError for a value that contains
    itself.
    """
    if value is None or type(value) in (str, bytes):
        return value
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return int(value) if -_INT64 <= value < _INT64 else str(value)
    if isinstance(value, float):
        return None if value != value else float(value)
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, str):
        return str.__str__(value)  # of an enum that is a str, its value, to which it is equal
    if isinstance(value, _AS_TEXT):
        return str(value) if value == value else None  # pandas' NaT is a date
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, (dict, list, tuple, set, frozenset)):
        text = json.dumps(_nested(value), ensure_ascii=False, allow_nan=False)
        # Lone surrogates become U+FFFD: half a character is no JSON text for other programs.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    raise TypeError(f"a {type(value).__name__} is no data")


@dataclass(frozen=True, slots=True)
class Unkept:
    """Stands for a value that could not be sent here to be kept, and says why."""

    reason: str


def _nested(value: Any, within: tuple[int, ...] = ()) -> Any:
    """Nested data as JSON can hold it: names are text, NaN and infinities are null."""
    if id(value) in within:
        raise ValueError("it contains itself")
    if isinstance(value, dict):
        return {str(k): _nested(v, (*within, id(value))) for k, v in value.items()}
    if isinstance(value, (set, frozenset)):
        value = sorted(value, key=repr)
    if isinstance(value, (list, tuple)):
        return [_nested(each, (*within, id(value))) for each in value]
    if hasattr(value, "tolist"):
        return _nested(value.tolist(), within)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


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

    def remember(self, row: dict[str, Any], kept: dict[str, Any]) -> None:
        """Note that values of these types fit, so that the next such row is not looked at.

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
        table, column, fresh = quoted(self.table), quoted(name), quoted(f"{name}__retyped")
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
        self, rows: Iterable[dict[str, Any]], holds: Callable[[str], bool]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Which columns to add and which to retype, so that `rows` (of plain values) fit.

        `holds(column)` tells whether a column has any value yet: one that has none may still become
        anything.
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
