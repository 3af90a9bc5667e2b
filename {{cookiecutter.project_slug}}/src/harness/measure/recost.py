"""Costs computed again from what rows keep of a call, after a price was learned or changed.

A kind says how (`Kind.costs`). What stood there before is kept in `costs_history`, with the time
until which it was in force.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass

from harness.clock import now
from harness.errors import HarnessError
from harness.measure.aggregate import fill_metrics
from harness.measure.rescore import VERSION
from harness.project.contract import Project
from harness.project.kind import FILE, resolve
from harness.project.values import Row, Value, plain
from harness.record.columns import Schema, holds, quoted
from harness.record.database_file import begin_writing
from harness.record.layout import Place, place_for
from harness.record.lock import one_at_a_time
from harness.record.runs import new_track_id
from harness.version.results_state import note_origins

_OF = "WHERE experiment_version = ?"
_AT_ONCE = 1000


@dataclass(slots=True)
class Recosted:
    """How many rows there are, how many got other costs, and how many have none still."""

    rows: int = 0
    changed: int = 0
    unknown: int = 0

    def add(self, other: "Recosted") -> None:
        """Count those of another table too."""
        self.rows += other.rows
        self.changed += other.changed
        self.unknown += other.unknown


def _has(connection: sqlite3.Connection, table: str, column: str) -> bool:
    found = connection.execute(f"PRAGMA table_info({quoted(table)})")
    return column in {row[1] for row in found}


def recost(project: Project, experiment: str) -> tuple[Recosted, list[Row]]:
    """Cost every row of an experiment (a tag, or `dev`) anew, judgements too.

    Returns the new metrics rows besides.

    Raises HarnessError where the kind cannot cost rows, or the experiment has no metrics yet.
    """
    if not project.kind.costs:
        raise HarnessError(
            "nothing here says what a stored row cost",
            fix=f'name a function of a row in {FILE}: costs="benchmark.module:function"',
        )
    place = place_for(project.root, project.settings, experiment)
    if not place.db.exists():
        raise HarnessError(f"there are no rows of {experiment} yet", fix="make tags")
    with one_at_a_time(place.db.parent, f"new costs of {experiment}"):
        note_origins(project.root)
        begin_writing(place.db)
        with closing(sqlite3.connect(place.db, isolation_level=None, timeout=10)) as connection:
            connection.row_factory = sqlite3.Row
            done = _cost_rows(project, connection, place, experiment)
            judged = place.of_judgements()
            if _has(connection, judged.predictions, "task_key"):
                done.add(_cost_rows(project, connection, judged, experiment))
            more = _version(connection, place, experiment)
        rows = fill_metrics(project, None, place, experiment, new_track_id(), more)
    return done, rows


def _cost_rows(
    project: Project, connection: sqlite3.Connection, place: Place, experiment: str
) -> Recosted:
    """Put new costs in the place of those that differ, all of them or none."""
    costs = resolve(project.kind.costs)
    table = quoted(place.predictions)
    done = Recosted()
    last = 0
    schema = Schema.prepare(connection, place.predictions, {})
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS costs_history "
            "(experiment_version TEXT, task_key TEXT, cost REAL, price_as_of TEXT, until TEXT)"
        )
        while found := connection.execute(
            f"SELECT rowid AS rowid, * FROM {table} {_OF} AND rowid > ? ORDER BY rowid LIMIT ?",
            (experiment, last, _AT_ONCE),
        ).fetchall():
            last = found[-1]["rowid"]
            for each in found:
                row = dict(each)
                new = {name: plain(value) for name, value in costs(row).items()}
                done.rows += 1
                done.unknown += new.get("cost") is None
                if any(row.get(name) != value for name, value in new.items()):
                    _put(connection, schema, row, new)
                    done.changed += 1
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return done


def _put(connection: sqlite3.Connection, schema: Schema, row: Row, new: dict[str, Value]) -> None:
    added, retyped = schema.changes([new], lambda name: holds(connection, schema.table, name))
    schema.add(connection, added)
    for name, kind in retyped.items():
        # A column without a value yet: its type may still be any.
        connection.execute(f"ALTER TABLE {quoted(schema.table)} DROP COLUMN {quoted(name)}")
        connection.execute(f"ALTER TABLE {quoted(schema.table)} ADD COLUMN {quoted(name)} {kind}")
        schema.types[name] = kind
    connection.execute(
        "INSERT INTO costs_history VALUES (?, ?, ?, ?, ?)",
        (
            row["experiment_version"],
            row["task_key"],
            row.get("cost"),
            row.get("price_as_of"),
            now(),
        ),
    )
    assigned = ", ".join(f"{quoted(name)} = ?" for name in new)
    connection.execute(
        f"UPDATE {quoted(schema.table)} SET {assigned} WHERE rowid = ?",
        (*new.values(), row["rowid"]),
    )


def _version(connection: sqlite3.Connection, place: Place, experiment: str) -> dict[str, object]:
    """The version of metrics.py in force, which new costs do not change."""
    table = quoted(place.metrics)
    names = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
    if not names:
        raise HarnessError(f"there are no metrics of {experiment} yet", fix="make tags")
    if VERSION not in names:
        return {}
    found = connection.execute(f"SELECT {VERSION} FROM {table} {_OF}", (experiment,)).fetchone()
    return {VERSION: found[0]} if found and found[0] else {}
