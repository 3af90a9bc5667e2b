"""What is around a run: its clock, its file system, what may be written there."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.test_faults import RUN, is_whole
from tests.harness.project_fixture import Bench

# -- a clock

AUTUMN = 1_792_889_999  # one second before 3:00 becomes 2:00 in Berlin, in 2026
CLOCK = """
import time

_ns, _s = time.time_ns, time.time
_begun, _asked = _ns(), 0


def _shift():
    global _asked
    _asked += 1
    return {shift}


time.time_ns = lambda: _ns() + int(_shift() * 1_000_000_000)
time.time = lambda: _s() + _shift()
"""


def with_clock(bench: Bench, shift: str) -> dict[str, str]:
    """An environment whose clock is `shift` seconds off: text of Python, each time it is asked."""
    folder = bench.root.with_name("clock")
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(CLOCK.replace("{shift}", shift))
    path = bench.environment()["PYTHONPATH"]
    return {"PYTHONPATH": f"{folder}{os.pathsep}{path}", "TZ": "Europe/Berlin"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "shift",
    [
        pytest.param("-3600 * (_asked > 60)", id="back"),
        pytest.param("-0.5 * _asked", id="runs-backwards"),
        pytest.param(f"{AUTUMN} - _begun / 1e9", id="autumn"),
    ],
)
def test_a_clock_that_steps_back_during_an_experiment(
    make_bench: Callable[..., Bench], shift: str
) -> None:
    bench = make_bench(fresh=True)
    bench.items(60)
    bench.predict(
        "time.sleep(0.01)\nif item['id'] == 'i9' and not os.path.exists('../repaired'):\n"
        "    raise ValueError('broken')\n"
        "return {'prediction': item['x'] > 0.5, 'ground_truth': item['label'], 'raw_response': 1}",
        head="import os\nimport time",
    )
    bench.commit()
    clock = with_clock(bench, shift)
    assert (
        bench.start(*RUN, before=None, **clock).wait(100) == 1
    )  # a datapoint failed under each configuration
    bench.root.with_name("repaired").touch()
    assert bench.start(*RUN, before=None, **clock).wait(100) == 0
    rows = bench.rows()
    assert len({row["task_key"] for row in rows}) == len(rows) == 120
    assert len({(row["track_id"], row["timestamp"]) for row in rows}) == 120
    runs = bench.sql("SELECT track_id, ended_how FROM runs ORDER BY sequence")
    assert [run["ended_how"] for run in runs] == ["finished", "finished"]
    again = {row["track_id"] for row in rows if row["input_id"] == "i9"}
    assert again == {runs[1]["track_id"]}, "the run that began later is not the later one"
    assert bench.git("tag") == "e0.0.1"
    assert "no findings" in bench.run("validate").said


# -- a file system

NO_LOCKS = """
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

static int answer(void) {
    const char *how = getenv("LOCKS");
    if (how && !strcmp(how, "refused")) { errno = ENOLCK; return -1; }
    return 0;
}
int flock(int file, int what) { return answer(); }
int fcntl64(int file, int what, ...) {
    va_list more; va_start(more, what); void *given = va_arg(more, void *); va_end(more);
    if (what == F_GETLK) { ((struct flock *)given)->l_type = F_UNLCK; return 0; }
    if (what == F_SETLK || what == F_SETLKW) return answer();
    return syscall(SYS_fcntl, file, what, given);
}
int fcntl(int file, int what, ...) {
    va_list more; va_start(more, what); void *given = va_arg(more, void *); va_end(more);
    return fcntl64(file, what, given);
}
"""


@pytest.fixture(scope="module")
def no_locks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library under which every lock is refused, or granted to everybody (a network drive)."""
    compiler = shutil.which("cc")
    if sys.platform != "linux" or not compiler:
        pytest.skip("a file system without locks needs Linux and a C compiler")
    folder = tmp_path_factory.mktemp("locks")
    (folder / "locks.c").write_text(NO_LOCKS)
    built = folder / "locks.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", str(built), str(folder / "locks.c")], check=True
    )
    return built


@pytest.mark.slow
@pytest.mark.parametrize("locks", ["refused", "ignored"])
def test_results_on_a_file_system_without_locks_are_said_and_stay_whole(
    make_bench: Callable[..., Bench], no_locks: Path, locks: str
) -> None:
    bench = make_bench(fresh=True)
    bench.commit()
    environment = {"LD_PRELOAD": str(no_locks), "LOCKS": locks}
    refused = bench.run(*RUN, expect=1, before=lambda: None, **environment)
    assert "results" in refused.said
    assert "lock" in refused.said
    assert "fix:" in refused.said
    assert not bench.executed()
    bench.run(*RUN)
    is_whole(bench, 4)
    before = bench.db.read_bytes()
    bench.run("experiment", "e0.0.2", *RUN[2:], expect=1, before=lambda: None, **environment)
    assert bench.db.read_bytes() == before


READ_ONLY = """
import subprocess, sys
root, place, *command = sys.argv[1:]
subprocess.run(["mount", "--bind", place, place], check=True)
subprocess.run(["mount", "-o", "remount,ro,bind", place], check=True)
done = subprocess.run([sys.executable, "-m", "harness", *command], cwd=root)
sys.exit(done.returncode)
"""


def where_it_is_read_only(bench: Bench, place: str, *command: str) -> tuple[int, str]:
    own = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    if not shutil.which("unshare") or subprocess.run([*own, "true"]).returncode:
        pytest.skip("a folder that is read-only for root too needs mounts of its own")
    folder = bench.root / place
    folder.mkdir(exist_ok=True)
    started = [*own, sys.executable, "-c", READ_ONLY, str(bench.root), str(folder), *command]
    done = subprocess.run(started, env=bench.environment(), capture_output=True, text=True)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.mark.slow
@pytest.mark.parametrize("place", ["results", ".cache", ".git"])
def test_a_folder_that_is_read_only(make_bench: Callable[..., Bench], place: str) -> None:
    bench = make_bench(fresh=True)
    bench.commit()
    code, said = where_it_is_read_only(bench, place, *RUN)
    assert code in (1, 2), said
    assert "fix:" in said
    assert "Traceback" not in said
    assert bench.git("tag") == ""
    bench.run(*RUN)
    assert len(bench.rows()) == 8
    assert bench.git("tag") == "e0.0.1"
    before = bench.db.read_bytes()
    code, said = where_it_is_read_only(bench, place, "summary", "e0.0.1")
    assert code in (0, 1), said
    assert "Results of e0.0.1" in said
    assert bench.db.read_bytes() == before
