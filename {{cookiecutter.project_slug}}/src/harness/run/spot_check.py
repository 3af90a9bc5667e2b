"""Run a few reused datapoints again and see whether they still come out as recorded.

Keys hold what is declared and what the harness saw predict read. Other influences (a server's model
behind a name, an input that code outside Python reads) show here.
"""

import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import HarnessError
from harness.project.contract import Project
from harness.project.tasks import Task, tasks
from harness.project.values import Row, Value, plain
from harness.record.cache import ResultCache
from harness.record.known import Knowledge, reading_file
from harness.record.layout import databases, place_for
from harness.run.cluster import leave_cluster
from harness.run.executors import execute
from harness.run.fitted import Fits
from harness.run.job import Job, Outcome
from harness.run.limits import shared_limiter
from harness.run.prepared import Prepared, prepare

# Measured again each time.
_TIMES = frozenset(
    {"function_time", "latency", "latency_shared", "attempts", "cost_estimate", "cost_lost"}
    | {"fit_asset", "fit_seconds"}
)
_AT_ONCE = 256


@dataclass(slots=True)
class Recheck:
    """How many datapoints came out as recorded, by column; `examples` of those that did not."""

    asked: int = 0
    agree: dict[str, int] = field(default_factory=dict)
    differ: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether a prediction differs now (without a column `prediction`: any column)."""
        decisive = (
            {"prediction", "error"} if "prediction" in self.agree | self.differ else self.differ
        )
        return any(self.differ.get(name) for name in decisive)


def spot_check(project: Project, count: int) -> Recheck:
    """Execute a random sample of `count` known datapoints and compare; nothing is recorded.

    Raises HarnessError where nothing is known yet, and where it could cost more than [limits]
    max_cost_usd.
    """
    ready = prepare(project, None)
    sample = _sample(project, ready, count)
    if not sample:
        raise HarnessError(
            "no datapoint of this code, data and grid is known yet",
            fix="make experiment TAG=e0.0.1",
        )
    _refuse_cost(project, [task for task, _ in sample])
    before = {task.key: result for task, result in sample}
    found = Recheck(len(sample))
    with tempfile.TemporaryDirectory() as folder:
        jobs = _jobs(project, ready, [task for task, _ in sample], Path(folder))
        for outcome in execute(project, jobs, shared_limiter(project.settings)):
            _compare(found, outcome, before[outcome.job.task.key])
        leave_cluster(project)
    return found


def _sample(project: Project, ready: Prepared, count: int) -> list[tuple[Task, Row]]:
    """A random sample of known tasks, each with the same chance, however many there are."""
    place = place_for(project.root, project.settings, "e0.0.0")
    cache = ResultCache(place.cache)
    recorded = databases(project.root, project.settings, "experiment")
    known = Knowledge(cache, [reading_file(path) for path in recorded])
    chosen: list[tuple[Task, Row]] = []
    seen = 0
    chance = random.Random()
    try:
        for task, result in _known(project, ready, known):
            seen += 1
            if len(chosen) < count:
                chosen.append((task, result))
            elif (place_in := chance.randrange(seen)) < count:
                chosen[place_in] = (task, result)
    finally:
        cache.close()
    return chosen


def _known(project: Project, ready: Prepared, known: Knowledge) -> Iterator[tuple[Task, Row]]:
    chunk: list[Task] = []
    for task in tasks(project, ready.grid, ready.census, None):
        chunk.append(task)
        if len(chunk) == _AT_ONCE:
            yield from _those_of(chunk, known)
            chunk = []
    yield from _those_of(chunk, known)


def _those_of(chunk: list[Task], known: Knowledge) -> Iterator[tuple[Task, Row]]:
    found = known.get_many([task.key for task in chunk])
    for task in chunk:
        if task.key in found:
            yield task, found[task.key][0]


def _refuse_cost(project: Project, sample: list[Task]) -> None:
    limit = project.settings.limits.max_cost_usd
    if not limit or project.estimate is None:
        return
    cost = sum(project.estimate(task.item, task.configuration.params) or 0.0 for task in sample)
    if cost > limit:
        raise HarnessError(
            f"asking {len(sample)} datapoints again could cost {cost:.4f} USD, more than [limits] "
            f"max_cost_usd = {limit:g}",
            fix="make spot-check N=5",
        )


def _jobs(project: Project, ready: Prepared, sample: list[Task], folder: Path) -> Iterator[Job]:
    # Models are fitted again too, in a folder of their own.
    fits = None
    if project.fit is not None:
        fits = Fits(project, ready.grid.watch(), folder, lambda _: None)
    # By configuration, so that a worker keeps its resource.
    order = {each.digest: index for index, each in enumerate(ready.grid.configurations)}
    for task in sorted(sample, key=lambda task: order[task.configuration.digest]):
        fitted = fits.for_task(task) if fits else None
        yield Job(task, fitted.path if fitted else None)


def _compare(found: Recheck, outcome: Outcome, before: Row) -> None:
    task = outcome.job.task
    result = outcome.result
    now = dict(result.result or {}) | ({"error": result.error} if result.error_type else {})
    names = [name for name in {**before, **now} if name not in _TIMES]
    for name in names:
        old = _comparable(before.get(name))
        new = _comparable(now.get(name))
        if old == new:
            found.agree[name] = found.agree.get(name, 0) + 1
            continue
        found.differ[name] = found.differ.get(name, 0) + 1
        label = f"item {task.input_id}: {str(old)[:80]!r} was recorded, {str(new)[:80]!r} now"
        found.examples.setdefault(name, label)


def _comparable(value: object) -> Value:
    try:
        return plain(value)
    except (TypeError, ValueError):
        return type(value).__name__
