"""What each step of a datapoint costs, alone: CPU microseconds, the least of five rounds.

    python benchmarks/bench_steps.py [--items 5000]

Two threads share these steps in a run, so a run costs more than their sum. The indexes by key are
made at the end, as in a run of many. The last lines are what SQLite alone needs for the same rows:
a table with and without a second unique index, 500 rows a transaction.
"""

import argparse
import contextlib
import io
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench_datapoint import HARNESS, write_project

AT_ONCE = 500  # rows a transaction, as of a fast predict


def timed(name: str, count: int, step: Callable[[], object], rounds: int = 5) -> None:
    """Print what one of `count` datapoints costs."""
    least = float("inf")
    for _ in range(rounds):
        begun = time.thread_time()
        step()
        least = min(least, time.thread_time() - begun)
    print(f"{name:42} {least / count * 1e6:6.1f} us", flush=True)


def print_steps(folder: Path, count: int) -> None:
    from harness.project.contract import Project
    from harness.project.grid import column_types
    from harness.project.tasks import take_census, tasks
    from harness.project.values import Row
    from harness.record.cache import ResultCache
    from harness.record.store import Store
    from harness.run.attempt import Worker
    from harness.run.executors import compute
    from harness.run.job import Job
    from harness.run.loop import run
    from harness.run.prepared import prepare
    from harness.run.rows import Rows

    project = Project.open(folder)
    ready = prepare(project, None)
    with contextlib.redirect_stderr(io.StringIO()):
        place = run(project, "e0.0.1", ready.grid, ready.census, {}).place
    timed("first look: item, digest, id", count, lambda: take_census(project, None))
    timed(
        "second look: item, digest, key",
        count,
        lambda: list(tasks(project, ready.grid, ready.census, None)),
    )
    every = list(tasks(project, ready.grid, ready.census, None))
    keys = [task.key for task in every]
    cache = ResultCache(place.cache)
    chunks = [keys[start : start + 256] for start in range(0, count, 256)]
    timed("known: the cache is asked", count, lambda: [cache.get_many(each) for each in chunks])
    rows = Rows("a-track-id", "e0.0.3")
    [(known, origin)] = cache.get_many(keys[:1]).values()
    timed(
        "known: its row", count, lambda: [rows.reused(each, dict(known), origin) for each in every]
    )
    worker, jobs = Worker(project), [Job(task) for task in every]
    timed("new: predict is called", count, lambda: [compute(worker, job) for job in jobs])
    outcomes = [compute(worker, job) for job in jobs]
    timed("new: its row", count, lambda: [rows.executed(each) for each in outcomes])
    made = [rows.executed(each) for each in outcomes]
    entries = [(row["task_key"], keep or {}, "a-track-id") for row, keep in made]
    fresh = ResultCache(folder / "fresh")

    def into_cache() -> None:
        for at in range(0, count, AT_ONCE):
            fresh.put(entries[at : at + AT_ONCE])

    fresh.expect(count)
    timed("new: its entry in the cache", count, into_cache, rounds=1)
    timed("new: the index of the cache", count, fresh.close, rounds=1)
    store = Store(place, "sqlite", "a-track-id", "e0.0.3", column_types(project))
    plain: list[Row] = [row for row, _ in made]
    store.fit(plain[:10])
    timed("recorder: types fit", count, lambda: store.fit(plain))
    timed("recorder: times", count, lambda: store.stamp_rows(plain))

    def into_table() -> None:
        for at in range(0, count, AT_ONCE):
            store.insert(plain[at : at + AT_ONCE], [])

    store.expect(count)
    timed("recorder: rows into the table", count, into_table, rounds=1)
    timed("recorder: the index of the table", count, store.close, rounds=1)
    cache.close()
    for indexed in (True, False):
        _plain_sqlite(folder / f"plain-{indexed}.db", plain, indexed)


def _plain_sqlite(db: Path, rows: list[dict[str, object]], indexed: bool) -> None:
    names = list(rows[0])
    con = sqlite3.connect(db, isolation_level=None)
    con.execute("PRAGMA journal_mode=WAL")
    con.execute("PRAGMA synchronous=NORMAL")
    con.execute(f"CREATE TABLE t ({', '.join(names)}, PRIMARY KEY (track_id, timestamp))")
    if indexed:
        con.execute("CREATE UNIQUE INDEX once ON t (experiment_version, task_key)")
    insert = f"INSERT INTO t VALUES ({', '.join('?' * len(names))})"
    values = [tuple(row.values()) for row in rows]

    def step() -> None:
        for at in range(0, len(values), AT_ONCE):
            con.execute("BEGIN IMMEDIATE")
            con.executemany(insert, values[at : at + AT_ONCE])
            con.execute("COMMIT")

    words = "with" if indexed else "without"
    timed(f"SQLite alone, {words} the second index", len(rows), step, rounds=1)
    con.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--items", type=int, default=5000)
    chosen = parser.parse_args()
    sys.path.insert(0, str(HARNESS))
    os.environ["BENCH_ITEMS"] = str(chosen.items)
    with tempfile.TemporaryDirectory() as name:
        write_project(Path(name))
        sys.path.insert(0, str(Path(name) / "src"))
        print_steps(Path(name), chosen.items)


if __name__ == "__main__":
    main()
