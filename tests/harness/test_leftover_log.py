"""The log of a killed run is replayed over the file it belongs to, and over no other."""

import hashlib
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from tests.harness.project_fixture import OPENED, Bench, once_each
from tests.harness.warm import WarmProcess

ITEMS = 60
# Dies as by `kill -9`, once, after what was computed before has been written.
DIES = """
marker = pathlib.Path(os.environ["BENCH_TRACE"] + ".died")
if item["id"] == "i40" and not marker.exists():
    marker.touch()
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGKILL)
return {"prediction": item["x"] > 0.5, "ground_truth": True, "raw_response": "long " * 99}
"""


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def log_of(db: Path) -> Path:
    return db.with_name(f"{db.name}-wal")


def kill_the_next(bench: Bench) -> None:
    """An experiment e0.0.2 of 60 items that is killed at the 41st."""
    bench.items(ITEMS)
    bench.params('[Params("only")]')
    bench.predict(DIES, head="import os, pathlib, signal, time")
    bench.experiment("e0.0.2", expect=-9)


@pytest.fixture(scope="module")
def _killed(_tagged: Bench, tmp_path_factory: pytest.TempPathFactory, warm: WarmProcess) -> Bench:
    made = _tagged.copy(tmp_path_factory.mktemp("killed") / "bench")
    kill_the_next(made)
    return made


@pytest.fixture
def killed(_killed: Bench, tmp_path: Path) -> Bench:
    """A repository with e0.0.1, in which e0.0.2 has been killed."""
    bench = _killed.copy(tmp_path / "bench")
    bench.trace.write_bytes(_killed.trace.read_bytes())
    bench.trace.with_name(f"{bench.trace.name}.died").touch()
    return bench


def goes_on(bench: Bench) -> None:
    """The same command finishes e0.0.2; but for what was in flight, nothing is computed twice."""
    bench.run("experiment", "e0.0.2", "--allow", OPENED)
    assert len(bench.rows("e0.0.2")) == ITEMS
    assert bench.executed() == once_each(["only"], ITEMS) + Counter({("only", "i40"): 1})
    assert bench.sql("PRAGMA integrity_check") == [{"integrity_check": "ok"}]


def is_set_aside(bench: Bench) -> None:
    """The log is where it does no harm, whole; the first reader says so, and reads e0.0.1 alone."""
    first = hashlib.sha256(
        subprocess.run(
            ["git", "cat-file", "blob", "e0.0.1:results/benchmark.db"],
            cwd=bench.root, capture_output=True,
        ).stdout
    ).hexdigest()  # fmt: skip
    left = digest(log_of(bench.db))
    assert bench.dvc or digest(bench.db) == first
    before = digest(bench.db)
    said = bench.run("sql", "--query", "SELECT 'n' || count(*) FROM predictions")
    assert "n8 " in said.out
    for words in ("benchmark.db-wal", "results/aside/", "make experiment TAG=e0.0.2"):
        assert words in said.err, said.err
    [kept] = bench.root.glob("results/aside/benchmark.db-wal*")
    assert digest(kept) == left, "nothing recorded is lost"
    assert digest(bench.db) == before
    assert bench.git("status", "--porcelain") == ""


def test_a_log_beside_another_version_is_set_aside(killed: Bench) -> None:
    killed.git("checkout", "-q", "--force", "e0.0.1")
    assert log_of(killed.db).exists(), "git leaves it where it is"
    is_set_aside(killed)
    assert "aside" not in killed.run("tags").err, "it is said once"
    killed.git("switch", "-q", "-")
    goes_on(killed)


def test_a_log_beside_another_version_that_dvc_brought(tagged_by_dvc: Bench) -> None:
    bench = tagged_by_dvc
    kill_the_next(bench)
    bench.git("checkout", "-q", "e0.0.1")
    bench.run_dvc("checkout", "--force", "results/benchmark.db.dvc")
    assert log_of(bench.db).exists(), "DVC leaves it where it is"
    is_set_aside(bench)


def test_the_log_of_the_same_file_is_read_and_resumed(killed: Bench) -> None:
    assert log_of(killed.db).stat().st_size
    said = killed.run("sql", "--query", "SELECT 'n' || count(*) FROM predictions")
    assert "n48 " in said.out, "the forty that were recorded count"
    assert "aside" not in said.err
    goes_on(killed)
    rows = killed.rows("e0.0.2")
    assert len({row["track_id"] for row in rows}) == 2
    assert not any(row["cache"] for row in rows), "none had to be made again from the cache"


# Another program on the results: it changes what is there and dies before it has committed.
WRITER = """
import os, signal, sqlite3, sys
con = sqlite3.connect(sys.argv[1], isolation_level=None)
con.execute("PRAGMA cache_size = 1")
con.execute("BEGIN")
con.execute("CREATE TABLE more AS SELECT * FROM predictions, runs, metrics")
con.execute("UPDATE predictions SET raw_response = 'other'")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_rollback_journal_is_tied_to_its_file_too(tagged: Bench) -> None:
    """The duckdb engine, scoring and renames write with one; it would roll another file back."""
    first = digest(tagged.db)
    tagged.run("rescore", "e0.0.1")
    journal = tagged.db.with_name("benchmark.db-journal")
    for back in (False, True):
        subprocess.run([sys.executable, "-c", WRITER, str(tagged.db)], check=False)
        assert journal.stat().st_size
        left = digest(journal)
        if back:
            tagged.git("checkout", "-q", "--force", "e0.0.1")
        said = tagged.run("validate")
        assert ("benchmark.db-journal" in said.err) == back
    assert digest(tagged.root / "results/aside/benchmark.db-journal.1") == left
    assert digest(tagged.db) == first


def test_what_is_published_is_known_beside_a_rollback_journal(tagged: Bench) -> None:
    tagged.run("rescore", "e0.0.1")
    subprocess.run([sys.executable, "-c", WRITER, str(tagged.db)], check=False)
    assert tagged.db.with_name("benchmark.db-journal").stat().st_size
    assert "cannot read" not in tagged.run("tags").said


def test_a_log_that_somebody_is_writing_stays_where_it_is(tagged: Bench) -> None:
    tagged.run("rescore", "e0.0.1")
    tagged.git("checkout", "-q", "--force", "e0.0.1")
    with closing(sqlite3.connect(tagged.db, isolation_level=None)) as con:
        con.execute("PRAGMA journal_mode=WAL")
        con.execute("CREATE TABLE mine AS SELECT 1 AS x")
        said = tagged.run("tags")
        assert log_of(tagged.db).exists()
        assert "aside" not in said.err
        assert con.execute("SELECT x FROM mine").fetchall() == [(1,)]


def test_a_log_of_which_nothing_is_noted_is_not_replayed_over_a_file_at_rest(
    killed: Bench,
) -> None:
    """As an earlier harness, or another program, may have left it."""
    killed.git("checkout", "-q", "--force", "e0.0.1")
    killed.db.with_name(".benchmark.db.mark").unlink()
    before = digest(killed.db)
    for command in (["sql", "--query", "SELECT 1 FROM predictions"], ["rescore", "e0.0.1"]):
        refused = killed.run(*command, expect=2)
        assert "benchmark.db-wal was left by another version of benchmark.db" in refused.said
        assert "mv " in refused.said
    assert digest(killed.db) == before


@pytest.mark.parametrize("link", ["hard", "symbolic"])
def test_a_link_into_a_cache_becomes_a_file_before_it_is_written(
    tagged: Bench, tmp_path: Path, link: str
) -> None:
    """DVC can link instead of copying (cache.type); what it keeps must stay as it is."""
    kept = tmp_path / "kept.db"
    tagged.db.rename(kept)
    before = digest(kept)
    if link == "hard":
        tagged.db.hardlink_to(kept)
    else:
        tagged.db.symlink_to(kept)
    tagged.run("rescore", "e0.0.1")
    assert digest(kept) == before
    assert digest(tagged.db) != before
