"""Values of a kind that nobody thought of get one clear sentence, the same under every executor."""

import hashlib
import importlib.util
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from harness.project import keys
from tests.harness.project_fixture import PROJECT, Bench

EXECUTORS = ("serial", "threads", "processes")


def settings(bench: Bench, executor: str = "serial", **more: object) -> None:
    bench.settings(
        run={"executor": executor, "workers": 2, "max_permanent_errors": 99},
        retry={"wait_seconds": 0.0, **more},
    )


# -- what a database or a disk says


def test_a_message_with_the_word_full_is_no_full_disk(bench: Bench) -> None:
    bench.experiment("e0.0.1")
    connection = sqlite3.connect(bench.db)
    connection.execute(
        "CREATE TRIGGER no BEFORE INSERT ON predictions "
        "BEGIN SELECT RAISE(ABORT, 'the table full of locked doors'); END"
    )
    connection.commit()
    connection.close()
    said = bench.experiment("e0.0.2", expect=1).said
    assert "cannot write" in said
    assert "the table full of locked doors" in said
    assert "disk" not in said
    assert "another program" not in said


def test_a_table_of_another_shape_is_no_damaged_file(bench: Bench) -> None:
    bench.experiment("e0.0.1")
    connection = sqlite3.connect(bench.db)
    connection.execute("ALTER TABLE predictions RENAME COLUMN input_id TO name")
    connection.commit()
    connection.close()
    said = bench.run("explain", "i0", expect=1).said
    assert "no such column: input_id" in said
    assert "damaged" not in said
    assert "checkout" not in said


def test_a_database_that_is_locked_is_not_to_be_restored(bench: Bench) -> None:
    bench.experiment("e0.0.1")
    connection = sqlite3.connect(bench.db, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        said = bench.run("explain", "i0", expect=1).said
    finally:
        connection.close()
    assert "another program has it open" in said
    assert "checkout" not in said


# -- items


def test_every_file_is_read_once_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / f"{n}" for n in range(5000)]
    for path in files:
        path.write_bytes(b"x")
    read: list[str] = []
    digest = hashlib.file_digest

    def noting(file: Any, how: Any) -> Any:
        read.append(file.name)
        return digest(file, how)

    monkeypatch.setattr(hashlib, "file_digest", noting)
    for _ in range(3):
        for path in files:
            keys.file_digest(path)
    assert len(read) == 5000
    files[0].write_bytes(b"xy")
    keys.file_digest(files[0])
    assert len(read) == 5001


def test_an_array_in_an_item_says_what_to_give_instead(bench: Bench) -> None:
    bench.dataset("import numpy\nreturn [{'id': 'a', 'x': numpy.zeros(3)}]")
    said = bench.dev_run(expect=2).said
    assert "id 'a' cannot be written as JSON: a ndarray" in said
    assert ".tolist()" in said
    assert "Path" in said


def test_a_mark_before_the_first_name_of_a_csv_is_named(bench: Bench) -> None:
    bench.file("data/items.csv", "\ufeffid,x\na,1\n")
    bench.dataset(
        "import csv\nreturn list(csv.DictReader(open('data/items.csv', encoding='utf-8')))"
    )
    said = bench.dev_run(expect=2).said
    assert 'item 1 (of dataset.load): it has no "id", only ⟨U+FEFF⟩id, x' in said
    assert 'encoding="utf-8-sig"' in said


def test_the_shipped_datasets_read_a_csv_that_a_spreadsheet_saved(tmp_path: Path) -> None:
    for kind, file in (("minimal", "iris.csv"), ("llm", "reviews.csv")):
        folder = PROJECT / "kinds" / kind
        copy = tmp_path / kind / "src/benchmark/dataset.py"
        copy.parent.mkdir(parents=True)
        copy.write_bytes((folder / "src/benchmark/dataset.py").read_bytes())
        data = tmp_path / kind / "data" / file
        data.parent.mkdir()
        data.write_bytes(b"\xef\xbb\xbf" + (folder / "data" / file).read_bytes())
        spec = importlib.util.spec_from_file_location(f"dataset_of_{kind}", copy)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert next(iter(module.load()))["id"]


# -- params


def test_an_annotation_that_only_type_checkers_import_is_left_out(bench: Bench) -> None:
    bench.file(
        "src/benchmark/params.py",
        """
from __future__ import annotations
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from somewhere import Shade


@dataclass(frozen=True, slots=True)
class Params:
    model: str
    shade: Shade = 1
    other: Shade | None = None
    threshold: float = 1


GRID = [Params("low"), Params("high", shade=2)]
""",
    )
    bench.dev_run()
    kinds = {
        r["name"]: r["type"] for r in bench.sql("PRAGMA table_info(predictions)", bench.dev_db)
    }
    assert kinds["params_shade"] == "INTEGER"
    assert kinds["params_threshold"] == "REAL"  # as annotated, though GRID holds a whole number


# -- what predict returns or raises


@pytest.mark.parametrize("asked", ['"soon"', "object()", "-1", "float('nan')"])
def test_a_time_to_wait_that_is_none_takes_no_place_from_others(bench: Bench, asked: str) -> None:
    settings(bench, "threads", attempts=2)
    bench.items(12)
    bench.predict(
        f"""
        error = ConnectionError("slow down")
        error.retry_after = {asked}
        if item["id"] == "i0":
            error = TransientError("slow down", retry_after={asked})
        raise error
        """,
        head="from harness import TransientError",
    )
    bench.settings(
        run={"executor": "threads", "workers": 2, "max_errors": 0},
        retry={"wait_seconds": 0.0, "attempts": 2},
    )
    bench.dev_run(expect=1)
    rows = bench.rows("dev")
    assert {row["error_type"] for row in rows} == {"ConnectionError", "TransientError"}
    assert {row["attempts"] for row in rows} == {2}


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("lambda: 1", None),
        ("{'deep': [lambda: 1]}", None),
        ("threading.Lock()", "predict returned odd, which cannot be kept: cannot pickle"),
        ("[threading.Lock()]", None),
    ],
)
def test_what_does_not_travel_makes_the_same_row_under_every_executor(
    bench: Bench, value: str, error: str | None
) -> None:
    bench.params('[Params("low")]')
    bench.items(2)
    bench.predict(
        f'return {{"prediction": True, "ground_truth": True, "raw_response": "1", "odd": {value}}}',
        head="import threading",
    )
    seen = []
    for executor in EXECUTORS:
        settings(bench, executor)
        bench.dev_run(expect=1 if error else 0)
        rows = bench.rows("dev")
        for row in rows:
            assert (row["error"] or "").startswith(error or "")
            assert (row["odd"] is None) == bool(error)
        names = ("error", "error_type", "attempts", "prediction", "ground_truth", "raw_response")
        seen.append([[row[name] for name in names] for row in rows])
        bench.run("dev-clean")
    assert seen[0] == seen[1] == seen[2]
    if value == "lambda: 1":
        settings(bench, "processes")
        bench.dev_run()
        answer = bench.python(
            "import sys; from xetrack import Reader; from xetrack import Tracker\n"
            "t = Tracker(sys.argv[1], engine='sqlite', table='predictions')\n"
            "print(t.assets.get_from_hash(sys.argv[2])())",
            str(bench.dev_db),
            bench.rows("dev")[0]["odd"],
        )
        assert answer.split() == [b"1"]
