"""Models fitted once per params and fold, kept as xetrack assets and shared by all workers.

Processes share a model through a file next to the cache; the asset is the record.
"""

import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import cloudpickle

from harness.console import err, shown
from harness.errors import HarnessError, MemoryLimit, PredictionTimeout, WorkerDied
from harness.project.contract import Project
from harness.project.folds import Folds, part_of, read_folds, training_items
from harness.project.grid import Configuration
from harness.project.inputs import noted
from harness.project.tasks import Task
from harness.project.values import Params, Row
from harness.project.watch import Watch
from harness.record.fitted_files import file_of, is_lost, read_file, write_model
from harness.record.pickles import NotPlain, Trusted, plain_load, untrusted
from harness.record.store import Store
from harness.run.attempt import words_of
from harness.run.cluster import fit_on_cluster
from harness.run.pool import Pool, ProcessExpired, died
from harness.run.time_limit import time_limit, too_long
from harness.run.worker_process import worker_of_process

_Job: TypeAlias = tuple[Params, int, object, Path]
_LONG_SECONDS = 2.0  # of fitting without a line, after which the next fit is shown


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted model: its file and asset hash, or why it could not be fitted."""

    path: Path | None
    asset: str | None
    error: str = ""
    error_type: str = ""
    seconds: float | None = None  # that fit took; None where that is not known


@dataclass(slots=True)
class Fits:
    """Fits what a configuration needs when its first missing datapoint comes up.

    `call` runs a function of the store in the writer's thread. `limit`: how many items a
    configuration runs, None for all; models that none of them needs are not fitted. `ahead`: the
    configurations after one that will need models too, so that no worker is idle. A model that was
    fitted after a file in `watch` was written is not kept, since other code may have fitted it;
    `reads` collects what fit read, by configuration.
    """

    project: Project
    watch: Watch
    folder: Path
    call: Callable[[Callable[[Store], Any]], Any]
    limit: int | None = None
    ahead: Callable[[Configuration], Iterator[Configuration]] = lambda _: iter(())
    reads: dict[bytes, set[str]] = field(default_factory=dict)
    _known: dict[tuple[bytes, bytes], Fitted] = field(default_factory=dict)
    _folds: dict[bytes, Folds] = field(default_factory=dict)

    def for_task(self, task: Task) -> Fitted:
        """The model for a task's params and fold.

        Raises HarnessError where code was written since the run began.
        """
        wanted = (task.configuration.digest, part_of(task.item, task.repeat))
        if wanted not in self._known:
            self._fit_all(task.configuration)
        return self._known[wanted]

    def columns(self, task: Task) -> Row:
        """What a task's row says of its model, see `Folds`."""
        return self.folds(task.configuration).columns(task)

    def folds(self, configuration: Configuration) -> Folds:
        """The folds of a configuration's items. Raises what `read_folds` does."""
        key = configuration.digest if self.project.items_by_params else b""
        if key not in self._folds:
            self._folds[key] = read_folds(self.project, configuration.params)
        return self._folds[key]

    def _needed(self, configuration: Configuration) -> dict[bytes, tuple[int, object]]:
        """The folds that the items of this run are in."""
        named = self.folds(configuration).named
        if self.limit is None:
            return named
        items = list(self.project.items(configuration.params, self.limit))
        repeats = range(self.project.settings.run.repeats)
        used = {part_of(item, repeat) for item in items for repeat in repeats}
        return {part: fold for part, fold in named.items() if part in used}

    def _fit_all(self, configuration: Configuration) -> None:
        """Fit what a configuration needs, and of those after it as much as there are workers."""
        jobs = self._missing(configuration)
        run = self.project.settings.run
        if jobs and run.executor in ("threads", "processes", "dask"):
            for other in self.ahead(configuration):
                if len(jobs) >= run.workers:
                    break
                jobs += self._missing(other)
        whose = {job[3]: (configuration, part) for configuration, part, job in jobs}
        shown_at = time.monotonic()
        # Each is kept as soon as it is there: a kill costs only those that are being fitted.
        every = self._run([job for _, _, job in jobs])
        for done, ((params, repeat, fold, path), fitted) in enumerate(every, start=1):
            owner, part = whose[path]
            self.reads.setdefault(owner.digest, set()).update(fitted.reads)
            self._known[owner.digest, part] = self._taken(owner, part, path, fitted)
            if time.monotonic() - shown_at > _LONG_SECONDS:
                shown_at = time.monotonic()
                again = f"repeat {repeat}, " if run.repeats > 1 else ""
                took = f"{fitted.seconds:.1f} s" if fitted.part else fitted.error_type
                err.print(
                    f"fit {done}/{len(jobs)}: {shown(params, 120)} "
                    f"{again}fold {shown(fold, 40)}, {took}",
                    markup=False,
                    soft_wrap=True,
                )

    def _missing(self, configuration: Configuration) -> list[tuple[Configuration, bytes, _Job]]:
        """The fits that a configuration lacks; models that are kept are made ready."""
        jobs: list[tuple[Configuration, bytes, _Job]] = []
        for part, named in self._needed(configuration).items():
            if (configuration.digest, part) in self._known:
                continue
            name = _name(configuration, part)
            path = self.folder / f"{name}.pkl"
            kept = self.call(partial(_kept, name))
            file = None if kept is None else file_of(kept[2], kept[1])
            if kept is None or (file is not None and is_lost(file)):
                jobs.append((configuration, part, (configuration.params, *named, path)))
                continue
            asset, content, _ = kept
            if file is not None:
                content = read_file(file)
            self._refuse_untrusted(asset, content)
            file = file or write_model(self.folder, content)
            self._known[configuration.digest, part] = Fitted(file, asset, seconds=_took(path))
        return jobs

    def _taken(
        self, configuration: Configuration, fold: bytes, path: Path, fitted: "_Fit"
    ) -> Fitted:
        """Keep a model, where it was fitted with the code that its key says."""
        if name := self.watch.written():
            if fitted.part:
                fitted.part.unlink(missing_ok=True)
            raise HarnessError(
                f"{name} was written while models were fitted; what was fitted is not kept",
                fix="check that file, then run the same command again",
                code=1,
            )
        if fitted.part is None:
            return Fitted(None, None, f"fit failed: {fitted.error}", fitted.error_type)
        own = fitted.part.read_bytes()
        fitted.part.unlink()
        # Before it is recorded: a kill in between would leave a model that nobody vouches for.
        Trusted(self.project.root).add([own])
        most = self.project.settings.store.model_kb * 1000
        kept = self.call(partial(_keep, _name(configuration, fold), own, most))
        asset, file = kept or (None, None)  # a spot check keeps none
        _seconds_file(path).write_text(repr(fitted.seconds))
        return Fitted(file or write_model(self.folder, own), asset, seconds=fitted.seconds)

    def _refuse_untrusted(self, asset: str, content: bytes) -> None:
        """Raise HarnessError where a model would be loaded that this checkout did not fit."""
        try:
            plain_load(content)
        except NotPlain as found:
            if not Trusted(self.project.root).has(content):
                raise untrusted(f"the fitted model {asset}", str(found)) from None

    def _run(self, jobs: list[_Job]) -> Iterator[tuple[_Job, "_Fit"]]:
        """Each job with its outcome as soon as there is one."""
        run = self.project.settings.run
        if run.executor == "processes" and jobs:
            with Pool(self.project) as pool:
                sent = {
                    pool.schedule(_fit_in_process, *job, seconds=run.fit_seconds): job
                    for job in jobs
                }
                for future in as_completed(sent):
                    yield sent[future], _outcome_of(future, pool, run.fit_seconds)
            return
        if run.executor == "dask" and jobs:
            for job, answer in fit_on_cluster(self.project, jobs):
                yield job, _arrived(job[3], answer, run.fit_seconds)
            return
        workers = run.workers if run.executor == "threads" else 1
        with ThreadPoolExecutor(workers) as threads:
            futures = {threads.submit(_fit, self.project, *job): job for job in jobs}
            for future in as_completed(futures):
                yield futures[future], future.result()


@dataclass(frozen=True, slots=True)
class _Fit:
    """The outcome of one fit: the temporary file of the model, or why there is none."""

    part: Path | None
    error: str = ""
    error_type: str = ""
    reads: frozenset[str] = frozenset()
    seconds: float = 0.0


def _seconds_file(path: Path) -> Path:
    return path.with_suffix(".seconds")


def _took(path: Path) -> float | None:
    """How long a kept model's fit took, where that is still known."""
    try:
        return float(_seconds_file(path).read_text())
    except (OSError, ValueError):
        return None


def _name(configuration: Configuration, fold: bytes) -> str:
    content = configuration.prefix + configuration.digest + fold
    return f"fit_{hashlib.sha256(content).hexdigest()[:24]}"


def _kept(name: str, store: Store) -> tuple[str, bytes, Path] | None:
    return store.model(name)


def _keep(name: str, content: bytes, most: int, store: Store) -> tuple[str, Path | None]:
    return store.keep_model(name, content, most)


def _fit(project: Project, params: Params, repeat: int, fold: object, path: Path) -> _Fit:
    assert project.fit is not None
    error = None
    part = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")
    given: list[object] = [params, fold]
    if project.fit_takes_train:
        given.append(training_items(project.items(params), repeat, fold))
    begun = time.perf_counter()
    with noted() as reads:
        try:
            model = project.fit(*given)
            seconds = time.perf_counter() - begun
            _write_part(part, model)
        except Exception as raised:
            error = raised
    if error is not None:
        return _Fit(None, words_of(error), type(error).__name__, frozenset(reads))
    return _Fit(part, reads=frozenset(reads), seconds=seconds)


def _fit_in_process(params: Params, repeat: int, fold: object, path: Path) -> _Fit:
    return _fit(worker_of_process().project, params, repeat, fold, path)


def fit_in_place(
    project: Project, params: Params, repeat: int, fold: object
) -> tuple["_Fit", bytes]:
    """Fit on a cluster's worker; the outcome, and the model as it is sent to the driver."""
    seconds = project.settings.run.fit_seconds
    with tempfile.TemporaryDirectory() as folder:
        try:
            with time_limit(seconds, True, "fit_seconds"):
                fitted = _fit(project, params, repeat, fold, Path(folder) / "model.pkl")
        except PredictionTimeout as error:
            return _Fit(None, str(error), "FitTimeout"), b""
        return fitted, fitted.part.read_bytes() if fitted.part else b""


def _arrived(path: Path, answer: tuple[Any, ...], seconds: float) -> "_Fit":
    """The outcome of a fit that ran on a cluster, its model in a temporary file here."""
    if answer[0] == "fitted":
        fitted: _Fit = answer[1]
        if fitted.part is None:
            return fitted
        part = path.with_suffix(f".{os.getpid()}.part")
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(answer[2])
        return replace(fitted, part=part)
    if answer[0] == "lost":
        return _Fit(None, words_of(answer[1]), WorkerDied.__name__)
    _, code, why = answer
    if why == "time":
        return _Fit(None, too_long(seconds, "fit_seconds"), "FitTimeout")
    error = MemoryLimit.__name__ if why == "memory" else WorkerDied.__name__
    return _Fit(None, died(code), error)


def _write_part(part: Path, model: object) -> None:
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(_pickled(model))


def _pickled(model: object) -> bytes:
    try:
        return bytes(cloudpickle.dumps(model))
    except Exception as error:  # whatever a lock, a client or a generator may raise
        raise TypeError(
            f"what fit returned cannot be kept ({error}); make it in load(params) instead, "
            "which each worker calls for itself"
        ) from error


def _outcome_of(future: "Future[_Fit]", pool: Pool, seconds: float) -> _Fit:
    try:
        return future.result()
    except FutureTimeout:
        return _Fit(None, too_long(seconds, "fit_seconds"), "FitTimeout")
    except ProcessExpired as expired:
        error = pool.why_ended(expired, 0)
        return _Fit(None, str(error), type(error).__name__)
    except HarnessError:  # no process, or none that can open the project: no fit is to blame
        raise
    except Exception as error:  # what was sent does not load here
        return _Fit(None, words_of(error), type(error).__name__)
