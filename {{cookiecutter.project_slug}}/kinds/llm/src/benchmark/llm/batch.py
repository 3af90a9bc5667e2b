"""executor = "batch": questions go to a server in files, and answers come hours later, for less.

predict runs as always. Its question to an endpoint with `batch = true` is put aside the first time
(`Queued`); once all are there they are uploaded, polled, and predict runs again with the answer.
A conversation takes a batch for each turn. Every step is in a journal before it is taken, so that
after a kill the same command finds its batches by id and asks nothing twice.
"""

import hashlib
import inspect
import json
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

from benchmark.llm.batch_journal import Journal, Sent
from benchmark.llm.batch_wire import Replies, Wire, passes, wire_of
from benchmark.llm.client import Answer, Client, connect, in_batch
from benchmark.llm.endpoint import ENDPOINTS, ROOT
from benchmark.llm.faults import ServerFault
from benchmark.llm.request import Json, Request, body_of
from harness import PermanentError
from harness.console import err
from harness.errors import HarnessError
from harness.project.contract import Project
from harness.project.judge import MODULE
from harness.run.attempt import Limiter, Result
from harness.run.executors import execute as execute_at_once
from harness.run.job import Job, Outcome

MOST = 10_000  # requests in a batch; servers take more, and a smaller one is lost or late alone
_LONGEST_WAIT_SECONDS = 60.0


class Queued(Exception):
    """The question waits for its batch."""

    may_cost = False


class BatchFault(Exception):
    """A question got no answer in as many batches as [retry] allows."""

    may_cost = False


@dataclass(slots=True)
class _Asking:
    """The datapoint that predict is about in this thread, and how many calls it made."""

    key: str
    calls: int = 0


_asking: ContextVar[_Asking | None] = ContextVar("asking", default=None)


@dataclass(slots=True)
class Waiting:
    """Questions that wait for an answer, by what each is known by, and the answers that came.

    `fate` is why a question got none in the last batch that it was in.
    """

    journal: Journal
    attempts: int
    wanted: dict[str, tuple[str, str, Json]] = field(default_factory=dict)  # endpoint, api, body
    replies: dict[str, tuple[str, Json]] = field(default_factory=dict)  # batch, body
    fate: dict[str, Exception] = field(default_factory=dict)

    def ask(self, client: Client, request: Request, messages: list[Json], repeat: int) -> Answer:
        """The answer of a batch. Raises Queued where there is none yet, or why there is none."""
        asking = _asking.get()
        assert asking is not None
        asking.calls += 1
        body = body_of(replace(request, stream=False), messages, repeat)
        said = json.dumps([asking.key, asking.calls, request.endpoint, body], sort_keys=True)
        key = hashlib.sha256(said.encode()).hexdigest()[:40]
        if key in self.replies:
            batch, reply = self.replies[key]
            return client.of_batch(request, body, reply, batch)
        if key in self.fate:
            last = not passes(self.fate[key])
            if last or self.journal.attempts(key) >= self.attempts:
                self.wanted.pop(key, None)
                if last:
                    raise self.fate[key]
                raise BatchFault(f"no answer in {self.attempts} batches: {self.fate[key]}")
        self.wanted[key] = (request.endpoint, request.api, body)
        raise Queued(key)

    @property
    def open(self) -> set[str]:
        """The questions that have no answer yet."""
        return self.wanted.keys() - self.replies.keys()


def check(project: Project) -> None:
    """Raise HarnessError where nothing could go in batches."""
    judges = project.judge.grid if project.judge else ()
    asked = {str(getattr(params, "endpoint", "")) for params in (*project.grid, *judges)}
    # Where candidates go in batches and their judge does not, it is asked at once.
    if MODULE not in project.entry and not any(
        ENDPOINTS[name].batch for name in asked if name in ENDPOINTS
    ):
        raise HarnessError(
            'executor = "batch", and no endpoint in GRID of params.py or judge.py has batches',
            fix="write batch = true in its section of benchmark.toml, where the server has them",
        )
    if inspect.iscoroutinefunction(project.predict):
        raise HarnessError(
            'executor = "batch" needs a plain predict', fix="write `def predict(...)`"
        )


def execute(
    project: Project,
    jobs: Iterator[Job],
    limiter: Limiter | None,
    stopped: Callable[[], bool],
) -> Iterator[Outcome]:
    """Yield outcomes as their batches end; what is not to be batched is asked at once."""
    journal = Journal(ROOT / ".cache" / "batches.jsonl")
    waiting = Waiting(journal, project.settings.retry.attempts)
    at_once = _one_by_one(project, waiting)
    queued: list[Job] = []
    # A budget is no reason to stop here: what it admitted is within it, and is sent.
    yield from _apart(execute_at_once(at_once, jobs, limiter, stopped), queued)
    while queued:
        if stopped():
            return
        try:
            _send(waiting)
            if not _await(waiting, stopped):
                return
        except PermanentError as error:
            yield from (Outcome(job, _broken(error)) for job in queued)
            return
        again, queued = queued, []
        yield from _apart(execute_at_once(at_once, iter(again), limiter), queued)
    journal.done()


def _one_by_one(project: Project, waiting: Waiting) -> Project:
    """The project run in threads, where predict says which datapoint it is about."""
    original, takes_repeat = project.predict, project.takes_repeat

    def predict(item: Json, params: Any, *more: Any, repeat: int = 0) -> Any:
        _asking.set(_Asking(f"{item['id']} {params!r} {repeat}"))
        in_batch.set(waiting)
        named = {"repeat": repeat} if takes_repeat else {}
        try:
            return original(item, params, *more, **named)
        finally:
            in_batch.set(None)

    run = project.settings.run.model_copy(update={"executor": "threads"})
    settings = project.settings.model_copy(update={"run": run})
    return replace(
        project, settings=settings, predict=predict, predict_batch=None, takes_repeat=True
    )


def _apart(outcomes: Iterator[Outcome], queued: list[Job]) -> Iterator[Outcome]:
    """The outcomes that are there; jobs whose question waits go to `queued`."""
    for outcome in outcomes:
        result = outcome.result
        if result.error_type == Queued.__name__:
            queued.append(outcome.job)
            continue
        if result.error_type is not None or (result.result or {}).get("batch"):
            result.latency = None  # its server answers when it likes
        yield outcome


def _broken(error: Exception) -> Result:
    return Result(None, str(error), type(error).__name__, 1, 0.0, None, permanent=True, calls=0)


def _send(waiting: Waiting) -> None:
    """Begin batches of the questions that are in none, one for each endpoint and model."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    sent = waiting.journal.in_batches()
    for key in sorted(waiting.open):
        name, api, body = waiting.wanted[key]
        if key not in sent:
            groups.setdefault((name, api, str(body.get("model"))), []).append(key)
    for (name, api, _), keys in groups.items():
        for start in range(0, len(keys), MOST):
            some = keys[start : start + MOST]
            _begin(waiting, waiting.journal.intend(name, api, some))


def _begin(waiting: Waiting, sent: Sent) -> None:
    wire = wire_of(connect(sent.endpoint), sent.api)
    bodies = {key: waiting.wanted[key][2] for key in sent.keys}
    others = waiting.journal.known_batches()
    while True:
        try:
            batch = wire.create(sent, bodies)
            break
        except ServerFault as error:
            # It may have begun one all the same.
            _tell(error)
            if found := _patiently(lambda: wire.find(sent, others)):
                batch = found
                break
    waiting.journal.created(sent, batch)
    err.print(
        f"batch {batch}: {len(sent.keys)} questions are with {sent.endpoint}; you may stop here, "
        "the same command goes on",
        markup=False,
        soft_wrap=True,
    )


def _await(waiting: Waiting, stopped: Callable[[], bool]) -> bool:
    """Read every batch that has an open question, once it ends; False: stopped before that."""
    for sent in waiting.journal.with_any(waiting.open):
        wire = wire_of(connect(sent.endpoint), sent.api)
        if not sent.batch and not _found(waiting, sent, wire):
            continue
        wait = ENDPOINTS[sent.endpoint].batch_poll
        while (replies := _patiently(lambda: wire.results(sent))) is None:  # noqa: B023
            if stopped():
                err.print(f"batch {sent.batch} goes on by itself", markup=False)
                return False
            time.sleep(wait)
            wait = min(max(wait, _LONGEST_WAIT_SECONDS), wait * 1.5)
        _take(waiting, sent, replies)
    return True


def _found(waiting: Waiting, sent: Sent, wire: Wire) -> bool:
    """Whether the server has a batch that we asked for, and were stopped before we heard its id."""
    batch = _patiently(lambda: wire.find(sent, waiting.journal.known_batches()))
    if batch is None:
        waiting.journal.never(sent)
        return False
    waiting.journal.created(sent, batch)
    return True


def _take(waiting: Waiting, sent: Sent, replies: Replies) -> None:
    """Keep what a batch answered; what it did not may go into another one."""
    if replies.keys().isdisjoint(sent.keys):
        waiting.journal.never(sent)  # it was somebody else's, or lost all that we asked
        return
    failed = []
    for key in sent.keys:
        reply = replies.get(key, ServerFault("the batch says nothing about it", may_cost=False))
        if isinstance(reply, Exception):
            waiting.fate[key] = reply
            failed.append(key)
        else:
            waiting.replies[key] = (sent.batch, reply)
    waiting.journal.ended(sent, failed)


def _patiently(call: Callable[[], Any]) -> Any:
    """Call until the server answers: what is under way there goes on meanwhile."""
    wait = 0.2
    while True:
        try:
            return call()
        except ServerFault as error:
            _tell(error)
            time.sleep(wait)
            wait = min(_LONGEST_WAIT_SECONDS, wait * 2)


def _tell(error: Exception) -> None:
    err.print(f"note: {error}; the server is asked again", markup=False, soft_wrap=True)
