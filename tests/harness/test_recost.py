"""Costs learned later: `make prices` writes them into stored rows, and predict does not run."""

from tests.harness.project_fixture import Bench

KIND = """
from harness.project.kind import Kind

KIND = Kind(costs="benchmark.dear:costs")
"""
DEAR = """
from pathlib import Path


def costs(row):
    file = Path("price.txt")
    if not file.exists() or row["tokens"] is None:
        return {"cost": row.get("cost")}
    return {"cost": row["tokens"] * float(file.read_text()), "price_as_of": "today"}
"""
JUDGE = """
from dataclasses import dataclass

READS = ("input_id", "prediction")


@dataclass(frozen=True)
class Params:
    rubric: str


GRID = [Params("strict")]


def judge(answer, params):
    return {"verdict": True, "tokens": 4, "cost": None}
"""
PREDICT = """
return {"prediction": True, "ground_truth": True, "tokens": 10, "cost": None}
"""


def test_a_price_that_is_learned_later_costs_stored_rows_and_nothing_is_run(bench: Bench) -> None:
    bench.params('[Params("one", 0.5)]')
    bench.predict(PREDICT)
    bench.file("src/benchmark/kind.py", KIND)
    bench.file("src/benchmark/dear.py", DEAR)
    bench.file("src/benchmark/judge.py", JUDGE)
    bench.experiment("e0.0.1")
    assert {row["cost"] for row in bench.rows()} == {None}

    bench.file("price.txt", "0.5")
    assert "8 of 8 rows have another cost" in bench.run("prices", "e0.0.1").said
    assert {row["cost"] for row in bench.sql("SELECT cost FROM judgements")} == {2.0}
    assert {(row["cost"], row["price_as_of"]) for row in bench.rows()} == {(5.0, "today")}
    assert bench.sql("SELECT cost FROM metrics", bench.db) == [{"cost": 20.0}]
    assert "0 of 8 rows have another cost" in bench.run("prices", "e0.0.1").said

    bench.file("price.txt", "0.25")
    bench.run("prices", "e0.0.1")
    kept = bench.sql("SELECT cost FROM costs_history ORDER BY until, rowid", bench.db)
    assert [row["cost"] for row in kept] == [None] * 8 + [5.0] * 4 + [2.0] * 4
    assert sum(bench.executed().values()) == 4


def test_a_kind_that_cannot_cost_rows_says_so(bench: Bench) -> None:
    bench.dev_run()
    done = bench.run("prices", "dev", expect=2)
    assert "nothing here says what a stored row cost" in done.said
