"""Scores: their names and types, whatever earlier experiments had, and what many rows cost."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from harness.measure import score
from harness.record.layout import Place
from tests.harness.project_fixture import Bench
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


def scoring(bench: Bench, text: str) -> None:
    bench.score(f"def score(row):\n    return {text}\n")


def test_a_score_of_another_type_leaves_earlier_experiments_alone(bench: Bench) -> None:
    scoring(bench, '{"grade": "good" if row["prediction"] else "bad", "size": 0.5}')
    bench.experiment("e0.0.1")
    before = bench.rows("e0.0.1")
    for text, name in (('{"grade": 4}', "grade"), ('{"size": "big"}', "size")):
        scoring(bench, text)
        refused = bench.experiment("e0.0.2", expect=1)
        assert f"metrics.score returned {name} = " in refused.said
        assert f"but {name} is" in refused.said
        assert bench.rows("e0.0.1") == before
    scoring(bench, '{"size": 2}')
    bench.experiment("e0.0.2")
    assert [row["size"] for row in bench.rows("e0.0.2")] == [2.0] * 8


def test_a_score_that_comes_late_is_a_number(bench: Bench) -> None:
    bench.items(2100)
    bench.params('[Params("low")]')
    scoring(bench, '{"late": None if int(row["input_id"][1:]) < 2050 else 1.5}')
    bench.run("dev-run", "--items=2100")
    [found] = bench.sql("SELECT late FROM metrics", bench.dev_db)
    assert found["late"] == 1.5


@pytest.mark.parametrize(
    "name",
    ["Prediction", "PARAMS_model", "Error_Type", "Task_Key", "n", "cost", "rowid", "correct_low",
     "score_version", "latency_p50", ""],
)  # fmt: skip
def test_a_name_that_means_something_else_is_refused(bench: Bench, name: str) -> None:
    scoring(bench, f'{{"correct": 1, {name!r}: 9}}')
    refused = bench.run("dev-run", expect=2)
    assert "metrics.score returned" in refused.said
    assert "Traceback" not in refused.said
    assert {row["task_key"][:2] for row in bench.rows("dev")} != {"9"}


def test_a_score_may_become_an_aggregate(bench: Bench) -> None:
    scoring(bench, '{"f1": 1.0}')
    bench.experiment("e0.0.1")
    bench.score('def score(row):\n    return {"ok": 1}\nAGGREGATES = {"f1": lambda rows: None}\n')
    bench.experiment("e0.0.2")
    found = bench.sql("SELECT f1, ok FROM metrics WHERE experiment_version = 'e0.0.2'")
    assert [(row["f1"], row["ok"]) for row in found] == [(None, 1.0)] * 2


def test_what_an_earlier_metrics_py_scored_is_gone_after_a_resume(bench: Bench) -> None:
    bench.predict(
        'if item["id"] == "i3":\n    raise ValueError("no")\n'
        'return {"prediction": 1, "ground_truth": 1}'
    )
    scoring(bench, '{"old": 1, "ok": 1}')
    bench.experiment("e0.0.1", expect=1)
    scoring(bench, '{"ok": 1}')
    bench.experiment("e0.0.1", expect=1)
    assert {row["old"] for row in bench.rows()} == {None}
    assert {row["old"] for row in bench.sql("SELECT old FROM metrics")} == {None}


def test_rescore_takes_configurations_and_repeats_from_what_ran(bench: Bench) -> None:
    bench.settings(run={"repeats": 3})
    bench.predict(
        'if item["id"] == "i3":\n    raise ValueError("no")\n'
        'return {"prediction": 1, "ground_truth": 1}'
    )
    bench.run("experiment", "e0.0.1", "--allow", "dev-run,tests,clean,failures")
    names = "params_model, params_threshold, params_key, n, failed, correct, correct_low"
    before = bench.sql(f"SELECT {names} FROM metrics")
    bench.settings(run={"repeats": 1})
    bench.params('[Params("other", 0.1, 7)]', "model: str\nthreshold: float = 0.5\nextra: int = 0")
    bench.run("rescore", "e0.0.1")
    assert bench.sql(f"SELECT {names} FROM metrics") == before
    assert [row["correct"] for row in before] == [0.75, 0.75]
