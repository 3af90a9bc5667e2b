"""How many datapoints are handed out together.

One, unless predict.py has a predict_batch. Then as many as `[run] batch_size` says, or a number
found by time: it is doubled while that makes a datapoint faster.
"""

from collections.abc import Iterator, Sequence

from harness.project.contract import Project
from harness.record.columns import LATENCY_SHARED
from harness.run.attempt import Result
from harness.run.job import Job

_MOST = 1024
_LONG_SECONDS = 1.0  # a batch that takes longer gains little, and costs much where it fails
_FASTER = 0.95  # of the time per datapoint; less of a gain is noise


class Sizes:
    """The size of the next batch; results are reported to it."""

    def __init__(self, project: Project) -> None:
        fixed = project.settings.run.batch_size
        self.adaptive = project.predict_batch is not None and not fixed
        self.now = 2 if self.adaptive else fixed or 1
        if project.predict_batch is None or project.takes_repeat:
            self.now = 1
            self.adaptive = False
        self._best = float("inf")  # seconds per datapoint at the size before this one

    def report(self, results: Sequence[Result]) -> None:
        """Take what a batch took into account."""
        size = len(results)
        if not self.adaptive or size != self.now:
            return
        if not all(_is_shared(each) for each in results):
            return  # it failed in part, and says nothing about time
        share = sum(each.function_time for each in results) / size
        if share > self._best * _FASTER:
            self.now = max(1, self.now // 2)
            self.adaptive = False
        elif size * share >= _LONG_SECONDS or size >= _MOST:
            self.adaptive = False
        else:
            self._best = share
            self.now *= 2

    def failed(self, size: int) -> None:
        """A batch took too long or ended its process: try smaller ones."""
        if self.adaptive and size <= self.now:
            self.now = max(1, size // 2)
            self.adaptive = False


def _is_shared(result: Result) -> bool:
    return result.error_type is None and LATENCY_SHARED in (result.result or {})


def groups(jobs: Iterator[Job], sizes: Sizes) -> Iterator[list[Job]]:
    """Consecutive jobs that share configuration and model, as many as `sizes` says by then."""
    group: list[Job] = []
    for job in jobs:
        if group and not _alike(group[0], job):
            yield group
            group = []
        group.append(job)
        if len(group) >= sizes.now:
            yield group
            group = []
    if group:
        yield group


def _alike(one: Job, other: Job) -> bool:
    same = one.task.configuration.digest == other.task.configuration.digest
    return same and one.fitted == other.fitted
