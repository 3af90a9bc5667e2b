"""What an executor is given, and what it returns."""

from dataclasses import dataclass
from pathlib import Path

from harness.project.tasks import Task
from harness.run.attempt import Result, words_of


@dataclass(slots=True)  # not frozen, as a Task
class Job:
    """A task to execute, with the file and asset of its fitted model where predict takes one.

    `fit_seconds`: what its fit took, None where that is not known. `estimate`: its expected cost in
    USD, None where it is unknown.
    """

    task: Task
    fitted: Path | None = None
    asset: str | None = None
    fit_seconds: float | None = None
    estimate: float | None = None


@dataclass(slots=True)
class Outcome:
    """A job and its outcome."""

    job: Job
    result: Result


def broken(error: BaseException) -> Result:
    """The result where computing one, or sending it, broke."""
    return Result(None, words_of(error), type(error).__name__, 1, 0.0, None, permanent=True)
