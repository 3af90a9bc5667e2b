"""How fast an endpoint is asked: requests and tokens a minute, and requests at once.

One Pace an endpoint and process. A request that the server refused for its pace is sent again
here, when the server says: that is no attempt of a prediction.
"""

import threading
import time
import tomllib
from collections import deque
from functools import lru_cache

from benchmark.llm.endpoint import ROOT, Endpoint
from harness.errors import HarnessError
from harness.run.limits import SLACK_SECONDS, WINDOW_SECONDS, Limiter


class Tokens:
    """Holds the tokens of any minute within a limit, by a sliding window of what was sent."""

    def __init__(self, per_minute: float) -> None:
        self._limit = per_minute
        self._window = WINDOW_SECONDS + SLACK_SECONDS
        self._turn = threading.Lock()  # one waits for room, the others queue behind it
        self._lock = threading.Lock()
        self._sent: deque[list[float]] = deque()  # when, how many

    def acquire(self, expected: float) -> list[float]:
        """Wait until `expected` tokens more are within the limit; returns their entry.

        A request that is larger than the limit goes when nothing else is in the minute.
        """
        with self._turn:
            while True:
                with self._lock:
                    now = time.monotonic()
                    while self._sent and self._sent[0][0] <= now - self._window:
                        self._sent.popleft()
                    used = sum(entry[1] for entry in self._sent)
                    if not self._sent or used + expected <= self._limit:
                        entry = [now, expected]
                        self._sent.append(entry)
                        return entry
                    wait = self._sent[0][0] + self._window - now
                # What others sent may turn out to be less than expected, so it looks now and then.
                time.sleep(min(wait, 0.1))

    def settle(self, entry: list[float], tokens: float) -> None:
        """Say what a request took in truth."""
        with self._lock:
            entry[1] = tokens


class Pace:
    """The limits of one endpoint for the requests of this process, which has `workers`."""

    def __init__(self, endpoint: Endpoint, workers: int, processes: int = 1) -> None:
        at_once = endpoint.concurrency // processes or workers
        self.limiter = Limiter(endpoint.requests_per_minute / processes, min(at_once, workers))
        each = endpoint.tokens_per_minute / processes
        self.tokens = Tokens(each) if each else None

    def acquire(self, expected: float) -> list[float] | None:
        """Wait for a place for a request of about so many tokens."""
        entry = self.tokens.acquire(expected) if self.tokens else None
        self.limiter.acquire()
        return entry

    def settle(self, entry: list[float] | None, tokens: float | None) -> None:
        """Say how many tokens it took; None where that is not known, 0 where it was refused."""
        if self.tokens and entry is not None and tokens is not None:
            self.tokens.settle(entry, tokens)


@lru_cache
def _workers() -> tuple[int, int]:
    """Workers of this process, and how many processes share the limits of an endpoint."""
    run = tomllib.loads((ROOT / "benchmark.toml").read_text(encoding="utf-8")).get("run", {})
    workers = int(run.get("workers", 4))
    return (1, workers) if run.get("executor") == "processes" else (workers, 1)


def pace_of(endpoint: Endpoint) -> Pace:
    """A new Pace; raises HarnessError where the limits are too little to be shared."""
    workers, processes = _workers()
    for name in ("requests_per_minute", "concurrency"):
        if 0 < getattr(endpoint, name) < processes:
            raise HarnessError(
                f"{endpoint.where} {name} is too little for {processes} processes",
                fix='set [run] executor = "threads", or fewer workers',
            )
    return Pace(endpoint, workers, processes)
