"""Recorded answers as items for a judge, and judgements as part of the rows that are scored.

An answer, or a pair of them in one order, is known by what a judge is shown of it, so equal ones
share their judgements.
"""

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import orjson

from harness.errors import HarnessError
from harness.project.judge import FILE, ID, View
from harness.project.values import Row, plain
from harness.record.columns import quoted
from harness.record.layout import JUDGEMENTS, Place

COLUMN = "judge"  # of judgements: which params, files and code judged
PREFERRED, PAIR = "preferred", "pair"  # of judgements of pairs
PLACES = ("first", "second")
_AT_ONCE = 500


def answer_id(shown: Row) -> str:
    """What an answer is known by: a digest of what a judge is shown."""
    return hashlib.sha256(orjson.dumps(shown, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


def answers(place: Place, experiment: str, view: View) -> Iterator[Row]:
    """Each different answer (or pair) of an experiment as an item, as they were recorded.

    Raises HarnessError where no row has one of the columns, or the params of AGAINST.
    """
    with closing(sqlite3.connect(place.db, timeout=10)) as connection:
        _check_columns(connection, place.predictions, view)
    seen: set[bytes] = set()
    last = 0
    while rows := _next_rows(place, experiment, view, last):
        for shown in (each for _, row, other in rows for each in view.of(row, other)):
            name = answer_id(shown)
            short = bytes.fromhex(name)
            if short not in seen:
                seen.add(short)
                yield {ID: name, **shown}
        last = rows[-1][0]


def _check_columns(connection: sqlite3.Connection, table: str, view: View) -> None:
    have = _columns(connection, table)
    for where, names in (("READS", view.reads), ("COMPARES", view.compares)):
        if unknown := [name for name in names if name not in have]:
            raise HarnessError(
                f"{where} in {FILE} names {', '.join(unknown)}, which no row has",
                fix=f"correct it, or let predict return {unknown[0]}",
            )
    if unknown := [name for name in view.against if f"params_{name}" not in have]:
        raise HarnessError(
            f"AGAINST in {FILE} names {', '.join(unknown)}, and Params has no such field",
            fix="name fields of Params in src/benchmark/params.py",
        )


def _next_rows(
    place: Place, experiment: str, view: View, last: int
) -> list[tuple[int, Row, Row | None]]:
    """The rows after `last`, each with its number, and with the one that it is compared with.

    The connection is closed before one of them is judged: while it was open, the writer could not
    leave one plain file where the judging ended early.
    """
    params = [f"params_{name}" for name in view.against]
    heads = list(dict.fromkeys(["input_id", "repeat", *view.reads, *view.compares, *params]))
    with closing(sqlite3.connect(place.db, timeout=10)) as connection:
        found = connection.execute(
            f"SELECT rowid, {', '.join(map(quoted, heads))} FROM {quoted(place.predictions)} "
            "WHERE experiment_version = ? AND error_type IS NULL AND rowid > ? "
            f"ORDER BY rowid LIMIT {_AT_ONCE}",
            (experiment, last),
        ).fetchall()
        rows = [dict(zip(heads, row[1:], strict=True)) for row in found]
        others = _compared_with(connection, place.predictions, experiment, view, rows)
    return [(row[0], each, other) for row, each, other in zip(found, rows, others, strict=True)]


def _compared_with(
    connection: sqlite3.Connection, table: str, experiment: str, view: View, rows: Sequence[Row]
) -> list[Row | None]:
    """For each row the answer to the same item that it is compared with; None for that one itself.

    Raises HarnessError where AGAINST names several configurations.
    """
    if not view.compares:
        return [None] * len(rows)
    wanted = {f"params_{name}": plain(value) for name, value in view.against.items()}
    tests = " AND ".join(f"{quoted(name)} IS ?" for name in wanted)
    names = ["input_id", "repeat", *view.compares]
    items = list(dict.fromkeys(row["input_id"] for row in rows))
    there: dict[tuple[object, object], Row] = {}
    for values in connection.execute(
        f"SELECT {', '.join(map(quoted, names))} FROM {quoted(table)} "
        f"WHERE experiment_version = ? AND error_type IS NULL AND {tests} "
        f"AND input_id IN (SELECT value FROM json_each(?))",
        (experiment, *wanted.values(), orjson.dumps(items).decode()),
    ):
        row = dict(zip(names, values, strict=True))
        if there.setdefault((row["input_id"], row["repeat"]), row) is not row:
            raise HarnessError(
                f"AGAINST in {FILE} fits several configurations",
                fix="name as many params as tell one of them from all others",
            )
    return [
        None
        if all(row[name] == value for name, value in wanted.items())
        else there.get((row["input_id"], row["repeat"]))
        for row in rows
    ]


def mean_cost(place: Place) -> float | None:
    """What a judgement in a database cost on average; None where that is not known."""
    with closing(sqlite3.connect(place.db, timeout=10)) as connection:
        if "cost" not in _columns(connection, JUDGEMENTS):
            return None
        query = f"SELECT avg(cost) FROM {JUDGEMENTS} WHERE error_type IS NULL"
        found: float | None = connection.execute(query).fetchone()[0]
        return found


def pair_of(view: View, shown: Row) -> str:
    """What both orders of two answers are known by together."""
    both = sorted(map(answer_id, (shown, view.turned(shown))))
    return hashlib.sha256("".join(both).encode()).hexdigest()[:32]


def won(judgement: Row, mine: str) -> float | None:
    """What a judgement of a pair is for the answer that was shown as `mine`; None for no word."""
    preferred = judgement.get(PREFERRED)
    return {mine: 1.0, "tie": 0.5}.get(str(preferred), 0.0) if preferred else None


@dataclass(frozen=True, slots=True)
class Judged:
    """The judgements that scores may read: those of the judges of today, by their `judge`.

    `rubrics` has the rubric of each judge.
    """

    view: View
    judges: tuple[str, ...]
    rubrics: Mapping[str, str] = field(default_factory=dict)

    def attach(
        self, connection: sqlite3.Connection, table: str, rows: Sequence[Row], experiment: str
    ) -> None:
        """Give each row of `table` its `judgements`: a list of rows, in the order of the judges.

        One that failed, or was not asked for yet, is not there. Of pairs each has `won` too: 1
        where the row's answer was preferred, 0 where the other one was, 0.5 for a tie.
        """
        shown = self.known_by(connection, table, rows, experiment)
        found: dict[str, list[Row]] = {name: [] for names in shown for name in names}
        if "error_type" in _columns(connection, JUDGEMENTS):
            wanted = list(found)
            for start in range(0, len(wanted), _AT_ONCE):
                some = wanted[start : start + _AT_ONCE]
                for each in self._judgements(connection, some, experiment):
                    found[each["input_id"]].append(each)
        for row, names in zip(rows, shown, strict=True):
            said = [self._for(each, mine) for mine, name in zip(PLACES, names, strict=False)
                    for each in found[name]]  # fmt: skip
            row[JUDGEMENTS] = sorted(said, key=lambda each: self.judges.index(each[COLUMN]))

    def _for(self, judgement: Row, mine: str) -> Row:
        return judgement | {"won": won(judgement, mine)} if self.view.compares else judgement

    def known_by(
        self, connection: sqlite3.Connection, table: str, rows: Sequence[Row], experiment: str
    ) -> list[list[str]]:
        """What the answer of each row is known by; two names of a pair, the row's answer first."""
        others = _compared_with(connection, table, experiment, self.view, rows)
        return [
            [answer_id(shown) for shown in self.view.of(row, other)]
            for row, other in zip(rows, others, strict=True)
        ]

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
