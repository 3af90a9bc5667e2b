"""Worker processes: each opens the project itself, and one that dies loses only its own work.

The driver watches how much memory each of them takes: what allocates in native code never returns
to Python to be asked.
"""

import contextlib
import math
import multiprocessing
import pickle
import queue
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import psutil

from harness import system
from harness.errors import HarnessError, MemoryLimit, PredictionTimeout, WorkerDied
from harness.project.contract import Project
from harness.project.inputs import is_harness_thread
from harness.run.attempt import Result, timed_out
from harness.run.time_limit import ended_by_watchdog, too_long
from harness.run.worker_process import BEGUN, READY, serve

MEGABYTE = 2**20
_LOOK_SECONDS = 0.05
_STOP_SECONDS = 5.0
_STARTS = 5  # so often may a process die while it starts
_START_AGAIN_SECONDS = 0.5
T = TypeVar("T")


class ProcessExpired(Exception):
    """A worker process ended while it computed something."""

    def __init__(self, pid: int | None, exitcode: int | None, hungry: bool = False) -> None:
        super().__init__(f"process {pid} ended with {exitcode}")
        self.pid = pid
        self.exitcode = exitcode
        self.hungry = hungry  # it took too much memory


class _Hungry(EOFError):
    """It was ended because it took too much memory."""


@dataclass(slots=True)
class _Task:
    message: bytes
    seconds: float
    future: "Future[Any]"


class _Slot(threading.Thread):
    """One worker process and the thread that talks to it, by a pipe that no other process has.

    So a process may be killed at any moment, also while it receives or waits: with a pipe and a
    lock for all of them, the others would wait for that lock for ever. It starts with its first
    task, and again after a death.
    """

    def __init__(
        self,
        tasks: "queue.SimpleQueue[_Task | None]",
        wanted: threading.Event,
        begin: Callable[[], tuple[BaseProcess, Connection]],
        memory: int,
    ) -> None:
        super().__init__(daemon=True)
        self._tasks = tasks
        self._begin = begin
        self._memory = memory  # bytes; 0: no limit
        self._failed: Exception | None = None  # why there is no process
        self._process: BaseProcess | None = None
        self._stopping = False
        self._wanted = wanted  # set with the first task
        self.starting = False

    def run(self) -> None:
        is_harness_thread()
        self._wanted.wait()
        while not self._stopping:
            self._prepare()
            task = self._tasks.get()
            if task is None:
                break
            try:
                kind, value = pickle.loads(self._asked(task))
            except BaseException as error:
                kind, value = False, error
            if kind:
                task.future.set_result(value)
            else:
                task.future.set_exception(value)
        if self._process is not None:
            self._connection.close()  # with which it ends
            self._process.join(_STOP_SECONDS)
            self._kill()

    def _prepare(self) -> None:
        """Be ready before a task is taken: another worker may be ready sooner."""
        if self._process is not None or self._failed is not None:
            return
        self.starting = True
        try:
            self._new_process()
        except Exception as error:  # the tasks say it
            self._failed = error
        self.starting = False

    def stop(self) -> None:
        """From another thread: end it now."""
        self._stopping = True
        process = self._process  # its own thread may set it to None meanwhile
        if process is not None:
            process.kill()

    def _asked(self, task: _Task) -> bytes:
        if self._failed is not None:
            raise self._failed
        if self._process is not None and (not self._process.is_alive() or self._is_hungry()):
            self._kill()
        process = self._process or self._new_process()
        try:
            self._connection.send_bytes(task.message)
            return self._answer(process, task.seconds)
        except (EOFError, OSError) as error:
            self._kill()
            if isinstance(error, TimeoutError):
                raise
            hungry = isinstance(error, _Hungry)
            raise ProcessExpired(process.pid, process.exitcode, hungry) from None

    def _new_process(self) -> BaseProcess:
        """A process that is ready. Raises HarnessError where none gets that far."""
        for _ in range(_STARTS):
            process, self._connection = self._begin()
            self._process = process
            if not self._stopping:
                wait([self._connection, process.sentinel])
            with contextlib.suppress(EOFError, OSError):
                there = not self._stopping and self._connection.poll()
                if there and self._connection.recv_bytes() == READY:
                    return process
            self._kill()
            code = process.exitcode
            if self._stopping:
                break
            time.sleep(_START_AGAIN_SECONDS)  # 255: what forks them was killed, and ends first
        raise HarnessError(
            f"worker processes end before they compute anything (exit code {code})",
            fix="see what src/benchmark/predict.py does when it is imported, and the system's log",
            code=1,
        )

    def _answer(self, process: BaseProcess, seconds: float) -> bytes:
        until = math.inf
        while True:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"took longer than {seconds:g} s")
            pause = min(left, _LOOK_SECONDS if self._memory else left)
            waited = wait(
                [self._connection, process.sentinel], None if pause == math.inf else pause
            )
            if self._connection.poll():
                answer = self._connection.recv_bytes()
                if answer != BEGUN:
                    return answer
                until = time.monotonic() + seconds
            elif waited:
                raise EOFError
            if self._is_hungry():
                raise _Hungry

    def _is_hungry(self) -> bool:
        if not self._memory or self._process is None:
            return False
        with contextlib.suppress(psutil.Error):
            return bool(psutil.Process(self._process.pid).memory_info().rss > self._memory)
        return False

    def _kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.join()
        self._connection.close()
        self._process = None


class Pool:
    """Processes that each hold a Worker for `project`; use it as a context."""

    def __init__(self, project: Project) -> None:
        run = project.settings.run
        self._limit = run.memory_mb
        self._marks = tempfile.TemporaryDirectory(prefix="bench-pool-")
        self._arguments = project.root, run.workers, Path(self._marks.name)
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._wanted = threading.Event()
        memory = run.memory_mb * MEGABYTE
        self._slots = [
            _Slot(self._tasks, self._wanted, self._begin, memory) for _ in range(run.workers)
        ]

    def __enter__(self) -> "Pool":
        # Where an error leaves this block open in a generator, Python's end would wait for them.
        self._at_end = Finalize(None, self._stop, exitpriority=100)
        for slot in self._slots:
            slot.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._at_end.cancel()
        for slot in self._slots:
            if error is not None or slot.starting or not self._wanted.is_set():
                slot.stop()
        self._wanted.set()
        for _ in self._slots:
            self._tasks.put(None)
        for slot in self._slots:
            slot.join()
        self._marks.cleanup()

    def _stop(self) -> None:
        for slot in self._slots:
            slot.stop()

    def _begin(self) -> tuple[BaseProcess, Connection]:
        """A new process, and the pipe to it. Raises HarnessError where the system gives none."""
        context = multiprocessing.get_context(system.new_process())
        why: Exception | None = None
        for _ in range(_STARTS):
            try:
                ours, theirs = context.Pipe()
                process: BaseProcess = context.Process(  # type: ignore[attr-defined]
                    target=serve, args=(theirs, *self._arguments)
                )
                process.start()
                theirs.close()
                return process, ours
            except (EOFError, ConnectionError) as error:
                why = error  # the server that forks them was killed: a later call starts another
                time.sleep(_START_AGAIN_SECONDS)
            except (RuntimeError, OSError) as error:
                why = error
                break
        fix = (
            "fewer workers in [run] of benchmark.toml, or raise what the system allows "
            "(ulimit -n, ulimit -u), then run the same command again"
        )
        if "AF_UNIX" in str(why):  # a socket's name has at most about 100 characters
            fix = "export TMPDIR=/tmp (a shorter name), then run the same command again"
        raise HarnessError(
            f"worker processes cannot be started: {type(why).__name__}: {why}", fix=fix, code=1
        )

    def schedule(
        self, function: Callable[..., T], *arguments: object, seconds: float = 0
    ) -> "Future[T]":
        """Call `function` in a process, which is ended after `seconds` (0: never).

        The future raises ProcessExpired where the process died, TimeoutError where it was ended.
        """
        future: Future[T] = Future()
        try:
            message = pickle.dumps((function, arguments, bool(seconds)))
        except Exception as error:
            future.set_exception(error)
        else:
            self._tasks.put(_Task(message, seconds, future))
            self._wanted.set()
        return future

    def why_ended(self, error: ProcessExpired, seconds: float) -> BaseException:
        """What ended the process of a task: too much time, too much memory, or something else."""
        if error.hungry:
            return MemoryLimit(f"took more than {self._limit} MB ([run] memory_mb)")
        if seconds and ended_by_watchdog(Path(self._marks.name), error.pid):
            return PredictionTimeout(too_long(seconds))
        return WorkerDied(died(error.exitcode))


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
