"""Makes rows and columns of `predictions` fit each other, before anything is written."""

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from harness.project.values import TEXT, Row, Unsendable, Value, plain
from harness.record.columns import PREDICTIONS, Schema, holds, score_names

Wrong = dict[str, str]
_LOOKED_AT_FIRST = 16


class RowFitter:
    """Makes values plain and columns wide enough; says of each row what cannot be kept.

    `connection` reads the table, `apart` opens a separate one for a change of its columns.
    `keep_asset` stores what is not data and returns the text to write in its place.
    """

    def __init__(
        self,
        schema: Schema,
        engine: str,
        connection: Any,
        apart: Callable[[], AbstractContextManager[sqlite3.Connection]],
        keep_asset: Callable[[str, object], str],
    ) -> None:
        self._schema = schema
        self._sqlite = engine == "sqlite"
        self._connection = connection
        self._apart = apart
        self._keep_asset = keep_asset
        self._before: list[Row] = []  # of the same batch, which no table holds yet
        self._spelled = {name.lower(): name for name in schema.types}
        with apart() as plain_connection:
            self._scores = set(score_names(plain_connection, schema.table))

    def fit(self, rows: list[Row], each: bool = False) -> list[tuple[Row, Wrong]]:
        """Make values plain and columns fit; each row with what is wrong, by column.

        A value that cannot be kept, or is of another type than its column, is left NULL. `each`:
        look at each row, also at one that looks like those before it.
        """
        odd = [*range(len(rows))] if each else self._odd(rows)
        if each or len(odd) <= _LOOKED_AT_FIRST:
            return self._fit(rows, odd)
        # Most of the others look like the first, which say that these fit as they are.
        until = odd[_LOOKED_AT_FIRST]
        first = self._fit(rows[:until], odd[:_LOOKED_AT_FIRST])
        self._before = [row for row, _ in first]
        rest = self._fit(rows[until:], self._odd(rows[until:]))
        self._before = []
        return first + rest

    def _odd(self, rows: list[Row]) -> list[int]:
        return [index for index, row in enumerate(rows) if not self._schema.fits_as_is(row)]

    def _fit(self, rows: list[Row], odd: list[int]) -> list[tuple[Row, Wrong]]:
        schema = self._schema
        ready: list[tuple[Row, Wrong]] = [(row, {}) for row in rows]
        if not odd:
            return ready
        made: dict[int, Row] = {}
        for index in odd:
            wrong = ready[index][1]
            made[index] = {}
            for name, value in rows[index].items():
                # SQLite ignores case in names.
                spelled = self._spelled.setdefault(name.lower(), name)
                if name != spelled:
                    wrong[name] = f"{name}, which is called {spelled} so far"
                elif name in self._scores and not self._free(name):
                    wrong[name] = f"{name}, which is a score of metrics.py here; rename one of them"
                else:
                    made[index][name] = self._plain(name, value, wrong)
        added, retyped = schema.changes(made.values(), self._taken)
        if added or retyped:
            with self._apart() as connection:
                schema.add(connection, added)
                for name, kind in retyped.items():
                    schema.retype(connection, name, kind)
        for index, row in made.items():
            wrong = ready[index][1]
            for name in schema.misfit(row):
                kind = type(rows[index][name]).__name__
                shown = str(row[name])[:80]
                row[name] = None
                wrong[name] = f"{name} = {shown!r} ({kind}), but it is {schema.types[name]} so far"
            ready[index] = (row, wrong)
            if not wrong and (self._sqlite or int not in map(type, row.values())):
                # DuckDB does not say in time that a number is beyond 64 bits.
                schema.remember(rows[index], row)
        return ready

    def _plain(self, name: str, value: object, wrong: Wrong) -> Value:
        if isinstance(value, Unsendable):
            wrong[name] = f"{name}, which cannot be kept: {value.reason}"
            return None
        try:
            ready = plain(value)
            if PREDICTIONS.get(name) == TEXT and isinstance(ready, (int, float)):
                return str(ready)  # raw output is text, also where a model answers with a number
            return ready
        except TypeError:
            pass
        except (ValueError, OverflowError, RecursionError) as error:
            wrong[name] = f"{name}, which cannot be kept: {error}"
            return None
        try:
            return self._keep_asset(name, value)
        except Exception as error:  # whatever pickling a lock, a generator or a file may raise
            wrong[name] = f"{name}, which cannot be kept: {error}"
            return None

    def _free(self, score: str) -> bool:
        """Let predict use the name of a score, where no row has a value of that score any more."""
        if self._holds(score):
            return False
        with self._apart() as connection:
            connection.execute(
                "DELETE FROM scores WHERE predictions = ? AND name = ?",
                (self._schema.table, score),
            )
        self._scores.remove(score)
        return True

    def _taken(self, column: str) -> bool:
        return any(row.get(column) is not None for row in self._before) or self._holds(column)

    def _holds(self, column: str) -> bool:
        return holds(self._connection, self._schema.table, column)


def mark_unfit(row: Row, wrong: Wrong) -> None:
    """Turn a row with values that cannot be kept into a failure; its other values stay."""
    row["error"] = "predict returned " + "; ".join(wrong.values())
    row["error_type"] = "InvalidResult"
    row["cache"] = ""
