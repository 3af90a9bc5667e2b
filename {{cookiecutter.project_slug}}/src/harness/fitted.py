"""Models fitted once per params and fold, kept as xetrack assets and shared by all workers.

The file beside the cache is how a model travels between processes; the asset is the record.
"""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import orjson

from harness.executors import process_pool
from harness.plan import Configuration, Task
from harness.project import Project
from harness.store import Store


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted model: its file and asset hash, or why it could not be fitted."""

    path: Path | None
    asset: str | None
    error: str = ""
    error_type: str = ""


@dataclass(slots=True)
class Fits:
    """Fits what a configuration needs when its first missing datapoint comes up.

    `call` runs a function of the store in the writer's thread.
    """

    project: Project
    prefix: bytes
    folder: Path
    limit: int | None
    call: Callable[[Callable[[Store], Any]], Any]
    _known: dict[tuple[bytes, bytes], Fitted] = field(default_factory=dict)

    def for_task(self, task: Task) -> Fitted:
        """The model for a task's params and fold."""
        wanted = (task.configuration.digest, _fold(task.item))
        if wanted not in self._known:
            self._fit_all(task.configuration)
        return self._known[wanted]

    def _fit_all(self, configuration: Configuration) -> None:
        folds = {
            _fold(item): item.get("fold")
            for item in self.project.items(configuration.params, self.limit)
        }
        missing: dict[bytes, Path] = {}
        for fold in folds:
            name = self._name(configuration, fold)
            path = self.folder / f"{name}.pkl"
            kept = self.call(partial(_kept, name))
            if kept is None:
                missing[fold] = path
                continue
            if not path.exists():
                _write(path, kept[1])
            self._known[configuration.digest, fold] = Fitted(path, kept[0])
        jobs = [(configuration.params, folds[fold], path) for fold, path in missing.items()]
        for fold, path, error in zip(missing, missing.values(), self._run(jobs), strict=True):
            if error is None:
                name = self._name(configuration, fold)
                model = cloudpickle.loads(path.read_bytes())
                asset = self.call(partial(_keep, name, model))
                found = Fitted(path, asset)
            else:
                found = Fitted(None, None, f"fit failed: {error[1]}", error[0])
            self._known[configuration.digest, fold] = found

    def _run(self, jobs: list[tuple[Any, Any, Path]]) -> list[tuple[str, str] | None]:
        run = self.project.settings.run
        if run.executor == "processes" and len(jobs) > 1:
            with process_pool(self.project) as pool:
                sent = [pool.schedule(_fit_in_process, args=job) for job in jobs]
                return [_error_of(future.result) for future in sent]
        workers = run.workers if run.executor == "threads" else 1
        with ThreadPoolExecutor(workers) as threads:
            futures = [threads.submit(_fit, self.project, *job) for job in jobs]
            return [_error_of(future.result) for future in futures]

    def _name(self, configuration: Configuration, fold: bytes) -> str:
        digest = hashlib.sha256(self.prefix + configuration.digest + fold).hexdigest()
        return f"fit_{digest[:24]}"


def _kept(name: str, store: Store) -> tuple[str, Any] | None:
    return store.asset(name)


def _keep(name: str, model: Any, store: Store) -> str:
    return store.keep_asset(name, model)


def _fold(item: dict[str, Any]) -> bytes:
    return orjson.dumps(item.get("fold"))


def _fit(project: Project, params: Any, fold: Any, path: Path) -> None:
    assert project.fit is not None
    _write(path, project.fit(params, fold))


def _fit_in_process(params: Any, fold: Any, path: Path) -> None:
    from harness import executors

    assert executors._worker is not None
    _fit(executors._worker.project, params, fold, path)


def _write(path: Path, model: Any) -> None:
    """Whole or not at all: a kill must not leave half a model under a good name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(_pickled(model))
    part.replace(path)


def _pickled(model: Any) -> bytes:
    try:
        return bytes(cloudpickle.dumps(model))
    except Exception as error:  # whatever a lock, a client or a generator may raise
        raise TypeError(
            f"what fit returned cannot be kept ({error}); make it in load(params) instead, "
            "which each worker calls for itself"
        ) from error


def _error_of(result: Callable[[], None]) -> tuple[str, str] | None:
    try:
        result()
    except Exception as error:
        return type(error).__name__, str(error)
    return None
