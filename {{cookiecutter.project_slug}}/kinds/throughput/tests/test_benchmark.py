"""Tests of the four files: change them with those files; an experiment needs them to pass."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from benchmark.dataset import TRAINING, digits, load
from benchmark.metrics import score
from benchmark.params import GRID
from benchmark.predict import answer, predict, request
from benchmark.predict import load as start
from harness import PermanentError
from harness.load import Request, Response, Target, load_options
from harness.load.schedule import Shape
from harness.load.target import close_targets
from harness.trial import Trial

about_digits = pytest.mark.skipif(
    bool(load_options()["url"]), reason="about server.py, and benchmark.toml names another server"
)


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    yield start(GRID[0])
    close_targets()


@pytest.mark.parametrize("params", GRID, ids=str)
def test_every_configuration_is_a_load_with_as_many_items_as_requests(params: Any) -> None:
    Shape.of(params)  # raises where it cannot be
    ids = [item["id"] for item in load(params)]
    assert len(ids) == len(set(ids)) == params.requests


@about_digits
def test_what_is_sent_was_not_learnt(items: list[dict[str, Any]]) -> None:
    learnt = {tuple(pixels) for pixels in digits()[0][:TRAINING]}
    assert not learnt & {tuple(item["pixels"]) for item in items}


def test_predict_returns_what_score_reads(items: list[dict[str, Any]], target: Target) -> None:
    row = predict(items[0], GRID[0], target)
    assert "raw_response" in row
    scores = score({**row, "latency": 0.02, "send_lag": 0.0001})
    assert scores["answered_in_time"] is True
    assert scores["sent_late"] is False


@about_digits
def test_the_server_knows_most_digits(items: list[dict[str, Any]], target: Target) -> None:
    rows = [predict(item, GRID[0], target) for item in items]
    assert {"prediction", "ground_truth"} <= rows[0].keys()
    assert sum(row["prediction"] == row["ground_truth"] for row in rows) > 0.8 * len(rows)


@about_digits
def test_the_server_refuses_what_is_no_image(target: Target) -> None:
    with pytest.raises(PermanentError, match="HTTP 400"):
        target.send(Request(body='{"pixels": "none"}'))


@about_digits
def test_an_answer_without_a_digit_raises(items: list[dict[str, Any]]) -> None:
    for body in (b"oops", b"{}"):
        response = Response(status=200, size=len(body), body=body, sha256="", latency=0.1)
        with pytest.raises((ValueError, KeyError)):
            answer(items[0], GRID[0], response)


@about_digits
def test_a_request_holds_the_pixels(items: list[dict[str, Any]]) -> None:
    body = request(items[0], GRID[0]).body
    assert json.loads(body or "")["pixels"] == items[0]["pixels"]


def test_each_datapoint_is_a_row(trial: Trial) -> None:
    rows = trial()
    assert len(rows) == len(trial.calls) == 3
    assert all(row["error"] is None and row["raw_response"] is not None for row in rows)
    assert all(score(row)["answered_in_time"] in (True, False) for row in rows)


def test_a_second_experiment_asks_again(trial: Trial) -> None:
    trial("e0.0.1")
    rows = trial("e0.0.2")
    assert len(trial.calls) == 6  # an answer from another day says nothing about this one
    assert [row["cache"] for row in rows] == [""] * 3


def test_an_error_becomes_a_row(trial: Trial) -> None:
    trial.breaks = PermanentError("HTTP 400")
    assert [row["error_type"] for row in trial()] == ["PermanentError"] * 3
