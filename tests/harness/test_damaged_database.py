"""Whatever has become of a database, every command answers with a sentence and leaves it."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.harness.project_fixture import LONG_SECONDS, OPENED, PROJECT, Bench

READING = [
    ["tags"],
    ["summary", "e0.0.1"],
    ["report", "e0.0.1"],
    ["compare", "e0.0.1"],
    ["sql", "--query", "SELECT count(*), sum(correct), max(raw_response) FROM predictions"],
    ["validate"],
    ["cache-hits"],
    ["explain", "i0"],
    ["dry-run"],
    ["schema"],
    ["ready"],
]
WRITING = [
    ["rescore", "e0.0.1"],
    ["schema", "rename", "model", "name"],
    ["discard", "e0.0.2"],
    ["retag", "e0.0.2", "e0.0.3"],
]
SCRIPTS = ["validate_benchmark.py", "analyze_cache_hits.py", "export_summary.py"]


def damaged(db: Path) -> None:
    """One page amid the rows, so that it opens well and fails as they are read."""
    with closing(sqlite3.connect(db)) as con:
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'predictions'"
        root = con.execute(query).fetchone()[0] - 1
        size = con.execute("PRAGMA page_size").fetchone()[0]
    content = bytearray(db.read_bytes())
    # The root of a table of several pages: how many cells it has, where they are, and in each the
    # number of a page.
    at = root * size
    middle = at + 12 + 2 * (int.from_bytes(content[at + 3 : at + 5], "big") // 2)
    cell = at + int.from_bytes(content[middle : middle + 2], "big")
    page = int.from_bytes(content[cell : cell + 4], "big") - 1
    content[page * size : (page + 1) * size] = b"\x5a" * size
    db.write_bytes(content)


def half_restored(db: Path) -> None:
    db.write_bytes(db.read_bytes()[: db.stat().st_size // 2 + 100])


def empty(db: Path) -> None:
    db.write_bytes(b"")


def pointer(db: Path) -> None:
    db.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


def foreign(db: Path) -> None:
    db.unlink()
    with closing(sqlite3.connect(db)) as con:
        con.execute("CREATE TABLE runs (published, tag)")
        con.execute("CREATE TABLE predictions (x)")
        con.execute("CREATE TABLE metrics (y)")
        con.commit()


def no_file(db: Path) -> None:
    db.unlink()
    db.mkdir()


LOCK = """
import sqlite3, sys
con = sqlite3.connect(sys.argv[1], isolation_level=None)
con.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(db: Path) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-c", LOCK, str(db)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.stdin.close()


def answers(bench: Bench, *command: str) -> int:
    done = bench.run(*command, expect=None)
    assert done.code in (0, 1, 2), (command, done.said)
    assert "Traceback" not in done.said, (command, done.said)
    if done.code and command[0] not in ("ready", "validate", "schema", "summary", "report"):
        assert "fix:" in done.said, (command, done.said)
    return done.code


def script(bench: Bench, name: str) -> None:
    assert bench.warm is not None
    source = f"import runpy; runpy.run_path({str(PROJECT / 'scripts' / name)!r}, {{}}, '__main__')"
    code, out, err = bench.warm.run(
        [str(bench.db)], bench.root, bench.environment(), LONG_SECONDS, source
    )
    assert code in (1, 2), (name, out)
    assert b"Traceback" not in err, (name, err)


@pytest.mark.parametrize(
    "harm",
    [
        damaged,
        *(pytest.param(harm, marks=pytest.mark.slow) for harm in (half_restored, empty)),
        *(pytest.param(harm, marks=pytest.mark.slow) for harm in (foreign, pointer, no_file)),
    ],
)
def test_a_database_that_is_not_what_it_should_be(
    bench: Bench, harm: Callable[[Path], None]
) -> None:
    bench.items(40)
    bench.experiment("e0.0.1")
    whole = bench.db.read_bytes()
    harm(bench.db)
    before = bench.db.read_bytes() if bench.db.is_file() else b""
    for command in READING:
        answers(bench, *command)
    for name in SCRIPTS:
        script(bench, name)
    assert (bench.db.read_bytes() if bench.db.is_file() else b"") == before
    for command in WRITING:
        answers(bench, *command)
    refused = bench.run("experiment", "e0.0.2", "--allow", f"{OPENED},schema", expect=1)
    assert "gate results: " in refused.said
    if bench.db.is_dir():
        bench.db.rmdir()
    bench.git("checkout", "HEAD", "--", "results/benchmark.db")
    assert bench.db.read_bytes() == whole
    assert answers(bench, "summary", "e0.0.1") in (0, 1)


@pytest.mark.slow
def test_a_database_that_is_locked(tagged: Bench) -> None:
    before = tagged.db.read_bytes()
    with locked(tagged.db):
        for command in (READING[1], READING[4], READING[9]):
            answers(tagged, *command)
    assert tagged.db.read_bytes() == before
