"""Datapoints computed in processes of this machine."""

import pickle
import queue
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path

from harness.errors import HarnessError
from harness.project.contract import Item, Project
from harness.project.values import Params
from harness.run.attempt import Result
from harness.run.batches import Sizes, groups
from harness.run.job import Job, Outcome, broken
from harness.run.pool import Ended, Pool, ProcessExpired
from harness.run.worker_process import packed, worker_of_process


def compute_in_process(
    items: list[Item], params: Params, digest: bytes, fitted: Path | None, repeats: list[int]
) -> bytes:
    """The packed results of several datapoints."""
    return packed(worker_of_process().run_all(items, params, digest, fitted, repeats))


def processes(project: Project, jobs: Iterator[Job]) -> Iterator[Outcome]:
    """Outcomes of `jobs`, from as many processes as [run] workers says."""
    with Pool(project) as pool:
        yield from _Flow(project, pool).outcomes(jobs)


class _Flow:
    """Keeps a bounded number of groups in flight."""

    def __init__(self, project: Project, pool: Pool) -> None:
        self._pool = pool
        self._seconds = project.settings.run.timeout_seconds
        self._most = 2 * project.settings.run.workers
        self._sizes = Sizes(project)
        self._ended: queue.SimpleQueue[tuple[list[Job], Future[bytes]]] = queue.SimpleQueue()
        self._in_flight = 0

    def outcomes(self, jobs: Iterator[Job]) -> Iterator[Outcome]:
        for group in groups(jobs, self._sizes):
            self._send(group)
            while self._in_flight >= self._most:
                yield from self._next()
        while self._in_flight:
            yield from self._next()

    def _send(self, group: list[Job]) -> None:
        first = group[0]
        configuration = first.task.configuration
        future = self._pool.schedule(
            compute_in_process,
            [job.task.item for job in group],
            configuration.params,
            configuration.digest,
            first.fitted,
            [job.task.repeat for job in group],
        )
        future.add_done_callback(partial(_put, self._ended.put, group))
        self._in_flight += 1

    def _next(self) -> list[Outcome]:
        group, future = self._ended.get()
        self._in_flight -= 1
        results = self._results_of(future)
        if isinstance(results, list):
            self._sizes.report(results)
            return [Outcome(job, result) for job, result in zip(group, results, strict=True)]
        if len(group) == 1:
            return [Outcome(group[0], results)]
        # One of them ended the process; each alone, only that one does.
        self._sizes.failed(len(group))
        for job in group:
            self._send([job])
        return []

    def _results_of(self, future: "Future[bytes]") -> list[Result] | Result:
        """The results of a group, or one that says why there are none."""
        try:
            results: list[Result] = pickle.loads(future.result())
            return results
        except ProcessExpired as error:
            return Ended(self._pool.why_ended(error, self._seconds)).result(self._seconds)
        except HarnessError:
            raise
        except Exception as error:  # what was sent does not load here
            return broken(error)


def _put(
    put: Callable[[tuple[list[Job], "Future[bytes]"]], None],
    group: list[Job],
    future: "Future[bytes]",
) -> None:
    put((group, future))
