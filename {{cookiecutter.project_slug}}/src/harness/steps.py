"""What a long command is doing: a line for each step, once it takes longer than people wait."""

import threading
import time
from types import TracebackType

from harness.console import err

_PATIENCE = 2.0  # seconds before a step is named
_AGAIN = 5.0  # seconds between two lines of a step that counts


class Step:
    """Says on standard error that `words` go on, where they take longer than two seconds.

    with Step("scoring") as step: step.done(2000) says how far it is, now and then.
    """

    def __init__(self, words: str, total: int = 0, unit: str = "datapoints") -> None:
        self._words = words
        self._of = f" of {total:,}" if total else ""
        self._unit = unit
        self._next = time.monotonic() + _PATIENCE
        # A step may be one call of another program, which says nothing while it goes on.
        self._timer = threading.Timer(_PATIENCE, self._say, [f"{words} ..."])
        self._timer.daemon = True

    def __enter__(self) -> "Step":
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()

    def done(self, count: int) -> None:
        """Say how far it is, at most every five seconds."""
        now = time.monotonic()
        if now < self._next:
            return
        self._timer.cancel()
        self._next = now + _AGAIN
        self._say(f"{self._words}: {count:,}{self._of} {self._unit}")

    def _say(self, line: str) -> None:
        err.print(line, markup=False, soft_wrap=True)
