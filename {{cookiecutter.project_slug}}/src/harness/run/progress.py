"""Progress for people: a bar in a terminal, a plain line now and then elsewhere."""

import time
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from harness.console import err
from harness.record.recorder import Counts

_LINE_SECONDS = 5.0
_BAR_SECONDS = 0.1


class RunProgress:
    """Shows how far a run is; `done_before` datapoints were recorded by earlier runs."""

    def __init__(self, title: str, total: int, done_before: int) -> None:
        self.title = title
        self.total = total
        self.before = done_before
        self._start = self._shown = time.monotonic()
        self._bar: Progress | None = None
        if err.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[split]}", markup=False),
                TimeRemainingColumn(),
                console=err,
            )
            self._task = self._bar.add_task(title, total=total, completed=done_before, split="")

    def __enter__(self) -> "RunProgress":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, counts: Counts, at_once: bool = False) -> None:
        """Refresh, at most ten times a second (a line: every five seconds)."""
        now = time.monotonic()
        pause = _BAR_SECONDS if self._bar else _LINE_SECONDS
        if now - self._shown < pause and not at_once:
            return
        self._shown = now
        done = self.before + counts.total
        split = f"executed {counts.executed}  cached {counts.cached}  failed {counts.failed}"
        if self._bar:
            self._bar.update(self._task, completed=done, split=split)
            return
        rate = counts.total / max(now - self._start, 1e-9)
        left = f"{(self.total - done) / rate:.0f} s left" if rate else "time left unknown"
        err.print(f"{self.title}: {done}/{self.total}  {split}  {left}", markup=False)
