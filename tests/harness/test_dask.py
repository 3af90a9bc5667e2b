"""EXECUTOR=dask: the rows of serial from workers that share no folder, and from one that dies.

Those of every other executor are compared in the same test: one predict.py serves them all.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.project_fixture import OPENED, Bench, eventually, finished
from tests.harness.test_same_rows import PREDICT, SCORE, TIMES

pytest.importorskip("distributed")
pytestmark = pytest.mark.slow

HEAD = "import asyncio\nfrom harness import TransientError\ncounts = {}\n"
DATASET = """
    folder = Path("data")
    return [
        {"id": f"i{n}", "x": n / 12, "label": n % 2 == 0, "text": folder / f"{n}.txt"}
        for n in range(12)
    ]
"""
READS = 'assert item["text"].read_text() == item["id"]\n'
# Serial waits for it, async awaits it, and a batch computes the others at once.
EVERY = """
from benchmark.trace import note


def one(item, params):
    note("ran", params.model, item["id"])
{body}

async def predict(item, params):
    await asyncio.sleep(0.1)
    return one(item, params)


def predict_batch(items, params):
    note("batch", len(items))
    if any(item["id"] in ("i3", "i4", "i5") for item in items):
        raise LookupError("one of them")
    return [one(item, params) for item in items]
"""
EXECUTORS = {
    "threads": {"batch_size": 1},
    "processes": {"batch_size": 1},
    "async": {"batch_size": 1},
    "serial": {"batch_size": 3},
}


# distributed does not run under a Python in which it is not installed, but a worker's processes do.
STARTED = """
import os, runpy, sys
sys.executable = os.environ.get("WORKERS_PYTHON") or sys.executable
runpy.run_module("distributed.cli.{}", run_name="__main__")
"""


class Cluster:
    """A scheduler and workers, each in a folder of its own, joined by TCP."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[bytes]] = []
        file = folder / "scheduler.json"
        self._start("dask_scheduler", "--port=0", f"--scheduler-file={file}", "--no-show")
        # It is there a moment before anything is in it.
        if not eventually(lambda: file.exists() and file.read_text().endswith("}"), 300):
            self.end()
            pytest.fail("the scheduler did not start")
        self.address = str(json.loads(file.read_text())["address"])

    def worker(self, name: str, python: str = "", **environment: str) -> "subprocess.Popen[bytes]":
        """Start a worker; its processes are those of another `python` where one is named."""
        arguments = ("--no-nanny", "--nthreads=1", f"--name={name}", "--no-dashboard")
        environment["WORKERS_PYTHON"] = python
        return self._start("dask_worker", self.address, *arguments, **environment)

    def _start(self, module: str, *arguments: str, **more: str) -> "subprocess.Popen[bytes]":
        place = self.folder / f"{module}{len(self.started)}"
        place.mkdir()
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH",)}
        process = subprocess.Popen(
            [sys.executable, "-c", STARTED.format(module), "--host=127.0.0.1", *arguments],
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
    body = textwrap.indent(READS + PREDICT, "    ")
    bench.file("src/benchmark/predict.py", HEAD + EVERY.replace("{body}", body))
    bench.score(SCORE)
    settings(bench, batch_size=1)
    bench.commit()


def settings(bench: Bench, **run: Any) -> None:
    bench.settings(
        run={"max_permanent_errors": 50, "workers": 2, **run},
        retry={"wait_seconds": 0.01},
        key={"harmless": ["BENCH_TRACE"], "variables": ["FLAVOUR"]},
    )


def computed(bench: Bench, **environment: str) -> tuple[list[dict[str, Any]], str]:
    """The rows of a dev-run that begins anew, sorted, and what it said."""
    bench.run("dev-clean", expect=None)
    bench.forget()
    process = bench.start("dev-run", "--items=100", before=None, FLAVOUR="a", **environment)
    done = finished(process, 400)
    assert done.code == 1, done.said
    return bench.rows("dev"), done.said


def of(rows: list[dict[str, Any]], *without: str) -> list[dict[str, Any]]:
    left_out = TIMES | {*without, "latency_shared"}
    return [{name: row[name] for name in row if name not in left_out} for row in rows]


def test_the_same_rows_from_every_executor_and_from_a_cluster_of_which_a_worker_is_killed(
    make_bench: Callable[..., Bench], cluster: Cluster
) -> None:
    """Two workers in different folders, joined by TCP; a third has another environment."""
    bench = make_bench(fresh=True)
    prepared(bench)
    serial, _ = computed(bench)
    for executor, run in EXECUTORS.items():
        settings(bench, executor=executor, **run)
        rows, _ = computed(bench)
        assert of(rows) == of(serial), executor
    assert len(bench.traced("batch")) > 2
    settings(bench, batch_size=1)
    same = {"BENCH_TRACE": str(bench.trace), "FLAVOUR": "a"}
    cluster.worker("stays", **same)
    dies = cluster.worker("dies", **same)
    cluster.worker("differs", **same | {"FLAVOUR": "b"})
    killer = threading.Thread(target=after, args=(bench, 8, dies))
    killer.start()
    rows, said = computed(bench, BENCH_EXECUTOR="dask", BENCH_SCHEDULER=cluster.address)
    killer.join()
    assert of(rows, "attempts") == of(serial, "attempts")
    more = [row["attempts"] - before["attempts"] for row, before in zip(rows, serial, strict=True)]
    assert min(more) == 0
    # A chunk of 0.2 s: what came back because a file was missing, or a worker refused, cost none.
    assert sum(more) <= 2
    assert dies.wait(10) == -signal.SIGKILL
    assert "dashboard" in said
    assert "variable FLAVOUR" in said, "the worker that differs was not refused"


def after(bench: Bench, executed: int, victim: "subprocess.Popen[bytes]") -> None:
    """Kill a process once so much has been executed."""
    bench.trace.unlink(missing_ok=True)
    if eventually(lambda: bench.executed().total() >= executed, 300):
        victim.send_signal(signal.SIGKILL)


def test_the_scheduler_is_killed_and_a_new_cluster_goes_on(
    make_bench: Callable[..., Bench], cluster: Cluster, tmp_path: Path
) -> None:
    bench = make_bench(fresh=True)
    bench.items(40)
    bench.predict(
        "time.sleep(0.1)\nreturn {'prediction': item['x'] > 0.5, 'ground_truth': item['label']}",
        head="import time",
    )
    bench.commit()
    command = ("experiment", "e0.0.1", "--allow", OPENED)
    killer = threading.Thread(target=after, args=(bench, 20, cluster.started[0]))
    cluster.worker("one", BENCH_TRACE=str(bench.trace))
    killer.start()
    where = {"BENCH_EXECUTOR": "dask", "BENCH_SCHEDULER": cluster.address}
    done = finished(bench.start(*command, before=None, **where), 400)
    killer.join()
    assert done.code == 1, done.said
    assert f"the scheduler at {cluster.address} is gone" in done.said
    assert "Traceback" not in done.said
    kept = len(bench.rows())
    assert 0 < kept < 80
    other = tmp_path / "other"
    other.mkdir()
    new = Cluster(other)
    try:
        new.worker("two", BENCH_TRACE=str(bench.trace))
        where["BENCH_SCHEDULER"] = new.address
        done = finished(bench.start(*command, before=None, **where), 400)
    finally:
        new.end()
    assert done.code == 0, done.said
    assert len(bench.rows()) == 80
    assert bench.executed().total() <= 2 * 80 - kept, "what was recorded ran again"
    assert bench.git("tag") == "e0.0.1"


def another_python() -> str:
    """A Python of another version that this machine has; "" without one."""
    own = f"python3.{sys.version_info.minor}"
    for name in ("python3.10", "python3.11", "python3.12", "python3.13"):
        places = [shutil.which(name), *Path.home().glob(f".pyenv/versions/{name[6:]}.*/bin/python")]
        for place in filter(None, places) if name != own else ():
            asked = [str(place), "-c", "import sys; print(sys.version_info[:2])"]
            done = subprocess.run(asked, capture_output=True, text=True)
            if done.returncode == 0:
                return str(place)
    return ""


def package(folder: Path, version: str) -> str:
    """A package `tiny`, installed in a folder; returns the folder."""
    info = folder / f"tiny-{version}.dist-info"
    info.mkdir(parents=True)
    (folder / "tiny.py").write_text("")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n")
    (info / "RECORD").write_text("tiny.py,,\n")
    (info / "top_level.txt").write_text("tiny\n")
    return str(folder)


def test_workers_that_do_not_fit_no_workers_and_no_scheduler_are_said(
    make_bench: Callable[..., Bench], cluster: Cluster, tmp_path: Path
) -> None:
    bench = make_bench(fresh=True)
    prepared(bench)
    predict = bench.root / "src/benchmark/predict.py"
    predict.write_text(f"import tiny\n{predict.read_text()}")
    run = bench.root / "benchmark.toml"
    where = f'[run]\nexecutor = "dask"\nscheduler = "{cluster.address}"\n'
    bench.file(run.name, run.read_text().replace("[run]\n", where))
    path = bench.environment()["PYTHONPATH"]
    here = {
        "FLAVOUR": "a",
        "PYTHONPATH": f"{package(tmp_path / 'here/site-packages', '1.0')}:{path}",
    }

    def refused(code: int) -> str:
        done = finished(bench.start("dev-run", before=None, **here), 400)
        assert done.code == code, done.said
        assert "Traceback" not in done.said
        assert "fix:" in done.said
        assert not bench.executed()
        return done.said

    assert f"the scheduler at {cluster.address} has no workers" in refused(2)
    cluster.worker("without-it", FLAVOUR="a")
    said = refused(1)
    assert "no worker of the cluster can compute this project" in said
    assert "tiny" in said
    python = another_python()
    if python:
        cluster.worker("another-python", python=python, FLAVOUR="a")
        said = refused(1)
        assert "tiny" in said
        assert "Python is 3." in said or "does not start under Python 3." in said
    cluster.end()
    assert "cannot be reached" in refused(2)


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
        if item["id"] == "i2":
            return {"prediction": threading.Lock(), "ground_truth": 1}
        if item["id"] == "i1":
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
            while True:
                pass
        return {"prediction": resource, "ground_truth": 1}
        """,
        head="""
        import ctypes
        import signal
        import threading
        def fit(params, fold):
            note("fitted", params.model, fold)
            return fold * 10
        """,
        resource=True,
    )
    done = finished(bench.start("dev-run", "--items=100"), 400)
    assert done.code == 1, done.said
    rows = {row["input_id"]: row for row in bench.rows("dev")}
    types = {name: row["error_type"] for name, row in rows.items() if row["error"]}
    assert types == {"i0": "WorkerDied", "i1": "PredictionTimeout", "i2": "InvalidResult"}
    assert [rows[f"i{n}"]["prediction"] for n in range(3, 6)] == [10, 0, 10]
    assert bench.executed("fitted").total() == 2
    assert all(row["fit_asset"] for row in rows.values() if not row["error"])
