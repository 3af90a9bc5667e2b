"""Where datapoints are computed: in this thread, in threads, in an event loop, in processes,
on a cluster, or as a kind says.

Each executor is a generator: it takes tasks as they come, keeps a bounded number in flight, and
yields an Outcome as soon as there is one. None of them writes. A kind may bring more (`Executor` of
project.kind); where it runs predict, `compute` does that with a `Worker`. What only one of them
needs is loaded for that one: processes and clusters take as long as all the rest of a small run.
"""

import queue
import threading
from collections.abc import Callable, Iterator

from harness.project.contract import Project
from harness.project.inputs import one_worker
from harness.project.kind import resolve
from harness.run.attempt import Limiter, Worker
from harness.run.batches import Sizes, groups
from harness.run.job import Job, Outcome, broken

_POLL_SECONDS = 0.05


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
        return _threads(project, jobs, limiter, stopped)
    if name == "async":
        from harness.run.asynchronous import in_event_loop

        return in_event_loop(project, jobs, limiter)
    if name == "processes":
        from harness.run.processes import processes

        return processes(project, jobs)
    if name == "dask":
        from harness.run.cluster import on_cluster

        return on_cluster(project, jobs)
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


def compute_all(worker: Worker, group: list[Job]) -> list[Outcome]:
    """Run predict, or predict_batch, for jobs of one configuration in this thread."""
    first = group[0]
    configuration = first.task.configuration
    items = [job.task.item for job in group]
    repeats = [job.task.repeat for job in group]
    results = worker.run_all(
        items, configuration.params, configuration.digest, first.fitted, repeats
    )
    return [Outcome(job, result) for job, result in zip(group, results, strict=True)]


def _serial(worker: Worker, jobs: Iterator[Job]) -> Iterator[Outcome]:
    one_worker()
    if worker.project.predict_batch is None:
        for job in jobs:
            yield compute(worker, job)
        return
    sizes = Sizes(worker.project)
    for group in groups(jobs, sizes):
        outcomes = compute_all(worker, group)
        sizes.report([each.result for each in outcomes])
        yield from outcomes


class _Thread(threading.Thread):
    """A worker thread. A daemon: a predict that hangs must not keep the program alive."""

    def __init__(
        self,
        worker: Worker,
        inbox: "queue.SimpleQueue[list[Job] | None]",
        outbox: "queue.SimpleQueue[list[Outcome]]",
        stopped: Callable[[], bool],
        dropped: list[int],
    ) -> None:
        super().__init__(daemon=True)
        self.worker = worker
        self.inbox = inbox
        self.outbox = outbox
        self.stopped = stopped
        self.dropped = dropped
        self.group: list[Job] = []

    def run(self) -> None:
        while (group := self.inbox.get()) is not None:
            if self.stopped():
                # What waits behind a slow server could keep a stopped run going for minutes.
                self.dropped.append(len(group))
                self.outbox.put([])
                continue
            self.group = group
            try:
                outcomes = compute_all(self.worker, group)
            except BaseException as error:  # a thread that ended here would hang the whole run
                outcomes = [Outcome(job, broken(error)) for job in group]
            if self.worker.abandoned:
                return
            self.outbox.put(outcomes)


def _threads(
    project: Project,
    jobs: Iterator[Job],
    limiter: Limiter | None,
    stopped: Callable[[], bool],
) -> Iterator[Outcome]:
    """Threads share a queue; one that overruns the time limit is left behind and replaced."""
    limit = project.settings.run.timeout_seconds
    workers = project.settings.run.workers
    inbox: queue.SimpleQueue[list[Job] | None] = queue.SimpleQueue()
    outbox: queue.SimpleQueue[list[Outcome]] = queue.SimpleQueue()
    sizes = Sizes(project)
    dropped: list[int] = []

    def started() -> _Thread:
        thread = _Thread(Worker(project, limiter), inbox, outbox, stopped, dropped)
        thread.start()
        return thread

    threads = [started() for _ in range(workers)]

    def next_outcomes() -> list[Outcome]:
        while True:
            try:
                outcomes = outbox.get(timeout=_POLL_SECONDS if limit else None)
                sizes.report([each.result for each in outcomes])
                return outcomes
            except queue.Empty:
                for index, thread in enumerate(threads):
                    group = thread.group
                    result = thread.worker.abandon()
                    if not group or result is None:
                        continue
                    threads[index] = started()
                    if len(group) == 1:
                        return [Outcome(group[0], result)]
                    # One of them took too long; each alone, only that one does.
                    sizes.failed(len(group))
                    for job in group:
                        inbox.put([job])

    sent = got = 0
    try:
        for group in groups(jobs, sizes):
            inbox.put(group)
            sent += len(group)
            while sent - got - sum(dropped) >= 2 * workers * len(group):
                outcomes = next_outcomes()
                got += len(outcomes)
                yield from outcomes
        while sent - got - sum(dropped):
            outcomes = next_outcomes()
            got += len(outcomes)
            yield from outcomes
    finally:
        for _ in threads:
            inbox.put(None)
