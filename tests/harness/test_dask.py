"""EXECUTOR=dask: the rows of serial from workers that share no folder, and from one that dies."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.project_fixture import Bench, eventually, finished
from tests.harness.test_same_rows import PREDICT, SCORE, TIMES

pytest.importorskip("distributed")
pytestmark = pytest.mark.slow

HEAD = "import os\nimport time\nfrom harness import TransientError\ncounts = {}\n"
DATASET = """
    folder = Path("data")
    return [
        {"id": f"i{n}", "x": n / 12, "label": n % 2 == 0, "text": folder / f"{n}.txt"}
        for n in range(12)
    ]
"""
READS = 'assert item["text"].read_text() == item["id"]\ntime.sleep(0.1)\n'


class Cluster:
    """A scheduler and workers, each in a folder of its own, joined by TCP."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[bytes]] = []
        file = folder / "scheduler.json"
        self._start("dask_scheduler", "--port=0", f"--scheduler-file={file}", "--no-show")
        assert eventually(file.exists, 120)
        import json

        self.address = str(json.loads(file.read_text())["address"])

    def worker(self, name: str, **environment: str) -> "subprocess.Popen[bytes]":
        arguments = ("--no-nanny", "--nthreads=1", f"--name={name}", "--no-dashboard")
        return self._start("dask_worker", self.address, *arguments, **environment)

    def _start(self, module: str, *arguments: str, **more: str) -> "subprocess.Popen[bytes]":
        place = self.folder / f"{module}{len(self.started)}"
        place.mkdir()
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH",)}
        process = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{module}", "--host=127.0.0.1", *arguments],
            cwd=place,
            env=environment | {"PYTHONDONTWRITEBYTECODE": "1", **more},
            stdout=subprocess.DEVNULL,
            stderr=(place / "log").open("wb"),
        )
        self.started.append(process)
        return process

    def end(self) -> None:
        for process in reversed(self.started):
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    folder = tmp_path / "cluster"
    folder.mkdir()
    made = Cluster(folder)
    yield made
    made.end()


def prepared(bench: Bench) -> None:
    bench.dataset(DATASET)
    for n in range(12):
        bench.file(f"data/{n}.txt", f"i{n}")
    bench.predict(READS + PREDICT, head=HEAD)
    bench.score(SCORE)
    bench.settings(
        run={"max_permanent_errors": 50},
        retry={"wait_seconds": 0.01},
        key={"harmless": ["BENCH_TRACE"], "variables": ["FLAVOUR"]},
    )
    bench.commit()


def of(rows: list[dict[str, Any]], *without: str) -> list[dict[str, Any]]:
    left_out = TIMES | {*without, "latency_shared"}
    return [{name: row[name] for name in row if name not in left_out} for row in rows]


def test_two_workers_in_other_folders_one_killed_give_the_rows_of_serial(
    make_bench: Callable[..., Bench], cluster: Cluster
) -> None:
    bench = make_bench(fresh=True)
    prepared(bench)
    bench.run("dev-run", "--items=100", expect=1, FLAVOUR="a")
    serial = bench.rows("dev")
    bench.run("dev-clean")
    bench.forget()
    same = {"BENCH_TRACE": str(bench.trace), "FLAVOUR": "a"}
    cluster.worker("stays", **same)
    dies = cluster.worker("dies", **same)
    cluster.worker("differs", **same | {"FLAVOUR": "b"})

    def kill() -> None:
        if eventually(lambda: bench.executed().total() >= 8, 300):
            dies.send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    where = {"BENCH_EXECUTOR": "dask", "BENCH_SCHEDULER": cluster.address}
    process = bench.start("dev-run", "--items=100", before=None, FLAVOUR="a", **where)
    done = finished(process, 400)
    assert done.code == 1, done.said
    killer.join()
    rows = bench.rows("dev")
    assert of(rows, "attempts") == of(serial, "attempts")
    more = [row["attempts"] - before["attempts"] for row, before in zip(rows, serial, strict=True)]
    assert min(more) == 0
    assert sum(more) <= 24
    assert dies.wait(10) == -signal.SIGKILL
    assert "dashboard" in done.said
    assert "variable FLAVOUR" in done.said, "the worker that differs was not refused"


def test_no_worker_that_fits_and_no_scheduler_are_said(
    make_bench: Callable[..., Bench], cluster: Cluster
) -> None:
    bench = make_bench(fresh=True)
    prepared(bench)
    cluster.worker("differs", FLAVOUR="b")
    run = bench.root / "benchmark.toml"
    where = f'[run]\nexecutor = "dask"\nscheduler = "{cluster.address}"\n'
    bench.file(run.name, run.read_text().replace("[run]\n", where))
    done = bench.run("dev-run", expect=1, FLAVOUR="a")
    assert "no worker of the cluster can compute this project" in done.said
    assert "variable FLAVOUR" in done.said
    assert "Traceback" not in done.said
    assert not bench.executed()
    cluster.end()
    done = bench.run("dev-run", expect=2, FLAVOUR="a")
    assert "cannot be reached" in done.said


def test_fits_crashes_and_time_limits_on_a_cluster_of_this_machine(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(fresh=True)
    run = {"executor": "dask", "workers": 2, "timeout_seconds": 5, "fit_seconds": 60}
    bench.settings(run={**run, "max_permanent_errors": 50})
    bench.params('[Params("low")]')
    bench.items(6, fold="n % 2")
    bench.predict(
        """
        if item["id"] == "i0":
            ctypes.string_at(0)
        if item["id"] == "i1":
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
            while True:
                pass
        return {"prediction": resource, "ground_truth": 1}
        """,
        head="""
        import ctypes
        import signal
        def fit(params, fold):
            note("fitted", params.model, fold)
            return fold * 10
        """,
        resource=True,
    )
    bench.run("dev-run", "--items=100", expect=1)
    rows = {row["input_id"]: row for row in bench.rows("dev")}
    types = {name: row["error_type"] for name, row in rows.items() if row["error"]}
    assert types == {"i0": "WorkerDied", "i1": "PredictionTimeout"}
    assert [rows[f"i{n}"]["prediction"] for n in range(2, 6)] == [0, 10, 0, 10]
    assert bench.executed("fitted").total() == 2
    assert all(row["fit_asset"] for row in rows.values() if not row["error"])
