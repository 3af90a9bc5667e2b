"""How much of the workers' time predict gets, under each executor.

`busy` is the time within predict over workers times the duration of the run: 1 is ideal. It counts
the start of workers too; the figure from the first row to the last does not. Of work that computes,
`cpu` is the CPU time of predict over that of all of the run, which is the same where other programs
keep the processors busy.

    python benchmarks/bench_executors.py [--dask]
    python benchmarks/bench_executors.py --only dask      beside Client.map of the same waits
"""

import argparse
import os
import re
import resource
import sqlite3
import subprocess
import sys
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
PLAIN_DASK = """
import time
from distributed import Client, LocalCluster

def wait(n):
    begun = time.perf_counter()
    time.sleep({seconds})
    return time.perf_counter() - begun

if __name__ == "__main__":
    begun = time.perf_counter()
    cluster = LocalCluster(
        n_workers={workers}, threads_per_worker=1, host="127.0.0.1",
        dashboard_address="127.0.0.1:0", silence_logs="ERROR",
    )
    with cluster, Client(cluster) as client:
        started = time.perf_counter()
        within = sum(client.gather(client.map(wait, range({items}), pure=False)))
        ended = time.perf_counter()
    print(within / {workers} / (ended - begun), within / {workers} / (ended - started))
"""


def plain_dask(workers: int, items: int, seconds: float) -> None:
    """Print the efficiency of Client.map, which records nothing."""
    text = PLAIN_DASK.format(workers=workers, items=items, seconds=seconds)
    with tempfile.TemporaryDirectory() as name:
        program = Path(name) / "plain.py"  # its workers import it
        program.write_text(text)
        before = _cpu()
        done = subprocess.run([sys.executable, program], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
    with_start, without = map(float, done.stdout.split())
    what = f"Client.map of {workers}, {items} x {seconds * 1000:g} ms"
    words = f"{what:36} busy {with_start:.2f}, {without:.2f} without the start of workers"
    print(f"{words}, cpu {(_cpu() - before) / items * 1000:.2f} ms each", flush=True)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(executor: str, workers: int, items: int, predict: str, seconds: float, **more: str) -> None:
    """Print the efficiency of one run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = project(folder, items, 1)
        (folder / "src/benchmark/predict.py").write_text(predict.format(seconds=seconds))
        settings = f'[run]\nexecutor = "{executor}"\nworkers = {workers}\n'
        settings += "".join(f"{key} = {value}\n" for key, value in more.items())
        (folder / "benchmark.toml").write_text(settings + "[store]\ndvc = false\n")
        before = _cpu()
        done = subprocess.run(
            [*COMMAND, "dev-run", f"--items={items}"],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        all_of_it = _cpu() - before
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
            words += f", cpu {cpu / all_of_it:.2f} of {all_of_it:.1f} s with start and scores"
        if executor == "dask":
            words += f", cpu {all_of_it / items * 1000:.2f} ms each with start and scores"
        print(words, flush=True)


def compare_dask() -> None:
    run("dask", 2, 2000, WAITS, 0.01)
    plain_dask(2, 2000, 0.01)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--dask", action="store_true", help="also a cluster of this machine")
    parser.add_argument("--only", choices=["dask"], default="")
    chosen = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if chosen.only:
        compare_dask()
        return
    run("serial", 1, 200, COMPUTES, 0.05)
    run("processes", 2, 400, COMPUTES, 0.05)
    run("threads", 64, 6400, WAITS, 0.05)
    run("async", 64, 6400, AWAITS, 0.05)
    run("serial", 1, 4000, BATCHES, 0.05)
    if chosen.dask:
        compare_dask()


if __name__ == "__main__":
    main()
