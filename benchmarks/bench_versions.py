"""A long past: `python benchmarks/bench_versions.py [EXPERIMENTS [ROWS]]`

Lists, shows, compares and draws 100 experiments of 1,000,000 rows together, each by a process
of its own, as a person starts it. Ends with 1 where `list`, `show` or `diff` takes a second or more
of the processor, or the history page three, as whole processes; what of it Python and its libraries
need to start is said beside it. A machine that is busy with other things makes all of it longer.

Beside it stand `dvc exp show` on the same tags, and a search by mlflow over the same configurations
in its SQLite store. mlflow is asked where BENCH_MLFLOW names a Python that has it.
"""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
SOURCE = next(REPOSITORY.glob("{{*}}/src"))
LIMITS = {"tags": 1.0, "list": 1.0, "show": 1.0, "diff": 1.0, "history": 3.0}
CONFIGURATIONS = 4
ROUNDS = 2  # of which the better counts
STARTS = {
    "tags": "harness.cli, harness.tell.listing, harness.read.catalogue",
    "list": "harness.cli, harness.tell.listing, harness.read.catalogue",
    "show": "harness.cli, harness.tell.show, harness.read.excerpt",
    "diff": "harness.cli, harness.tell.side_by_side, harness.read.excerpt",
    "history": "harness.cli, harness.tell.history",
}
# What `dvc exp show` reads of each commit.
PIPELINE = "params:\n- latest/params.json\nmetrics:\n- latest/metrics.json\n"
WRITE_MLFLOW = """
import json, sys
from mlflow.tracking import MlflowClient
from mlflow.entities import Metric, Param
experiments = int(sys.argv[1])
client = MlflowClient(sys.argv[2])
for index in range(experiments):
    name = client.create_experiment(f"e0.{index // 10}.{index % 10}")
    for depth in range(4):
        run = client.create_run(name)
        client.log_batch(
            run.info.run_id,
            metrics=[Metric(name, 0.5 + depth / 10, 0, 0) for name in ("correct", "low", "high")],
            params=[Param("depth", str(depth))],
        )
        client.set_terminated(run.info.run_id)
"""
SEARCH_MLFLOW = """
import sys
from mlflow.tracking import MlflowClient
client = MlflowClient(sys.argv[1])
names = [each.experiment_id for each in client.search_experiments(max_results=1000)]
found = client.search_runs(names, max_results=10000, order_by=["metrics.correct DESC"])
for run in found:
    print(run.data.params, run.data.metrics)
"""


def tag_of(index: int) -> str:
    """The tag of an experiment, oldest first."""
    return f"e0.{index // 10}.{index % 10}"


def write(root: Path, experiments: int, rows: int) -> None:
    """A project whose database holds them, and a tag with its files for each."""
    sys.path[:0] = [str(SOURCE), str(REPOSITORY)]
    from tests.harness.scored_results import metrics_for, record, rows_for, run_for

    items = rows // experiments // CONFIGURATIONS
    made = [
        row
        for depth in range(CONFIGURATIONS)
        for row in rows_for(
            tag_of(0),
            {"depth": depth},
            [{"correct": int((i * 7 + depth) % 23 > 8 - depth)} for i in range(items)],
            raw=[f"answer {i} " + "word " * 20 for i in range(items)],
        )
    ]
    metrics = metrics_for(made, ["correct"])
    parts = {"src/benchmark/predict.py": "0"}
    run = run_for(tag_of(0), code_parts=parts, grid=[{"params_depth": d} for d in range(4)])
    database = root / "results" / "benchmark.db"
    record(database, made, metrics, [run])
    with sqlite3.connect(database) as con:
        con.execute("CREATE INDEX once_predictions ON predictions (experiment_version, task_key)")
        for index in range(1, experiments):
            _repeat(con, index)
    con.close()
    (root / "benchmark.toml").write_text('[benchmark]\nname = "long"\n\n[store]\ndvc = false\n')
    _tag(root, experiments, json.dumps(metrics))


def _repeat(con: sqlite3.Connection, index: int) -> None:
    """The first experiment again, under another tag, at another time, with other figures."""
    changes = {
        "experiment_version": f"'{tag_of(index)}'",
        "track_id": f"'again-{index}'",
        "task_key": f"task_key || '-{index}'",
        "correct": f"max(0, min(1, correct + {(index % 7 - 3) / 100}))",
        "code_parts": f"""'{{"src/benchmark/predict.py": "{index}"}}'""",
    }
    for table in ("predictions", "metrics", "runs", "score_declarations"):
        names = [row[1] for row in con.execute(f"PRAGMA table_info({table})")]
        # Scores of single rows stay 0 or 1.
        values = [
            changes.get(name, f'"{name}"')
            if not (table == "predictions" and name == "correct")
            else f"(rowid * 7 + {index}) % 23 > 8"
            for name in names
        ]
        con.execute(
            f"INSERT INTO {table} SELECT {', '.join(values)} FROM {table} "
            "WHERE experiment_version = ?",
            (tag_of(0),),
        )


def _tag(root: Path, experiments: int, metrics: str) -> None:
    """A commit and an annotated tag for each, with what an experiment commits but the database."""
    stream = []
    for index in range(experiments):
        at = f"tester <t@localhost> {1_700_000_000 + index * 86_400} +0000"
        files = {
            "src/benchmark/predict.py": f"def predict(item, params):\n    return {index}\n",
            f"results/{tag_of(index)}.json": metrics,
            **_latest(index),
            **{f"src/benchmark/part{n}.py": f"x = {n}\n" for n in range(50 if not index else 0)},
        }
        stream.append(f"commit refs/heads/main\nmark :{index + 1}\ncommitter {at}\ndata 1\nx\n")
        for name, text in files.items():
            stream.append(f"M 644 inline {name}\ndata {len(text)}\n{text}\n")
        words = f"4 configurations, by accuracy 4 of them may be the best | data=d1 | day {index}"
        stream.append(
            f"tag {tag_of(index)}\nfrom :{index + 1}\ntagger {at}\ndata {len(words)}\n{words}\n"
        )
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=root, check=True)
    command = ["git", "fast-import", "--quiet"]
    subprocess.run(command, cwd=root, input="".join(stream).encode(), check=True)


def _latest(index: int) -> dict[str, str]:
    """What dvc.yaml calls params and metrics, as an experiment commits it."""
    figures = {f"depth={depth}": {"correct": 0.5 + (depth + index % 7) / 20, "n": 2500}
               for depth in range(CONFIGURATIONS)}  # fmt: skip
    params = {"experiment": tag_of(index), "depth": list(range(CONFIGURATIONS))}
    return {
        ".dvc/config": "[core]\n    analytics = false\n    check_update = false\n",
        "dvc.yaml": PIPELINE,
        "latest/params.json": json.dumps(params),
        "latest/metrics.json": json.dumps(figures),
    }


def seconds(root: Path, *command: str, python: str = sys.executable) -> tuple[float, float]:
    """The wall and processor time of a Python's command, the better of some."""
    # As installed by pip: bytecode is there from the first run on.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PYTHONPATH": str(SOURCE), "COLUMNS": "200"}
    taken = []
    for _ in range(ROUNDS):
        before, begin = os.times(), time.perf_counter()
        done = subprocess.run(
            [python, *command], cwd=root, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        after = os.times()
        used = after.children_user + after.children_system
        used -= before.children_user + before.children_system
        taken.append((time.perf_counter() - begin, used))
    return min(each[0] for each in taken), min(each[1] for each in taken)


def others(root: Path, experiments: int, listed: float) -> None:
    """The same list by DVC and by mlflow; ours took `listed` seconds of the processor."""
    subprocess.run(["git", "reset", "-q", "--hard"], cwd=root, check=True)
    _, used = seconds(root, "-m", "dvc", "exp", "show", "--all-tags", "--csv")
    _, start = seconds(root, "-c", "import dvc.cli, dvc.repo, pygit2, pandas")
    _beside("dvc exp show --all-tags", used, start, listed)
    python = os.environ.get("BENCH_MLFLOW")
    if not python:
        print("mlflow: skipped, since BENCH_MLFLOW names no Python that has it")
        return
    store = f"sqlite:///{root.parent / 'mlflow.db'}"
    given = [python, "-c", WRITE_MLFLOW, str(experiments), store]
    subprocess.run(given, cwd=root.parent, check=True, capture_output=True)
    _, used = seconds(root.parent, "-c", SEARCH_MLFLOW, store, python=python)
    imported = "from mlflow.tracking import MlflowClient; import sqlalchemy, alembic"
    _, start = seconds(root.parent, "-c", imported, python=python)
    _beside("mlflow search", used, start, listed)


def _beside(name: str, used: float, start: float, listed: float) -> None:
    print(
        f"{name}: {used - start:.2f} s of the processor, after {start:.2f} s to start; "
        f"list takes {listed / used:.2f} of both"
    )


def main() -> int:
    """Write, measure each, print and judge."""
    experiments = int(sys.argv[1]) if sys.argv[1:] else 100
    rows = int(sys.argv[2]) if sys.argv[2:] else 1_000_000
    commands = {
        "tags": ["tags"],
        "list": ["list", "--sort", "correct"],
        "show": ["show", tag_of(experiments // 2)],
        "diff": ["diff", tag_of(experiments // 2), tag_of(experiments - 1)],
        "history": ["history"],
    }
    slow, spent = False, {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "long"
        root.mkdir()
        write(root, experiments, rows)
        size = (root / "results/benchmark.db").stat().st_size
        print(f"{experiments} experiments, {rows:,} rows, {size / 1e6:.0f} MB")
        for name, command in commands.items():
            wall, used = seconds(root, "-m", "harness", *command)
            begin = "from harness.system import start_lean; start_lean()"
            _, start = seconds(root, "-c", f"{begin}; import {STARTS[name]}")
            spent[name] = used
            slow |= used >= LIMITS[name]
            print(
                f"{name}: {used:.2f} s of the processor (limit {LIMITS[name]:g}), of which "
                f"{start:.2f} s to start; {wall:.2f} s until it ended"
            )
        page = root / "results/reports/history.html"
        print(f"the history page has {page.stat().st_size / 1e3:.0f} kB")
        others(root, experiments, spent["list"])
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
