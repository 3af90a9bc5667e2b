"""Repeats that are repeats: predict is told which one, and what k tries come to."""

import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from harness.stats.passes import pass_at_k, pass_hat_k
from harness.stats.resampling import statistic_interval
from tests.harness.project_fixture import Bench

SCORE = """
from harness import Score
from harness.stats.passes import pass_at_k, pass_hat_k

SCORES = {
    "correct": Score("proportion", better="higher"),
    "pass_at_2": Score("mean", better="higher", low=0.0, high=1.0, failure="given"),
    "all_of_2": Score("mean", better="higher", low=0.0, high=1.0, failure="given"),
}
AGGREGATES = {"pass_at_2": pass_at_k("correct", 2), "all_of_2": pass_hat_k("correct", 2)}


def score(row):
    return {"correct": row["prediction"] == 1}
"""


def tried(right: list[list[int]]) -> pd.DataFrame:
    rows = [
        {"input_id": f"i{item}", "repeat": repeat, "correct": value}
        for item, tries in enumerate(right)
        for repeat, value in enumerate(tries)
    ]
    return pd.DataFrame(rows)


RIGHT = [[1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 0]]


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_the_chance_of_k_tries_is_the_share_of_all_ways_to_choose_them(k: int) -> None:
    every = [[any(ways) for ways in combinations(tries, k)] for tries in RIGHT]
    assert pass_at_k("correct", k)(tried(RIGHT)) == pytest.approx(np.mean([*map(np.mean, every)]))
    every = [[all(ways) for ways in combinations(tries, k)] for tries in RIGHT]
    assert pass_hat_k("correct", k)(tried(RIGHT)) == pytest.approx(np.mean([*map(np.mean, every)]))


def test_an_item_that_is_drawn_twice_is_two_items() -> None:
    twice = pd.concat([tried(RIGHT[:1]), tried(RIGHT[:1])])
    assert pass_at_k("correct", 3)(twice) == pass_at_k("correct", 3)(tried(RIGHT[:1]))


def test_too_few_tries_are_said() -> None:
    with pytest.raises(ValueError, match="item i0 has 4 tries, and 5 are needed"):
        pass_at_k("correct", 5)(tried(RIGHT))


def test_its_interval_is_over_items() -> None:
    rng = np.random.default_rng(2)
    chances = rng.beta(1.0, 1.0, 40)
    frame = tried([[int(rng.random() < p) for _ in range(5)] for p in chances])
    compute = pass_at_k("correct", 2)
    found = statistic_interval(
        len(frame), lambda rows: compute(frame.iloc[rows]), frame["input_id"].to_numpy()
    )
    each = [compute(rows) for _, rows in frame.groupby("input_id")]
    margin = 2.02 * np.std(each, ddof=1) / 40**0.5
    assert found.low is not None
    assert found.estimate is not None
    assert found.estimate - found.low == pytest.approx(margin, rel=0.2)


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_predict_is_told_which_repeat_it_is(bench: Bench, executor: str) -> None:
    bench.settings(run={"repeats": 3, "executor": executor, "workers": 2})
    bench.predict('return {"prediction": int(repeat == 1), "ground_truth": 1, "raw_response": "x"}')
    path = bench.root / "src/benchmark/predict.py"
    bench.file("src/benchmark/predict.py", path.read_text().replace("params):", "params, repeat):"))
    bench.score(SCORE)
    bench.experiment("e0.0.1")
    assert {row["repeat"]: row["prediction"] for row in bench.rows()} == {0: 0, 1: 1, 2: 0}
    for row in bench.sql("SELECT * FROM metrics"):
        assert (row["correct"], row["pass_at_2"]) == pytest.approx((1 / 3, 2 / 3))
        assert row["all_of_2"] == 0
    bench.experiment("e0.0.2")
    assert json.dumps([r["prediction"] for r in bench.rows("e0.0.2")]) == json.dumps(
        [r["prediction"] for r in bench.rows()]
    )
