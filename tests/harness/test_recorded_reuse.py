"""The rows in a database are results too: what is recorded is not computed again."""

import shutil
from typing import Any

import pytest

from tests.harness.project_fixture import CASES, OPENED, Bench

QUICK = {("sqlite", "append-only"), ("duckdb", "table-per-experiment")}
LAYOUTS = [
    pytest.param(
        engine,
        layout,
        marks=[] if (engine, layout) in QUICK else pytest.mark.slow,
    )
    for executor, engine, layout in CASES
    if executor == "serial"
]


def without_cache(bench: Bench) -> None:
    """As in a clone that DVC restored."""
    shutil.rmtree(bench.root / ".cache")
    bench.forget()


def rows_of(bench: Bench, layout: str, tag: str) -> list[dict[str, Any]]:
    """The rows of an experiment, wherever its layout puts them."""
    db = bench.root / "results" / f"{tag}.db" if layout == "database-per-experiment" else bench.db
    table = "predictions"
    if layout == "table-per-experiment":
        table += "_" + tag.replace(".", "_")
    order = "ORDER BY params_model, input_id"
    return bench.sql(f"SELECT * FROM {table} WHERE experiment_version = '{tag}' {order}", db)


@pytest.mark.parametrize(("engine", "layout"), LAYOUTS)
def test_a_restored_database_serves_the_next_experiment(
    bench: Bench, engine: str, layout: str
) -> None:
    bench.settings(store={"engine": engine, "layout": layout})
    bench.predict(
        """
        if item["id"] == "i3":
            raise ValueError("no")
        return {"prediction": item["x"] > 0.5, "ground_truth": True, "deep": {"a": [1, None]},
                "raw_response": "é", "share": 1.0, "nothing": None}
        """
    )
    allow = f"{OPENED},failures"
    bench.experiment("e0.0.1", allow=allow)
    without_cache(bench)
    assert "3 cached" in bench.run("dry-run").said
    bench.experiment("e0.0.2", allow=allow)
    # Only what failed is tried again.
    assert set(bench.executed()) == {("low", "i3"), ("high", "i3")}
    first, second = rows_of(bench, layout, "e0.0.1"), rows_of(bench, layout, "e0.0.2")
    same = ("task_key", "prediction", "deep", "raw_response", "share", "correct", "attempts")
    for one, other in zip(first, second, strict=True):
        assert {name: one.get(name) for name in same} == {name: other.get(name) for name in same}
        if one["error"] is None:
            assert other["cache"] == one["track_id"]
            assert other["latency"] is None
    bench.run("validate", expect=None)
    # What was reused stands there as reused, so it is served again under its first origin.
    without_cache(bench)
    bench.experiment("e0.0.3", allow=allow)
    good = [row for row in rows_of(bench, layout, "e0.0.3") if row["error"] is None]
    assert {row["cache"] for row in good} == {first[0]["track_id"]}


def test_the_cache_that_is_switched_off_reuses_no_row_either(bench: Bench) -> None:
    bench.settings(run={"cache": False})
    bench.experiment("e0.0.1")
    bench.forget()
    bench.experiment("e0.0.2")
    assert sum(bench.executed().values()) == 8


def test_other_code_takes_nothing_from_the_rows(bench: Bench) -> None:
    bench.experiment("e0.0.1")
    without_cache(bench)
    bench.predict('return {"prediction": 7, "ground_truth": 7}')
    bench.experiment("e0.0.2")
    assert sum(bench.executed().values()) == 8
    assert {row["prediction"] for row in bench.rows("e0.0.2")} == {7}


def test_a_score_is_no_result(bench: Bench) -> None:
    """Scores are made anew by today's metrics.py, also of rows that are taken from rows."""
    bench.experiment("e0.0.1")
    without_cache(bench)
    bench.score('def score(row):\n    return {"other": 1.0}\n')
    bench.experiment("e0.0.2")
    assert not bench.executed()
    assert {row["other"] for row in bench.rows("e0.0.2")} == {1.0}
    assert {row["correct"] for row in bench.rows("e0.0.2")} == {None}


def test_where_an_item_stands_in_a_design_is_not_reused_with_its_result(bench: Bench) -> None:
    bench.items(12, passage="f'passage {n // 2}'")
    bench.settings(data={"cluster": "passage"})
    bench.experiment("e0.0.1")
    assert {row["cluster"] for row in bench.rows("e0.0.1")} == {f"passage {n}" for n in range(6)}
    before = bench.executed()
    without_cache(bench)
    bench.settings(data={"cluster": ""})
    bench.experiment("e0.0.2")
    assert not bench.executed()
    assert before
    # Each item stands for itself again, so no interval is over passages.
    assert {row["cluster"] for row in bench.rows("e0.0.2")} == {None}


def test_predict_cannot_say_what_an_item_was_drawn_with(bench: Bench) -> None:
    bench.predict('return {"prediction": 1, "ground_truth": 1, "cluster": item["id"][-1]}')
    bench.dev_run(expect=1)
    [said] = {row["error"] for row in bench.rows("dev")}
    assert said == "predict returned 'cluster', a name that the harness fills itself"
