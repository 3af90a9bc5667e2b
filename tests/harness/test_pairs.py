"""A judge compares two answers to an item in both orders, and its liking of a place is said."""

import pytest

from tests.harness.project_fixture import Bench

JUDGE = """
from dataclasses import dataclass

from benchmark.trace import note

READS = ("input_id",)
COMPARES = ("prediction",)
AGAINST = {"model": "low"}


@dataclass(frozen=True)
class Params:
    who: str


GRID = [Params("one"), Params("two")]


def judge(pair, params):
    first, second = float(pair["first_prediction"]), float(pair["second_prediction"])
    note("judged", params.who, pair["input_id"], str(first > second))
    assert "params_model" not in pair
    if abs(first - second) < 0.15:
        return {"preferred": "first"}
    return {"preferred": "first" if first > second else "second"}
"""
SCORE = """
from harness import Score

SCORES = {"won": Score("mean", better="higher", low=0, high=1, missing="left out", judged=True)}


def score(row):
    won = [each["won"] for each in row["judgements"]]
    return {"won": sum(won) / len(won) if won else None}
"""
PREDICT = """
number = int(item["id"][1:])
better = 0.1 if number < 4 else 0.5 if number < 18 else 0.0
return {"prediction": number + (better if params.model == "high" else 0.0), "ground_truth": 1.0}
"""


@pytest.mark.slow
def test_pairs_are_judged_in_both_orders_and_a_place_that_wins_is_reported(bench: Bench) -> None:
    bench.items(20)
    bench.predict(PREDICT)
    bench.score(SCORE)
    bench.file("src/benchmark/judge.py", JUDGE)
    bench.experiment("e0.0.1", "dev-run,tests,power,labels")
    rows = {(row["params_model"], row["input_id"]): row["won"] for row in bench.rows()}
    # Clear pairs go to the better answer; where the place decides, both orders make a tie.
    assert rows["high", "i10"] == 1
    assert rows["high", "i2"] == 0.5
    assert rows["high", "i19"] == 0.5
    assert rows["low", "i10"] is None
    said = bench.run("summary", "e0.0.1").said
    assert "Position of answers" in said
    [one, _] = bench.sql(
        "SELECT judge, count(*) AS n, count(DISTINCT pair) AS pairs FROM judgements GROUP BY judge"
    )
    # Equal answers look the same in both orders, so they are judged once.
    assert (one["n"], one["pairs"]) == (2 * 18 + 2, 20)
    assert "| 18 | 0.778" in said
    bench.file("src/benchmark/judge.py", JUDGE.replace('"low"}', '"lower"}'))
    assert bench.run("judge", "e0.0.1", expect=None).code != 0
