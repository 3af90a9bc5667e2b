"""What the tests of `harness.load` share: a server with known times, and a load sent to it."""

import itertools
import shutil
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.load import Request, Response, Target, load_options
from harness.load.executor import execute_load
from harness.project.fingerprint import Code
from harness.project.grid import Configuration
from harness.project.keys import Context
from harness.project.tasks import Task
from harness.run.job import Job, Outcome
from tests.harness.project_fixture import PROJECT

KIND = PROJECT / "kinds/throughput/src/benchmark/kind.py"
SERVER = Path(__file__).with_name("load_server.py")
NOWHERE = Context(Code({}, frozenset()), {})  # no key is asked for


@dataclass(frozen=True)
class Params:
    """What a load test varies."""

    mode: str = "open"
    rate: float = 100.0
    arrival: str = "poisson"
    users: int = 0
    connections: int = 100
    warmup_seconds: float = 0.0
    seed: int = 0


class KnownServer:
    """A server process; `finished` and `asked` are what it said on its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self.out = process.stdout
        self.url = f"http://127.0.0.1:{self.out.readline().strip()}"
        self.finished: dict[int, float] = {}
        self.asked: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self.out:
            if not line.endswith("\n"):
                return  # it was killed while it spoke
            kind, *words = line.split()
            if kind == "done":
                self.finished[int(words[0])] = float(words[1])
            else:
                self.asked.append(" ".join(words))


@contextmanager
def known_server(
    seconds: float = 0.0, stall_number: int = -1, stall_seconds: float = 0.0
) -> Iterator[KnownServer]:
    """Start load_server.py and end it afterwards."""
    command = [sys.executable, str(SERVER), str(seconds), str(stall_number), str(stall_seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, bufsize=1)
    try:
        yield KnownServer(process)
    finally:
        process.kill()
        process.wait()


def by_path(item: dict[str, Any], params: Any) -> Request:
    """The item says which path is asked."""
    return Request(path=item["path"], **item.get("more", {}))


def nothing_more(item: dict[str, Any], params: Any, response: Response) -> dict[str, Any]:
    """What is measured is enough."""
    return {}


def send_load(
    root: Path,
    url: str,
    phases: Sequence[tuple[Params, Sequence[dict[str, Any]]]],
    *,
    request: Callable[..., Request] = by_path,
    answer: Callable[..., dict[str, Any]] = nothing_more,
    throughput: str = "",
    timeout_seconds: float = 30.0,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Outcome]:
    """The outcomes of a load on `url`, each phase with its items."""
    written(root, f'url = "{url}"\n{throughput}', timeout_seconds)
    module = types.ModuleType("predict_of_a_load_test")
    sys.modules[module.__name__] = module

    def predict(item: dict[str, Any], params: Any, target: Target) -> dict[str, Any]:
        raise AssertionError("the load executor asks request and answer")

    predict.__module__ = module.__name__
    module.__dict__.update(request=request, answer=answer)
    project: Any = types.SimpleNamespace(
        root=root,
        grid=[params for params, _ in phases],
        predict=predict,
        load=lambda params: Target(url, load_options(root)),
        settings=types.SimpleNamespace(run=types.SimpleNamespace(order="phases", repeats=1)),
    )
    numbers = itertools.count()
    jobs = (
        Job(
            Task(
                item,
                Configuration(params, f"{place}".encode(), {}, NOWHERE),
                0,
                f"{next(numbers)}",
                "",
            )
        )
        for place, (params, items) in enumerate(phases)
        for item in items
    )
    return execute_load(project, jobs, stopped=stopped)


def written(root: Path, throughput: str, timeout_seconds: float = 30.0) -> Path:
    """`root`, with these settings in [throughput] of its benchmark.toml."""
    (root / "src/benchmark").mkdir(parents=True, exist_ok=True)
    shutil.copy(KIND, root / "src/benchmark/kind.py")
    (root / "benchmark.toml").write_text(
        f'[run]\nexecutor = "load"\ncache = false\ntimeout_seconds = {timeout_seconds}\n'
        f"[throughput]\n{throughput}\n",
        encoding="utf-8",
    )
    return root


def numbered(count: int) -> list[dict[str, Any]]:
    """Items for the path that the server counts."""
    return [{"id": str(number), "path": f"/number?n={number}"} for number in range(count)]


def row(outcome: Outcome) -> dict[str, Any]:
    """What is measured of an outcome."""
    assert outcome.result.result is not None
    return outcome.result.result
