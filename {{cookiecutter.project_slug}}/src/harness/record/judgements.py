"""Recorded answers as items for a judge, and judgements as part of the rows that are scored.

An answer is known by what a judge is shown of it, so equal answers share their judgements.
"""

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import orjson

from harness.errors import HarnessError
from harness.project.judge import FILE, ID
from harness.project.values import Row
from harness.record.columns import quoted
from harness.record.layout import JUDGEMENTS, Place

COLUMN = "judge"  # of judgements: which params, files and code judged
_AT_ONCE = 500


def answer_id(shown: Row) -> str:
    """What an answer is known by: a digest of what a judge is shown."""
    return hashlib.sha256(orjson.dumps(shown, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


def answers(place: Place, experiment: str, reads: Sequence[str]) -> Iterator[Row]:
    """Each different answer of an experiment as an item, in the order in which they were recorded.

    Raises HarnessError where no row has one of the columns.
    """
    with closing(sqlite3.connect(place.db, timeout=10)) as connection:
        have = _columns(connection, place.predictions)
    if unknown := [name for name in reads if name not in have]:
        raise HarnessError(
            f"READS in {FILE} names {', '.join(unknown)}, which no row has",
            fix=f"correct it, or let predict return {unknown[0]}",
        )
    seen: set[bytes] = set()
    last = 0
    while rows := _next_rows(place, experiment, reads, last):
        for _, *values in rows:
            shown = dict(zip(reads, values, strict=True))
            name = answer_id(shown)
            short = bytes.fromhex(name)
            if short not in seen:
                seen.add(short)
                yield {ID: name, **shown}
        last = rows[-1][0]


def _next_rows(
    place: Place, experiment: str, reads: Sequence[str], last: int
) -> list[tuple[Any, ...]]:
    """The rows after `last`, each with its number first.

    The connection is closed before one of them is judged: while it was open, the writer could not
    leave one plain file where the judging ended early.
    """
    listed = ", ".join(map(quoted, reads))
    with closing(sqlite3.connect(place.db, timeout=10)) as connection:
        return connection.execute(
            f"SELECT rowid, {listed} FROM {quoted(place.predictions)} "
            "WHERE experiment_version = ? AND error_type IS NULL AND rowid > ? "
            f"ORDER BY rowid LIMIT {_AT_ONCE}",
            (experiment, last),
        ).fetchall()


@dataclass(frozen=True, slots=True)
class Judged:
    """The judgements that scores may read: those of the judges of today, by their `judge`."""

    reads: tuple[str, ...]
    judges: tuple[str, ...]

    def attach(self, connection: sqlite3.Connection, rows: Sequence[Row], experiment: str) -> None:
        """Give each row its `judgements`: a list of rows, in the order of the judges.

        One that failed, or was not asked for yet, is not there.
        """
        names = [answer_id({name: row.get(name) for name in self.reads}) for row in rows]
        found: dict[str, list[Row]] = {name: [] for name in names}
        if "error_type" in _columns(connection, JUDGEMENTS):
            wanted = list(found)
            for start in range(0, len(wanted), _AT_ONCE):
                some = wanted[start : start + _AT_ONCE]
                for each in self._judgements(connection, some, experiment):
                    found[each["input_id"]].append(each)
        for row, name in zip(rows, names, strict=True):
            row[JUDGEMENTS] = sorted(found[name], key=lambda each: self.judges.index(each[COLUMN]))

    def _judgements(
        self, connection: sqlite3.Connection, names: Sequence[str], experiment: str
    ) -> list[Row]:
        cursor = connection.execute(
            f"SELECT * FROM {JUDGEMENTS} WHERE experiment_version = ? AND error_type IS NULL "
            f"AND {COLUMN} IN ({', '.join('?' * len(self.judges))}) "
            f"AND input_id IN ({', '.join('?' * len(names))})",
            (experiment, *self.judges, *names),
        )
        columns = [each[0] for each in cursor.description]
        return [dict(zip(columns, values, strict=True)) for values in cursor]


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in connection.execute(f"PRAGMA table_info({quoted(table)})")}
