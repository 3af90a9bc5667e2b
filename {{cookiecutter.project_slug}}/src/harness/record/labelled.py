"""The table `judge_labels`: labelled answers, scored by the judge's word and by the person's.

A row per experiment, score, judge ("" for all of them together) and labelled answer. One of the
experiment itself has its `task_key`; others, whose judge was the same, show its errors too:
`origin` says which experiment, or `dev`, had them.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields

LABELLED = "judge_labels"


@dataclass(frozen=True, slots=True)
class Labelled:
    """One row; `by_judge` and `by_person` are values of the score."""

    score: str
    judge: str
    rubric: str
    answer: str
    task_key: str | None
    origin: str
    by_judge: float
    by_person: float


_NAMES = [each.name for each in fields(Labelled)]


def record_labelled(
    connection: sqlite3.Connection, experiment: str, found: Iterable[Labelled]
) -> None:
    """Write them in the place of those there were; the caller commits."""
    typed = ", ".join(f"{name} {'REAL' if 'by_' in name else 'TEXT'}" for name in _NAMES)
    connection.execute(f"CREATE TABLE IF NOT EXISTS {LABELLED} (experiment_version TEXT, {typed})")
    connection.execute(f"DELETE FROM {LABELLED} WHERE experiment_version = ?", (experiment,))
    marks = ", ".join("?" * (len(_NAMES) + 1))
    connection.executemany(
        f"INSERT INTO {LABELLED} VALUES ({marks})", ((experiment, *astuple(each)) for each in found)
    )


def has_labelled(connection: sqlite3.Connection) -> bool:
    """Whether the table is there."""
    query = "SELECT 1 FROM sqlite_master WHERE name = ?"
    return connection.execute(query, (LABELLED,)).fetchone() is not None
