"""How fast a server is asked: calls a minute, calls at once, and fewer when it says "slow down".

Each attempt takes a place with `acquire` and gives it back by calling, from the same thread, one
of `succeeded`, `throttled` (the server asked for patience) or `failed` (anything else).
The share of the limits in use is halved by a refusal and grows back by a little with each success:
additive increase, multiplicative decrease (D. Chiu and R. Jain, "Analysis of the increase and
decrease algorithms for congestion avoidance in computer networks", Computer Networks and ISDN
Systems 17, 1989).
"""

import asyncio
import math
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar

from harness.errors import HarnessError
from harness.project.settings import Settings

WINDOW_SECONDS = 60.0
# A call may reach the server this much later than its place was given out, and still no minute
# on the server's clock sees more calls than allowed.
SLACK_SECONDS = 1.0
_LOOK_SECONDS = 0.02  # between two looks of a task of asyncio
# A share of the limits. With a lower one, a run would stop almost entirely after one bad minute.
LEAST_SHARE = 1 / 64


class Limiter:
    """Holds the calls of one process within the limits; its threads and tasks may share it.

    requests_per_minute: 0 for no such limit. max_concurrency: calls in flight at most. Places are
    given out evenly spaced, because servers count in seconds too.
    """

    def __init__(self, requests_per_minute: float, max_concurrency: int) -> None:
        # Whether one more call of this estimate (USD) fits into the budget, where there is one.
        self.more: Callable[[float], bool] | None = None
        self._spacing = 0.0
        if requests_per_minute:
            self._spacing = (WINDOW_SECONDS + SLACK_SECONDS) / requests_per_minute
        self._max = max_concurrency
        self._turn = threading.Lock()  # one waits for its time, the others queue behind it
        self._changed = threading.Condition()
        # How often the limits had been cut when a thread, or a task of asyncio, took its place.
        self._mine: ContextVar[int] = ContextVar("cuts")
        self._in_flight = 0
        self._share = 1.0
        self._cuts = 0
        # A run that was killed may have called just now: the first place comes one space later.
        self._last = time.monotonic()
        self._paused_until = self._last

    @property
    def share(self) -> float:
        """Part of the limits in use now, 1/64 to 1."""
        return self._share

    @property
    def allowed(self) -> int:
        """Calls that may be in flight now."""
        return max(1, int(self._max * self._share))

    def acquire(self) -> None:
        """Wait until one more call is within the limits, and take its place."""
        with self._turn, self._changed:
            while (wait := self._take()) > 0:
                self._changed.wait(None if wait == math.inf else wait)

    async def acquire_async(self) -> None:
        """The same for a task of asyncio, which lets the others go on while it waits."""
        while True:
            with self._changed:
                wait = self._take()
            if not wait:
                return
            await asyncio.sleep(min(wait, _LOOK_SECONDS))

    def _take(self) -> float:
        """Take a place and return 0, or the seconds to wait (inf: until one is given back)."""
        now = time.monotonic()
        if self._in_flight >= self.allowed:
            return math.inf
        wait = max(self._last + self._spacing / self._share, self._paused_until) - now
        if wait > 0:
            return wait
        self._last = now
        self._in_flight += 1
        self._mine.set(self._cuts)
        return 0.0

    def succeeded(self) -> None:
        """The server answered: a full round of such calls gives back a sixteenth of the limits."""
        with self._changed:
            if self._share < 1.0 and self._mine.get(-1) == self._cuts:
                self._share = min(1.0, self._share + 1 / (16 * self.allowed))
            self._give_back()

    def throttled(self, retry_after: float | None = None) -> None:
        """The server refused this call: halve the share and, where it named a time (s), wait.

        Of calls that were in flight together only the first halves it: they show the same overload.
        """
        with self._changed:
            if retry_after:
                self._paused_until = max(self._paused_until, time.monotonic() + retry_after)
            if self._mine.get(-1) == self._cuts:
                self._cuts += 1
                self._share = max(LEAST_SHARE, self._share / 2)
            self._give_back()

    def failed(self) -> None:
        """The call failed in a way that says nothing about the pace."""
        with self._changed:
            self._give_back()

    def _give_back(self) -> None:
        self._in_flight -= 1
        self._changed.notify()


def shared_limiter(settings: Settings, processes: int = 1) -> Limiter | None:
    """The limiter of one of `processes` processes, or None where nothing is to be limited.

    Threads always get one, so that a server which refuses calls is asked more slowly; processes
    only with requests_per_minute, and each with its part. Raises HarnessError where that is none.
    """
    rate = settings.limits.requests_per_minute
    threads = settings.run.executor in ("threads", "async")
    if processes > 1 and rate:
        if rate < processes:
            raise HarnessError(
                f"[limits] requests_per_minute = {rate:g} is too little for {processes} processes",
                fix=f'set [run] workers = {max(1, int(rate))}, or executor = "threads"',
            )
        rate = rate // processes
    if not rate and not threads and not settings.limits.max_cost_usd:
        return None
    return Limiter(rate, settings.run.workers if threads else 1)
