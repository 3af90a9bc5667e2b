"""The executor `load`: phases of load for each configuration, an outcome for each request.

A phase is one repeat of a configuration. Its arrivals are those of the repeat, at every rate the
same pattern, so that phases of two configurations can be compared pair by pair.

Besides `load(params) -> Target` and `predict(item, params, target)`, predict.py defines
`request(item, params) -> Request` and `answer(item, params, response) -> dict`, which sees every
answer below HTTP 400 and may raise where it is wrong.
"""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from itertools import chain, cycle, groupby, islice, takewhile
from multiprocessing.connection import wait
from types import ModuleType

from harness import system
from harness.console import err
from harness.errors import HarnessError, InvalidResult, PermanentError
from harness.load.connection import Finished
from harness.load.generator import WARMUP
from harness.load.process import BATCH, GeneratorProcess, Work
from harness.load.sampler import Sampler
from harness.load.schedule import Shape, arrivals, behind, bottleneck, sent_late
from harness.load.target import LoadOptions, Target, close_targets, load_options
from harness.project.contract import Project
from harness.project.values import Params, Row
from harness.run.attempt import Limiter, Result, check
from harness.run.job import Job, Outcome

_GIVE_UP_SECONDS = 10.0  # behind the schedule
_BUSY = 90.0  # percent of a core
_AHEAD_SECONDS, _AHEAD_BYTES = 5.0, 64 * 2**20  # of load given to the generators before it is due
_PER_PROCESS = 8000.0  # requests per second that one core can be trusted to send
_HOPELESS = 5  # times that


def check_load(project: Project) -> None:
    """Raises HarnessError that names all that is wrong in benchmark.toml, params or predict."""
    if not system.can_hand_over_sockets():
        raise HarnessError(
            "the executor load needs Linux or macOS: it hands sockets to its processes",
            fix="run it in WSL, or in a container",
        )
    load_options(project.root)
    run = project.settings.run
    if run.order == "interleaved" or (run.repeats > 1 and run.order != "phases"):
        raise HarnessError(
            "[run] executor is load, which sends all requests of a phase together, and [run] order "
            f"is {run.order or 'configurations'!r}",
            fix='write order = "phases" in [run] of benchmark.toml',
        )
    problems = []
    for params in project.grid:
        try:
            problems += _too_much(params, Shape.of(params))
        except HarnessError as error:
            problems.append(error.message)
    module = sys.modules[project.predict.__module__]
    if not (project.load and hasattr(module, "request") and hasattr(module, "answer")):
        problems.append("predict.py lacks load, request or answer, which the executor load calls")
    if problems:
        raise HarnessError("\n".join(problems), fix="edit params.py or predict.py in src/benchmark")


def _too_much(params: Params, shape: Shape) -> list[str]:
    """Why no machine like this could generate the load: that need not be tried first."""
    found = []
    most = _HOPELESS * _PER_PROCESS * (os.cpu_count() or 1)
    if shape.mode == "open" and shape.rate > most:
        found.append(f"{params}: rate is {shape.rate:g}; this machine sends {most:,.0f} at most")
    files = system.most_files()
    if files is not None and files < shape.limit:  # each connection is one
        name = "connections" if shape.mode == "open" else "users"
        words = f"{name} is {shape.limit:,}; a process may open {files:,} here"
        found.append(f"{params}: {words}")
    return found


def execute_load(
    project: Project,
    jobs: Iterator[Job],
    limiter: Limiter | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Outcome]:
    """Load the target with one configuration after another; yield outcomes while it is loaded.

    The schedule paces the requests, so `limiter` does not. No configuration is begun once `stopped`
    says so, though its first job was taken to see where the one before it ends.

    Raises what `check_load` does, HarnessError before anything is sent where the target does not
    answer, and after everything was sent (code 1) where this machine could not generate a rate.
    """
    check_load(project)
    options = load_options(project.root)
    module = sys.modules[project.predict.__module__]
    not_generated: list[str] = []
    with Sampler() as sampler:
        try:
            for _, group in groupby(jobs, key=_phase):
                if stopped():
                    break
                phase = _Phase(project, module, options, sampler, group)
                yield from phase.run()
                not_generated += phase.verdict()
        finally:
            close_targets()
    if not_generated:
        raise HarnessError(
            "this machine could not generate the load of " + "; ".join(not_generated),
            fix="lower the rate, raise [throughput] processes, or send from another machine",
            code=1,
        )


def _phase(job: Job) -> tuple[bytes, int]:
    return job.task.configuration.digest, job.task.repeat


class _Phase:
    """One repeat of a configuration's load, from its warm-up to its last answer."""

    def __init__(
        self,
        project: Project,
        module: ModuleType,
        options: LoadOptions,
        sampler: Sampler,
        group: Iterator[Job],
    ) -> None:
        first = next(group)
        self.jobs = chain([first], group)
        self.ended = False
        self.params = first.task.configuration.params
        self.module = module
        self.options = options
        self.sampler = sampler
        assert project.load is not None
        target = project.load(self.params)
        if not isinstance(target, Target):
            raise HarnessError(
                "load(params) in predict.py must return what harness.load.open_target returns"
            )
        self.target = target
        self.target.check()
        # Every second seed is that of a warm-up.
        self.shape = shape = Shape.of(self.params).with_seed(2 * first.task.repeat)
        # A closed loop has no schedule: its requests are due at once.
        self.arrivals = arrivals(shape.rate or math.inf, shape.arrival, shape.seed)
        self.next_due = next(self.arrivals)
        wanted = options["processes"] or math.ceil(shape.rate / _PER_PROCESS) or 1
        self.processes = min(wanted, shape.limit, os.cpu_count() or 1)
        self.in_flight: dict[int, tuple[Job, int]] = {}
        self.fed = self.done = self.late = self.bytes = 0
        self.start = self.wall = self.cpu = self.good = 0.0  # good: when the last good answer came
        self.last = (0.0, 0.0)  # when the last request was due, and how late it left

    def run(self) -> Iterator[Outcome]:
        """Start the generators, send them what is due soon, and yield what comes back."""
        generators: list[GeneratorProcess] = []
        try:
            for _ in range(self.processes):
                generators.append(GeneratorProcess())
            self.sampler.watch("generator", [each.process.pid for each in generators])
            self.sampler.watch("server", [self.target.server.pid] if self.target.server else [])
            soon = self._ready(0.0)
            for each in generators:
                each.receive()  # it is up
            self._begin(generators, [payload for _, _, payload in soon])
            while reading := [each for each in generators if not each.over]:
                for number, each in enumerate(generators):
                    mine = [work for work in soon if work[0] % self.processes == number]
                    each.hand_over(self.start, mine, self.ended)
                by_pipe = {each.pipe: each for each in reading}
                for pipe in wait(by_pipe, 0.05):
                    for result in by_pipe[pipe].receive():  # type: ignore[index]
                        yield self._outcome(result)
                if self.last[1] > _GIVE_UP_SECONDS:
                    return  # it would go on for hours
                soon = self._ready(time.monotonic() - self.start)
        finally:
            self.sampler.watch("generator", [])
            for each in generators:
                each.close()

    def _begin(self, generators: list[GeneratorProcess], payloads: list[bytes]) -> None:
        """Set the clock and begin with the warm-up, which in an open loop has a schedule too."""
        shape = self.shape
        target = self.target
        lead = self.shape.warmup_seconds + 0.05
        self.start = time.monotonic() + lead
        self.wall = time.time() + lead
        closed = shape.mode == "closed"
        for number, each in enumerate(generators):
            options = {
                "closed_loop": closed, "start": self.start, "timeout": self.options["timeout"],
                "limit": len(range(number, shape.limit, self.processes)),
                "address": target.address, "host": target.host, "keep": target.kept_bytes,
                "tls": target.tls, "ca_file": self.options["ca_file"],
                "warmup": payloads[:BATCH] if closed else [],
            }  # fmt: skip
            each.send(options)
        due = arrivals(shape.rate or 1.0, shape.arrival, shape.seed + 1, -shape.warmup_seconds)
        warmup = zip(takewhile(lambda at: at < 0 and not closed, due), cycle(payloads))
        while piece := [(WARMUP, *work) for work in islice(warmup, BATCH * self.processes)]:
            time.sleep(max(0.0, self.start + piece[0][1] - _AHEAD_SECONDS - time.monotonic()))
            for number, each in enumerate(generators):
                each.hand_over(self.start, piece[number :: self.processes])

    def _ready(self, elapsed: float) -> list[Work]:
        """Requests to send now: those due soon, or a few seconds' worth for a closed loop."""
        found: list[Work] = []
        some = 4 * self.shape.limit + _AHEAD_SECONDS * self.done / max(elapsed, 1.0)
        while not self.ended and self.bytes < _AHEAD_BYTES:
            if self.shape.mode == "closed":
                enough = len(self.in_flight) >= some
            else:
                enough = self.next_due > elapsed + _AHEAD_SECONDS
            if enough:
                break
            job = next(self.jobs, None)
            if job is None:
                self.ended = True
                break
            payload = self._payload(job)
            found.append((self.fed, self.next_due, payload))
            self.in_flight[self.fed] = (job, len(payload))
            self.bytes += len(payload)
            self.fed += 1
            self.next_due = next(self.arrivals)
        return found

    def _payload(self, job: Job) -> bytes:
        try:
            request = self.module.request(job.task.item, self.params)
            return bytes(self.target.payload(request))
        except HarnessError:
            raise
        except Exception as error:
            raise HarnessError(
                f"request in predict.py failed on input_id {job.task.input_id!r}: "
                f"{type(error).__name__}: {error}",
                fix="edit src/benchmark/predict.py",
            ) from error

    def _outcome(self, result: Finished) -> Outcome:
        index, due, lag, sent, first_byte, done, status, size, error_type, error, body, sha = result
        job, sent_bytes = self.in_flight.pop(index)
        took = done - due
        self.bytes -= sent_bytes
        self.done += 1
        self.late += sent_late(lag, took)
        self.cpu += self.sampler.latest["generator_cpu"] or 0.0
        if self.shape.mode == "open":
            self.last = max(self.last, (due - self.start, lag))
        measured = {
            "phase_start": self.wall, "scheduled": due - self.start, "send_lag": lag,
            "sent": sent - self.start if sent else None,
            "first_byte": first_byte - self.start if first_byte else None,
            "done": done - self.start, "status": status or None, "bytes": size,
            **self.sampler.latest,
        }  # fmt: skip
        response = self.target.response(status, size, body, sha, took)
        row: Row = {"raw_response": response.text} if status else {}
        permanent = False
        if status >= 400 and not error_type:
            error_type, error = f"HTTP {status}", response.text or "no body"
        if not error_type:
            try:
                returned = self.module.answer(job.task.item, self.params, response)
                check(returned, job.task.input_id)
                if clash := sorted({*measured, "since_good"} & returned.keys()):
                    raise InvalidResult(f"answer returned {', '.join(clash)}, which is measured")
                row |= returned
                if row.get("error") is not None:
                    error_type, error = str(row.get("error_type") or "ReturnedError"), row["error"]
            except Exception as failure:
                error_type, error = type(failure).__name__, str(failure) or repr(failure)
                permanent = isinstance(failure, (PermanentError, InvalidResult))
        for name in ("input_id", "latency", "error", "error_type"):
            row.pop(name, None)
        said = str(error) if error_type else None
        values = row | measured | {"since_good": None if error_type else self._since(done)}
        return Outcome(job, Result(values, said, error_type or None, 1, took, took, permanent))

    def _since(self, done: float) -> float:
        """Seconds from the last good answer to this one; 0 after a later one."""
        before, self.good = self.good or self.start, max(self.good, done)
        return max(0.0, done - before)

    def verdict(self) -> list[str]:
        """Warn where the generators held up requests; name the phase if they never caught up."""
        busy = self.cpu / max(self.done, 1) / self.processes
        if behind(*self.last):
            lag = self.last[1]
            return [f"{self.params}: the last request left {lag:.2g} s late, {busy:.0f}% CPU"]
        if bottleneck(self.late, self.done) or busy > _BUSY:
            err.print(
                f"warning: the load generator was a bottleneck: {self.params}: {self.late} of "
                f"{self.done} requests left late, {busy:.0f}% CPU",
                markup=False,
            )
        return []
