"""Many rows get their index by key at the end of a run; whatever happens before, one row a key."""

import pickle
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import diskcache
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.record.cache import ResultCache
from tests.harness.project_fixture import OPENED, Bench, eventually, finished, once_each
from tests.harness.test_recorded_reuse import without_cache

MANY = 1_200  # rows, from which on the index is left to the end
ONCE, KEYS = "once_predictions", "Cache_key_raw"


def has_index(path: Path, name: str) -> bool:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        query = "SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = ?"
        return connection.execute(query, (name,)).fetchone() is not None


def count(path: Path, query: str) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return int(connection.execute(query).fetchone()[0])


def one_row_a_key(bench: Bench, experiment: str, rows: int) -> None:
    """Of an experiment in which nothing failed, with both indexes as they are to be."""
    found = bench.rows(experiment)
    assert len(found) == rows == len({row["task_key"] for row in found})
    assert all(row["error"] is None for row in found)
    cache = bench.root / ".cache/cache.db"
    assert has_index(bench.db, ONCE)
    assert has_index(cache, KEYS)
    for path in (bench.db, cache):
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_no_other_program_can_record_a_datapoint_again(bench: Bench) -> None:
    bench.items(MANY // 2)
    bench.experiment("e0.0.1")
    one_row_a_key(bench, "e0.0.1", MANY)
    again = "INSERT INTO predictions SELECT * FROM predictions LIMIT 1"
    with closing(sqlite3.connect(bench.db)) as connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(predictions)")]
        values = ", ".join("'another'" if name == "track_id" else f'"{name}"' for name in names)
        again = f"INSERT INTO predictions SELECT {values} FROM predictions LIMIT 1"
        with pytest.raises(sqlite3.IntegrityError, match="task_key"):
            connection.execute(again)
    bench.forget()
    bench.experiment("e0.0.2")
    assert not bench.executed()
    one_row_a_key(bench, "e0.0.2", MANY)


def test_killed_while_there_is_no_index(bench: Bench) -> None:
    bench.settings(run={"executor": "serial"})
    bench.items(MANY // 2)
    bench.predict(
        """
        time.sleep(0.001)
        return {"prediction": 1, "ground_truth": 1}
        """,
        head="import time",
    )
    bench.commit()
    process = bench.start("experiment", "e0.0.1", "--allow", OPENED)
    rows = "SELECT count(*) FROM predictions"
    assert eventually(lambda: bench.db.exists() and has_table(bench.db), 60)
    assert eventually(lambda: count(bench.db, rows) > 200, 60)
    left_out = not has_index(bench.db, ONCE) and not has_index(bench.root / ".cache/cache.db", KEYS)
    process.kill()
    finished(process)
    assert left_out
    before = sum(bench.executed().values())
    bench.run("experiment", "e0.0.1", "--allow", OPENED)
    one_row_a_key(bench, "e0.0.1", MANY)
    assert before < MANY
    # What was in flight or waited to be written is executed again.
    assert sum(bench.executed().values()) <= MANY + 100


def has_table(path: Path) -> bool:
    return bool(count(path, "SELECT count(*) FROM sqlite_master WHERE name = 'predictions'"))


def test_what_failed_is_replaced_and_not_added(bench: Bench) -> None:
    bench.items(MANY // 2)
    bench.settings(run={"executor": "serial", "max_errors": 30})
    bench.predict(
        """
        if os.path.exists(os.environ["BENCH_TRACE"] + ".down") and item["id"].endswith("3"):
            raise ValueError("down")
        return {"prediction": 1, "ground_truth": 1}
        """,
        head="import os",
    )
    down = Path(f"{bench.trace}.down")
    down.touch()
    bench.experiment("e0.0.1", expect=None)
    failed = count(bench.db, "SELECT count(*) FROM predictions WHERE error_type IS NOT NULL")
    assert failed >= 30
    down.unlink()
    bench.run("experiment", "e0.0.1", "--allow", OPENED)
    one_row_a_key(bench, "e0.0.1", MANY)


def test_rows_of_the_same_database_are_found_while_others_are_written(bench: Bench) -> None:
    bench.items(MANY // 2)
    bench.experiment("e0.0.1")
    without_cache(bench)
    # Some are in the cache, the others in rows alone.
    bench.params('[Params("low", 0.25)]')
    bench.experiment("e0.0.2")
    assert not bench.executed()
    bench.params('[Params("low", 0.25), Params("high", 0.75), Params("new", 0.5)]')
    bench.experiment("e0.0.3")
    assert bench.executed() == once_each(["new"], MANY // 2)
    one_row_a_key(bench, "e0.0.3", MANY // 2 * 3)


# -- the cache alone, beside a dict that does the same

NAMES = st.integers(0, 5).map(lambda number: f"{number:064x}")
STEPS = st.one_of(
    st.tuples(st.just("put"), NAMES, st.sampled_from([1, 10_000, 100_000])),
    st.tuples(st.just("other"), NAMES, st.just(0)),
    st.tuples(st.just("forget"), NAMES, st.just(0)),
    st.tuples(st.just("expect"), st.just(""), st.just(MANY)),
    st.tuples(st.sampled_from(["close", "kill"]), st.just(""), st.just(0)),
)


def put_by_another_program(folder: Path, key: str, value: str) -> bool:
    """As if a second repository shared the folder; whether there was no index to refuse it."""
    entry = pickle.dumps({"result": {"prediction": value}, "cache": "run"})
    insert = "INSERT INTO Cache (key, raw, store_time, size, mode, value) VALUES (?, 1, 0, 0, 4, ?)"
    with closing(sqlite3.connect(folder / "cache.db", isolation_level=None)) as connection:
        try:
            connection.execute(insert, (key, entry))
        except sqlite3.IntegrityError:
            return False
    return True


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=20))
@example([("put", "a", 100_000), ("expect", "", MANY), ("put", "a", 1)])
@example([("put", "a", 1), ("expect", "", MANY), ("put", "a", 1), ("kill", "", 0)])
@example([("expect", "", MANY), ("put", "a", 1), ("other", "a", 0), ("kill", "", 0)])
def test_the_cache_holds_the_last_result_of_each_key(steps: list[tuple[str, str, int]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "cache"
        cache = ResultCache(folder)
        meant: dict[str, str] = {}
        for number, (step, key, size) in enumerate(steps):
            value = f"{number}" * size
            if step == "put":
                cache.put([(key, {"prediction": value}, "run")])
                meant[key] = value
            elif step == "other":
                # (The file of a long one would stay behind, as where such a program is killed.)
                if len(meant.get(key, "")) < 1_000 and put_by_another_program(
                    folder, key, f"other {number}"
                ):
                    meant[key] = f"other {number}"
            elif step == "forget":
                cache.forget([key])
                meant.pop(key, None)
            elif step == "expect":
                before = set(meant)
                cache.expect(size)
                assert set(cache.get_many(sorted(before))) == before == cache.known(sorted(before))
            else:
                if step == "close":
                    cache.close()
                    assert has_index(folder / "cache.db", KEYS)
                else:
                    cache._few = None  # it ends without making the index
                    cache.close()
                cache = ResultCache(folder)
                assert cache.moved_to is None
                assert cache.corrupt == 0
                assert held(folder) == meant
        cache.close()
        assert held(folder) == meant


def held(folder: Path) -> dict[str, str]:
    """What diskcache itself finds, and what it says how many there are."""
    with diskcache.Cache(str(folder)) as plain:
        found = {key: plain[key]["result"]["prediction"] for key in plain}
        assert len(plain) == len(found)
        files = count(folder / "cache.db", "SELECT count(*) FROM Cache WHERE filename IS NOT NULL")
        assert len(list(folder.rglob("*.val"))) == files, "files were left behind"
        return found
