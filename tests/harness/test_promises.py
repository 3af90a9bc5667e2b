"""The promises that have no file of their own: open, dev apart, no number alone, no network."""

import hashlib
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.project_fixture import CASES, OPENED, Bench


@pytest.mark.parametrize(
    ("engine", "layout"), sorted({(engine, layout) for _, engine, layout in CASES})
)
def test_open(bench: Bench, engine: str, layout: str) -> None:
    """Promise 6: xetrack.Reader, xt, sqlite3 and DuckDB read it all."""
    bench.settings(store={"engine": engine, "layout": layout})
    bench.experiment("e0.0.1")
    db = bench.db
    predictions = "predictions"
    if layout == "database-per-experiment":
        db = bench.root / "results/e0.0.1.db"
    elif layout == "table-per-experiment":
        predictions = "predictions_e0_0_1"
    # Before any of the readers below, some of which change the mode: at rest it is one plain file.
    assert bench.sql("PRAGMA journal_mode", db) == [{"journal_mode": "delete"}]
    assert bench.sql("PRAGMA integrity_check", db) == [{"integrity_check": "ok"}]
    assert not [path for path in db.parent.iterdir() if path.name.endswith(("-wal", "-journal"))]
    for table, count in ((predictions, 8), ("metrics", 2), ("runs", 1)):
        rows = bench.sql(f"SELECT * FROM {table}", db)
        assert len(rows) == count
        names = set(rows[0])
        for found in (
            bench.reader(db, table, "sqlite"),
            bench.reader(db, f"db.{table}", "duckdb"),
            bench.duckdb(db, f"SELECT * FROM b.{table}"),
        ):
            assert len(found) == count
            assert set(found[0]) == names
            assert {row["track_id"] for row in found} == {row["track_id"] for row in rows}
        assert bench.xt("head", str(db), "--table", table).count("e0.0.1") >= min(count, 5)
    kinds = bench.sql(f"SELECT name, type FROM pragma_table_info('{predictions}')", db)
    assert {row["type"] for row in kinds} <= {"INTEGER", "REAL", "TEXT", "BLOB", "VARCHAR"}
    for engine_read, table in (("sqlite", "predictions"), ("duckdb", "db.predictions")):
        if layout == "append-only":
            best = bench.reader(db, table, engine_read)
            assert {row["params_model"] for row in best} == {"low", "high"}


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "-shm" not in path.name
    }


@pytest.mark.parametrize("layout", ["append-only", "database-per-experiment"])
def test_dev_cannot_touch(bench: Bench, layout: str) -> None:
    """Promise 8: a dev-run changes nothing that experiments recorded, not even their cache."""
    bench.settings(store={"layout": layout})
    bench.experiment("e0.0.1")
    results, cache = digests(bench.root / "results"), digests(bench.root / ".cache")
    bench.dev_run()
    bench.predict('return {"prediction": "other", "ground_truth": "code"}')
    bench.dev_run(items=2)
    bench.run("dev-clean")
    bench.dev_run(items=1)
    assert digests(bench.root / "results") == results
    assert digests(bench.root / ".cache") == cache
    bench.run("dev-clean")
    assert not (bench.root / ".dev").exists()


def test_no_number_alone(bench: Bench) -> None:
    """Promise 9: each carries its n and interval, and cached rows never enter a latency."""
    bench.items(40)
    bench.score(
        """
        from harness import Score

        SCORES = {"correct": Score("proportion", better="higher")}


        def score(row):
            n = int(row["input_id"][1:])
            return {"correct": n % 2, "seconds": n * 0.1}


        AGGREGATES = {"spread": lambda rows: float(rows["seconds"].std())}
        """
    )
    done = bench.experiment("e0.0.1")
    for metrics in bench.sql("SELECT * FROM metrics"):
        assert metrics["n"] == 40
        for name in ("correct", "seconds", "spread"):
            low, value, high = (metrics[k] for k in (f"{name}_low", name, f"{name}_high"))
            assert low < value < high, name
        assert metrics["latency_n"] == metrics["executed"] == 40
        low, value, high = (metrics[f"latency_p50{end}"] for end in ("_low", "", "_high"))
        assert 0 < low < value < high < 1
        assert metrics["latency_p99"] is None  # of 40, none lies beyond it surely enough
        # Wilson's interval for 20 of 40, computed by hand from its definition.
        assert metrics["correct"] == 0.5
        z = 1.959963984540054
        middle, half = 0.5, z / (1 + z * z / 40) * math.sqrt(0.25 / 40 + z * z / 6400)
        assert metrics["correct_low"] == pytest.approx(middle - half)
        assert metrics["correct_high"] == pytest.approx(middle + half)
    assert "0.500 [0.352, 0.648]" in done.said
    bench.items(50)  # other items but for i0: x depends on their number
    bench.experiment("e0.0.2")
    again = bench.sql("SELECT * FROM metrics WHERE experiment_version = 'e0.0.2'")
    for metrics in again:
        assert metrics["cached"] == 1
        assert metrics["latency_n"] == metrics["executed"] == 49
    cached = [row for row in bench.rows("e0.0.2") if row["cache"]]
    assert {row["latency"] for row in cached} == {None}


GUARD = """
import os, socket


def refuse(*arguments, **options):
    with open(os.environ["NETWORK_LOG"], "a") as file:
        file.write(f"{arguments}\\n")
    raise OSError("no network in this test")


original = socket.socket.connect


def connect(self, address):
    if self.family == socket.AF_UNIX:
        return original(self, address)
    refuse(address)


socket.socket.connect = connect
socket.socket.connect_ex = refuse
socket.getaddrinfo = socket.gethostbyname = refuse
"""


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("duckdb", marks=pytest.mark.slow)])
def test_no_network(make_bench: Callable[..., Bench], tmp_path: Path, engine: str) -> None:
    """Promise 10: nothing is asked for over the network, whatever the engine, with DVC and all.

    Python's own sockets are watched; where a network namespace can be had, there is no network.
    """
    bench = make_bench(dvc=True, fresh=True)
    bench.settings(store={"engine": engine}, run={"executor": "processes", "workers": 2})
    bench.items(12)
    bench.commit()
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard/sitecustomize.py").write_text(GUARD)
    home = tmp_path / "new-home"
    home.mkdir()
    environment = bench.environment(
        NETWORK_LOG=str(tmp_path / "network.txt"),
        HOME=str(home),
        PYTHONPATH=os.pathsep.join([str(tmp_path / "guard"), bench.environment()["PYTHONPATH"]]),
    )
    alone = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
    if not shutil.which("unshare") or subprocess.run([*alone, "true"]).returncode:
        alone = []
    for command in (["dev-run"], ["experiment", "e0.0.1", "--allow", OPENED], ["summary"]):
        done = subprocess.run(
            [*alone, sys.executable, "-m", "harness", *command],
            cwd=bench.root,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert len(bench.rows()) == 24
    assert not (tmp_path / "network.txt").exists()
