"""Columns of two databases brought together by name, of types that hold the values of both.

The types are ordered: nothing, INTEGER, REAL, TEXT. An integer beyond 2**53 does not survive as a
REAL, so a column that has one meets REAL as TEXT. A number becomes the same text whether it was an
integer or a float before, so that the order in which databases are merged makes no difference.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from harness.errors import HarnessError
from harness.project.values import BLOB, INTEGER, REAL, TEXT
from harness.record.columns import PREDICTIONS, RESERVED, quoted

_EXACT = 2**53
_BIG = "BIG INTEGER"  # only while types are compared
OWN = frozenset({*PREDICTIONS, *RESERVED, "error_type", "cost"})


@dataclass(frozen=True, slots=True)
class Difference:
    """What one database has and the other has not, or has otherwise.

    `kind` is how it is allowed by name: data, schema, types, project.
    """

    kind: str
    words: str


def columns_of(con: sqlite3.Connection, schema: str, table: str) -> dict[str, str]:
    """The columns of a table with their declared types."""
    rows = con.execute(f"PRAGMA {schema}.table_info({quoted(table)})")
    return {str(row[1]): str(row[2]) for row in rows}


def tables_of(con: sqlite3.Connection, schema: str) -> list[str]:
    """The names of all tables, in the order in which they were made."""
    rows = con.execute(
        f"SELECT name FROM {schema}.sqlite_master WHERE type = 'table' "
        "AND name NOT LIKE 'sqlite^_%' ESCAPE '^' ORDER BY rowid"
    )
    return [str(row[0]) for row in rows]


Value = str | bytes | int | float | None


def number_as_text(value: Value) -> Value:
    """5 and 5.0 are both `5`; anything that is no number stays."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
        return str(int(value))
    return repr(value) if isinstance(value, (int, float)) else value


def prepare(con: sqlite3.Connection) -> None:
    """Let a connection convert values."""
    con.create_function("number_as_text", 1, number_as_text, deterministic=True)


class Fitting:
    """How the columns of one table (`source`) go into another (`target`), which is changed for it.

    `selected` gives the expression of each column of the target for a row of the source.
    """

    def __init__(self, con: sqlite3.Connection, schema: str, source: str, target: str) -> None:
        self.con, self.schema, self.source, self.target = con, schema, source, target
        self.differences: list[Difference] = []
        self._expressions: dict[str, str] = {}
        theirs, ours = columns_of(con, schema, source), columns_of(con, "main", target)
        called = {name.lower(): name for name in ours}  # SQLite ignores case in names
        for name, kind in theirs.items():
            here = called.get(name.lower())
            if here is None:
                self._add(name, kind)
            else:
                self._expressions[here] = self._fit(name, kind, here, ours[here])

    def selected(self, names: Iterable[str]) -> list[str]:
        """Each column of the target as an expression over the source."""
        return [self._expressions.get(name, "NULL") for name in names]

    def _add(self, name: str, kind: str) -> None:
        self.con.execute(f"ALTER TABLE {quoted(self.target)} ADD COLUMN {quoted(name)} {kind}")
        self._expressions[name] = quoted(name)
        predictions = self.target.startswith("predictions")
        if predictions and name not in OWN and _kind(self.con, self.schema, self.source, name):
            self.differences.append(Difference("schema", f"{name} is no column here"))

    def _fit(self, name: str, kind: str, here: str, have: str) -> str:
        """The expression for a column that both have."""
        column = quoted(name)
        if _plain(kind) == _plain(have):
            return column
        there = _kind(self.con, self.schema, self.source, name)
        ours = _kind(self.con, "main", self.target, here)
        if BLOB in (there, ours) and there and ours:
            raise HarnessError(
                f"{self.target}.{here} holds bytes on one side and {there} or {ours} on the other",
                fix="rename it in predict.py on one side: one column cannot hold both",
            )
        wanted = joined(there, ours) or TEXT
        if ours and there and wanted == TEXT:
            words = f"{self.target}.{here} is {_plain(have)} here and {_plain(kind)} there"
            self.differences.append(Difference("types", words))
        if wanted != _plain(have):
            self._retype(here, wanted)
        return _converted(column, wanted)

    def _retype(self, name: str, kind: str) -> None:
        table, column, fresh = quoted(self.target), quoted(name), quoted(f"{name}__retyped")
        self.con.execute(f"ALTER TABLE {table} ADD COLUMN {fresh} {kind}")
        self.con.execute(f"UPDATE {table} SET {fresh} = {_converted(column, kind)}")
        self.con.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        self.con.execute(f"ALTER TABLE {table} RENAME COLUMN {fresh} TO {column}")


def joined(one: str, other: str) -> str:
    """The smallest type that holds the values of both; "" where neither has any."""
    if one == other or not other:
        found = one
    elif not one:
        found = other
    elif {one, other} == {INTEGER, REAL}:
        found = REAL
    elif {one, other} == {INTEGER, _BIG}:
        found = INTEGER
    else:
        found = TEXT
    return INTEGER if found == _BIG else found


def _plain(declared: str) -> str:
    return TEXT if declared.upper() == "VARCHAR" else declared.upper()


def _kind(con: sqlite3.Connection, schema: str, table: str, name: str) -> str:
    """The type of what a column holds; "" where it holds nothing yet."""
    where = f"FROM {schema}.{quoted(table)} WHERE {quoted(name)}"
    if not con.execute(f"SELECT 1 {where} IS NOT NULL LIMIT 1").fetchone():
        return ""
    kind = _plain(columns_of(con, schema, table)[name])
    if (
        kind == INTEGER
        and con.execute(f"SELECT 1 {where} NOT BETWEEN -{_EXACT} AND {_EXACT} LIMIT 1").fetchone()
    ):
        return _BIG
    return kind


def _converted(expression: str, kind: str) -> str:
    if kind == TEXT:
        return f"number_as_text({expression})"
    return f"CAST({expression} AS {kind})" if kind in (REAL, INTEGER) else expression
