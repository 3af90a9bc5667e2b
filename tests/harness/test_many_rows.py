"""Rows that are written by one statement: all of them, in order, and none of a batch that fails."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.record.database_file import insert_rows

# Around the numbers of rows that go by one statement, and beyond what one may hold of values.
COUNTS = st.sampled_from([0, 1, 49, 50, 51, 99, 100, 249, 251, 999, 1_000, 1_001, 2_301])
WIDTHS = st.sampled_from([1, 7, 26, 33, 600])
VALUES = (None, 7, 2.5, "words", b"\x00\xff", "", -(2**63))


@settings(max_examples=40, deadline=None)
@given(COUNTS, WIDTHS, st.integers(0, 6))
def test_all_rows_come_back_in_their_order(count: int, width: int, first: int) -> None:
    columns = [f"c{n}" for n in range(width)]
    rows = [
        (index, *(VALUES[(index + n + first) % 7] for n in range(width))) for index in range(count)
    ]
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"CREATE TABLE t (n INTEGER, {', '.join(columns)})")
        assert insert_rows(connection, f"INSERT INTO t (n, {', '.join(columns)})", rows) == count
        assert connection.execute("SELECT * FROM t ORDER BY rowid").fetchall() == rows


def test_those_that_are_there_are_not_counted() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)")
        insert = "INSERT OR IGNORE INTO t (n)"
        assert insert_rows(connection, insert, [(n,) for n in range(0, 600, 2)]) == 300
        assert insert_rows(connection, insert, [(n,) for n in range(600)]) == 300


def test_a_row_that_is_there_twice_takes_its_batch_back(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)")
        connection.execute("BEGIN")
        with pytest.raises(sqlite3.IntegrityError):
            insert_rows(connection, "INSERT INTO t (n)", [*((n,) for n in range(1_200)), (1_100,)])
        connection.execute("ROLLBACK")
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_long_answers_are_not_copied_all_at_once(tmp_path: Path) -> None:
    # In a process of its own: what this one needed at most before would hide what it takes.
    source = """
import resource, sqlite3, sys
from harness.record.database_file import insert_rows
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode=WAL")
connection.execute("CREATE TABLE t (answer TEXT)")
text = "x" * 1_000_000  # one object, so only copies of it take memory
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
connection.execute("BEGIN")
assert insert_rows(connection, "INSERT INTO t (answer)", [(text,)] * 250) == 250
connection.execute("ROLLBACK")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", source, str(tmp_path / "x.db")],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    kilobytes = int(done.stdout) // (1024 if sys.platform == "darwin" else 1)
    assert kilobytes < 100_000
