"""One datapoint in a worker: resource, attempts with backoff, and the outcome.

Nothing here writes. A worker returns a Result and the driver records it, so serial, threads and
processes give the same rows.
"""

import asyncio
import inspect
import math
import pickle
import re
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache, partial
from numbers import Real
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeGuard, TypeVar

import stamina
import stamina.instrumentation

from harness.errors import InvalidResult, PermanentError, PredictionTimeout, TransientError
from harness.project.contract import Item, Project
from harness.project.inputs import noted
from harness.project.values import Params, Row
from harness.record.columns import LATENCY_SHARED, RESERVED
from harness.run.model_file import load_model
from harness.run.time_limit import time_limit, too_long

T = TypeVar("T")
_Arguments: TypeAlias = list[Any]  # the item, the params and, where predict takes it, a resource
_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")
_UNCHANGING = frozenset({type(None), bool, int, float, str, bytes})
_NOT_KEPT = frozenset({"error", "error_type", "input_id", "latency"})

# Rows say how many attempts were made; log lines would disturb the progress bar.
stamina.instrumentation.set_on_retry_hooks([])


# Which attempt of a datapoint runs in this thread, from 1: a helper that keeps what an attempt
# paid for gives it to the next one only.
attempt_number: ContextVar[int] = ContextVar("attempt_number", default=1)


class Limiter(Protocol):
    """What paces attempts (see limits.py)."""

    more: Callable[[float], bool] | None

    def acquire(self) -> None: ...
    async def acquire_async(self) -> None: ...
    def succeeded(self) -> None: ...
    def throttled(self, retry_after: float | None) -> None: ...
    def failed(self) -> None: ...


@dataclass(slots=True)
class Result:
    """The outcome of one datapoint. Times in seconds; `latency` is the last attempt's alone.

    `reads` is what predict read, as inputs.noted names it. `lost` attempts gave nothing and may be
    charged by a server all the same; `calls` is for how many of them the budget was asked.
    """

    result: Row | None
    error: str | None
    error_type: str | None
    attempts: int
    function_time: float
    latency: float | None
    permanent: bool = False
    reads: frozenset[str] = frozenset()
    lost: int = 0
    calls: int = 1


class _ReturnedError(Exception):
    """predict returned {"error": ...} instead of raising."""

    def __init__(self, returned: Row) -> None:
        super().__init__(str(returned["error"]) or repr(returned["error"]))
        self.returned = returned
        self.name = str(returned.get("error_type") or "ReturnedError")


class Worker:
    """Computes datapoints one after another; one for each thread or process.

    `hard_kill` says that this process may end itself where native code ignores the time limit.
    """

    def __init__(
        self, project: Project, limiter: Limiter | None = None, hard_kill: bool = False
    ) -> None:
        self.project = project
        self.limiter = limiter
        self.hard_kill = hard_kill
        self.attempts = 0  # made for the current datapoint
        self.lost = 0  # of them: gave nothing, and may be charged
        self._calls = 1
        self._current: tuple[Item, Params] | None = None
        self._decided: tuple[Exception, bool | float] | None = None
        self.abandoned = False
        self._transient = set(project.settings.retry.errors) | {"TransientError"}
        self._seconds = self._limit = project.settings.run.timeout_seconds
        self._load_seconds = project.settings.run.fit_seconds
        retry = self._retry = project.settings.retry
        # What an attempt is made in, as often as the settings allow; for `for` and `async for`.
        self._tries = partial(
            stamina.retry_context,
            on=self._backoff,
            attempts=retry.attempts,
            timeout=None,
            wait_initial=retry.wait_seconds,
            wait_max=retry.max_wait_seconds,
            wait_jitter=retry.wait_seconds,
        )
        self._began: float | None = None  # when the current call of predict began
        self._latest = 0.0
        self._deciding = threading.Lock()
        self._resources: dict[tuple[bytes, Path | None], object] = {}
        self._resources_of: bytes | None = None
        self._runner: asyncio.Runner | None = None  # of an async predict
        self._named: dict[str, int] = {}  # arguments of predict by name

    def run(
        self, item: Item, params: Params, digest: bytes, fitted: Path | None, repeat: int = 0
    ) -> Result:
        """Execute predict for one datapoint; raises nothing except KeyboardInterrupt."""
        self._begin(item, params, repeat)
        with noted() as reads:
            result = self._run(item, params, digest, fitted)
        result.lost = self.lost
        result.calls = self._calls
        if reads:
            result.reads = frozenset(reads)
        return result

    def _begin(self, item: Item, params: Params, repeat: int) -> None:
        self._named = {"repeat": repeat} if self.project.takes_repeat else {}
        self.lost = 0
        self._calls = 1
        self._current = (item, params)
        self._decided = None

    def run_all(
        self,
        items: list[Item],
        params: Params,
        digest: bytes,
        fitted: Path | None,
        repeats: list[int],
    ) -> list[Result]:
        """Execute several datapoints of one configuration, by predict_batch where there is one.

        What a batch gives no good result for is computed alone, so that a bad item fails alone.
        """
        found: list[Result | None] = [None] * len(items)
        if len(items) > 1 and self.project.predict_batch is not None:
            with noted() as reads:
                found = self._batch(items, params, digest, fitted)
            if reads and (good := next((each for each in found if each is not None), None)):
                good.reads = frozenset(reads)
        return [
            result or self.run(item, params, digest, fitted, repeat)
            for item, result, repeat in zip(items, found, repeats, strict=True)
        ]

    def _run(self, item: Item, params: Params, digest: bytes, fitted: Path | None) -> Result:
        arguments: _Arguments = [item, params]
        self._limit = self._seconds
        self.attempts = 0
        start = time.perf_counter()
        try:
            if self.project.takes_resource:
                arguments.append(self._resource(params, digest, fitted))
            start = time.perf_counter()
            returned = self._retried(partial(self._attempt, arguments))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # asyncio's CancelledError is no Exception, for one
            return self._failure(error, start)
        return self._success(returned, start)

    def _success(self, returned: Row, start: float) -> Result:
        end = time.perf_counter()
        latency = returned.pop("latency", None)
        if not _NOT_KEPT.isdisjoint(returned):
            returned = {k: v for k, v in returned.items() if k not in _NOT_KEPT}
        return Result(
            returned,
            None,
            None,
            self.attempts,
            end - start,
            end - self._latest if latency is None else latency,
        )

    def _batch(
        self, items: list[Item], params: Params, digest: bytes, fitted: Path | None
    ) -> list[Result | None]:
        """The result of each item; None where the batch gave no good one."""
        arguments: _Arguments = [items, params]
        self._named = {}
        self._current = None  # where it may cost, a batch is not tried twice
        self._decided = None
        self.lost = 0
        self._limit = self._seconds * len(items)
        self.attempts = 0
        try:
            if self.project.takes_resource:
                arguments.append(self._resource(params, digest, fitted))
            start = time.perf_counter()
            returned = self._retried(partial(self._attempt_batch, arguments))
        except KeyboardInterrupt:
            raise
        except BaseException:
            return [None] * len(items)
        return [
            self._of_batch(row, item, len(items), start)
            for row, item in zip(returned, items, strict=True)
        ]

    def _of_batch(self, returned: object, item: Item, size: int, start: float) -> Result | None:
        """A datapoint's part of a batch: an equal share of the time, and the latency of all."""
        try:
            row = checked(returned, str(item["id"]))
        except Exception:
            return None
        measured = "latency" in row
        result = self._success(row, start)
        result.function_time /= size
        if not measured and result.result is not None:
            result.result[LATENCY_SHARED] = True
        return result

    def abandon(self) -> Result | None:
        """From another thread: give up on a call of predict that takes longer than its limit.

        Returns the timeout; what the call returns later is ignored.
        """
        with self._deciding:
            seconds = self._limit
            elapsed = 0.0 if self._began is None else time.perf_counter() - self._began
            if elapsed < seconds or self._began is None:
                return None
            self.abandoned = True
            if self.limiter is not None:
                self.limiter.failed()  # its place goes to the thread that takes over
            result = timed_out(seconds, self.attempts, elapsed)
            result.lost = self.lost + 1
            result.calls = self._calls
            return result

    def _retried(self, attempt_once: Callable[[], T]) -> T:
        try:
            return attempt_once()
        except Exception as error:
            if self._retry.attempts == 1 or self._backoff(error) is False:
                raise
            first: Exception | None = error
        for attempt in self._tries():
            with attempt:
                if first is not None:  # the attempt made above is the first one of this loop
                    made, first = first, None
                    raise made
                return attempt_once()
        raise AssertionError("unreachable: the last failed attempt raises")

    def _attempt(self, arguments: _Arguments) -> Row:
        input_id = str(arguments[0]["id"])
        return self._call(self.project.predict, arguments, partial(checked, input_id=input_id))

    def _attempt_batch(self, arguments: _Arguments) -> list[object]:
        assert self.project.predict_batch is not None
        wanted = partial(_checked_batch, size=len(arguments[0]))
        return self._call(self.project.predict_batch, arguments, wanted)

    def _call(
        self, function: Callable[..., object], arguments: _Arguments, wanted: Callable[[object], T]
    ) -> T:
        """Call the person's function once, within the limits; returns what `wanted` lets pass."""
        # Each attempt gets a copy of the item, as in another process: what predict changes in it
        # reaches no other attempt, repeat or configuration, and no row.
        given = [copied(arguments[0]), *arguments[1:]]
        if self.limiter is not None:
            self.limiter.acquire()
        self.attempts += 1
        attempt_number.set(self.attempts)
        # The limit is for predict alone: waiting for a free place, or for a model to load, does not
        # count.
        self._latest = self._began = time.perf_counter()
        try:
            if self._seconds:
                with time_limit(self._limit, self.hard_kill):
                    returned = self._awaited(function(*given, **self._named))
            else:
                returned = self._awaited(function(*given, **self._named))
            result = wanted(returned)
        except BaseException as error:
            self._settle(error)
            raise
        self._settle(None)
        return result

    def _awaited(self, returned: object) -> object:
        """What an async predict comes to, in an event loop that this worker keeps."""
        if isinstance(returned, dict) or not inspect.iscoroutine(returned):
            return returned
        if self._runner is None:
            self._runner = asyncio.Runner()
        try:
            return self._runner.run(returned)
        except PredictionTimeout:
            self._runner = None  # the call is still in that loop
            raise

    def _settle(self, error: BaseException | None) -> None:
        """End the clock of an attempt and inform the limiter, unless the driver gave up on it."""
        with self._deciding:
            if self.abandoned:
                return
            self._began = None
            self.lost += error is not None and may_cost(error)
            if self.limiter is None:
                return
            if error is None:
                self.limiter.succeeded()
            elif hasattr(error, "retry_after"):
                self.limiter.throttled(asked_to_wait(error))
            else:
                self.limiter.failed()

    def _backoff(self, error: Exception) -> bool | float:
        """Whether to try again: True for the usual backoff, or the seconds the server asked for.

        Of the first error this is asked twice, and a budget must answer once.
        """
        if self._decided is None or self._decided[0] is not error:
            self._decided = (error, self._decide(error))
        return self._decided[1]

    def _decide(self, error: Exception) -> bool | float:
        if may_cost(error) and not self._may_pay_again():
            return False
        if isinstance(error, TransientError) and (wait := asked_to_wait(error)) is not None:
            return wait
        if isinstance(error, _ReturnedError):
            return error.name in self._transient
        return any(kind.__name__ in self._transient for kind in type(error).__mro__)

    def _may_pay_again(self) -> bool:
        """Whether one more call fits into the budget. Processes share none, so there it does not;
        the next run of the same command tries again."""
        project = self.project
        if not project.settings.limits.max_cost_usd or project.estimate is None:
            return True
        if self._current is None or self.limiter is None or self.limiter.more is None:
            return False
        estimate = project.estimate(*self._current)
        if estimate is None or not self.limiter.more(estimate):
            return False
        self._calls += 1
        return True

    def _failure(self, error: BaseException, start: float) -> Result:
        end = time.perf_counter()
        kept = None
        name = type(error).__name__
        if _are_columns(partly := getattr(error, "columns", None)):
            # An error may carry what was paid for before it.
            kept = {k: v for k, v in partly.items() if k not in _NOT_KEPT}
        if isinstance(error, _ReturnedError):
            name = error.name
            kept = {k: v for k, v in error.returned.items() if k not in _NOT_KEPT}
        return Result(
            kept,
            words_of(error),
            name,
            self.attempts,
            end - start,
            end - self._latest if self.attempts else None,
            permanent=isinstance(error, (PermanentError, InvalidResult)),
        )

    def _resource(self, params: Params, digest: bytes, fitted: Path | None) -> object:
        """predict's third argument, kept while the configuration stays the same.

        Where configurations are interleaved, what was loaded for each is kept.
        """
        if self._resources_of != digest and self.project.order != "interleaved":
            self._resources.clear()
        self._resources_of = digest
        wanted = (digest, fitted)
        if wanted not in self._resources:
            with time_limit(self._load_seconds, self.hard_kill, "fit_seconds"):
                if fitted is not None:
                    self._resources[wanted] = load_model(fitted)
                elif self.project.load is not None:
                    self._resources[wanted] = self.project.load(params)
        return self._resources[wanted]


def copied(given: Any) -> Any:
    """A copy of an item or of several, as another process would get it."""
    if type(given) is dict and _UNCHANGING.issuperset(map(type, given.values())):
        return given.copy()
    return pickle.loads(pickle.dumps(given))


def may_cost(error: BaseException) -> bool:
    """Whether a server may charge for an attempt that ended so: what an error does not say itself.

    A refusal (TransientError, PermanentError) costs nothing; an answer that came and cannot become
    a row has its own cost.
    """
    free = isinstance(error, (TransientError, PermanentError, _ReturnedError))
    return bool(getattr(error, "may_cost", not free))


def check(returned: object, input_id: str) -> None:
    """Raise InvalidResult where what predict returned cannot become a row."""
    if not isinstance(returned, dict):
        raise InvalidResult(f"predict returned {type(returned).__name__}, expected a dict")
    _check_names(tuple(returned))
    cost = returned.get("cost")
    if cost is not None and not isinstance(cost, Real):
        raise InvalidResult(
            f"predict returned cost = {cost!r:.80} ({type(cost).__name__}), expected a number (USD)"
        )
    if "input_id" in returned and str(returned["input_id"]) != input_id:
        raise InvalidResult(
            f"predict returned input_id {returned['input_id']!r} for the item with id {input_id!r}"
        )


def checked(returned: object, input_id: str) -> Row:
    """What predict returned, as a row of one's own.

    Raises InvalidResult where it cannot become one, and what stands for {"error": ...}.
    """
    check(returned, input_id)
    assert isinstance(returned, dict)
    if returned.get("error") is not None:
        raise _ReturnedError(returned)
    return dict(returned)


def _checked_batch(returned: object, size: int) -> list[object]:
    if not isinstance(returned, (list, tuple)) or len(returned) != size:
        what = f"{len(returned)} results" if isinstance(returned, (list, tuple)) else "no list"
        raise InvalidResult(f"predict_batch returned {what} for {size} items")
    return list(returned)


@lru_cache(maxsize=256)  # predict returns the same names again and again
def _check_names(names: tuple[object, ...]) -> None:
    small_names = set()
    for name in names:
        if not isinstance(name, str) or not _COLUMN.match(name):
            raise InvalidResult(f"predict returned the key {name!r}, which cannot name a column")
        small = name.lower()
        small_names.add(small)
        taken = small in RESERVED or (small in _NOT_KEPT and small != name)
        if taken or small.startswith("params_"):
            raise InvalidResult(f"predict returned {name!r}, a name that the harness fills itself")
    if len(small_names) < len(names):
        raise InvalidResult("predict returned two keys that differ only in case")


def _are_columns(found: object) -> TypeGuard[Row]:
    """Whether what an error carries can become columns; another library's may be anything."""
    try:
        _check_names(tuple(found) if isinstance(found, dict) else (None,))
    except InvalidResult:
        return False
    return True


def asked_to_wait(error: BaseException) -> float | None:
    """The seconds in an error's `retry_after`, None where that is no number of seconds."""
    try:
        seconds = float(getattr(error, "retry_after", None))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return seconds if 0 <= seconds < math.inf else None


def timed_out(seconds: float, attempts: int, elapsed: float) -> Result:
    """The one form of a timeout, so that every executor writes the same row."""
    return Result(None, too_long(seconds), PredictionTimeout.__name__, attempts, elapsed, elapsed)


def words_of(error: BaseException) -> str:
    """An error's message; some errors cannot even be printed."""
    try:
        return str(error) or repr(error)
    except Exception:
        return f"a {type(error).__name__} that cannot be printed"
