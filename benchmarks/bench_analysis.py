"""Validation plus summary of a million rows, beside the same done in pandas on the whole table.

Each round runs both in a process of its own, one after the other, and takes the ratio of their
times; the medians are printed with the highest memory. What is compared: validate and overview of
harness.analysis (as scripts/export_summary.py does), against pandas.read_sql of the table, the same
questions asked of the frame, and the same figures. Process start and imports count on both sides.
"""

import argparse
import hashlib
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HARNESS = next(Path(__file__).resolve().parents[1].glob("{{*}}/src"))
GRID = [{"params_model": f"model-{m}", "params_depth": d} for m in "ab" for d in (2, 4)]

OURS = """
import sys
from pathlib import Path
from harness.tell.overview import overview_markdown
from harness.read.validate import check, examine

def answer(facts):
    findings = check(facts)
    return findings, overview_markdown(facts, "Results", findings)

findings, text = examine([Path(sys.argv[1])], None, answer, with_scores=True)
assert findings == [] and text.count("model-") == 4, text
"""

PANDAS = """
import sqlite3, sys
import pandas as pd
con = sqlite3.connect(sys.argv[1])
rows = pd.read_sql("SELECT * FROM predictions", con)
runs = pd.read_sql("SELECT * FROM runs", con)
metrics = pd.read_sql("SELECT * FROM metrics", con)
params = [c for c in rows if c.startswith("params_")]
group = ["experiment_version", *params]
failed, reused = rows.error.fillna("") != "", rows.cache.fillna("") != ""
planned = runs.groupby("experiment_version").planned.last()
found = [
    rows.duplicated([*group, "input_id", "repeat"]).sum(),
    (rows.groupby("experiment_version").size() - planned).abs().sum(),
    rows[params].isna().any(axis=1).sum(),
    rows[failed].groupby("error_type").size().sum(),
    (~failed & (rows.raw_response.fillna("").str.strip() == "")).sum(),
    (failed & reused).sum(),
    (rows[reused].code_key != rows[reused].cache.map(runs.set_index("track_id").code_key)).sum(),
    (rows.groupby("experiment_version").code_key.nunique() > 1).sum(),
]
fresh = rows[~failed & ~reused].groupby(group).latency
stated = metrics.set_index(group).latency_n
found.append((stated > fresh.count().reindex(stated.index).fillna(0)).sum())
assert not any(found), found
figures = rows.assign(failed=failed, reused=reused).groupby(group).agg(
    n=("correct", "size"), failed=("failed", "sum"), reused=("reused", "sum"),
    correct=("correct", "mean"), confidence=("confidence", "mean"), spread=("confidence", "std"),
)
times = fresh.quantile([0.5, 0.95]).unstack()
assert len(figures.join(times)) == 4
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder) / "benchmark.db"
        build(db, given.rows)
        print(f"{given.rows:,} rows, {db.stat().st_size / 1e6:,.0f} MB, {given.rounds} rounds")
        results = [(measure(OURS, db), measure(PANDAS, db)) for _ in range(given.rounds)]
    ours, pandas = ([each[side] for each in results] for side in (0, 1))
    ratios = [theirs[0] / mine[0] for mine, theirs in results]
    for name, side in (("harness", ours), ("pandas", pandas)):
        seconds = statistics.median(each[0] for each in side)
        print(f"{name:8} {seconds:7.2f} s   {max(each[1] for each in side):7,.0f} MB at most")
    print(
        f"ratio    {statistics.median(ratios):7.1f}     ({', '.join(f'{r:.1f}' for r in ratios)})"
    )
    print("wanted: at least 5 times faster, below 300 MB")


def measure(code: str, db: Path) -> tuple[float, float]:
    """Seconds of wall time and peak resident memory in MB of a process that runs `code`."""
    watched = (
        "import resource, runpy, sys\n"
        f"exec(compile({code!r}, 'measured', 'exec'))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", watched, str(db)],
        env={**os.environ, "PYTHONPATH": str(HARNESS)},
        capture_output=True,
        text=True,
        check=True,
    )
    return time.perf_counter() - started, int(done.stdout.split()[-1]) / 1024


def build(db: Path, count: int) -> None:
    """A database as the harness records it: one experiment, executed, without a fault."""
    con = sqlite3.connect(db)
    params = {name: "TEXT" if name == "params_model" else "INTEGER" for name in GRID[0]}
    types = {
        **{"track_id": "TEXT", "timestamp": "TEXT", "function_name": "TEXT"},
        **{"function_time": "REAL", "error": "TEXT", "cache": "TEXT"},
        **{"experiment_version": "TEXT", "task_key": "TEXT", "item_key": "TEXT"},
        **{"code_key": "TEXT", "input_id": "TEXT", "repeat": "INTEGER"},
        **params,
        **{"prediction": "TEXT", "ground_truth": "TEXT", "raw_response": "TEXT"},
        **{"error_type": "TEXT", "attempts": "INTEGER", "latency": "REAL"},
        **{"confidence": "REAL", "correct": "INTEGER"},
    }
    con.execute(f"CREATE TABLE predictions ({', '.join(f'{n} {t}' for n, t in types.items())})")
    con.execute("CREATE UNIQUE INDEX once ON predictions (experiment_version, task_key)")
    con.executemany(
        f"INSERT INTO predictions VALUES ({', '.join('?' * len(types))})", recorded(count)
    )
    con.execute(
        "CREATE TABLE runs (track_id TEXT, timestamp TEXT, experiment_version TEXT, code_key TEXT, "
        "grid TEXT, planned INTEGER, ended_how TEXT)"
    )
    con.execute(
        "INSERT INTO runs VALUES ('run-1', '2026', 'e0.0.1', ?, ?, ?, 'finished')",
        ["c" * 64, json.dumps(GRID), count],
    )
    con.execute(
        "CREATE TABLE metrics AS SELECT experiment_version, params_model, params_depth, "
        "0.5 AS correct, 0.4 AS correct_low, 0.6 AS correct_high, count(*) AS latency_n, "
        "0.0105 AS latency_p50 FROM predictions GROUP BY 1, 2, 3"
    )
    con.commit()
    con.close()


def recorded(count: int) -> Iterator[list[Any]]:
    for n in range(count):
        item, params = divmod(n, len(GRID))
        key, confidence = hashlib.sha256(str(n).encode()).hexdigest(), n % 997 / 997
        yield [
            *("run-1", f"2026-11-23 10:00:00.{n:07d}", "predict", 0.01, None, "", "e0.0.1", key),
            *(hashlib.sha256(str(item).encode()).hexdigest(), "c" * 64, f"item-{item}", 0),
            *GRID[params].values(),
            *(f"class {n % 10}", f"class {n % 7}", json.dumps({"p": confidence, "text": key})),
            *(None, 1, 0.01 + n % 1000 / 1e6, confidence, int(n % 10 == n % 7)),
        ]


if __name__ == "__main__":
    main()
