"""A run: stream the tasks, reuse what is known, execute the rest, record every outcome.

The same call resumes: tasks that have a good row are left alone, failed ones are tried again.
"""

import contextlib
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.budget import Budget
from harness.cache import ResultCache
from harness.clock import now
from harness.console import err
from harness.errors import HarnessError
from harness.executors import execute
from harness.fitted import Fits
from harness.job import Job, Outcome
from harness.keys import Context
from harness.layout import DEV, Place, place_for
from harness.limits import shared_limiter
from harness.lock import one_run
from harness.plan import Census, Task, column_types, grid_files, tasks, touched
from harness.progress import RunProgress
from harness.project import Project
from harness.recorder import Counts, Recorder
from harness.rows import Rows
from harness.runs import new_track_id
from harness.store import Store

_LOOKED_UP_AT_ONCE = 256
# How long a busy predict may keep the recorder waiting for the interpreter, in seconds; Python's
# own 5 ms at every statement would make the recorder miss its 50 ms.
_SWITCH_SECONDS = 0.0005


@dataclass(slots=True)
class RunReport:
    """How a run went. `done_before` rows were there when it began; `ended_how` as in `runs`."""

    track_id: str
    place: Place
    planned: int
    done_before: int
    counts: Counts
    ended_how: str = "finished"
    reason: str = ""
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Every task has a row, good or failed."""
        return self.done_before + self.counts.total == self.planned


def run(
    project: Project,
    experiment: str,
    context: Context,
    census: Census,
    provenance: dict[str, Any],
    limit: int | None = None,
) -> RunReport:
    """Execute what is missing of `experiment` and return how it went.

    `provenance` fills the run's row. Raises HarnessError where another run is at work on the same
    database, where the experiment was begun with other code, and where nothing can be written.
    """
    settings = project.settings
    place = place_for(project.root, settings, experiment)
    track_id = new_track_id()
    with one_run(place, track_id, experiment):
        cache = ResultCache(place.cache) if settings.run.cache else None
        recorder = Recorder(
            lambda: Store(
                place, settings.store.engine, track_id, experiment, column_types(project)
            ),
            cache,
        )
        recorder.start()
        before = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_SECONDS)
        try:
            rows = Rows(track_id, experiment, context.code.key)
            return _Run(project, context, census, place, rows, recorder, cache).go(
                provenance, limit
            )
        finally:
            sys.setswitchinterval(before)
            if recorder.is_alive():
                with contextlib.suppress(HarnessError):
                    recorder.close()
            if cache is not None:
                cache.close()


@dataclass(slots=True)
class _Run:
    project: Project
    context: Context
    census: Census
    place: Place
    rows: Rows
    recorder: Recorder
    cache: ResultCache | None
    stop: str = ""
    reason: str = ""
    permanent: int = 0
    failures: int = 0
    done: Any = None
    fits: Fits | None = None
    budget: Budget | None = None
    broken: Exception | None = None

    def go(self, provenance: dict[str, Any], limit: int | None) -> RunReport:
        settings, call = self.project.settings, self.recorder.call
        experiment, track_id = self.rows.experiment, self.rows.track_id
        other = call(lambda store: store.code_keys()) - {self.rows.code_key}
        if other and experiment != DEV:
            raise HarnessError(
                f"{experiment} was begun with other code than this; mixing them would make "
                "its numbers meaningless",
                fix=f"go back to that code, or drop the rows: make discard TAG={experiment}",
            )
        if experiment != DEV:
            self._refuse_other_files(experiment)
        self.done, failed = call(lambda store: store.recorded())
        if settings.run.failures_are_results:
            keys = np.array([bytes.fromhex(key) for key in failed], dtype="S32")
            self.done, failed = np.sort(np.concatenate([self.done, keys])), []
        if experiment != DEV:
            self.rows.own_runs |= call(lambda store: store.track_ids())
        self.recorder.replaces(failed)
        row = {
            **provenance,
            "track_id": track_id,
            "timestamp": call(lambda store: store.stamp(track_id)),
            "experiment_version": experiment,
            "items": self.census.items,
            "planned": self.census.tasks,
            "started": now(),
            "ended": None,
            "ended_how": None,
        }
        call(lambda store: store.put_run(row))
        if self.project.fit is not None:
            folder = self.place.cache / "fitted"
            self.fits = Fits(self.project, self.context.prefix, folder, None, call)
        spent = call(lambda store: store.spent()) if settings.limits.max_cost_usd else 0.0
        self.budget = Budget(settings.limits.max_cost_usd, spent)
        report = RunReport(track_id, self.place, self.census.tasks, 0, self.recorder.counts)
        begin = time.monotonic()
        with (
            _graceful(self._ask_to_stop),
            RunProgress(experiment, self.census.tasks, 0) as progress,
        ):
            report.done_before = self._loop(limit, progress)
        report.ended_how, report.reason = self.stop or "finished", self.reason
        report.seconds = time.monotonic() - begin
        counts = self.recorder.counts
        row |= {"ended": now(), "ended_how": report.ended_how}
        call(lambda _: None)  # everything handed over before this has been written
        row |= {"executed": counts.executed, "cached": counts.cached, "failed": counts.failed}
        call(lambda store: store.put_run(row))
        self.recorder.close()
        if self.broken is not None:
            raise self.broken
        if self.cache is not None and self.cache.corrupt:
            report.notes.append(
                f"{self.cache.corrupt} cache entries could not be read and were computed again"
            )
        if self.cache is not None and self.cache.unkept:
            report.notes.append(f"{self.cache.unkept} results cannot be cached (no pickle of them)")
        if self.cache is not None and self.cache.moved_to is not None:
            report.notes.append(
                f"the cache was damaged; it was moved to {self.cache.moved_to.name} and begun anew"
            )
        return report

    def _refuse_other_files(self, experiment: str) -> None:
        files = grid_files(self.project)
        for before in self.recorder.call(lambda store: store.grid_files()):
            if changed := [n for n in files if before.get(n, files[n]) != files[n]]:
                raise HarnessError(
                    f"{experiment} was begun with another {', '.join(changed)}; mixing them would "
                    "make its numbers meaningless",
                    fix=f"put it back, or drop the rows: make discard TAG={experiment}",
                )

    def _loop(self, limit: int | None, progress: RunProgress) -> int:
        skipped = [0]
        jobs = self._until_broken(self._jobs(limit, skipped, progress))
        if self.project.settings.run.executor == "processes":
            # Here rather than in each process, where nobody would read what is wrong.
            shared_limiter(self.project.settings, self.project.settings.run.workers)
        limiter = shared_limiter(self.project.settings)
        for outcome in execute(self.project, jobs, limiter, lambda: bool(self.stop)):
            self._record(outcome)
            progress.before = skipped[0]
            progress.show(self.recorder.counts)
        progress.before = skipped[0]
        self.recorder.call(lambda _: None)
        self._mind_limits()
        progress.show(self.recorder.counts, at_once=True)
        return skipped[0]

    def _until_broken(self, jobs: Iterator[Job]) -> Iterator[Job]:
        """The jobs until making one fails; what is in flight then was paid for and gets its row."""
        try:
            yield from jobs
        except Exception as error:
            self.broken = error
            self._stop("error", str(error))

    def _jobs(self, limit: int | None, skipped: list[int], progress: RunProgress) -> Iterator[Job]:
        """What has to be executed; what is recorded or cached never gets here."""
        for task, known in self._looked_up(tasks(self.project, self.context, limit), skipped):
            if self.stop:
                return
            if known is not None:
                self.recorder.put(self.rows.reused(task, *known))
                self._mind_limits()
                progress.before = skipped[0]
                progress.show(self.recorder.counts)
                continue
            job = Job(task, estimate=self._estimate(task))
            if self.fits is not None:
                fitted = self.fits.for_task(task)
                if fitted.path is None:
                    self.recorder.put(self.rows.unfitted(task, fitted.error, fitted.error_type))
                    self._mind_errors(permanent=True)
                    continue
                job = Job(task, fitted.path, fitted.asset, job.estimate)
            if self.budget is not None and not self.budget.admit(job.estimate):
                self._stop("budget", self.budget.message)
                return
            yield job

    def _looked_up(
        self, stream: Iterator[Task], skipped: list[int]
    ) -> Iterator[tuple[Task, tuple[dict[str, Any], str] | None]]:
        """Tasks without a good row, each with what the cache knows of it."""
        while chunk := list(itertools.islice(stream, _LOOKED_UP_AT_ONCE)):
            missing = [task for task in chunk if not self._is_done(task.key)]
            skipped[0] += len(chunk) - len(missing)
            known = {}
            if self.cache is not None and missing:
                known = self.cache.get_many([task.key for task in missing])
            for task in missing:
                yield task, known.get(task.key)

    def _estimate(self, task: Task) -> float | None:
        if self.project.estimate is None:
            return None
        return self.project.estimate(task.item, task.configuration.params)

    def _is_done(self, key: str) -> bool:
        if not len(self.done):
            return False
        wanted = np.array([bytes.fromhex(key)], dtype="S32")
        index = int(np.searchsorted(self.done, wanted)[0])
        return index < len(self.done) and bool(self.done[index] == wanted[0])

    def _record(self, outcome: Outcome) -> None:
        if name := touched(outcome.job.task, self.project.root):
            # What predict saw is not what the key says, or may not be.
            self.broken = HarnessError(
                f"{name} was written while the run went on; what was computed since is not kept",
                fix="see that it is as it should be, then run the same command again",
                code=1,
            )
            return self._stop("error", self.broken.message)
        row, keep = self.rows.executed(outcome)
        self.recorder.put(row, keep)
        self._mind_limits()
        result = outcome.result
        if self.budget is not None:
            self.budget.spent(outcome.job.estimate, (result.result or {}).get("cost"))
        if result.error_type is not None:
            self._mind_errors(result.permanent)

    def _mind_errors(self, permanent: bool) -> None:
        self.permanent += permanent
        self.failures += 1
        self._mind_limits()

    def _mind_limits(self) -> None:
        """Stop where too much has failed; what the recorder could not keep failed for good."""
        run, unfit = self.project.settings.run, self.recorder.counts.unfit
        failed, permanent = self.failures + unfit, self.permanent + unfit
        if failed and run.on_error == "stop":
            self._stop("failed-limit", 'a datapoint failed and [run] on_error is "stop"')
        elif permanent >= run.max_permanent_errors:
            self._stop(
                "failed-limit",
                f"{permanent} errors that no repetition can mend ([run] max_permanent_errors)",
            )
        elif run.max_errors and failed >= run.max_errors:
            self._stop("failed-limit", f"{failed} datapoints failed ([run] max_errors)")

    def _stop(self, how: str, reason: str) -> None:
        if not self.stop:
            self.stop, self.reason = how, reason

    def _ask_to_stop(self) -> None:
        self._stop("stopped", "stopped by hand")
        err.print("stopping after what is in flight; once more stops at once", markup=False)


@contextlib.contextmanager
def _graceful(ask: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM lets what is in flight finish; the second one ends at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked, own = False, os.getpid()

    def handle(signum: int, frame: object) -> None:
        nonlocal asked
        if os.getpid() != own:
            # A process that predict forked has inherited this; multiprocessing ends its own so.
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        if asked:
            raise KeyboardInterrupt
        asked = True
        ask()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
