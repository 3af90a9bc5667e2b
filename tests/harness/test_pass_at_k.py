"""An aggregate over the repeats of an item keeps them together, however often it is drawn."""

from tests.harness.project_fixture import OPENED, Bench

# 40 items, 6 coin flips each: pass@3 is 1 - 1/8 on average.
PREDICT = """
import hashlib
flip = hashlib.sha256(f'{item["id"]} {params.model} {next(COUNT)}'.encode()).digest()[0] % 2
return {"prediction": flip == 1, "ground_truth": True}
"""
HEAD = """
import itertools

COUNT = itertools.count()
"""
METRICS = """
from math import comb

from harness import Score


def pass_at_3(rows):
    found = []
    for _, group in rows.groupby("input_id"):
        n, good = len(group), int(group["correct"].sum())
        assert n == 6, f"{n} repeats of one item"
        found.append(1 - comb(n - good, 3) / comb(n, 3))
    return sum(found) / len(found)


SCORES = {"correct": Score("proportion", better="higher")}
AGGREGATES = {"pass_at_3": pass_at_3}


def score(row):
    return {"correct": row["prediction"]}
"""


def test_an_item_that_is_drawn_twice_is_two_items(bench: Bench) -> None:
    bench.params('[Params("coin", 0.5)]')
    bench.items(40)
    bench.predict(PREDICT, HEAD)
    bench.score(METRICS)
    bench.settings(run={"repeats": 6})
    bench.experiment("e0.0.1", allow=f"{OPENED},dev-run")
    row = _metrics(bench)
    assert row["pass_at_3_low"] < row["pass_at_3"] < row["pass_at_3_high"]
    assert 0.75 < row["pass_at_3"] < 0.97
    # Merged, drawn items had more repeats: the interval stood beside its estimate.
    assert row["pass_at_3_high"] - row["pass_at_3_low"] > 0.03


def _metrics(bench: Bench) -> dict[str, float]:
    query = "SELECT pass_at_3, pass_at_3_low, pass_at_3_high FROM metrics"
    row: dict[str, float] = bench.sql(query)[0]
    return row
