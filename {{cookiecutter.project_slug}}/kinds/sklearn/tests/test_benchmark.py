"""Tests of the four files: change them with those files; an experiment needs them to pass."""

import json
from collections import Counter
from itertools import product
from typing import Any

import pytest

from benchmark.dataset import DIGITS, FOLDS, REPEATS, load
from benchmark.metrics import score
from benchmark.params import GRID, Params
from benchmark.predict import fit, predict
from harness.trial import Trial


def test_every_digit_is_tested_once_in_each_repeat_in_a_stratified_fold() -> None:
    items = list(load())

    assert len({item["id"] for item in items}) == len(items) == DIGITS
    for repeat, fold in product(range(REPEATS), range(FOLDS)):
        digits = Counter(item["label"] for item in items if item["fold"][repeat] == fold)
        assert max(digits.values()) - min(digits.values()) <= 2


@pytest.mark.parametrize("params", {params.family: params for params in GRID}.values(), ids=str)
def test_predict_returns_what_score_reads(params: Params, items: list[dict[str, Any]]) -> None:
    item = items[0]
    row = predict(item, params, fit(params, 0, items))

    assert len(row["raw_response"]) == 10
    assert sum(row["raw_response"]) == pytest.approx(1)
    assert row["fit_accuracy"] > 0.8
    assert score({**row, "raw_response": json.dumps(row["raw_response"])})["correct"] is True


def test_the_same_params_and_fold_give_the_same_model(items: list[dict[str, Any]]) -> None:
    params = Params("forest", 10)
    once, again = (predict(items[0], params, fit(params, 0, items)) for _ in range(2))

    assert once == again


def test_an_unknown_family_is_named() -> None:
    with pytest.raises((ModuleNotFoundError, ValueError), match="oracle"):
        fit(Params("oracle", 1), fold=0, train=[])


def test_each_datapoint_is_a_row(trial: Trial) -> None:
    rows = trial()

    assert len(rows) == len(trial.calls) == 3
    assert all(row["error"] is None and row["fit_asset"] for row in rows)
    assert all(score(row)["correct"] in (True, False) for row in rows)


def test_the_second_experiment_takes_the_results_of_the_first(trial: Trial) -> None:
    first = trial("e0.0.1")
    second = trial("e0.0.2")

    assert len(trial.calls) == 3  # predict really did not run again
    assert [row["prediction"] for row in second] == [row["prediction"] for row in first]
    assert [row["cache"] for row in second] == [row["track_id"] for row in first]


def test_an_error_becomes_a_row_and_is_tried_again(trial: Trial) -> None:
    trial.breaks = ValueError("unreadable")
    rows = trial()
    assert [row["error_type"] for row in rows] == ["ValueError"] * 3
    assert rows[0]["error"] == "unreadable"

    trial.breaks = None
    assert [row["error_type"] for row in trial()] == [None] * 3
