"""How much of the workers' time predict gets, under each executor.

`busy` is the time within predict over workers times the duration of the run: 1 is ideal. It counts
the start of workers too; the figure from the first row to the last does not. Of work that computes,
`cpu` is the CPU time of predict over that of all of the run, which is the same where other programs
keep the processors busy.

    python benchmarks/bench_executors.py [--dask]
"""

import argparse
import os
import re
import resource
import sqlite3
import subprocess
import tempfile
from contextlib import closing
from pathlib import Path

from bench_scale import COMMAND, project

COMPUTES = """
import time

def predict(item, params):
    begun = time.process_time()
    while time.process_time() - begun < {seconds}:
        sum(range(1000))
    return {{"prediction": 1, "ground_truth": 1, "cpu": time.process_time() - begun}}
"""
WAITS = """
import time

def predict(item, params):
    time.sleep({seconds})
    return {{"prediction": 1, "ground_truth": 1}}
"""
AWAITS = """
import asyncio

async def predict(item, params):
    await asyncio.sleep({seconds})
    return {{"prediction": 1, "ground_truth": 1}}
"""
BATCHES = """
import time

def predict_batch(items, params):
    begun = time.process_time()
    while time.process_time() - begun < {seconds} + 0.0005 * len(items):
        sum(range(1000))
    spent = time.process_time() - begun
    return [{{"prediction": 1, "ground_truth": 1, "cpu": spent / len(items)}} for _ in items]
"""


def run(executor: str, workers: int, items: int, predict: str, seconds: float, **more: str) -> None:
    """Print the efficiency of one run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = project(folder, items, 1)
        (folder / "src/benchmark/predict.py").write_text(predict.format(seconds=seconds))
        settings = f'[run]\nexecutor = "{executor}"\nworkers = {workers}\n'
        settings += "".join(f"{key} = {value}\n" for key, value in more.items())
        (folder / "benchmark.toml").write_text(settings + "[store]\ndvc = false\n")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [*COMMAND, "dev-run", f"--items={items}"],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found = re.search(r"recorded before, in ([\d.]+) s", done.stderr)
        if done.returncode or found is None:
            raise SystemExit(done.stderr)
        took = float(found[1])
        with closing(sqlite3.connect(folder / ".dev/benchmark.db")) as con:
            [within] = con.execute("SELECT sum(function_time) FROM predictions").fetchone()
            spread = "(julianday(max(timestamp)) - julianday(min(timestamp))) * 86400"
            [between] = con.execute(f"SELECT {spread} FROM predictions").fetchone()
            have = {row[1] for row in con.execute("PRAGMA table_info(predictions)")}
            cpu = None
            if "cpu" in have:
                [cpu] = con.execute("SELECT sum(cpu) FROM predictions").fetchone()
        what = f"{executor} of {workers}, {items} x {seconds * 1000:g} ms"
        words = f"{what:36} {took:6.1f} s, busy {within / took / workers:.2f}"
        words += f", {within / between / workers:.2f} from the first row to the last"
        if cpu is not None and executor == "serial":  # others reap their own processes
            all_of_it = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            words += f", cpu {cpu / all_of_it:.2f} of {all_of_it:.1f} s with start and scores"
        print(words, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--dask", action="store_true", help="also a cluster of this machine")
    chosen = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    run("serial", 1, 200, COMPUTES, 0.05)
    run("processes", 2, 400, COMPUTES, 0.05)
    run("threads", 64, 6400, WAITS, 0.05)
    run("async", 64, 6400, AWAITS, 0.05)
    run("serial", 1, 4000, BATCHES, 0.05)
    if chosen.dask:
        run("dask", 2, 2000, WAITS, 0.01)


if __name__ == "__main__":
    main()
