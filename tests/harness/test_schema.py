"""`harness.gates.schema`: columns that were renamed, retyped or lost, and the rename itself."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.gates.schema import (
    expected_columns,
    recorded_columns,
    recorded_values,
    rename_column,
    schema_findings,
)
from harness.read.validate import validate
from tests.harness.recorded import change, clean, prediction, run, write

PARAMS = {"params_model": "TEXT", "params_depth": "INTEGER", "params_prompt": "TEXT"}
RESULTS = {"confidence": "REAL", "correct": "INTEGER"}


def told(recorded: dict[str, str], expected: dict[str, str]) -> list[str]:
    return [f"{each.check}: {each.fix}" for each in schema_findings({"t": recorded}, expected)]


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as con:
        return con.execute(sql).fetchall()


def test_is_silent_where_code_and_records_agree(tmp_path: Path) -> None:
    db, dev = clean(tmp_path / "benchmark.db"), tmp_path / "dev.db"
    write(dev, "predictions", [prediction("dev", 1, 0)])
    expected = expected_columns(PARAMS, [dev])
    assert schema_findings(recorded_columns([db]), expected, recorded_values([db])) == []
    assert schema_findings(recorded_columns([db]), PARAMS) == []
    assert schema_findings({}, expected) == []


def test_allows_new_results_new_params_and_wider_numbers() -> None:
    expected = {**PARAMS, **RESULTS, "params_depth": "REAL", "params_seed": "INTEGER", "f1": "REAL"}
    assert told({**PARAMS, **RESULTS}, expected) == []


@pytest.mark.parametrize(
    ("old", "new"), [("model", "model_name"), ("learning_rate", "lr"), ("depth", "max_depth")]
)
def test_recognises_a_renamed_param(old: str, new: str) -> None:
    recorded = {"params_other": "TEXT", f"params_{old}": "REAL"}
    expected = {"params_other": "TEXT", f"params_{new}": "REAL"}
    command = f"renamed_param: python -m harness schema rename {old} {new}"
    assert told(recorded, expected) == [command]


def test_pairs_two_renames_by_name_and_by_value() -> None:
    recorded = {"params_alpha": "REAL", "params_n": "INTEGER"}
    expected = {"params_alpha_max": "REAL", "params_trees": "INTEGER"}
    findings = schema_findings(
        {"t": recorded},
        expected,
        values={"params_n": {10, 50}},
        expected_values={"params_trees": {50, 100}},
    )
    assert sorted(each.fix for each in findings) == [
        "python -m harness schema rename alpha alpha_max",
        "python -m harness schema rename n trees",
    ]


def test_names_retyped_and_vanished_columns() -> None:
    recorded = {**PARAMS, **RESULTS, "tokens": "INTEGER"}
    expected = {**PARAMS, "confidence": "TEXT", "correct": "INTEGER"}
    findings = schema_findings({"benchmark.db:predictions": recorded}, expected)
    assert [(each.check, each.message) for each in findings] == [
        (
            "retyped_column",
            "confidence was recorded as a number (benchmark.db:predictions), now is text",
        ),
        ("vanished_column", "tokens is recorded, but the code has it no longer"),
    ]
    gone = {"params_model": "TEXT", "params_depth": "INTEGER"}
    assert [e.check for e in schema_findings({"t": PARAMS}, gone)] == ["vanished_column"]


def test_takes_no_type_from_a_column_that_never_had_a_value(tmp_path: Path) -> None:
    db = write(tmp_path / "b.db", "predictions", [prediction("e0.0.1", 1, 0, cost=None)])
    assert "cost" not in recorded_columns([db])["b.db:predictions"]


def test_renames_in_every_table_and_database_with_backups(tmp_path: Path) -> None:
    first = clean(tmp_path / "benchmark.db")
    write(first, "predictions_e0_0_3", [prediction("e0.0.3", 1, 0)])
    plan = json.dumps({"hypotheses": [{"better": {"depth": 4}, "metric": "correct"}]})
    grid = json.dumps([{"params_depth": 2}])
    change(first, "ALTER TABLE runs ADD plan TEXT")
    change(first, f"UPDATE runs SET plan = '{plan}', grid = '{grid}'")
    second = write(tmp_path / "e0.0.4.db", "predictions", [prediction("e0.0.4", 1, 1)])
    before = [path.read_bytes() for path in (first, second)]
    backups = rename_column([first, second], "depth", "max_depth")
    assert [backup.read_bytes() for backup in backups] == before
    for path, table in [
        (first, "predictions"),
        (first, "predictions_e0_0_3"),
        (first, "metrics"),
        (second, "predictions"),
    ]:
        names = [row[1] for row in rows(path, f"PRAGMA table_info({table})")]
        assert "params_max_depth" in names
        assert "params_depth" not in names
    assert rows(second, "SELECT params_max_depth FROM predictions") == [(4,)]
    assert json.loads(str(rows(first, "SELECT grid FROM runs")[0][0])) == [{"params_max_depth": 2}]
    assert '"better": {"max_depth": 4}' in str(rows(first, "SELECT plan FROM runs")[0][0])


def test_leaves_a_database_that_validates(tmp_path: Path) -> None:
    db = clean(tmp_path / "benchmark.db")
    rename_column([db], "params_model", "params_name")
    assert validate([db]) == []


def test_joins_rows_of_the_old_and_of_the_new_name(tmp_path: Path) -> None:
    db = tmp_path / "b.db"
    newer = prediction("e0.0.2", 1, 1)
    newer["params_size"] = newer.pop("params_depth")
    older = prediction("e0.0.1", 1, 0)
    write(db, "predictions", [{**older, "params_size": None}, {**newer, "params_depth": None}])
    rename_column([db], "depth", "size")
    assert rows(db, "SELECT params_size FROM predictions ORDER BY 1") == [(2,), (4,)]


def test_changes_all_databases_or_none(tmp_path: Path) -> None:
    good = write(tmp_path / "a.db", "predictions", [prediction("e0.0.1", 1, 0)])
    both = prediction("e0.0.2", 1, 1) | {"params_size": 99}
    bad = write(tmp_path / "b.db", "predictions", [both])
    before = {path: path.read_bytes() for path in (good, bad)}
    with pytest.raises(HarnessError, match="both params_depth and params_size"):
        rename_column([good, bad], "depth", "size")
    assert {path: path.read_bytes() for path in (good, bad)} == before
    assert sorted(path.name for path in tmp_path.rglob("[ab].db*")) == ["a.db", "b.db"]


def test_refuses_while_a_run_writes(tmp_path: Path) -> None:
    db = write(tmp_path / "b.db", "predictions", [prediction("e0.0.1", 1, 0)])
    write(db, "runs", [run("e0.0.1", 1)])
    with closing(sqlite3.connect(db, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(HarnessError, match="Nothing was renamed: database is locked"):
            rename_column([db], "depth", "size")
        writer.execute("ROLLBACK")
    assert "params_depth" in recorded_columns([db])["b.db:predictions"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("nosuch", "size", "No table has a column 'nosuch'"),
        ("depth", "si ze", "cannot be a column name"),
        ("latency", "speed", "column of the harness itself"),
        ("correct", "error", "column of the harness itself"),
    ],
)
def test_refuses_what_cannot_be_renamed(tmp_path: Path, old: str, new: str, message: str) -> None:
    db = clean(tmp_path / "benchmark.db")
    with pytest.raises(HarnessError, match=message):
        rename_column([db], old, new)
    with pytest.raises(HarnessError, match="no database"):
        rename_column([tmp_path / "gone.db"], "depth", "size")
