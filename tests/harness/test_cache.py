"""The cache: in xetrack's own format, never a failure in it, and nothing depends on it but time."""

import pickle
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest

from harness.record.cache import ResultCache
from tests.harness.project_fixture import OPENED, Bench, once_each


def test_what_was_put_comes_back_with_the_run_that_computed_it(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path / "cache")
    result = {"prediction": 1.5, "raw": b"\x00", "nested": {"a": [None]}, "gap": None}
    cache.put([("key", result, "some-run-1"), ("big", {"x": "y" * 1_000_000}, "some-run-2")])
    assert cache.get_many(["key", "other"]) == {"key": (result, "some-run-1")}
    cache.close()
    again = ResultCache(tmp_path / "cache")
    found = again.get_many(["big", "key"])
    assert found["big"] == ({"x": "y" * 1_000_000}, "some-run-2")
    assert found["key"] == (result, "some-run-1")
    assert again.corrupt == 0
    again.close()


def test_a_result_that_is_changed_after_it_was_taken_out_stays_as_it_was(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path / "cache")
    cache.put([("key", {"a": 1}, "run")])
    cache.get_many(["key"])["key"][0]["a"] = 2
    assert cache.get_many(["key"]) == {"key": ({"a": 1}, "run")}
    cache.close()


def test_what_one_thread_writes_another_reads(tmp_path: Path) -> None:
    """The writer is a thread of its own, and the plan asks for the next keys meanwhile."""
    cache = ResultCache(tmp_path / "cache")

    def write() -> None:
        for number in range(20):
            cache.put([(f"{number}", {"n": number}, "run")])

    writer = threading.Thread(target=write)
    writer.start()
    found: dict[str, object] = {}
    while len(found) < 20 and writer.is_alive():
        found = dict(cache.get_many([str(number) for number in range(20)]))
    writer.join()
    assert cache.get_many([str(n) for n in range(20)]) == {
        str(n): ({"n": n}, "run") for n in range(20)
    }
    cache.close()


def test_a_result_that_does_not_pickle_is_counted_and_the_others_kept(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path / "cache")
    cache.put([("a", {"x": 1}, "r"), ("b", {"x": lambda: 1}, "r"), ("c", {"x": 3}, "r")])
    assert set(cache.get_many(["a", "b", "c"])) == {"a", "c"}
    assert cache.not_cached == 1
    cache.close()


def test_nothing_is_dropped_for_room(tmp_path: Path) -> None:
    """diskcache drops old entries at 1 GB unless told otherwise."""
    ResultCache(tmp_path / "cache").close()
    connection = sqlite3.connect(tmp_path / "cache/cache.db")
    kept = dict(connection.execute("SELECT key, value FROM Settings"))
    connection.close()
    assert kept["eviction_policy"] == "none"
    assert kept["cull_limit"] == 0


@pytest.mark.parametrize("entry", ["a word", {"result": 1, "cache": "run"}, {"result": {}}, None])
def test_an_entry_of_another_shape_counts_as_damaged(tmp_path: Path, entry: object) -> None:
    cache = ResultCache(tmp_path / "cache")
    cache._cache.set("key", entry)
    assert cache.get_many(["key"]) == {}
    assert cache.corrupt == 1
    cache.close()


def test_a_folder_that_cannot_be_a_cache_is_named(tmp_path: Path) -> None:
    from harness.errors import HarnessError

    (tmp_path / "file").write_text("x")
    with pytest.raises(HarnessError, match="file/cache"):
        ResultCache(tmp_path / "file/cache")


def test_xt_lists_and_deletes_entries(bench: Bench) -> None:
    bench.experiment("e0.0.1")
    listed = bench.xt("cache", "ls", str(bench.root / ".cache"))
    rows = bench.rows()
    assert all(f"track_id: {r['track_id']}  key: {r['task_key']}" in listed for r in rows)
    assert listed.count("track_id:") == 8
    bench.xt("cache", "delete", str(bench.root / ".cache"), rows[0]["track_id"])
    bench.forget()
    bench.experiment("e0.0.2")
    assert bench.executed() == once_each(["low", "high"], 4)


def test_an_entry_is_what_xetrack_would_read(bench: Bench) -> None:
    bench.experiment("e0.0.1")
    found = bench.python(
        """
        import pickle, sys, diskcache
        cache = diskcache.Cache(sys.argv[1])
        sys.stdout.buffer.write(pickle.dumps({key: cache[key] for key in cache}))
        """,
        str(bench.root / ".cache"),
    )
    entries = pickle.loads(found)
    rows = {row["task_key"]: row for row in bench.rows()}
    assert set(entries) == set(rows)
    for key, entry in entries.items():
        assert set(entry) == {"result", "cache"}
        assert entry["cache"] == rows[key]["track_id"]
        assert int(entry["result"]["prediction"]) == rows[key]["prediction"]


def test_failures_never_enter(bench: Bench) -> None:
    bench.predict(
        """
        if item["id"] == "i0":
            raise ValueError("no")
        if item["id"] == "i1":
            return {"error": "no"}
        if item["id"] == "i2":
            return [1]
        return {"prediction": 1, "ground_truth": 1}
        """
    )
    bench.settings(run={"max_permanent_errors": 100})
    bench.experiment("e0.0.1", allow=f"{OPENED},failures")
    listed = bench.xt("cache", "ls", str(bench.root / ".cache"))
    assert listed.count("track_id:") == 2


def test_without_its_cache_an_experiment_resumes_all_the_same(bench: Bench) -> None:
    bench.experiment("e0.0.1")
    bench.untag("e0.0.1")
    shutil.rmtree(bench.root / ".cache")
    bench.forget()
    bench.experiment("e0.0.1")
    assert not bench.executed()
    bench.experiment("e0.0.2")
    assert not bench.executed()


def test_the_dev_phase_has_a_cache_of_its_own(bench: Bench) -> None:
    bench.dev_run()
    bench.forget()
    bench.experiment("e0.0.1", allow="tests")
    assert bench.executed() == once_each(["low", "high"], 4)
