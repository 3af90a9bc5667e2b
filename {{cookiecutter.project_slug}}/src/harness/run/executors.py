"""Where datapoints are computed: in this thread, in threads, in processes, or as a kind says.

Each executor is a generator: it takes tasks as they come, keeps a bounded number in flight, and
yields an Outcome as soon as there is one. None of them writes. A kind may bring more (`Executor` of
project.kind); where it runs predict, `compute` does that with a `Worker`.
"""

import multiprocessing
import pickle
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import replace
from functools import partial
from pathlib import Path

import cloudpickle
from pebble import ProcessExpired, ProcessPool

from harness import system
from harness.errors import HarnessError
from harness.project.contract import Item, Project
from harness.project.inputs import one_worker
from harness.project.kind import resolve
from harness.project.values import Params, Unsendable, plain
from harness.run.attempt import Limiter, Result, Worker, timed_out, words_of
from harness.run.job import Job, Outcome
from harness.run.model_file import ModelFile
from harness.run.time_limit import ended_by_watchdog

_POLL_SECONDS = 0.05


def check(project: Project) -> None:
    """Raises HarnessError where the executor named in the settings cannot run this project."""
    own = project.kind.executors.get(project.settings.run.executor)
    if own is not None and own.check:
        resolve(own.check)(project)


def execute(
    project: Project,
    jobs: Iterator[Job],
    limiter: Limiter | None,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Outcome]:
    """Run `jobs` on the executor named in the settings and yield outcomes as they arrive.

    `limiter` paces the attempts of this process; other processes make their own. A job that
    has not begun when `stopped` returns True may have no outcome.
    """
    name = project.settings.run.executor
    if own := project.kind.executors.get(name):
        outcomes: Iterator[Outcome] = resolve(own.execute)(project, jobs, limiter, stopped)
        return outcomes
    if name == "serial":
        return _serial(Worker(project, limiter), jobs)
    if name == "threads":
        return _threads(project, jobs, limiter)
    if name == "processes":
        return _processes(project, jobs)
    raise ValueError(f"settings let an executor {name!r} pass that nothing runs")


def compute(worker: Worker, job: Job) -> Outcome:
    """Run predict for one job in this thread."""
    configuration = job.task.configuration
    result = worker.run(
        job.task.item,
        configuration.params,
        configuration.digest,
        job.fitted,
        job.task.repeat,
    )
    return Outcome(job, result)


def _serial(worker: Worker, jobs: Iterator[Job]) -> Iterator[Outcome]:
    one_worker()
    for job in jobs:
        yield compute(worker, job)


class _Thread(threading.Thread):
    """A worker thread. A daemon: a predict that hangs must not keep the program alive."""

    def __init__(
        self,
        worker: Worker,
        inbox: "queue.SimpleQueue[Job | None]",
        outbox: "queue.SimpleQueue[Outcome]",
    ) -> None:
        super().__init__(daemon=True)
        self.worker = worker
        self.inbox = inbox
        self.outbox = outbox
        self.job: Job | None = None

    def run(self) -> None:
        while (job := self.inbox.get()) is not None:
            self.job = job
            try:
                outcome = compute(self.worker, job)
            except BaseException as error:  # a thread that ended here would hang the whole run
                outcome = Outcome(job, _broken(error))
            if self.worker.abandoned:
                return
            self.outbox.put(outcome)


def _threads(project: Project, jobs: Iterator[Job], limiter: Limiter | None) -> Iterator[Outcome]:
    """Threads share a queue; one that overruns the time limit is left behind and replaced."""
    limit = project.settings.run.timeout_seconds
    workers = project.settings.run.workers
    inbox: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
    outbox: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    threads = [_Thread(Worker(project, limiter), inbox, outbox) for _ in range(workers)]
    for thread in threads:
        thread.start()

    def next_outcome() -> Outcome:
        while True:
            try:
                return outbox.get(timeout=_POLL_SECONDS if limit else None)
            except queue.Empty:
                for index, thread in enumerate(threads):
                    job = thread.job
                    result = thread.worker.abandon(limit)
                    if job is not None and result is not None:
                        threads[index] = _Thread(Worker(project, limiter), inbox, outbox)
                        threads[index].start()
                        return Outcome(job, result)

    in_flight = 0
    try:
        for job in jobs:
            inbox.put(job)
            in_flight += 1
            if in_flight >= 2 * workers:
                yield next_outcome()
                in_flight -= 1
        while in_flight:
            yield next_outcome()
            in_flight -= 1
    finally:
        for _ in threads:
            inbox.put(None)


_worker: Worker | None = None


def _start_worker(root: Path, workers: int) -> None:
    """Open the project in a new process; its share of the limits is one in `workers`."""
    global _worker
    from harness.run.limits import shared_limiter

    # Ctrl-C reaches the whole terminal; the driver alone decides, and lets this one finish.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    project = Project.open(root)
    one_worker()
    _worker = Worker(project, shared_limiter(project.settings, workers), hard_kill=True)


def _run_in_process(
    item: Item, params: Params, digest: bytes, fitted: ModelFile | None, repeat: int
) -> bytes:
    assert _worker is not None
    return _packed(_worker.run(item, params, digest, fitted, repeat))


def _packed(result: Result) -> bytes:
    """A result as it is sent to the driver, with any value that predict put into it.

    A value that only cloudpickle can send, such as a lambda, is sent by cloudpickle.
    """
    try:
        return pickle.dumps(result)
    except Exception:
        values = {name: _sendable(value) for name, value in (result.result or {}).items()}
        return bytes(cloudpickle.dumps(replace(result, result=values)))


def _sendable(value: object) -> object:
    try:
        return plain(value)
    except Exception:
        pass  # it is not data, so it becomes an asset
    try:
        cloudpickle.dumps(value)
        return value
    except Exception as error:
        return Unsendable(str(error))


def process_pool(project: Project) -> ProcessPool:
    """A pool whose processes each hold a Worker; one that dies loses only its own task."""
    return ProcessPool(
        max_workers=project.settings.run.workers,
        initializer=_start_worker,
        initargs=(project.root, project.settings.run.workers),
        context=multiprocessing.get_context(system.new_process()),
    )


def _processes(project: Project, jobs: Iterator[Job]) -> Iterator[Outcome]:
    outbox: queue.SimpleQueue[tuple[Job, Future[bytes]]] = queue.SimpleQueue()
    in_flight = 0
    limit = project.settings.run.timeout_seconds

    def next_outcome() -> Outcome:
        job, future = outbox.get()
        return Outcome(job, _result_of(future, limit))

    with process_pool(project) as pool:
        try:
            for job in jobs:
                configuration = job.task.configuration
                future = pool.schedule(
                    _run_in_process,
                    args=(
                        job.task.item,
                        configuration.params,
                        configuration.digest,
                        job.fitted,
                        job.task.repeat,
                    ),
                )
                future.add_done_callback(partial(_put, outbox, job))
                in_flight += 1
                if in_flight >= 2 * project.settings.run.workers:
                    yield next_outcome()
                    in_flight -= 1
            while in_flight:
                yield next_outcome()
                in_flight -= 1
        except BaseException:
            pool.stop()  # type: ignore[no-untyped-call]
            raise
        pool.close()  # type: ignore[no-untyped-call]
        pool.join()


def _put(
    outbox: "queue.SimpleQueue[tuple[Job, Future[bytes]]]", job: Job, future: "Future[bytes]"
) -> None:
    outbox.put((job, future))


def _result_of(future: "Future[bytes]", limit: float) -> Result:
    try:
        result: Result = pickle.loads(future.result())
        return result
    except ProcessExpired as error:
        if limit and ended_by_watchdog(error.pid):
            return timed_out(limit, 1, limit)
        return Result(
            None,
            f"the process that computed it died (exit code {error.exitcode})",
            "WorkerDied",
            1,
            0.0,
            None,
        )
    except (FutureTimeout, HarnessError):
        raise
    except Exception as error:  # what was sent does not load here
        return _broken(error)


def _broken(error: BaseException) -> Result:
    return Result(None, words_of(error), type(error).__name__, 1, 0.0, None, permanent=True)
