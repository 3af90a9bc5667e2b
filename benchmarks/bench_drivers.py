"""Beyond one database: many drivers that merge, and Parquet partitioned by experiment.

A simulation on one machine of what docs/scaling.md plans for 10^8 rows. Drivers are clones of one
repository; each runs an experiment of its own over its own part of the items, all at once, and one
clone merges them. Then rows as they are recorded are written as Parquet, a folder an experiment,
and asked what a report asks.

    python benchmarks/bench_drivers.py --drivers 4 --items 5000 --rows 10000000
"""

import argparse
import os
import sqlite3
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path

import duckdb
from bench_scale import ALLOW, COMMAND, measured, project

PART = """
import os

def load():
    first, count = int(os.environ["BENCH_FIRST"]), int(os.environ["BENCH_ITEMS"])
    return ({"id": n, "text": "words", "label": n % 2} for n in range(first, first + count))
"""
# A row as it is recorded, about as wide and as varied.
ROWS = """
SELECT
    'e0.' || (i // {each}) || '.0' AS experiment_version,
    sha256(i::VARCHAR) AS task_key,
    'm' || (i % 40) AS params_model,
    'i' || ((i // 40) % {items}) AS input_id,
    i % 2 AS prediction,
    (hash(i) % 100 < 70)::INT AS correct,
    (hash(i + 1) % 100000) / 1e5 AS latency,
    '{{"answer": "' || (hash(i + 2) % 1000) || '", "reason": "because"}}' AS raw_response
FROM range({begin}, {end}) t(i)
"""
ASKED = """
SELECT params_model, count(*), avg(correct), quantile_cont(latency, 0.95)
FROM read_parquet('{place}/*/*.parquet', hive_partitioning = true) {where} GROUP BY ALL
"""


def merged(drivers: int, items: int) -> None:
    """Print what `drivers` take at once, and what merging them takes."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        environment = project(root / "0", items, 1)
        (root / "0/src/benchmark/dataset.py").write_text(PART)
        git = ("git", "-c", "user.name=bench", "-c", "user.email=bench@localhost")
        subprocess.run([*git, "commit", "-qam", "parts"], cwd=root / "0", check=True)
        started = []
        begun = time.perf_counter()
        for number in range(drivers):
            place = root / str(number)
            if number:
                subprocess.run(["git", "clone", "-q", str(root / "0"), str(place)], check=True)
                branch = ["git", "switch", "-q", "-c", f"driver{number}"]
                subprocess.run(branch, cwd=place, check=True)
                subprocess.run(["git", "remote", "remove", "origin"], cwd=place, check=True)
            own = environment | {"BENCH_FIRST": str(number * items)}
            own["PYTHONPATH"] = environment["PYTHONPATH"].replace(str(root / "0"), str(place))
            command = [*COMMAND, "experiment", f"e0.0.{number + 1}", *ALLOW]
            quiet = subprocess.DEVNULL
            started.append(
                subprocess.Popen(command, cwd=place, env=own, stdout=quiet, stderr=quiet)
            )
        if any(process.wait() for process in started):
            raise SystemExit("a driver did not finish")
        print(f"{drivers} drivers of {items:,} at once: {time.perf_counter() - begun:.1f} s")
        took = []
        for number in range(1, drivers):
            fetch = ["git", "fetch", "-q", "--tags", str(root / str(number))]
            subprocess.run(fetch, cwd=root / "0", check=True)
            environment["BENCH_FIRST"] = "0"
            merge = [*COMMAND, "merge", f"e0.0.{number + 1}", "--allow", "data"]
            took.append(measured(root / "0", environment, *merge)["cpu"])
        with closing(sqlite3.connect(root / "0/results/benchmark.db")) as con:
            [rows] = con.execute("SELECT count(*) FROM predictions").fetchone()
        assert rows == drivers * items, rows
        print(f"merged into one: {rows:,} rows, CPU {', '.join(f'{t:.1f}' for t in took)} s each")


def partitioned(rows: int, experiments: int = 20) -> None:
    """Print what writing rows as Parquet takes, a folder an experiment, and asking all and one."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as name:
        place, each = Path(name) / "predictions", rows // experiments
        with duckdb.connect() as con:
            con.execute("SET threads = 2; SET memory_limit = '2GB'")
            begun = time.process_time()
            for number in range(experiments):
                folder = place / f"experiment_version=e0.{number}.0"
                folder.mkdir(parents=True)
                first = number * each
                text = ROWS.format(each=each, items=each // 40, begin=first, end=first + each)
                con.execute(
                    f"COPY (SELECT * EXCLUDE (experiment_version) FROM ({text})) "
                    f"TO '{folder}/part-0.parquet' (FORMAT parquet, COMPRESSION zstd)"
                )
            wrote = time.process_time() - begun
            size = sum(path.stat().st_size for path in place.rglob("*.parquet"))
            print(
                f"{rows:,} rows in {experiments} experiments: CPU {wrote:.1f} s to write, "
                f"{size / 1e6:,.0f} MB, {size / rows:.0f} bytes a row"
            )
            for what, where in (("all", ""), ("one", "WHERE experiment_version = 'e0.7.0'")):
                begun = time.process_time()
                found = con.execute(ASKED.format(place=place, where=where)).fetchall()
                assert len(found) == 40
                print(f"a report's figures of {what}: CPU {time.process_time() - begun:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--drivers", type=int, default=4)
    parser.add_argument("--items", type=int, default=2_000, help="of each driver")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the Parquet files")
    chosen = parser.parse_args()
    merged(chosen.drivers, chosen.items)
    partitioned(chosen.rows)


if __name__ == "__main__":
    main()
