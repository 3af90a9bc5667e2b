"""Time, memory and size of a report of 100,000 rows, each with 500 characters of raw output.

    python benchmarks/bench_report.py [ROWS]

The database is written by plain sqlite3; the report is made by another process, whose peak memory
is printed. Exit code 1 where it takes 10 s or 5 MB, or more.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(next(ROOT.glob("{{*}}/src")))]

SECONDS, BYTES, CONFIGURATIONS = 10.0, 5_000_000, 10
PLAN = {
    "segmentations": ["language"],
    "hypotheses": [
        {
            "id": f"H{metric}", "claim": "later ones are better", "metric": metric,
            "better": {"depth": 9}, "than": {"depth": 0}, "direction": "higher",
            "smallest_difference": 0.01,
        }
        for metric in ("correct", "overlap")
    ],
}  # fmt: skip


def write(path: Path, rows: int) -> None:
    """An experiment of `rows` datapoints in ten configurations, one in a hundred failed."""
    from tests.harness.scored_results import metrics_for, record, rows_for, run_for

    items = rows // CONFIGURATIONS
    made = [
        row
        for depth in range(CONFIGURATIONS)
        for row in rows_for(
            "e0.0.1",
            {"depth": depth},
            [
                None if (i + depth) % 100 == 0 else
                {"correct": int((i * 7 + depth) % 23 > 8 - depth // 2), "overlap": i * 37 % 99 / 99}
                for i in range(items)
            ],
            raw=[f"<b>{i}</b>" + "word " * 100 for i in range(items)],
            extra=[{"language": f"language {i % 40}", "cost": 0.001 * depth} for i in range(items)],
        )
    ]  # fmt: skip
    record(path, made, metrics_for(made, ["correct", "overlap"]), [run_for("e0.0.1", PLAN)])


def report(database: Path, page: Path) -> None:
    """Make the report and print what it took as JSON."""
    begin = time.perf_counter()
    from harness.read import views
    from harness.tell.report import write_report

    con = views.connect([database])
    write_report(con, "e0.0.1", page)
    con.close()
    seconds = time.perf_counter() - begin
    # Not ru_maxrss: after exec it still holds the peak of the parent, which wrote the database.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(json.dumps({"seconds": seconds, "bytes": page.stat().st_size, "peak_mb": peak}))


def main() -> int:
    """Write, report in a process of its own, print and judge."""
    if sys.argv[1:2] == ["report"]:
        report(Path(sys.argv[2]), Path(sys.argv[3]))
        return 0
    rows = int(sys.argv[1]) if sys.argv[1:] else 100_000
    with tempfile.TemporaryDirectory() as folder:
        database, page = Path(folder) / "results.db", Path(folder) / "report.html"
        write(database, rows)
        command = [sys.executable, __file__, "report", str(database), str(page)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        took = json.loads(done.stdout)
        print(
            f"report of {rows:,} rows ({database.stat().st_size / 1e6:.0f} MB database): "
            f"{took['seconds']:.2f} s with imports (limit {SECONDS:g} s), "
            f"{took['bytes'] / 1e6:.2f} MB (limit {BYTES / 1e6:g} MB), "
            f"peak memory {took['peak_mb']:.0f} MB"
        )
        return int(took["seconds"] >= SECONDS or took["bytes"] >= BYTES)


if __name__ == "__main__":
    sys.exit(main())
