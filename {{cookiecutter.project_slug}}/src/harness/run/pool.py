"""Worker processes: each opens the project itself, and one that dies loses only its own work.

The driver watches how much memory each of them takes: what allocates in native code never returns
to Python to be asked.
"""

import contextlib
import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass, replace
from multiprocessing.context import BaseContext
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TypeVar

import cloudpickle
import psutil
from pebble import ProcessExpired, ProcessPool

from harness import system
from harness.errors import HarnessError, MemoryLimit, PredictionTimeout, WorkerDied
from harness.project.contract import Project
from harness.project.inputs import one_worker
from harness.project.values import Unsendable, plain
from harness.run.attempt import Result, Worker, timed_out
from harness.run.time_limit import ended_by_watchdog, leave_marks_in, too_long

MEGABYTE = 2**20
_LOOK_SECONDS = 0.05
T = TypeVar("T")


class _Pids(Protocol):
    """multiprocessing's SimpleQueue, as far as it is used here."""

    def empty(self) -> bool: ...
    def get(self) -> Any: ...
    def put(self, value: int) -> None: ...


_worker: Worker | None = None


def worker_of_process() -> Worker:
    """The Worker of this process."""
    assert _worker is not None
    return _worker


def set_worker(worker: Worker) -> None:
    """Make `worker` the one of this process."""
    global _worker
    _worker = worker


def _start_worker(root: Path, workers: int, started: _Pids | None, marks: Path) -> None:
    """Open the project in a new process; its share of the limits is one in `workers`."""
    from harness.run.limits import shared_limiter

    # Ctrl-C reaches the whole terminal; the driver alone decides, and lets this one finish.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if started is not None:
        started.put(os.getpid())
    leave_marks_in(marks)
    project = Project.open(root)
    one_worker()
    set_worker(Worker(project, shared_limiter(project.settings, workers), hard_kill=True))


class _Context:
    """A multiprocessing context that keeps its locks.

    Pebble deletes its locks before it ends its workers. One that is just starting would not find
    them, and print a traceback.
    """

    def __init__(self, real: BaseContext) -> None:
        self._real = real
        self._locks: list[object] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def RLock(self) -> object:
        lock = self._real.RLock()
        self._locks.append(lock)
        return lock


class Pool:
    """Processes that each hold a Worker for `project`; use it as a context."""

    def __init__(self, project: Project) -> None:
        run = project.settings.run
        context = _Context(multiprocessing.get_context(system.new_process()))
        self._limit = run.memory_mb
        # Read only where memory is watched: a pipe that nobody reads fills up.
        self._started: _Pids | None = context.SimpleQueue() if run.memory_mb else None
        self._ended: set[int] = set()  # for taking too much memory
        self._closing = threading.Event()
        self._marks = tempfile.TemporaryDirectory(prefix="bench-pool-")
        self._pool = ProcessPool(
            max_workers=run.workers,
            initializer=_start_worker,
            initargs=(project.root, run.workers, self._started, Path(self._marks.name)),
            context=context,  # type: ignore[arg-type]
        )

    def __enter__(self) -> "Pool":
        if self._started is not None:
            watch = threading.Thread(target=self._watch_memory, args=(self._started,), daemon=True)
            watch.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._pool.close()  # type: ignore[no-untyped-call]
        else:
            self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()
        self._closing.set()
        self._marks.cleanup()

    def schedule(
        self, function: Callable[..., T], *arguments: object, seconds: float = 0
    ) -> "Future[T]":
        """Call `function` in a process, which is ended after `seconds` (0: never)."""
        limit = seconds or None
        try:
            future: Future[T] = self._pool.schedule(function, args=arguments, timeout=limit)
        except (BrokenExecutor, RuntimeError, OSError) as error:
            why = error.__cause__ or error
            raise HarnessError(
                f"worker processes cannot be started: {type(why).__name__}: {why}",
                fix="fewer workers in [run] of benchmark.toml, or raise what the system allows "
                "(ulimit -n, ulimit -u), then run the same command again",
                code=1,
            ) from None
        return future

    def why_ended(self, error: ProcessExpired, seconds: float) -> BaseException:
        """What ended the process of a task: too much time, too much memory, or something else."""
        if error.pid in self._ended:
            return MemoryLimit(f"took more than {self._limit} MB ([run] memory_mb)")
        if seconds and ended_by_watchdog(Path(self._marks.name), error.pid):
            return PredictionTimeout(too_long(seconds))
        return WorkerDied(died(error.exitcode))

    def _watch_memory(self, started: _Pids) -> None:
        """End each worker that takes more than its limit, until the pool is closed."""
        known: dict[int, psutil.Process] = {}
        while not self._closing.wait(_LOOK_SECONDS):
            while not started.empty():
                pid = started.get()
                with contextlib.suppress(psutil.Error):
                    known[pid] = psutil.Process(pid)
            for pid, process in list(known.items()):
                try:
                    if process.memory_info().rss > self._limit * MEGABYTE:
                        self._ended.add(pid)
                        process.kill()
                        del known[pid]
                except psutil.Error:  # it has ended
                    del known[pid]


def died(code: int | None) -> str:
    """How a worker process died, from its exit code."""
    said = f"the process that computed it died (exit code {code})"
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            said = f"the process that computed it was ended by {signal.Signals(-code).name}"
    if code == -9:
        said += "; the system may have been out of memory ([run] memory_mb sets a limit)"
    return said


@dataclass(frozen=True, slots=True)
class Ended:
    """Why a process gave no result."""

    error: BaseException

    def result(self, seconds: float) -> Result:
        """The row of the datapoint that it was computing."""
        if isinstance(self.error, PredictionTimeout):
            return timed_out(seconds, 1, seconds)
        return Result(None, str(self.error), type(self.error).__name__, 1, 0.0, None)


def packed(results: list[Result]) -> bytes:
    """Results as they are sent to the driver, with any value that predict put into them.

    A value that only cloudpickle can send, such as a lambda, is sent by cloudpickle.
    """
    try:
        return pickle.dumps(results)
    except Exception:
        return bytes(cloudpickle.dumps([_sendable(each) for each in results]))


def _sendable(result: Result) -> Result:
    values = {name: _value(value) for name, value in (result.result or {}).items()}
    return replace(result, result=values)


def _value(value: object) -> object:
    try:
        return plain(value)
    except Exception:
        pass  # it is not data, so it becomes an asset
    try:
        cloudpickle.dumps(value)
        return value
    except Exception as error:
        return Unsendable(str(error))
