"""An async predict: many calls at once on one core, in one event loop.

The limits, retries and rows are those of threads. What blocks the loop (a sleep or a computation
without await) blocks every call in it, which is said once.
"""

import asyncio
import inspect
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from harness.console import err
from harness.errors import HarnessError, PredictionTimeout
from harness.project.contract import Item, Project
from harness.project.inputs import noted
from harness.project.values import Params, Row
from harness.run.attempt import Limiter, Result, Worker, attempt_number, checked, copied
from harness.run.job import Job, Outcome, broken
from harness.run.time_limit import too_long

_BLOCKED_SECONDS = 0.5
_KEPT = 16  # third arguments of predict


def check_async(project: Project) -> None:
    """Raise HarnessError where predict is no async function."""
    if not inspect.iscoroutinefunction(project.predict):
        raise HarnessError(
            'executor = "async" needs an async predict',
            fix="write `async def predict(...)` in src/benchmark/predict.py, "
            'or set [run] executor = "threads"',
        )


class AsyncWorker(Worker):
    """Computes datapoints one after another, in a task of the event loop that others share.

    All of them share the third argument of predict, as `shared` keeps it.
    """

    def __init__(
        self,
        project: Project,
        limiter: Limiter | None,
        shared: dict[tuple[bytes, Path | None], object],
    ) -> None:
        super().__init__(project, limiter)
        self._shared = shared

    def _resource(self, params: Params, digest: bytes, fitted: Path | None) -> object:
        wanted = (digest, fitted)
        if wanted not in self._shared:
            while len(self._shared) >= _KEPT:  # calls of the last configuration may still go on
                del self._shared[next(iter(self._shared))]
            self._resources_of = None
            self._shared[wanted] = super()._resource(params, digest, fitted)
        return self._shared[wanted]

    async def run_async(
        self, item: Item, params: Params, digest: bytes, fitted: Path | None, repeat: int
    ) -> Result:
        """As `run`; raises nothing except CancelledError where the loop is stopped."""
        self._begin(item, params, repeat)
        with noted() as reads:
            result = await self._run_async(item, params, digest, fitted)
        result.lost = self.lost
        result.calls = self._calls
        if reads:
            result.reads = frozenset(reads)
        return result

    async def _run_async(
        self, item: Item, params: Params, digest: bytes, fitted: Path | None
    ) -> Result:
        arguments = [item, params]
        self.attempts = 0
        start = time.perf_counter()
        try:
            if self.project.takes_resource:
                arguments.append(self._resource(params, digest, fitted))
            start = time.perf_counter()
            returned = await self._retried_async(arguments)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            if _is_cancelled():
                raise
            return self._failure(error, start)
        return self._success(returned, start)

    async def _retried_async(self, arguments: list[object]) -> Row:
        try:
            return await self._attempt_async(arguments)
        except Exception as error:
            if self._retry.attempts == 1 or self._backoff(error) is False:
                raise
            first: Exception | None = error
        async for attempt in self._tries():
            with attempt:
                if first is not None:  # the attempt made above is the first one of this loop
                    made, first = first, None
                    raise made
                return await self._attempt_async(arguments)
        raise AssertionError("unreachable: the last failed attempt raises")

    async def _attempt_async(self, arguments: list[object]) -> Row:
        item: Item = copied(arguments[0])
        input_id = str(item["id"])
        if self.limiter is not None:
            await self.limiter.acquire_async()
        self.attempts += 1
        attempt_number.set(self.attempts)
        self._latest = self._began = time.perf_counter()
        try:
            returned = await self._within_limit(
                self.project.predict(item, *arguments[1:], **self._named)
            )
            row = checked(returned, input_id)
        except BaseException as error:
            self._settle(error)
            raise
        self._settle(None)
        return row

    async def _within_limit(self, call: object) -> object:
        assert inspect.isawaitable(call)
        if not self._seconds:
            return await call
        task = asyncio.ensure_future(call)
        # Not asyncio.timeout: it would wait for a call that swallows its cancellation.
        done, _ = await asyncio.wait({task}, timeout=self._seconds)
        if done:
            return task.result()
        task.cancel()
        raise PredictionTimeout(too_long(self._seconds))


def _is_cancelled() -> bool:
    """Whether this task itself is being cancelled, and not only what it awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class _Loop(threading.Thread):
    """The thread of the event loop: as many calls at once as there are workers."""

    def __init__(self, project: Project, limiter: Limiter | None) -> None:
        # A daemon: a predict that blocks the loop must not keep the program alive.
        super().__init__(daemon=True)
        self._project = project
        self._limiter = limiter
        self._resources: dict[tuple[bytes, Path | None], object] = {}
        self._waiting: deque[Job] = deque()
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself holds them weakly
        self._busy = 0
        self._loop = asyncio.new_event_loop()
        self._blocked = False
        self.outbox: queue.SimpleQueue[Outcome] = queue.SimpleQueue()

    def run(self) -> None:
        asyncio.set_event_loop(self._loop)
        watcher = self._loop.create_task(self._watch())
        self._loop.run_forever()
        watcher.cancel()
        self._loop.run_until_complete(asyncio.gather(watcher, return_exceptions=True))

    def send(self, job: Job) -> None:
        self._waiting.append(job)
        self._loop.call_soon_threadsafe(self._employ)

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.join(1.0)  # no longer: a call may block the loop

    def _employ(self) -> None:
        """Let one more task take jobs, where fewer than [run] workers do."""
        if self._waiting and self._busy < self._project.settings.run.workers:
            self._busy += 1
            task = self._loop.create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        """Compute one job after another: no call waits for the driver to hand out the next one."""
        worker = AsyncWorker(self._project, self._limiter, self._resources)
        while self._waiting:
            await self._compute(worker, self._waiting.popleft())
        self._busy -= 1  # with no await in between: a job that comes now finds a place

    async def _compute(self, worker: AsyncWorker, job: Job) -> None:
        configuration = job.task.configuration
        try:
            result = await worker.run_async(
                job.task.item,
                configuration.params,
                configuration.digest,
                job.fitted,
                job.task.repeat,
            )
        except BaseException as error:
            result = broken(error)
        self.outbox.put(Outcome(job, result))

    async def _watch(self) -> None:
        """Say once where a call blocks the loop."""
        while not self._blocked:
            before = time.perf_counter()
            try:
                await asyncio.sleep(0.1)
            finally:  # also where the run ended meanwhile, and this task with it
                self._say_where_blocked(time.perf_counter() - before - 0.1)

    def _say_where_blocked(self, late: float) -> None:
        if late <= _BLOCKED_SECONDS:
            return
        self._blocked = True
        err.print(
            f"note: predict held the event loop for {late:.1f} s without an await; every "
            'other call waited. Await what takes long, or set [run] executor = "processes"',
            markup=False,
            soft_wrap=True,
        )


def in_event_loop(
    project: Project, jobs: Iterator[Job], limiter: Limiter | None
) -> Iterator[Outcome]:
    """Outcomes of `jobs`, of which [run] workers are awaited at once, and as many wait."""
    loop = _Loop(project, limiter)
    loop.start()
    in_flight = 0
    try:
        for job in jobs:
            loop.send(job)
            in_flight += 1
            if in_flight >= 2 * project.settings.run.workers:
                yield loop.outbox.get()
                in_flight -= 1
        while in_flight:
            yield loop.outbox.get()
            in_flight -= 1
    finally:
        loop.end()
