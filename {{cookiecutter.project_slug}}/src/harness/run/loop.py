"""A run: stream the tasks, reuse what is known, execute the others, record every outcome.

The same call resumes: tasks that have a good row are skipped, failed ones are tried again.
"""

import contextlib
import itertools
import json
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.clock import now
from harness.console import err
from harness.errors import HarnessError
from harness.project.contract import Item, Project
from harness.project.grid import Configuration, Grid, column_types, resolve_grid
from harness.project.inputs import advice, unkeyed
from harness.project.keys import differences
from harness.project.tasks import Census, Task, cluster_of, tasks, touched
from harness.project.values import Row
from harness.record.cache import ResultCache
from harness.record.columns import CLUSTER, LOOK
from harness.record.known import Knowledge, Reading, reading_file
from harness.record.layout import DEV, Place, databases, place_for
from harness.record.recorded import Known
from harness.record.recorder import Counts, Recorder
from harness.record.runs import new_track_id
from harness.record.store import Store
from harness.run.budget import Budget
from harness.run.cluster import leave_cluster
from harness.run.executors import execute
from harness.run.fitted import Fits
from harness.run.interrupt import graceful
from harness.run.job import Job, Outcome
from harness.run.limits import shared_limiter
from harness.run.progress import RunProgress
from harness.run.rows import Rows
from harness.run.sampling import sampled
from harness.run.time_limit import unenforced

_LOOKED_UP_AT_ONCE = 256
# How long a busy predict may keep the recorder waiting for the interpreter, in seconds; Python's
# own 5 ms at every statement would make the recorder miss its 50 ms.
_SWITCH_SECONDS = 0.0005


@dataclass(slots=True)
class RunReport:
    """How a run went. `done_before` rows were there when it began; `ended_how` as in `runs`.

    `recorded` counts the rows of the experiment at its end; `unkeyed` is what predict read and no
    key holds.
    """

    track_id: str
    place: Place
    planned: int
    done_before: int
    counts: Counts
    recorded: int = 0
    unkeyed: set[str] = field(default_factory=set)
    ended_how: str = "finished"
    reason: str = ""
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Every task has a row, good or failed, and there is no other row."""
        return self.recorded == self.planned

    def how_to_go_on(self, again: str, committed: bool = True) -> str:
        """What to do after a stop; `again` goes on, in an experiment with what is `committed`."""
        goes_on = f"`{again}` goes on where it stopped"
        if self.ended_how == "stopped":
            return goes_on
        if self.ended_how != "budget":
            return f"fix the cause, then {goes_on}"
        commit = 'git commit -m "a larger budget" benchmark.toml ; ' if committed else ""
        return f"raise max_cost_usd in [limits] of benchmark.toml ; {commit}then {goes_on}"


def run(
    project: Project,
    experiment: str,
    grid: Grid,
    census: Census,
    provenance: Row,
    limit: int | None = None,
    place: Place | None = None,
    known: Sequence[Path] | None = None,
) -> RunReport:
    """Execute what is missing of `experiment` and return how it went.

    `provenance` fills the run's row; `place` is where rows go, if not where the settings say, and
    `known` are the databases whose results are reused, if not those of all experiments. The caller
    holds the lock of the folder. Raises HarnessError where the experiment was begun with
    other code or data, and where nothing can be written.
    """
    settings = project.settings
    place = place or place_for(project.root, settings, experiment)
    track_id = new_track_id()
    cache = ResultCache(place.cache) if settings.run.cache else None
    recorder = Recorder(
        lambda: Store(place, settings.store.engine, track_id, experiment, column_types(project)),
        cache,
        grid.watch(),
    )
    if cache is not None:
        cache.note_run(track_id)
    recorder.start()
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        rows = Rows(track_id, experiment)
        made = _Run(project, grid, census, place, rows, recorder, cache, others=known)
        return made.go(provenance, limit)
    finally:
        sys.setswitchinterval(before)
        leave_cluster(project)
        if recorder.is_alive():
            with contextlib.suppress(HarnessError):
                recorder.close()
        if cache is not None:
            cache.close()


@dataclass(slots=True)
class _Run:
    project: Project
    grid: Grid
    census: Census
    place: Place
    rows: Rows
    recorder: Recorder
    cache: ResultCache | None
    stop: str = ""
    reason: str = ""
    permanent: int = 0
    failures: int = 0
    done: npt.NDArray[np.bytes_] = field(default_factory=lambda: np.empty(0, "S32"))
    known: Knowledge | None = None
    fits: Fits | None = None
    budget: Budget | None = None
    refused: Job | None = None
    broken: Exception | None = None
    unkeyed: set[str] = field(default_factory=set)
    held: dict[bytes, set[str]] = field(default_factory=dict)
    others: Sequence[Path] | None = None
    phased: bool = False
    clusters: str = ""

    def go(self, provenance: Row, limit: int | None) -> RunReport:
        experiment = self.rows.experiment
        track_id = self.rows.track_id
        if experiment != DEV and not self.place.mixed:
            self._refuse_other_code(experiment)
            self._refuse_other_data(experiment)
        self._continue_from_earlier_runs(experiment)
        row = self._begin(provenance)
        self._make_ready(experiment, limit)
        report = RunReport(track_id, self.place, self.census.tasks, 0, self.recorder.counts)
        begin = time.monotonic()
        with (
            sampled(self.project.settings.run.sample) as sample,
            graceful(self._ask_to_stop),
            RunProgress(experiment, self.census.tasks, 0) as progress,
        ):
            report.done_before = self._loop(limit, progress)
        self._refuse_written()
        self._forget_if_changed(track_id)
        report.seconds = time.monotonic() - begin
        if sample is not None:
            row["sampled"] = json.dumps(sample.figures())
        try:
            self._end(row, report)
        except HarnessError:
            if self.broken is None:  # else that came first, and says what to do
                raise
        if self.broken is not None:
            raise self.broken
        report.notes += self._notes()
        # What is known of a million datapoints takes 40 MB, and who still has this run keeps it.
        self.done, self.known = np.empty(0, "S32"), None
        return report

    def _continue_from_earlier_runs(self, experiment: str) -> None:
        """What earlier runs of the experiment have done; what failed in them is tried again."""
        call = self.recorder.call
        self.done, failed = call(lambda store: store.recorded())
        final = failed if self.project.failures_are_results else self._accepted()
        if final:
            keys = np.array([bytes.fromhex(key) for key in final], dtype="S32")
            self.done = np.sort(np.concatenate([self.done, keys]))
            failed = sorted({*failed} - {*final})
        if experiment != DEV:
            self.rows.own_runs |= call(lambda store: store.track_ids())
        self.recorder.replaces(failed)

    def _accepted(self) -> list[str]:
        """What failed before an earlier look of the plan: that look was taken with it."""
        return self.recorder.call(lambda store: store.failed_before(self.census.until))

    def _begin(self, provenance: Row) -> Row:
        """Record that the run has begun; returns its row, which has no end yet."""
        call = self.recorder.call
        track_id = self.rows.track_id
        row = {
            **provenance,
            "track_id": track_id,
            "timestamp": call(lambda store: store.stamp(track_id)),
            "experiment_version": self.rows.experiment,
            "items": self.census.items,
            "planned": self.census.tasks,
            "started": now(),
            "ended": None,
            "ended_how": None,
        }
        call(lambda store: store.put_run(row))
        return row

    def _make_ready(self, experiment: str, limit: int | None) -> None:
        """Set up what the tasks need: known results, fitted models and the budget."""
        call = self.recorder.call
        most = self.project.settings.limits.max_cost_usd
        self.known = self._knowledge(experiment)
        left = self.census.tasks - len(self.done)
        call(lambda store: store.expect(left))
        if self.cache is not None:
            self.cache.expect(left)
        if self.project.fit is not None:
            folder = self.place.cache / "fitted"
            watch, ahead = self.grid.watch(), partial(self._to_be_fitted, limit)
            self.fits = Fits(self.project, watch, folder, call, limit, ahead)
        settings = self.project.settings
        self.phased = self.project.kind.in_phases(settings.run.executor)
        self.clusters = settings.data.cluster
        self.rows.designed = self._designed
        self.budget = Budget(most, call(lambda store: store.spent()) if most else 0.0)
        for configuration in self.grid.configurations:
            self._note_reads(self.project.reads, {}, configuration)

    def _to_be_fitted(self, limit: int | None, after: Configuration) -> Iterator[Configuration]:
        """The configurations after this one that have a datapoint of which nothing is known."""
        every = self.grid.configurations
        repeats = range(self.project.settings.run.repeats)
        for index in range(every.index(after) + 1, len(every)):
            each = every[index]
            stream = (
                Task(item, each, repeat, each.key(digest, repeat), digest.hex())
                for item, digest in self.census.of(index).checked(self.project, each.params, limit)
                for repeat in repeats
            )
            while chunk := list(itertools.islice(stream, _LOOKED_UP_AT_ONCE)):
                keys = [task.key for task in self._not_done(chunk)]
                known = set() if self.known is None or not keys else self.known.among(keys)
                if not known.issuperset(keys):
                    yield each
                    break

    def _designed(self, task: Task) -> Row:
        """What a row says of where its task stands in the design: cluster, fold and look."""
        row = {} if self.fits is None else self.fits.columns(task)
        if task.look:
            row[LOOK] = task.look
        if self.phased:
            return row | {CLUSTER: f"phase {task.repeat}"}
        cluster = cluster_of(task.item, self.clusters)
        return row if cluster is None else row | {CLUSTER: cluster}

    def _end(self, row: Row, report: RunReport) -> None:
        """Record how the run ended, and wait until everything is written."""
        call = self.recorder.call
        counts = self.recorder.counts
        report.ended_how = self.stop or "finished"
        report.reason = self.reason
        report.unkeyed = self.unkeyed | self._unkeyed_before()
        report.recorded = call(lambda store: store.count())
        row |= {
            "ended": now(),
            "ended_how": report.ended_how,
            "inputs": json.dumps(sorted(report.unkeyed)),
            "executed": counts.executed,
            "cached": counts.cached,
            "failed": counts.failed,
        }
        call(lambda store: store.put_run(row))
        self.recorder.close()

    def _notes(self) -> Iterator[str]:
        if self.cache is None:
            return
        if self.cache.corrupt:
            yield f"{self.cache.corrupt} cache entries could not be read and were computed again"
        if self.cache.not_cached:
            yield f"{self.cache.not_cached} results cannot be cached (no pickle of them)"
        if self.cache.moved_to is not None:
            place = self.cache.moved_to.name
            yield f"the cache was damaged; it was moved to {place}, and a new one begun"

    def _knowledge(self, experiment: str) -> Knowledge:
        """The cache, and for an experiment the databases of all experiments."""
        if self.cache is None or experiment == DEV:
            return Knowledge(self.cache)
        call = self.recorder.call
        root = self.project.root
        settings = self.project.settings
        readings = [reading_file(path) for path in self.others or ()]
        mine = self.others is None and self.place.db == place_for(root, settings, experiment).db
        if mine:  # a trial does not see them
            others = databases(root, settings, "experiment")
            readings = [reading_file(path) for path in others if path != self.place.db]
        # The writer's own file is read in its thread, between two batches.
        own: Reading = lambda ask: call(lambda store: store.apart(ask))  # noqa: E731
        return Knowledge(self.cache, [own, *readings], experiment)

    def _refuse_other_code(self, experiment: str) -> None:
        known = {each.code_key for each in self.grid.configurations}
        if self.recorder.call(lambda store: store.code_keys()) - known:
            raise HarnessError(
                f"{experiment} was begun with other code than this; mixing them would make "
                "its numbers meaningless",
                fix=f"go back to that code, or drop the rows: make discard TAG={experiment}",
            )

    def _refuse_other_data(self, experiment: str) -> None:
        files = self.grid.files
        for data, before in self.recorder.call(lambda store: store.begun_with()):
            changed = [name for name in files if before.get(name, files[name]) != files[name]]
            what = f"another {', '.join(changed)}" if changed else ""
            if data and data != self.census.digest:
                what = "other items than dataset.load gives now"
            if what:
                raise HarnessError(
                    f"{experiment} was begun with {what}; mixing them would make its numbers "
                    "meaningless",
                    fix=f"put it back, or drop the rows: make discard TAG={experiment}",
                )

    def _refuse_written(self) -> None:
        """Stop where a file was written while the run went on; nothing since then is kept."""
        self.recorder.call(lambda _: None)  # the recorder has written all that came before this
        if self.broken is None and self.recorder.written:
            self._stop_for(self.recorder.written)

    def _stop_for(self, name: str) -> None:
        self.broken = HarnessError(
            f"{name} was written while the run went on; what was computed since is not kept",
            fix=self._go_on(),
            code=1,
        )
        self._stop("error", self.broken.message)

    def _go_on(self) -> str:
        if self.rows.experiment == DEV:
            return "make dev-run"
        return (
            "to keep the edit, back to the dev phase: commit it, make dev-run, then a new TAG; "
            "else put the file back and run the same command again"
        )

    def _forget_if_changed(self, track_id: str) -> None:
        """Keep nothing that this run executed where its keys would be different now.

        No watch sees a new file that hides a module, or a package that was installed meanwhile.
        """
        now = resolve_grid(self.project.again())
        before = {each.digest: each.context for each in self.grid.configurations}
        changed: set[str] = set()
        for each in now.configurations:
            changed |= differences(before.get(each.digest), each.context)
        if not changed or self.broken is not None:
            return
        keys = self.recorder.call(lambda store: store.forget_run(track_id))
        if self.cache is not None:
            self.cache.forget(keys)
        self.broken = HarnessError(
            f"{', '.join(sorted(changed))} changed while the run went on; what it computed is not "
            "kept",
            fix=self._go_on(),
            code=1,
        )
        self._stop("error", self.broken.message)

    def _note_reads(self, reads: Iterable[str], item: Item, configuration: Configuration) -> None:
        """Print a note, once for each file and variable that predict read and no key holds."""
        if not reads:
            return
        if configuration.digest not in self.held:
            self.held[configuration.digest] = configuration.holds()
        harmless = self.project.settings.key.harmless
        held = self.held[configuration.digest]
        root = self.project.root
        for name in sorted(unkeyed(reads, item, held, harmless, root) - self.unkeyed):
            self.unkeyed.add(name)
            err.print(
                f"note: predict reads the {name}, which no key holds: {advice(name)}",
                markup=False,
                soft_wrap=True,
            )

    def _unkeyed_before(self) -> set[str]:
        """What earlier runs, whose rows this experiment has or reuses, read and no key holds."""
        before = self.recorder.call(lambda store: store.inputs())
        held = {name for each in self.grid.configurations for name in each.holds()}
        return unkeyed(before, {}, held, self.project.settings.key.harmless, self.project.root)

    def _loop(self, limit: int | None, progress: RunProgress) -> int:
        skipped = [0]
        stream = self._looked_up(tasks(self.project, self.grid, self.census, limit), skipped)
        if self.project.settings.run.executor in ("processes", "dask"):
            # Checked here: in a worker process nobody would see the error.
            shared_limiter(self.project.settings, self.project.settings.run.workers)
        for line in unenforced(self.project.settings.run):
            err.print(f"note: {line}", markup=False, soft_wrap=True)
        limiter = shared_limiter(self.project.settings)
        if limiter is not None and self.budget is not None:
            limiter.more = self.budget.more
        first: list[Job] = []
        while True:
            jobs = self._until_broken(itertools.chain(first, self._jobs(stream, skipped, progress)))
            # What the budget has admitted is done also where the next call does not fit.
            for outcome in execute(
                self.project, jobs, limiter, lambda: self.stop not in ("", "budget")
            ):
                self._record(outcome)
                progress.before = skipped[0]
                progress.show(self.recorder.counts)
            if not (first := self._fits_now()):
                break
        progress.before = skipped[0]
        self.recorder.call(lambda _: None)
        self._check_limits()
        progress.show(self.recorder.counts, at_once=True)
        return skipped[0]

    def _fits_now(self) -> list[Job]:
        """The job that did not fit into the budget, where it does after what was in flight."""
        refused, self.refused = self.refused, None
        if self.stop != "budget" or self.budget is None or refused is None:
            return []
        if not self.budget.admit(refused.estimate):
            self.reason = self.budget.refusal(refused.estimate)
            return []
        self.stop = self.reason = ""
        return [refused]

    def _until_broken(self, jobs: Iterator[Job]) -> Iterator[Job]:
        """The jobs until making one fails; what is in flight then is paid for and gets its row."""
        try:
            yield from jobs
        except Exception as error:
            self.broken = error
            self._stop("error", str(error))

    def _jobs(
        self,
        stream: Iterator[tuple[Task, tuple[Row, str] | None]],
        skipped: list[int],
        progress: RunProgress,
    ) -> Iterator[Job]:
        """The jobs to execute; what is recorded or cached is not among them."""
        for task, known in stream:
            if self.recorder.written and not self.stop:
                self._stop_for(self.recorder.written)
            if self.stop:
                return
            if known is not None:
                self.recorder.put(self.rows.reused(task, *known))
                self._check_limits()
                progress.before = skipped[0]
                progress.show(self.recorder.counts)
                continue
            job = Job(task, estimate=self._estimate(task))
            if self.fits is not None:
                fitted = self.fits.for_task(task)
                self._note_reads(
                    self.fits.reads.pop(task.configuration.digest, ()), {}, task.configuration
                )
                if fitted.path is None:
                    self.recorder.put(self.rows.unfitted(task, fitted.error, fitted.error_type))
                    self._count_failure(permanent=True)
                    continue
                job = Job(task, fitted.path, fitted.asset, fitted.seconds, job.estimate)
            if self.budget is not None and not self.budget.admit(job.estimate):
                self.refused = job
                self._stop("budget", self.budget.refusal(job.estimate))
                return
            yield job

    def _looked_up(
        self, stream: Iterator[Task], skipped: list[int]
    ) -> Iterator[tuple[Task, tuple[Row, str] | None]]:
        """Tasks without a good row, each with what the cache knows of it."""
        while chunk := list(itertools.islice(stream, _LOOKED_UP_AT_ONCE)):
            missing = self._not_done(chunk)
            skipped[0] += len(chunk) - len(missing)
            known: Known = {}
            if self.known is not None and missing:
                known = self.known.get_many([task.key for task in missing])
            for task in missing:
                yield task, known.get(task.key)

    def _estimate(self, task: Task) -> float | None:
        if self.project.estimate is None:
            return None
        return self.project.estimate(task.item, task.configuration.params)

    def _not_done(self, some: list[Task]) -> list[Task]:
        if not len(self.done):
            return some
        keys = np.array([bytes.fromhex(task.key) for task in some], dtype="S32")
        at = np.minimum(np.searchsorted(self.done, keys), len(self.done) - 1)
        known = self.done[at] == keys
        return [task for task, there in zip(some, known, strict=True) if not there]

    def _record(self, outcome: Outcome) -> None:
        task = outcome.job.task
        if name := touched(task, self.project.root) or self.recorder.written:
            # What predict saw may not be what the key says.
            return self._stop_for(name)
        if outcome.result.reads:
            self._note_reads(outcome.result.reads, task.item, task.configuration)
        row, keep = self.rows.executed(outcome)
        self.recorder.put(row, keep)
        self._check_limits()
        result = outcome.result
        if self.budget is not None:
            cost = (result.result or {}).get("cost")
            if result.error_type is not None and cost is None:
                cost = 0.0  # what it may have cost is among the attempts that are lost
            self.budget.spent(outcome.job.estimate, cost, result.lost, result.calls)
        if result.error_type is not None:
            self._count_failure(result.permanent)

    def _count_failure(self, permanent: bool) -> None:
        self.permanent += permanent
        self.failures += 1
        self._check_limits()

    def _check_limits(self) -> None:
        """Stop where too much has failed; a row that cannot be stored failed permanently."""
        unfit = self.recorder.counts.unfit
        failed = self.failures + unfit
        if not failed:
            return
        run = self.project.settings.run
        permanent = self.permanent + unfit
        if run.on_error == "stop":
            self._stop("failed-limit", 'a datapoint failed and [run] on_error is "stop"')
        elif permanent >= run.max_permanent_errors:
            self._stop(
                "failed-limit",
                f"{permanent} errors that trying again cannot fix ([run] max_permanent_errors)",
            )
        elif run.max_errors and failed >= run.max_errors:
            self._stop("failed-limit", f"{failed} datapoints failed ([run] max_errors)")

    def _stop(self, how: str, reason: str) -> None:
        if self.stop in ("", "budget"):  # a budget that was passed may have room again
            self.stop = how
            self.reason = reason

    def _ask_to_stop(self) -> None:
        self._stop("stopped", "stopped by hand")
        words = "stopping after what is in flight; once more stops at once"
        # In a thread: the signal may have come while this one was writing, and no stream is
        # written from within a write to it.
        threading.Thread(target=err.print, args=[words], daemon=True).start()
