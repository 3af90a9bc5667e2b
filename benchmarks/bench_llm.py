"""What the harness adds to a call with 64 under way, and how its memory grows over 10,000 calls.

    python benchmarks/bench_llm.py [CALLS] [LATENCY_SECONDS]

A server in a process of its own answers every call after 50 ms. The same predict of the kind `llm`
asks it from 64 threads, once by the harness (keys, limits, rows, cache) and once by a bare loop
that keeps nothing; both in turn, each in a new process. Exit code 1 where the harness adds 2 ms a
call or more, or where its memory grows by 20 MB or more over the last four fifths of the calls.
"""

import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
IN_FLIGHT, ROUNDS, ITEMS = 64, 3, 240
MOST_MS, MOST_MB = 2.0, 20.0


def by_harness(root: Path) -> dict[str, Any]:
    """Seconds of a run, and the process's memory (MB) at each tenth of a second of it."""
    from harness.project.contract import Project
    from harness.run.loop import run
    from harness.run.prepared import prepare

    project = Project.open(root)
    ready = prepare(project, None)
    memory: list[float] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            memory.append(anonymous_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    report = run(project, "e0.0.1", ready.grid, ready.census, {})
    over.set()
    watcher.join()
    assert report.complete, report
    assert report.counts.failed == 0, report
    early, late = memory[len(memory) // 5], memory[-1]
    return {"seconds": report.seconds, "calls": report.counts.executed, "mb": late - early}


def anonymous_mb() -> float:
    """Memory of this process that no file stands behind: SQLite maps the files that it reads."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) / 1000


def bare(root: Path) -> dict[str, Any]:
    """Seconds of the same calls from a thread pool; each row is dropped."""
    from harness.project.contract import Project

    project = Project.open(root)
    params, repeats = project.grid[0], project.settings.run.repeats
    assert project.load is not None
    client = project.load(params)
    calls = [item for item in project.items(params) for _ in range(repeats)]
    waiting: deque[Future[Any]] = deque()
    begin = time.perf_counter()
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        for item in calls:
            waiting.append(pool.submit(project.predict, item, params, client))
            if len(waiting) >= 2 * IN_FLIGHT:
                waiting.popleft().result()
        while waiting:
            waiting.popleft().result()
    return {"seconds": time.perf_counter() - begin, "calls": len(calls)}


def measure(how: str, root: Path) -> dict[str, Any]:
    """One of the two above, in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, how, str(root)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main(calls: int, latency: float) -> int:
    """Measure and print; the exit code."""
    sys.path.insert(0, str(ROOT))
    from tests.kinds.llm.conftest import bake

    with tempfile.TemporaryDirectory() as folder:
        os.environ["GIT_CEILING_DIRECTORIES"] = folder
        with contextlib.redirect_stdout(io.StringIO()):
            project = bake(Path(folder))
        project.grid('[Params("guide", 3)]')
        project.setting("run", workers=IN_FLIGHT, repeats=max(1, calls // ITEMS))
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.kinds.llm.fault_server", f"{folder}/log", f"{latency}"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert server.stdout is not None
        os.environ |= {
            "OPENAI_BASE_URL": server.stdout.readline().strip(),
            "OPENAI_MODEL": "faulty-1",
            "PYTHONPATH": str(project.root / "src"),
        }
        added, grown = [], []
        for number in range(ROUNDS):
            loop = measure("bare", project.root)
            for path in (project.root / "results").glob("*.db*"):
                path.unlink()
            subprocess.run(["rm", "-rf", project.root / ".cache"], check=True)
            ours = measure("harness", project.root)
            added.append(1000 * (ours["seconds"] - loop["seconds"]) / ours["calls"])
            grown.append(ours["mb"])
            print(
                f"round {number + 1}: {ours['calls']} calls, harness {ours['seconds']:.1f} s, "
                f"bare {loop['seconds']:.1f} s: {added[-1]:+.2f} ms a call, {grown[-1]:+.1f} MB",
                flush=True,
            )
        server.communicate("")
    print(
        f"median: the harness adds {statistics.median(added):.2f} ms a call at {IN_FLIGHT} in "
        f"flight (limit {MOST_MS:g}); memory {statistics.median(grown):+.1f} MB (limit {MOST_MB:g})"
    )
    return int(statistics.median(added) >= MOST_MS or statistics.median(grown) >= MOST_MB)


if __name__ == "__main__":
    if sys.argv[1:2] in (["bare"], ["harness"]):
        measured = (bare if sys.argv[1] == "bare" else by_harness)(Path(sys.argv[2]))
        print(json.dumps(measured))
    else:
        given = [*sys.argv[1:], "10000", "0.05"][:2] if len(sys.argv) < 3 else sys.argv[1:]
        sys.exit(main(int(given[0]), float(given[1])))
