"""Tests of the four files, against the canned server: no key is needed and nothing is spent.

They say nothing about what your benchmark asks, so they hold for another task too. Add your own.
"""

import json
from dataclasses import replace
from typing import Any

import pytest

from benchmark import dataset, metrics, params, predict
from benchmark.llm.endpoint import CANNED
from benchmark.params import GRID
from harness.trial import Trial

# Whatever server is configured, tests ask the canned one.
PARAMS = replace(GRID[0], endpoint=CANNED, model=CANNED, api="chat")


@pytest.fixture(autouse=True)
def _no_money(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(params, "GRID", [PARAMS])


@pytest.fixture(scope="module")
def row() -> dict[str, Any]:
    """What predict returns for the first item."""
    return predict.predict(next(iter(dataset.load())), PARAMS, predict.load(PARAMS))


def test_every_item_has_an_id_of_its_own() -> None:
    ids = [item["id"] for item in dataset.load()]
    assert len(set(ids)) == len(ids) > 0


@pytest.mark.parametrize("each", GRID, ids=str)
def test_what_a_configuration_depends_on_is_there(each: Any) -> None:
    assert all(path.is_file() for path in params.files(each))


def test_a_row_keeps_what_was_sent_and_what_came(row: dict[str, Any]) -> None:
    assert json.loads(row["request"])["model"] == CANNED
    assert row["raw_response"]
    assert row["canned"] is True
    assert row["cost"] == 0.0


def test_each_datapoint_is_a_row(trial: Trial) -> None:
    rows = trial()
    assert len(rows) == len(trial.calls) == 3
    assert all(row["error"] is None and row["raw_response"] for row in rows)


def test_no_question_is_asked_twice(trial: Trial) -> None:
    first, second = trial("e0.0.1"), trial("e0.0.2")
    assert len(trial.calls) == 3
    assert [row["raw_response"] for row in second] == [row["raw_response"] for row in first]


def test_an_error_becomes_a_row_and_is_tried_again(trial: Trial) -> None:
    trial.breaks = ValueError("no error that [retry] waits for")
    assert [row["error_type"] for row in trial()] == ["ValueError"] * 3
    trial.breaks = None
    assert [row["error_type"] for row in trial()] == [None] * 3


@pytest.mark.parametrize("answer", [None, "", "I cannot say.", "{", "\u2028"])
def test_every_answer_gets_its_scores(trial: Trial, answer: str | None) -> None:
    for row in trial():
        for given in (row, row | {"prediction": answer}):
            assert set(metrics.score(given)) <= set(metrics.SCORES)
