"""Models fitted once per params and fold, kept as xetrack assets and shared by all workers.

Processes share a model through a file next to the cache; the asset is the record. The file is the
asset, to the byte, and is written anew from it wherever it differs.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle

from harness.errors import HarnessError
from harness.project.contract import Project
from harness.project.folds import Folds, part_of, read_folds, training_items
from harness.project.grid import Configuration
from harness.project.inputs import noted
from harness.project.tasks import Task
from harness.project.values import Params, Row
from harness.project.watch import Watch
from harness.record.pickles import NotPlain, Trusted, plain_load, untrusted
from harness.record.store import Store
from harness.run.executors import process_pool
from harness.run.model_file import ModelFile


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted model: its file and asset hash, or why it could not be fitted."""

    file: ModelFile | None
    asset: str | None
    error: str = ""
    error_type: str = ""


@dataclass(slots=True)
class Fits:
    """Fits what a configuration needs when its first missing datapoint comes up.

    `call` runs a function of the store in the writer's thread. A model that was fitted after a file
    in `watch` was written is not kept, since other code may have fitted it; `reads` collects what
    fit read, by configuration.
    """

    project: Project
    watch: Watch
    folder: Path
    call: Callable[[Callable[[Store], Any]], Any]
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

    def _fit_all(self, configuration: Configuration) -> None:
        named = self.folds(configuration).named
        missing: dict[bytes, Path] = {}
        for part in named:
            name = _name(configuration, part)
            path = self.folder / f"{name}.pkl"
            kept = self.call(partial(_kept, name))
            if kept is None:
                missing[part] = path
                continue
            asset, content = kept
            self._refuse_untrusted(asset, content)
            self._known[configuration.digest, part] = Fitted(_file_of(path, content), asset)
        jobs = [(configuration.params, *named[part], path) for part, path in missing.items()]
        for (part, path), fitted in zip(missing.items(), self._run(jobs), strict=True):
            self.reads.setdefault(configuration.digest, set()).update(fitted.reads)
            self._known[configuration.digest, part] = self._taken(configuration, part, path, fitted)

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
        asset = self.call(partial(_keep, _name(configuration, fold), own))
        return Fitted(ModelFile.written(path, own), asset)

    def _refuse_untrusted(self, asset: str, content: bytes) -> None:
        """Raise HarnessError where a model would be loaded that this checkout did not fit."""
        try:
            plain_load(content)
        except NotPlain as found:
            if not Trusted(self.project.root).has(content):
                raise untrusted(f"the fitted model {asset}", str(found)) from None

    def _run(self, jobs: list[tuple[Params, int, object, Path]]) -> Iterator["_Fit"]:
        run = self.project.settings.run
        if run.executor == "processes" and len(jobs) > 1:
            with process_pool(self.project) as pool:
                sent = [pool.schedule(_fit_in_process, args=job) for job in jobs]
                yield from (_outcome_of(future.result) for future in sent)
            return
        workers = run.workers if run.executor == "threads" else 1
        with ThreadPoolExecutor(workers) as threads:
            futures = [threads.submit(_fit, self.project, *job) for job in jobs]
            yield from (_outcome_of(future.result) for future in futures)


@dataclass(frozen=True, slots=True)
class _Fit:
    """The outcome of one fit: the temporary file of the model, or why there is none."""

    part: Path | None
    error: str = ""
    error_type: str = ""
    reads: frozenset[str] = frozenset()


def _name(configuration: Configuration, fold: bytes) -> str:
    content = configuration.context.prefix + configuration.digest + fold
    return f"fit_{hashlib.sha256(content).hexdigest()[:24]}"


def _kept(name: str, store: Store) -> tuple[str, bytes] | None:
    return store.asset(name)


def _keep(name: str, content: bytes, store: Store) -> str:
    return store.keep_asset(name, content)


def _file_of(path: Path, content: bytes) -> ModelFile:
    file = ModelFile(path, hashlib.sha256(content).hexdigest())
    if path.is_file() and path.read_bytes() == content:
        return file
    return ModelFile.written(path, content)


def _fit(project: Project, params: Params, repeat: int, fold: object, path: Path) -> _Fit:
    assert project.fit is not None
    error = None
    part = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")
    given: list[object] = [params, fold]
    if project.fit_takes_train:
        given.append(training_items(project.items(params), repeat, fold))
    with noted() as reads:
        try:
            _write_part(part, project.fit(*given))
        except Exception as raised:
            error = raised
    if error is not None:
        return _Fit(None, str(error), type(error).__name__, frozenset(reads))
    return _Fit(part, reads=frozenset(reads))


def _fit_in_process(params: Params, repeat: int, fold: object, path: Path) -> _Fit:
    from harness.run import executors

    assert executors._worker is not None
    return _fit(executors._worker.project, params, repeat, fold, path)


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


def _outcome_of(result: Callable[[], _Fit]) -> _Fit:
    try:
        return result()
    except Exception as error:  # the process that fitted it died
        return _Fit(None, str(error), type(error).__name__)
