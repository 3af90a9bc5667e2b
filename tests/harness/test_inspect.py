"""`harness.gates.inspection`: what a dev-run recorded, looked at."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.findings import exit_code
from harness.gates.inspection import inspect, show_samples
from harness.project.kind import Kind
from tests.harness.recorded import change, prediction, write


def dev(tmp_path: Path, **other: Any) -> Path:
    """A dev-run without a fault: 20 items, two configurations, probabilities of all shapes."""
    rows = [
        prediction(
            "dev",
            i,
            c,
            probabilities=json.dumps([i / 20, 1 - i / 20]),
            class_probs=json.dumps({"yes": i / 20}),
            cost=0.001 * i,
            tokens=i,
            **other,
        )
        for i in range(20)
        for c in (0, 1)
    ]
    return write(tmp_path / "dev.db", "predictions", rows)


def test_is_silent_on_a_good_run(tmp_path: Path) -> None:
    assert inspect(dev(tmp_path)) == []


def test_looks_at_the_dev_phase_only(tmp_path: Path) -> None:
    db = dev(tmp_path)
    write(db, "predictions", [prediction("e0.0.1", i, 0, latency=-1.0) for i in range(20)])
    assert inspect(db) == []
    assert {each.check for each in inspect(db, "e0.0.1")} >= {"negative"}


@pytest.mark.parametrize(
    ("planted", "check", "count", "said"),
    [
        ("confidence = 1.2", "probability_range", 4, "confidence is outside [0, 1] in 4 rows"),
        ("confidence = -0.1", "probability_range", 4, "outside [0, 1]"),
        ("probabilities = '[0.5, 1.5]'", "probability_range", 4, "probabilities"),
        ("class_probs = '{\"yes\": -3}'", "probability_range", 4, "class_probs"),
        ("latency = -0.5", "negative", 4, "latency is below 0"),
        ("cost = -1", "negative", 4, "cost is below 0"),
        ("tokens = -7", "negative", 4, "tokens is below 0"),
        ("raw_response = ''", "no_raw_output", 4, "without raw output"),
        ("tokens = NULL", "missing_values", 4, "tokens is missing in 4 rows"),
        ("params_model = NULL", "missing_params", 4, "without params"),
        ("error = 'TimeoutError: slow', error_type = 'TimeoutError'", "failures", 4, "Timeout"),
    ],
)
def test_finds_each_planted_fault(
    tmp_path: Path, planted: str, check: str, count: int, said: str
) -> None:
    db = dev(tmp_path)
    change(db, f"UPDATE predictions SET {planted} WHERE input_id IN ('i3', 'i4')")
    (finding,) = inspect(db)
    assert (finding.check, finding.count) == (check, count)
    assert said in finding.message
    assert exit_code([finding]) == 1


def test_finds_columns_that_never_change(tmp_path: Path) -> None:
    db = dev(tmp_path, language="en", empty=None)
    found = [(each.severity, each.message) for each in inspect(db) if each.check == "constant"]
    assert found == [
        ("warning", "language is 'en' in all 40 rows"),
        ("note", "empty is empty in all 40 rows"),
    ]


def test_a_column_that_a_kind_knows_may_be_empty_in_some_rows(tmp_path: Path) -> None:
    """One server counts cached tokens, and another one does not."""
    db = dev(tmp_path, cached_tokens=0)
    change(db, "UPDATE predictions SET cached_tokens = NULL WHERE input_id IN ('i3', 'i4')")
    assert [each.check for each in inspect(db)] == ["missing_values", "constant"]
    assert inspect(db, kind=Kind(constant=frozenset({"cached_tokens"}))) == []


def test_finds_numbers_that_are_stored_as_text(tmp_path: Path) -> None:
    rows = [prediction("dev", i, 0, size=str(i * 1.5), label=f"{i} mm") for i in range(20)]
    db = write(tmp_path / "dev.db", "predictions", rows)
    assert [each.message for each in inspect(db)] == ["size holds numbers as text"]


def test_finds_a_prediction_that_can_never_equal_its_ground_truth(tmp_path: Path) -> None:
    labels = [prediction("dev", i, 0, prediction=str(i), ground_truth=str(i)) for i in range(20)]
    assert inspect(write(tmp_path / "labels.db", "predictions", labels)) == []
    mixed = [prediction("dev", i, 0, prediction=str(i), ground_truth=i) for i in range(20)]
    (finding,) = inspect(write(tmp_path / "mixed.db", "predictions", mixed))
    assert finding.message == "prediction holds numbers as text"


def test_shows_samples_as_plain_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    db = dev(tmp_path)
    change(db, "UPDATE predictions SET raw_response = '[red]not markup[/red]'")
    show_samples(db, 2)
    shown = capsys.readouterr().out
    assert "[red]not" in shown
    assert "sample 2" in shown


def test_says_so_where_there_is_nothing_to_inspect(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="no database"):
        inspect(tmp_path / "gone.db")
    db = dev(tmp_path)
    with pytest.raises(HarnessError, match="no rows yet"):
        inspect(db, "e9.9.9")
