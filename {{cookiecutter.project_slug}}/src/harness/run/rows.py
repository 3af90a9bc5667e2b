"""Rows of `predictions`: how a task and its outcome look in the table."""

from collections.abc import Callable
from dataclasses import dataclass, field

from harness.project.tasks import Task
from harness.project.values import Row
from harness.run.job import Outcome


@dataclass(slots=True)
class Rows:
    """Makes the rows of one run. `own_runs` are all runs of its experiment, this one too.

    `designed` gives the columns that say where a task stands in the design of the experiment.
    """

    track_id: str
    experiment: str
    own_runs: set[str] = field(default_factory=set)
    designed: Callable[[Task], Row] = lambda task: {}

    def __post_init__(self) -> None:
        self.own_runs.add(self.track_id)

    def reused(self, task: Task, result: Row, origin: str) -> Row:
        """A row from the cache; what this experiment computed before a kill counts as its own."""
        attempts = result.pop("attempts", None)
        latency = result.pop("latency", None)
        seconds = result.pop("function_time", 0.0)
        asset = result.pop("fit_asset", None)
        fit_seconds = result.pop("fit_seconds", None)
        own = origin in self.own_runs
        row = self._row(
            task, seconds if own else 0.0, None, None, attempts, latency if own else None, asset
        )
        if fit_seconds is not None and own:
            row["fit_seconds"] = fit_seconds
        row |= result
        row |= self.designed(task)
        row["track_id"], row["cache"] = (origin, "") if own else (self.track_id, origin)
        return row

    def unfitted(self, task: Task, error: str | None, error_type: str | None) -> Row:
        """The failure of a task whose model could not be fitted."""
        row = self._row(task, 0.0, error, error_type, 0, None, None)
        return row | self.designed(task)

    def executed(self, outcome: Outcome) -> tuple[Row, Row | None]:
        """The row, and the result to keep in the cache (None where it failed)."""
        task = outcome.job.task
        result = outcome.result
        estimate = outcome.job.estimate
        returned = dict(result.result or {})
        if estimate is not None and result.error_type is None:
            # A resumed run counts it where the true cost is not known.
            returned["cost_estimate"] = estimate
        row = self._row(
            task,
            result.function_time,
            result.error,
            result.error_type,
            result.attempts,
            result.latency,
            outcome.job.asset,
        )
        row |= returned | self.designed(task)
        if estimate and result.lost:
            row["cost_lost"] = result.lost * estimate
        if outcome.job.fit_seconds is not None:
            row["fit_seconds"] = outcome.job.fit_seconds
        if result.error_type is not None:
            return row, None
        keep = returned | {
            "function_time": result.function_time,
            "attempts": result.attempts,
            "latency": result.latency,
        }
        if outcome.job.asset:
            keep["fit_asset"] = outcome.job.asset
            if outcome.job.fit_seconds is not None:
                keep["fit_seconds"] = outcome.job.fit_seconds
        return row, keep

    def _row(
        self,
        task: Task,
        seconds: float,
        error: str | None,
        error_type: str | None,
        attempts: int | None,
        latency: float | None,
        asset: str | None,
    ) -> Row:
        return {
            "track_id": self.track_id,
            "timestamp": "",
            "function_name": "predict",
            "function_time": seconds,
            "error": error,
            "cache": "",
            "experiment_version": self.experiment,
            "task_key": task.key,
            "item_key": task.item_key,
            "code_key": task.configuration.code_key,
            "input_id": task.input_id,
            "repeat": task.repeat,
            **task.configuration.columns,
            "error_type": error_type,
            "attempts": attempts,
            "latency": latency,
            "fit_asset": asset,
        }
