"""What the harness adds to a call with 64 under way, and how its memory grows over 10,000 calls.

    python benchmarks/bench_llm.py [CALLS] [LATENCY_SECONDS] [ROUNDS]

A server in a process of its own answers every call after 50 ms. The same predict of the kind `llm`
asks it from 64 threads, once by the harness (keys, limits, rows, cache) and once by a bare loop
that keeps nothing; both in turn, each in a new process. Then a judge of the same kind is asked
about every answer. Exit code 1 where the harness adds 2 ms a call or more, by the clock or of the
processor, or where its memory grows by 20 MB or more over the last four fifths of the calls, or of
the judgements. On a machine that does other things too, the processor's time is what counts.
"""

import contextlib
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
IN_FLIGHT, ROUNDS, ITEMS = 64, 3, 240
MOST_MS, MOST_MB = 2.0, 20.0
JUDGE = """
from dataclasses import dataclass
from typing import Any

from benchmark.llm.client import Client, connect
from benchmark.llm.request import Request
from benchmark.llm.verdict import one_of

READS = ("input_id", "repeat", "prediction")


@dataclass(frozen=True, slots=True)
class Params(Request):
    pass


GRID = [Params(max_output_tokens=4)]


def load(params: Params) -> Client:
    return connect(params.endpoint)


def judge(answer: dict, params: Params, client: Client) -> dict[str, Any]:
    reply = client.ask(params, [{"role": "user", "content": f"Is this right? {answer}"}])
    return {"verdict": one_of(reply, ("positive", "negative")), **reply.columns()}
"""


def by_harness(root: Path) -> dict[str, Any]:
    """Seconds of a run and of the processor, and how much memory (MB) it and its judge gained."""
    from harness.judging import judge_answers
    from harness.project.contract import Project
    from harness.run.loop import run
    from harness.run.prepared import prepare

    project = Project.open(root)
    ready = prepare(project, None)
    begin = processor_seconds()
    report, asked = watched(lambda: run(project, "e0.0.1", ready.grid, ready.census, {}))
    cpu = processor_seconds() - begin
    judged, judging = watched(lambda: judge_answers(project, "e0.0.1"))
    for each in (report, judged):
        assert each.complete, each
        assert each.counts.failed == 0, each
    assert judged.counts.executed == report.counts.executed
    return {
        "seconds": report.seconds, "cpu": cpu, "calls": report.counts.executed,
        "mb": asked[1] - asked[0], "judged_mb": judging[1] - judging[0],
        "judged_seconds": judged.seconds, "early": judging[0], "late": judging[1],
    }  # fmt: skip


def watched(work: Callable[[], Any]) -> tuple[Any, tuple[float, float]]:
    """What it returns, and the process's memory (MB) after a fifth of its time and at its end."""
    memory: list[float] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            memory.append(anonymous_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        found = work()
    finally:
        over.set()
        watcher.join()
    return found, (memory[len(memory) // 5], memory[-1])


def processor_seconds() -> float:
    """User and system time of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


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
    begin, cpu = time.perf_counter(), processor_seconds()
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        for item in calls:
            waiting.append(pool.submit(project.predict, item, params, client))
            if len(waiting) >= 2 * IN_FLIGHT:
                waiting.popleft().result()
        while waiting:
            waiting.popleft().result()
    return {
        "seconds": time.perf_counter() - begin, "cpu": processor_seconds() - cpu,
        "calls": len(calls),
    }  # fmt: skip


def measure(how: str, root: Path) -> dict[str, Any]:
    """One of the two above, in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, how, str(root)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main(calls: int, latency: float, rounds: int = ROUNDS) -> int:
    """Measure and print; the exit code."""
    sys.path.insert(0, str(ROOT))
    from tests.kinds.llm.conftest import bake

    with tempfile.TemporaryDirectory() as folder:
        os.environ["GIT_CEILING_DIRECTORIES"] = folder
        with contextlib.redirect_stdout(io.StringIO()):
            project = bake(Path(folder))
        project.grid('[Params("guide", 3)]')
        (project.root / "src/benchmark/judge.py").write_text(JUDGE, encoding="utf-8")
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
        found: dict[str, list[float]] = {"clock": [], "processor": [], "mb": [], "judged_mb": []}
        for number in range(rounds):
            loop = measure("bare", project.root)
            for path in (project.root / "results").glob("*.db*"):
                path.unlink()
            subprocess.run(["rm", "-rf", project.root / ".cache"], check=True)
            ours = measure("harness", project.root)
            for name, key in (("clock", "seconds"), ("processor", "cpu")):
                found[name].append(1000 * (ours[key] - loop[key]) / ours["calls"])
            for name in ("mb", "judged_mb"):
                found[name].append(ours[name])
            print(
                f"round {number + 1}: {ours['calls']} calls, harness {ours['seconds']:.1f} s "
                f"({ours['cpu']:.1f} s of the processor), bare {loop['seconds']:.1f} s "
                f"({loop['cpu']:.1f} s): {found['clock'][-1]:+.2f} ms a call by the clock, "
                f"{found['processor'][-1]:+.2f} ms of the processor, {ours['mb']:+.1f} MB; "
                f"judged in {ours['judged_seconds']:.1f} s, {ours['early']:.1f} to "
                f"{ours['late']:.1f} MB",
                flush=True,
            )
        server.communicate("")
    middle = {name: statistics.median(values) for name, values in found.items()}
    print(
        f"median: the harness adds {middle['clock']:.2f} ms a call at {IN_FLIGHT} in flight by the "
        f"clock, {middle['processor']:.2f} ms of the processor (limit {MOST_MS:g}); memory "
        f"{middle['mb']:+.1f} MB, of the judge {middle['judged_mb']:+.1f} MB (limit {MOST_MB:g})"
    )
    slow = max(middle["clock"], middle["processor"]) >= MOST_MS
    return int(slow or max(middle["mb"], middle["judged_mb"]) >= MOST_MB)


if __name__ == "__main__":
    if sys.argv[1:2] in (["bare"], ["harness"]):
        measured = (bare if sys.argv[1] == "bare" else by_harness)(Path(sys.argv[2]))
        print(json.dumps(measured))
    else:
        given = dict(enumerate(sys.argv[1:]))
        calls, latency = int(given.get(0, 10_000)), float(given.get(1, 0.05))
        sys.exit(main(calls, latency, int(given.get(2, ROUNDS))))
