"""Scores of many rows: each batch costs as much as the one before it."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from harness import score
from harness.layout import Place
from tests.harness.scored_results import record, rows_for


def steps_of_scoring(folder: Path, count: int, patch: pytest.MonkeyPatch) -> int:
    """How many thousand steps SQLite's machine takes to score `count` rows."""
    answers: list[dict[str, Any]] = [{"answer": index % 2} for index in range(count)]
    db = record(folder / f"{count}.db", rows_for("e0.0.1", {"depth": 2}, answers), [], [])
    connection = sqlite3.connect(db)
    connection.execute(
        'CREATE UNIQUE INDEX once_predictions ON "predictions" (experiment_version, task_key)'
    )
    connection.close()
    steps = 0

    def count_step() -> int:
        nonlocal steps
        steps += 1
        return 0

    def connect(*arguments: Any, **named: Any) -> sqlite3.Connection:
        made: sqlite3.Connection = sqlite3_connect(*arguments, **named)
        made.set_progress_handler(count_step, 1000)
        return made

    sqlite3_connect = sqlite3.connect
    with patch.context() as patched:
        patched.setattr(sqlite3, "connect", connect)
        names = score.score_rows(
            Place(db, "predictions", folder), "e0.0.1", lambda row: {"right": row["answer"]}
        )
    assert names == ["right"]
    again = sqlite3.connect(db)
    assert again.execute("SELECT sum(right) FROM predictions").fetchone() == (count // 2,)
    again.close()
    return steps


def test_scoring_costs_the_same_for_each_row_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = steps_of_scoring(tmp_path, 4_000, monkeypatch)
    many = steps_of_scoring(tmp_path, 40_000, monkeypatch)
    assert few > 100
    assert many < 13 * few
