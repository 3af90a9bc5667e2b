"""Tests of the four files: change them with those files; an experiment needs them to pass."""

from typing import Any

from benchmark.dataset import load
from benchmark.metrics import score
from benchmark.params import GRID, Params
from benchmark.predict import predict
from harness.trial import Trial


def test_every_item_has_an_id_of_its_own() -> None:
    ids = [item["id"] for item in load()]

    assert len(ids) == len(set(ids)) == 150


def test_predict_returns_what_score_reads(items: list[dict[str, Any]]) -> None:
    for params in GRID:
        row = predict(items[0], params)

        assert {"prediction", "ground_truth", "raw_response"} <= row.keys()
        assert score(row) == {"correct": True}


def test_the_rule_is_a_threshold() -> None:
    flower = {"id": "x", "label": "virginica", "petal_width": 1.8}

    assert predict(flower, Params("petal_width", 1.7))["prediction"] is True
    assert predict(flower, Params("petal_width", 1.8))["prediction"] is False


def test_each_datapoint_is_a_row(trial: Trial) -> None:
    rows = trial()

    assert len(rows) == len(trial.calls) == 3
    assert all(row["error"] is None and row["raw_response"] for row in rows)
    assert all(score(row)["correct"] in (True, False) for row in rows)


def test_the_second_experiment_takes_the_results_of_the_first(trial: Trial) -> None:
    first = trial("e0.0.1")
    second = trial("e0.0.2")

    assert len(trial.calls) == 3  # predict really did not run again
    assert [row["prediction"] for row in second] == [row["prediction"] for row in first]
    assert [row["cache"] for row in second] == [row["track_id"] for row in first]


def test_an_error_becomes_a_row_and_is_tried_again(trial: Trial) -> None:
    trial.breaks = ValueError("no such flower")
    rows = trial()
    assert [row["error_type"] for row in rows] == ["ValueError"] * 3
    assert rows[0]["error"] == "no such flower"

    trial.breaks = None
    assert [row["error_type"] for row in trial()] == [None] * 3
