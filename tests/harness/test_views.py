"""`harness.read.views`: every layout in one locked, read-only DuckDB."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from harness.errors import HarnessError
from harness.read.views import columns, connect


def fill(path: Path, *statements: str) -> Path:
    """Write with sqlite3 and close, so that DuckDB never meets it open in this process."""
    with sqlite3.connect(path) as con:
        for statement in statements:
            con.execute(statement)
    con.close()
    return path


OURS = "(task_key TEXT, code_key TEXT, experiment_version TEXT, score {score})"


def test_shows_predictions_of_every_database_and_table_as_one_view(tmp_path: Path) -> None:
    first = fill(
        tmp_path / "benchmark.db",
        "CREATE TABLE predictions_e0_0_1 " + OURS.format(score="INTEGER"),
        "CREATE TABLE predictions_e0_0_2 " + OURS.format(score="REAL"),
        "INSERT INTO predictions_e0_0_1 VALUES ('a', 'c', 'e0.0.1', 1)",
        "INSERT INTO predictions_e0_0_2 VALUES ('a', 'c', 'e0.0.2', 0.75)",
    )
    second = fill(
        tmp_path / "it's e0.0.3.db",
        "CREATE TABLE predictions " + OURS.format(score="REAL, more TEXT"),
        "INSERT INTO predictions VALUES ('a', 'c', 'e0.0.3', NULL, 'x')",
        "CREATE TABLE runs (track_id TEXT, planned INTEGER)",
        "INSERT INTO runs VALUES ('t', 3)",
    )
    with connect([first, second]) as con:
        assert con.execute(
            "SELECT experiment_version, score, more FROM predictions ORDER BY 1"
        ).fetchall() == [("e0.0.1", 1.0, None), ("e0.0.2", 0.75, None), ("e0.0.3", None, "x")]
        assert con.execute("SELECT planned FROM runs").fetchall() == [(3,)]
        assert columns(con)["score"] == "DOUBLE"
        assert columns(con, "metrics") == {}


def test_reads_columns_whose_values_disagree_with_their_declared_type(tmp_path: Path) -> None:
    db = fill(
        tmp_path / "track.db",
        "CREATE TABLE predictions (i INTEGER, whole INTEGER, t INTEGER, d TIMESTAMP, free, b BLOB)",
        "INSERT INTO predictions VALUES (1, 2, 'many', '23 Nov', 'x', x'ff00')",
        "INSERT INTO predictions VALUES (0.30000000000000004, 3, 4, NULL, 5, NULL)",
    )
    with connect([db]) as con:
        assert con.execute("SELECT * FROM predictions ORDER BY whole").fetchall() == [
            (1.0, 2, "many", "23 Nov", "x", "FF00"),
            (0.30000000000000004, 3, "4", None, "5", None),
        ]
        assert columns(con)["i"] == "DOUBLE"
        assert columns(con)["whole"] == "BIGINT"


def test_careful_reads_our_own_table_after_somebody_edited_it(tmp_path: Path) -> None:
    db = fill(
        tmp_path / "track.db",
        "CREATE TABLE predictions " + OURS.format(score="INTEGER"),
        "INSERT INTO predictions VALUES ('a', 'c', 'e0.0.1', 0.5)",
    )
    with connect([db]) as con, pytest.raises(duckdb.TypeMismatchException):
        con.execute("SELECT score FROM predictions").fetchall()
    with connect([db], careful=True) as con:
        assert con.execute("SELECT score FROM predictions").fetchall() == [(0.5,)]


def test_reads_what_xetrack_wrote_under_a_table_name_of_its_own(tmp_path: Path) -> None:
    db = tmp_path / "track.db"
    write = (
        "import sys; from xetrack import Tracker\n"
        "t = Tracker(sys.argv[1], engine='sqlite', params={'model': 'm'})\n"
        "t.log({'score': 1}); t.log({'score': 0.75}); t.track(lambda x: {'y': x}, args=[3])\n"
    )
    subprocess.run([sys.executable, "-c", write, str(db)], check=True, capture_output=True)
    with connect([db], table="default") as con:
        assert con.execute(
            "SELECT score FROM predictions WHERE score IS NOT NULL ORDER BY 1"
        ).fetchall() == [(0.75,), (1.0,)]
    with pytest.raises(HarnessError, match=r"no table 'events'.*default"):
        connect([db], table="events")


@pytest.mark.parametrize(
    "attempt",
    [
        "INSERT INTO d0.predictions(task_key) VALUES ('x')",
        "UPDATE d0.predictions SET score = 0",
        "DROP TABLE d0.predictions",
        "SELECT * FROM sqlite_query('d0', 'DELETE FROM predictions RETURNING task_key')",
        "COPY (SELECT 1) TO '{db}' (USE_TMP_FILE false)",
        "COPY (SELECT 1) TO '{db}.csv' (USE_TMP_FILE false)",
        "ATTACH '{db}.other'",
        "SET disabled_filesystems = ''",
        "INSTALL httpfs",
    ],
)
def test_nothing_can_be_written_through_it(tmp_path: Path, attempt: str) -> None:
    db = fill(
        tmp_path / "benchmark.db",
        "CREATE TABLE predictions " + OURS.format(score="REAL"),
        "INSERT INTO predictions VALUES ('a', 'c', 'e0.0.1', 1)",
    )
    before = db.read_bytes()
    with connect([db]) as con, pytest.raises(duckdb.Error):
        con.execute(attempt.format(db=db)).fetchall()
    assert db.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["benchmark.db"]


def test_no_other_extension_is_loaded_through_it(tmp_path: Path) -> None:
    """The scanner is loaded without a look at its signature, which its wheel vouches for."""
    unsigned = tmp_path / "mine.duckdb_extension"
    unsigned.write_bytes(b"no extension" * 100)
    with connect([fill(tmp_path / "a.db", "CREATE TABLE predictions (i INTEGER)")]) as con:
        setting = "SELECT value FROM duckdb_settings() WHERE name = 'allow_unsigned_extensions'"
        assert con.execute(setting).fetchone() == ("false",)
        for statement in ("SET allow_unsigned_extensions = true", f"LOAD '{unsigned}'"):
            with pytest.raises(duckdb.Error):
                con.execute(statement)


def test_needs_neither_home_nor_network(tmp_path: Path) -> None:
    db = fill(tmp_path / "b.db", "CREATE TABLE predictions (a TEXT)")
    code = (
        "import sys, pathlib; from harness.read.views import connect\n"
        "print(connect([pathlib.Path(sys.argv[1])]).execute('FROM predictions').fetchall())"
    )
    package = Path(sys.modules["harness"].__file__ or "").parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code, str(db)],
        env={"PYTHONPATH": str(package), "HOME": "/nonexistent"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "[]\n"


def test_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="no results yet"):
        connect([])
    with pytest.raises(HarnessError, match=r"no database .*gone\.db"):
        connect([tmp_path / "gone.db"])
    (tmp_path / "notes.db").write_text("hello")
    with pytest.raises(HarnessError, match="not an SQLite database"):
        connect([tmp_path / "notes.db"])
    with pytest.raises(HarnessError, match="no table of predictions"):
        connect([fill(tmp_path / "other.db", "CREATE TABLE other (a TEXT)")])
    (tmp_path / "torn.db").write_bytes(b"SQLite format 3\x00" + b"\xff" * 500)
    with pytest.raises(HarnessError, match="cannot be read"):
        connect([tmp_path / "torn.db"])
