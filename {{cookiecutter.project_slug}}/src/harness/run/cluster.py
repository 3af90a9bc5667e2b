"""Datapoints computed on a Dask cluster, or on one that is started here for the run.

The driver stays the only writer. It sends the project's files once to each worker, tasks in chunks
of about a fifth of a second, and gets results as they end. What a worker lacks or has otherwise is
found there before anything is computed (see cluster_slot and cluster_process).
"""

import contextlib
import hashlib
import logging
import pickle
import platform
import queue
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import CancelledError
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle

from harness.console import err, shown
from harness.errors import HarnessError, MemoryLimit, PredictionTimeout, WorkerDied
from harness.project.contract import Project
from harness.project.inputs import brought_by_harness, paths_in
from harness.project.keys import file_digest
from harness.run.attempt import Result
from harness.run.batches import Sizes, groups
from harness.run.cluster_files import Bundle
from harness.run.job import Job, Outcome, broken
from harness.run.pool import MEGABYTE, Ended, died
from harness.run.time_limit import too_long

if TYPE_CHECKING:
    from distributed import Client, Future

_CHUNK_SECONDS = 0.2
_MOST_IN_CHUNK = 256
_CONNECT_SECONDS = 15.0
_LOOK_SECONDS = 1.0
_LOST = ("KilledWorker", "FutureCancelledError", "LostDependencyError")


class _Chunk:
    """Groups of jobs that one task of Dask computes."""

    def __init__(self, groups: list[list[Job]]) -> None:
        self.name = uuid.uuid4().hex
        self.groups = groups
        self.lost = 0  # workers that were lost while they computed it under earlier names

    def renamed(self, begun: int) -> None:
        """It comes back as it was: the worker that began it last has computed nothing."""
        self.lost += begun - 1
        self.name = uuid.uuid4().hex


class Cluster:
    """A connection to a cluster, on which `project` is ready to be computed."""

    def __init__(self, project: Project, bundle: Bundle) -> None:
        import distributed

        from harness.run import cluster_slot

        self._project = project
        self._run = project.settings.run
        self._name = f"bench-{uuid.uuid4().hex}"
        self._begun: Counter[str] = Counter()  # how often workers began each chunk
        self._refused: dict[str, str] = {}
        self._looked = 0.0
        self._workers: dict[str, int] = {}  # threads by address
        self._models: dict[str, Path] = {}  # fitted models by their place there
        cloudpickle.register_pickle_by_value(cluster_slot)
        self._compute = cluster_slot.task()
        self.client: Client = _connect(distributed, self._run.scheduler, self._run.workers)
        try:
            _wait_for_workers(self.client, self._run.scheduler)
            memory = self._run.memory_mb * MEGABYTE
            hello = pickle.dumps((_python(), bundle.hello(self._run.workers)))
            plugin = cluster_slot.Project(
                self._name, bundle.files, bundle.root, bundle.path, hello, memory
            )
            self.client.register_plugin(plugin)
            self.client.subscribe_topic(self._name, self._note_begin)
        except BaseException:
            self.client.close()
            raise
        err.print(
            f"cluster: {len(self._now())} workers at {self.client.scheduler.address}, "
            f"dashboard {self.client.dashboard_link}",
            markup=False,
            soft_wrap=True,
        )

    def close(self) -> None:
        """Leave the cluster as it was; end it where it was started here."""
        with contextlib.suppress(Exception):
            self.client.unregister_worker_plugin(self._name)
        cluster = self.client.cluster
        with contextlib.suppress(Exception):
            self.client.close()
        if cluster is not None:
            with contextlib.suppress(Exception):
                cluster.close()

    @property
    def slots(self) -> int:
        """How many chunks can be computed at once."""
        if self._project.settings.limits.requests_per_minute:
            return self._run.workers  # each paces its share of the rate
        return max(1, sum(self._now().values()))

    def send(self, chunk: _Chunk, files: dict[str, bytes] | None = None) -> "Future":
        """Compute a chunk on a worker that has not been refused."""
        messages = [pickle.dumps(self._message(group)) for group in chunk.groups]
        return self.submit(
            chunk.name, messages, [len(g) for g in chunk.groups], self._wanted(chunk), files
        )

    def submit(
        self,
        name: str,
        messages: list[bytes],
        sizes: list[int],
        wanted: dict[str, str],
        files: dict[str, bytes] | None,
    ) -> "Future":
        """Send messages to a worker that has not been refused; raises HarnessError without one."""
        fit = self._now()
        if not fit:
            raise self._nobody()
        return self.client.submit(
            self._compute,
            self._name,
            name,
            messages,
            sizes,
            wanted,
            files or {},
            pure=False,
            retries=0,
            workers=list(fit) if self._refused else None,
            resources=self._run.resources or None,
        )

    def refuse(self, address: str, why: str) -> None:
        """Send nothing more to a worker; said once."""
        if address not in self._refused:
            self._refused[address] = why
            err.print(f"note: worker {address} is refused: {shown(why, 500)}", soft_wrap=True)

    def begun(self, name: str) -> int:
        """How often workers began this chunk."""
        return max(1, self._begun[name])

    def forget(self, name: str) -> None:
        """A chunk is over."""
        self._begun.pop(name, None)

    def check(self) -> None:
        """Raise HarnessError where the scheduler or all workers are gone."""
        if self.client.status != "running":
            raise HarnessError(
                f"the scheduler at {self._run.scheduler or 'this machine'} is gone",
                fix="start it, then run the same command again: what is recorded stays",
                code=1,
            )

    def content(self, names: list[str]) -> dict[str, bytes]:
        """Files of the project that a worker misses."""
        root = self._project.root
        return {name: self._models.get(name, root / name).read_bytes() for name in names}

    def model(self, path: Path) -> str:
        """The place of a fitted model there; here its folder may be that of another checkout."""
        name = f".fitted/{path.name}"
        self._models[name] = path
        return name

    def relative(self, path: Path) -> str:
        """The place of a file from the benchmark's folder; raises HarnessError outside of it."""
        place = (self._project.root / path).resolve()
        if not place.is_relative_to(self._project.root):
            raise HarnessError(
                f"an item points to {path}, outside the repository: a cluster does not get it",
                fix="put the file below data/",
            )
        return place.relative_to(self._project.root).as_posix()

    def _message(self, group: list[Job]) -> tuple[Any, ...]:
        first = group[0]
        configuration = first.task.configuration
        model = None if first.fitted is None else self.model(first.fitted)
        items = [job.task.item for job in group]
        repeats = [job.task.repeat for job in group]
        return "predict", items, configuration.params, configuration.digest, model, repeats

    def _wanted(self, chunk: _Chunk) -> dict[str, str]:
        """SHA-256 of the files that a chunk needs, by place."""
        root = self._project.root
        wanted = {}
        for group in chunk.groups:
            for job in group:
                for name in paths_in(job.task.item, root):
                    place = self.relative(Path(name.partition(" ")[2]))
                    wanted[place] = file_digest(root / place)
            if (fitted := group[0].fitted) is not None:
                wanted[self.model(fitted)] = file_digest(fitted)
        return wanted

    def _now(self) -> dict[str, int]:
        """Threads by address of the workers that may compute, as they are about now."""
        now = time.monotonic()
        if not self._looked or now - self._looked > _LOOK_SECONDS:
            self._looked = now
            known = self.client.scheduler_info(n_workers=-1)["workers"]
            self._workers = {address: each["nthreads"] for address, each in known.items()}
        return {k: n for k, n in self._workers.items() if k not in self._refused}

    def _nobody(self) -> HarnessError:
        reasons = sorted(set(self._refused.values()))
        said = "; ".join(each[:300] for each in reasons) or "none is connected"
        return HarnessError(
            f"no worker of the cluster can compute this project: {said}",
            fix="install requirements.lock on the workers, with the same Python",
            code=1,
        )

    def _note_begin(self, event: tuple[float, str]) -> None:
        self._begun[event[1]] += 1


def _connect(distributed: Any, address: str, workers: int) -> "Client":
    """A client of the cluster at `address`, or of one that is started here."""
    # What Dask logs of a lost connection are pages; what it means for the run is said here.
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        if address:
            return distributed.Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
        local = distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs="ERROR",
        )
        return distributed.Client(local, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise HarnessError(
            f"the scheduler at {address or 'this machine'} cannot be reached: {error}",
            fix="start it (dask scheduler), or correct [run] scheduler",
        ) from None


def _wait_for_workers(client: "Client", address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=_CONNECT_SECONDS)
    except TimeoutError:
        raise HarnessError(
            f"the scheduler at {address} has no workers",
            fix=f"start some: dask worker {address}",
        ) from None


def _python() -> str:
    return ".".join(platform.python_version_tuple()[:2])


def check_cluster(project: Project) -> None:
    """Raise HarnessError where Dask is not installed."""
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise HarnessError(
            'executor = "dask" needs the package distributed',
            fix="add distributed to requirements-benchmark.in, then make lock setup",
        ) from None


_open: dict[Path, Cluster] = {}


def cluster_of(project: Project) -> Cluster:
    """The cluster of a run; the first call connects."""
    if project.root not in _open:
        import sys

        before = set(sys.modules)
        _open[project.root] = Cluster(project, Bundle.of(project))
        # Otherwise the first prediction would seem to have loaded Dask.
        brought_by_harness(set(sys.modules) - before)
    return _open[project.root]


def leave_cluster(project: Project) -> None:
    """The end of a run on a cluster."""
    if cluster := _open.pop(project.root, None):
        cluster.close()


def on_cluster(project: Project, jobs: Iterator[Job]) -> Iterator[Outcome]:
    """Outcomes of `jobs`, from a Dask cluster."""
    yield from _Flow(project, cluster_of(project)).outcomes(jobs)


class _Flow:
    """Keeps a bounded number of chunks in flight."""

    def __init__(self, project: Project, cluster: Cluster) -> None:
        self._cluster = cluster
        self._seconds = project.settings.run.timeout_seconds
        self._memory = project.settings.run.memory_mb
        self._batches = Sizes(project)
        self._ended: queue.SimpleQueue[tuple[_Chunk, Future]] = queue.SimpleQueue()
        self._in_flight = 0
        self._each = 0.0  # seconds of a group, about

    def outcomes(self, jobs: Iterator[Job]) -> Iterator[Outcome]:
        held: list[list[Job]] = []
        for group in groups(jobs, self._batches):
            held.append(group)
            if len(held) >= self._chunk_size():
                self._send(_Chunk(held))
                held = []
            while self._in_flight >= 2 * self._cluster.slots:
                yield from self._next()
        if held:
            self._send(_Chunk(held))
        while self._in_flight:
            yield from self._next()

    def _chunk_size(self) -> int:
        """Groups for about a fifth of a second: a task costs the scheduler over a millisecond."""
        if not self._each:
            return 1
        return max(1, min(_MOST_IN_CHUNK, int(_CHUNK_SECONDS / self._each)))

    def _send(self, chunk: _Chunk, files: dict[str, bytes] | None = None) -> None:
        future = self._cluster.send(chunk, files)
        self._in_flight += 1
        future.add_done_callback(partial(_put, self._ended, chunk))

    def _send_again(self, chunk: _Chunk, files: dict[str, bytes] | None = None) -> None:
        begun = self._cluster.begun(chunk.name)
        self._cluster.forget(chunk.name)
        chunk.renamed(begun)
        self._send(chunk, files)

    def _next(self) -> list[Outcome]:
        while True:
            try:
                chunk, future = self._ended.get(timeout=_LOOK_SECONDS)
                break
            except queue.Empty:
                self._cluster.check()
        self._in_flight -= 1
        try:
            kind, found, address = future.result()
        except (Exception, CancelledError) as error:
            self._cluster.check()
            return self._lost(chunk, error)
        if kind == "missing":
            self._send_again(chunk, self._cluster.content(found))
            return []
        if kind == "refused":
            self._cluster.refuse(address, found)
            self._send_again(chunk)
            return []
        return self._taken(chunk, found)

    def _taken(self, chunk: _Chunk, answers: list[tuple[int, Any]]) -> list[Outcome]:
        lost = chunk.lost + self._cluster.begun(chunk.name) - 1
        self._cluster.forget(chunk.name)
        taken = []
        for group, (_, answer) in zip(chunk.groups, answers, strict=True):
            if answer[0] == "ok":
                results = _unpacked(answer[1], len(group))
                self._batches.report(results)
                self._note_time(results)
            elif len(group) > 1:
                # One of them ended the process; each alone, only that one does.
                self._batches.failed(len(group))
                for job in group:
                    self._send(_Chunk([[job]]))
                continue
            else:
                results = [Ended(self._why(answer)).result(self._seconds)]
            for job, result in zip(group, results, strict=True):
                result.attempts += lost
                taken.append(Outcome(job, result))
        return taken

    def _note_time(self, results: list[Result]) -> None:
        seconds = sum(each.function_time for each in results)
        self._each = seconds if not self._each else 0.8 * self._each + 0.2 * seconds
        self._each = max(self._each, 1e-6)

    def _why(self, answer: tuple[Any, ...]) -> BaseException:
        _, code, why = answer
        if why == "time":
            return PredictionTimeout(too_long(self._seconds))
        if why == "memory":
            return MemoryLimit(f"took more than {self._memory} MB ([run] memory_mb)")
        return WorkerDied(died(code))

    def _lost(self, chunk: _Chunk, error: BaseException) -> list[Outcome]:
        """Workers were lost too often, or what was sent cannot be read there."""
        begun = chunk.lost + self._cluster.begun(chunk.name)
        self._cluster.forget(chunk.name)
        outcomes = []
        for group in chunk.groups:
            for job in group:
                result = broken(error)
                if type(error).__name__ in _LOST:
                    words = f"{begun} workers of the cluster were lost while they computed it"
                    result = Ended(WorkerDied(words)).result(self._seconds)
                result.attempts = begun
                outcomes.append(Outcome(job, result))
        return outcomes


def _put(
    ended: "queue.SimpleQueue[tuple[_Chunk, Future]]", chunk: _Chunk, future: "Future"
) -> None:
    ended.put((chunk, future))


def _unpacked(content: bytes, size: int) -> list[Result]:
    try:
        results: list[Result] = pickle.loads(content)
        return results
    except Exception as error:  # what was sent does not load here
        return [broken(error)] * size


def fit_on_cluster(project: Project, jobs: list[tuple[Any, int, object, Path]]) -> Iterator[Any]:
    """Each job (params, repeat, fold, path) of fits with its answer, as soon as there is one."""
    cluster = cluster_of(project)
    ended: queue.SimpleQueue[tuple[tuple[Any, int, object, Path], Future]] = queue.SimpleQueue()

    def send(job: tuple[Any, int, object, Path]) -> None:
        message = pickle.dumps(("fit", *job[:3]))
        name = hashlib.sha256(str(job[3]).encode()).hexdigest()
        future = cluster.submit(name, [message], [1], {}, None)
        future.add_done_callback(lambda done: ended.put((job, done)))

    for job in jobs:
        send(job)
    left = len(jobs)
    while left:
        try:
            job, future = ended.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            cluster.check()
            continue
        try:
            kind, found, address = future.result()
        except (Exception, CancelledError) as error:
            cluster.check()
            yield job, ("lost", error)
            left -= 1
            continue
        if kind == "refused":
            cluster.refuse(address, found)
            send(job)
            continue
        yield job, found[0][1]
        left -= 1
