"""A crash, an endless loop or too much memory in predict and fit costs its own datapoints."""

import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.harness.project_fixture import Bench, eventually, finished

IMPORTS = "import tempfile\nfrom pathlib import Path"
SHARED = """
seen = [f"{p.name} {p.stat().st_mode & 0o777:o}" for p in Path(tempfile.gettempdir()).iterdir()]
return {"prediction": 1, "ground_truth": 1, "seen": " ".join(sorted(seen))}
"""
GOOD = 'return {"prediction": 1, "ground_truth": 1}'
FATAL = f"""
if item["id"] == "i0":
    ctypes.string_at(0)
if item["id"] == "i1":
    hog = bytearray(900_000_000)
    while True:
        hog[0] = 1
if item["id"] == "i2":
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    while True:
        pass
{SHARED}
"""


def test_each_death_is_a_row_with_its_type_and_the_others_are_good(bench: Bench) -> None:
    limits = {"timeout_seconds": 3, "memory_mb": 700}
    bench.settings(run={"executor": "processes", "workers": 2, **limits})
    bench.params('[Params("low")]')
    bench.items(6)
    bench.predict(FATAL, head=f"import ctypes\nimport signal\n{IMPORTS}")
    with tempfile.TemporaryDirectory() as shared:
        bench.run("dev-run", "--items=1000", expect=1, TMPDIR=shared)
        left = list(Path(shared).glob("bench-*"))
    rows = {row["input_id"]: row for row in bench.rows("dev")}
    assert {name: row["error_type"] for name, row in rows.items()} == {
        "i0": "WorkerDied",
        "i1": "MemoryLimit",
        "i2": "PredictionTimeout",
        "i3": None,
        "i4": None,
        "i5": None,
    }
    assert "SIGSEGV" in rows["i0"]["error"]
    assert "700 MB ([run] memory_mb)" in rows["i1"]["error"]
    # Others may write into the folder of temporary files: nothing there has a name known before.
    assert re.fullmatch(r"(?:(?:bench-pool|pymp)-\w+ 700 ?)+", str(rows["i5"]["seen"]))
    assert not left


FIT = """
def fit(params, fold):
    note("fitted", params.model, fold)
    if fold == 0:
        ctypes.string_at(0)
    if fold == 1:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        while True:
            pass
    return fold
"""


def test_a_fit_that_crashes_or_never_ends_costs_the_datapoints_of_its_fold(bench: Bench) -> None:
    bench.settings(
        run={
            "executor": "processes",
            "workers": 2,
            "fit_seconds": 3,
            "max_permanent_errors": 50,
        }
    )
    bench.params('[Params("low")]')
    bench.items(6, fold="n % 3")
    bench.predict(
        'return {"prediction": resource, "ground_truth": 2}',
        head=f"import ctypes\nimport signal\n{FIT}",
        resource=True,
    )
    bench.dev_run(expect=1)
    types = {row["input_id"]: row["error_type"] for row in bench.rows("dev")}
    assert types == {
        **{"i0": "WorkerDied", "i3": "WorkerDied"},
        **{"i1": "FitTimeout", "i4": "FitTimeout"},
        **{"i2": None, "i5": None},
    }


def test_workers_that_start_after_the_last_datapoint_print_nothing(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(fresh=True)
    bench.settings(run={"executor": "processes", "workers": 8})
    bench.params('[Params("low")]')
    bench.items(1)
    done = bench.dev_run()
    assert "Traceback" not in done.said
    assert "FileNotFoundError" not in done.said


@pytest.mark.parametrize("executor", ["serial", "threads", "async"])
def test_a_memory_limit_that_cannot_be_kept_is_refused_when_the_settings_are_read(
    bench: Bench, executor: str
) -> None:
    bench.settings(run={"executor": executor, "memory_mb": 500})
    done = bench.dev_run(expect=2)
    assert "run.memory_mb" in done.said
    assert 'executor = "processes"' in done.said


def test_what_a_time_limit_cannot_end_is_said_at_the_start(bench: Bench) -> None:
    bench.params('[Params("low")]')
    bench.items(1)
    bench.settings(run={"executor": "threads", "timeout_seconds": 5})
    assert "cannot end" in bench.dev_run().said
    bench.settings(run={"executor": "processes", "timeout_seconds": 5, "workers": 1})
    assert "cannot end" not in bench.dev_run().said


def test_a_folder_of_temporary_files_with_too_long_a_name_is_said(
    bench: Bench, tmp_path: Path
) -> None:
    """The socket that starts worker processes lies there, and its name has 108 characters."""
    long = tmp_path / ("long" * 25)
    long.mkdir()
    bench.settings(run={"executor": "processes", "workers": 2})
    done = bench.run("dev-run", expect=1, TMPDIR=str(long))
    assert "worker processes cannot be started: OSError: AF_UNIX path too long" in done.said
    assert "fix: export TMPDIR=/tmp" in done.said


@pytest.mark.slow
def test_a_process_that_cannot_start_is_no_fault_of_a_fit(bench: Bench, tmp_path: Path) -> None:
    long = tmp_path / ("long" * 25)
    long.mkdir()
    bench.settings(run={"executor": "processes", "workers": 2})
    bench.predict(GOOD, head="def fit(params, fold):\n    return 1\n", resource=True)
    done = bench.run("dev-run", expect=1, TMPDIR=str(long))
    assert "worker processes cannot be started: OSError: AF_UNIX path too long" in done.said
    assert "fix: export TMPDIR=/tmp" in done.said
    assert not bench.rows("dev")


def test_more_workers_than_file_handles_are_said_before_anything_runs(bench: Bench) -> None:
    bench.settings(run={"executor": "processes", "workers": 60})

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))

    done = bench.run("dev-run", expect=2, before=few)
    assert "60 workers need about 184 open files, and a process may open 100" in done.said
    assert "fix: ulimit -n 184, or workers = 18" in done.said
    assert not bench.executed()


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["serial", "threads", "processes", "dask"])
def test_a_predict_that_prints_gigabytes_costs_no_memory(
    make_bench: Callable[..., Bench], executor: str
) -> None:
    """Nobody keeps what it prints; the driver and its workers stay small."""
    if executor == "dask":
        pytest.importorskip("distributed")
    bench = make_bench(fresh=True)
    bench.settings(run={"executor": executor, "workers": 2})
    bench.params('[Params("low")]')
    bench.items(4)
    bench.predict(
        """
        for _ in range(512):
            print("x" * 2**20)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        return {"prediction": memory, "ground_truth": 1}
        """,
        head="import resource",
    )
    with open(os.devnull, "w") as nowhere:
        done = subprocess.run(
            [sys.executable, "-m", "harness", "dev-run"],
            cwd=bench.root,
            env=bench.environment(),
            stdout=nowhere,
            stderr=nowhere,
        )
    assert done.returncode == 0
    assert [row["error"] for row in bench.rows("dev")] == [None] * 4
    assert max(row["prediction"] for row in bench.rows("dev")) < 400


@pytest.mark.slow
def test_workers_that_are_killed_from_outside_cost_what_they_had_and_never_the_run(
    bench: Bench,
) -> None:
    """As the system does when memory is short, whatever the process is at: waiting, receiving an
    item that no pipe takes at once, computing (noxdafox/pebble#97, uqfoundation/pathos#230)."""
    bench.settings(run={"executor": "processes", "workers": 2, "max_permanent_errors": 50})
    bench.params('[Params("low")]')
    bench.dataset('return ({"id": f"i{n}", "text": "x" * 2**20 + str(n)} for n in range(40))')
    bench.predict(
        'time.sleep(0.1)\nreturn {"prediction": os.getpid(), "ground_truth": 1}',
        head="import os\nimport time",
    )
    process = bench.start("dev-run", "--items=100")
    assert eventually(lambda: bench.executed().total() >= 4, 200)
    killed: set[int] = set()
    while len(killed) < 4 and process.poll() is None:
        for pid in workers_of(process.pid) - killed:
            time.sleep(0.7)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
    done = finished(process, 300)
    rows = bench.rows("dev")
    failed = [row["error_type"] for row in rows if row["error_type"]]
    assert len(rows) == 40, done.said
    assert set(failed) <= {"WorkerDied"}
    assert len(failed) <= len(killed)
    assert len({row["prediction"] for row in rows} - {None}) > 1


def workers_of(pid: int) -> set[int]:
    """The processes below a run that have none below them: workers, and what is to fork them."""
    with suppress(psutil.Error):
        below = psutil.Process(pid).children(recursive=True)
        return {each.pid for each in below if not each.children() and is_worker(each)}
    return set()


def is_worker(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        words = " ".join(process.cmdline())
        return "forkserver" in words or "spawn_main" in words
    return False
