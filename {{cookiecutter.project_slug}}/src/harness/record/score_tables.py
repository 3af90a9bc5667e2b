"""The tables of score declarations, and of values that score() returned and that cannot count.

They are written when an experiment is scored, so that an old experiment is read as it was meant.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from harness.project.declarations import Rule, Uncounted

DECLARED, UNCOUNTED = "score_declarations", "uncounted_scores"
_COLUMNS = {
    "name": "TEXT",
    "kind": "TEXT",
    "better": "TEXT",
    "low": "REAL",
    "high": "REAL",
    "missing": "REAL",
    "failure": "REAL",
    "missing_said": "INTEGER",
    "failure_said": "INTEGER",
    "given": "INTEGER",
    "label": "TEXT",
    "aggregate": "INTEGER",
    "declared": "INTEGER",
    "planned": "INTEGER",
}
_UNCOUNTED_COLUMNS = {"name": "TEXT", "reason": "TEXT", "n": "INTEGER", "example": "TEXT"}
_FLAGS = ("missing_said", "failure_said", "given", "aggregate", "declared")


def create_tables(connection: sqlite3.Connection) -> None:
    """Make the tables where they are not there yet."""
    for table, columns in ((DECLARED, _COLUMNS), (UNCOUNTED, _UNCOUNTED_COLUMNS)):
        typed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {table} "
            f"(experiment_version TEXT, position INTEGER, {typed})"
        )


def name_versions(connection: sqlite3.Connection) -> None:
    """Have a view `experiments`: the table metrics, with the column `version`.

    That is what the explorer of xetrack looks for: `--table experiments` makes it a client.
    """
    connection.execute(
        "CREATE VIEW IF NOT EXISTS experiments AS "
        "SELECT experiment_version AS version, * FROM metrics"
    )


def record(
    connection: sqlite3.Connection,
    experiment: str,
    rules: Sequence[Rule],
    uncounted: Sequence[Uncounted],
) -> None:
    """Write them down, all at once, in place of what was there."""
    create_tables(connection)
    connection.execute("BEGIN IMMEDIATE")
    for table in (DECLARED, UNCOUNTED):
        connection.execute(f"DELETE FROM {table} WHERE experiment_version = ?", (experiment,))
    for position, rule in enumerate(rules):
        _insert(connection, DECLARED, experiment, position, asdict(rule))
    for position, each in enumerate(uncounted):
        _insert(connection, UNCOUNTED, experiment, position, asdict(each))
    connection.execute("COMMIT")


def add_uncounted(
    connection: sqlite3.Connection, experiment: str, uncounted: Sequence[Uncounted]
) -> None:
    """Write down more of them, found where aggregates were computed."""
    query = f"SELECT count(*) FROM {UNCOUNTED} WHERE experiment_version = ?"
    [there] = connection.execute(query, (experiment,)).fetchone()
    for position, each in enumerate(uncounted, start=there):
        _insert(connection, UNCOUNTED, experiment, position, asdict(each))


def _insert(
    connection: sqlite3.Connection,
    table: str,
    experiment: str,
    position: int,
    values: dict[str, object],
) -> None:
    row = {"experiment_version": experiment, "position": position, **values}
    marks = ", ".join("?" * len(row))
    connection.execute(
        f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values())
    )


# In SQL that SQLite and DuckDB both read.
_OF = "WHERE experiment_version = ? ORDER BY position"
RULES_OF = f"SELECT {', '.join(_COLUMNS)} FROM {DECLARED} {_OF}"
UNCOUNTED_OF = f"SELECT {', '.join(_UNCOUNTED_COLUMNS)} FROM {UNCOUNTED} {_OF}"
_EVERY = "ORDER BY experiment_version, position"
RULES = f"SELECT experiment_version, {', '.join(_COLUMNS)} FROM {DECLARED} {_EVERY}"
UNCOUNTED_VALUES = (
    f"SELECT experiment_version, {', '.join(_UNCOUNTED_COLUMNS)} FROM {UNCOUNTED} {_EVERY}"
)


def rule_of(row: Sequence[Any]) -> Rule:
    """A row of `RULES_OF`, whichever library read it."""
    values = dict(zip(_COLUMNS, row, strict=True))
    values |= {name: bool(values[name]) for name in _FLAGS}
    return Rule(**values)


def recorded_rules(connection: sqlite3.Connection, experiment: str) -> list[Rule]:
    """The rules of an experiment; none where it was scored before there were any."""
    create_tables(connection)
    return [rule_of(row) for row in connection.execute(RULES_OF, (experiment,))]


def recorded_uncounted(connection: sqlite3.Connection, experiment: str) -> list[Uncounted]:
    """What was returned as a score of an experiment and cannot count."""
    create_tables(connection)
    return [Uncounted(*row) for row in connection.execute(UNCOUNTED_OF, (experiment,))]
