"""Promise 5, Same rows: from every executor, engine and layout."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.harness.project_fixture import CASES, OPENED, Bench

TIMES = {"track_id", "timestamp", "function_time", "latency"}
MEASURED = {
    *("track_id", "timestamp"),
    *(f"latency_p{p}{end}" for p in (50, 90, 95, 99, 999) for end in ("", "_low", "_high")),
}

# Rows of every sort: late and widening columns, gaps, nested and broken text, failures, retries.
PREDICT = """
n = int(item["id"][1:])
tries = counts[params.model, n] = counts.get((params.model, n), 0) + 1
if n == 3:
    raise LookupError("nobody — there")
if n == 4 and tries < 3:
    raise TransientError("busy")
if n == 5:
    return {"error": "refused", "error_type": "Refusal", "raw_response": "no"}
found = {
    "prediction": item["x"] > params.threshold,
    "ground_truth": item["label"],
    "raw_response": {"n": n, "words": ["ü", None, 0.1]},
    "number": None if n == 0 else 1 if n < 7 else 0.75,
    "gap": float("nan") if n % 2 else 1e-9 * n,
    "broken": f"a \\ud83d b {n}",
    "raw": bytes([n, 255]),
    "cost": 0.25,
    "latency": 1000.5 + n,
}
if n == 8:
    found["late"] = "only here"
return found
"""
SCORE = """
def score(row):
    correct = row["prediction"] == row["ground_truth"]
    return {"correct": correct, "margin": None if row["gap"] is None else row["gap"] * 2}


AGGREGATES = {"spread": lambda rows: rows["number"].max() - rows["number"].min()}
"""


def record(bench: Bench, executor: str, engine: str, layout: str) -> dict[str, Any]:
    """Run one experiment; its rows and metrics without what is a time."""
    bench.settings(
        store={"engine": engine, "layout": layout},
        run={"executor": executor, "workers": 2},
        retry={"wait_seconds": 0.01},
    )
    bench.items(12)
    bench.predict(PREDICT, head="from harness import TransientError\ncounts = {}")
    bench.score(SCORE)
    bench.experiment("e0.0.1", allow=f"{OPENED},failures")
    db, table = bench.db, "predictions"
    if layout == "database-per-experiment":
        db = bench.root / "results/e0.0.1.db"
    elif layout == "table-per-experiment":
        table = "predictions_e0_0_1"
    rows = bench.sql(f"SELECT * FROM {table} ORDER BY task_key", db)
    types = bench.sql(f"SELECT name, type FROM pragma_table_info('{table}') ORDER BY name", db)
    metrics = bench.sql("SELECT * FROM metrics ORDER BY params_model", db)
    assert len(rows) == 24
    return {
        "rows": [{k: v for k, v in row.items() if k not in TIMES} for row in rows],
        "latency": [row["latency"] for row in rows if row["error"] is None],
        "types": types,
        "metrics": [{k: v for k, v in row.items() if k not in MEASURED} for row in metrics],
    }


@pytest.fixture(scope="module")
def first(make_module_bench: Callable[[], Bench]) -> dict[str, Any]:
    """What everything is compared with: serial, sqlite, append-only."""
    return record(make_module_bench(), *CASES[0])


@pytest.mark.parametrize("case", CASES[1:], ids="-".join)
def test_same_rows(bench: Bench, first: dict[str, Any], case: tuple[str, str, str]) -> None:
    found = record(bench, *case)
    assert found["rows"] == first["rows"]
    assert found["metrics"] == first["metrics"]
    assert found["types"] == first["types"]
    assert found["latency"] == first["latency"]


def test_the_rows_that_are_compared_are_of_every_sort(first: dict[str, Any]) -> None:
    rows = first["rows"]
    assert {row["error_type"] for row in rows} == {None, "LookupError", "Refusal"}
    assert {row["attempts"] for row in rows} == {1, 3}
    assert {row["late"] for row in rows} == {None, "only here"}
    assert {row["number"] for row in rows} == {None, 1.0, 0.75}
    assert {len(row["task_key"]) for row in rows} == {64}
    assert len({row["code_key"] for row in rows}) == 1
    assert {m["cost"] for m in first["metrics"]} == {2.5}
    assert {m["spread"] for m in first["metrics"]} == {0.25}


def test_results_are_reused_from_one_engine_executor_and_layout_in_another(bench: Bench) -> None:
    bench.experiment("e0.0.1")
    bench.forget()
    for number, (executor, engine, layout) in enumerate(
        [
            ("threads", "duckdb", "append-only"),
            ("processes", "sqlite", "table-per-experiment"),
            ("serial", "duckdb", "database-per-experiment"),
        ],
        start=2,
    ):
        bench.settings(
            store={"engine": engine, "layout": layout}, run={"executor": executor, "workers": 2}
        )
        bench.experiment(f"e0.0.{number}")
    assert not bench.executed()


def test_metrics_do_not_depend_on_the_order_in_which_rows_arrive(
    make_bench: Callable[..., Bench],
) -> None:
    found: list[list[dict[str, Any]]] = []
    for order in ("range(40)", "reversed(range(40))"):
        bench = make_bench(f"bench{len(found)}")
        bench.dataset(
            f"return [{{'id': f'i{{n}}', 'x': 0.1 * n * n, 'label': 0}} for n in {order}]"
        )
        bench.predict('return {"prediction": item["x"], "ground_truth": 0}')
        bench.score(
            'def score(row):\n    return {"size": row["prediction"]}\n'
            'AGGREGATES = {"spread": lambda rows: rows["size"].std()}\n'
        )
        bench.dev_run(40)
        found.append(
            bench.sql(
                "SELECT size, size_low, size_high, spread, spread_low, spread_high FROM metrics "
                "ORDER BY params_model",
                bench.dev_db,
            )
        )
    assert found[0] == found[1]
