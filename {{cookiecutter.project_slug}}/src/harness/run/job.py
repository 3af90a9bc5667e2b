"""What an executor is given, and what it returns."""

from dataclasses import dataclass

from harness.project.tasks import Task
from harness.run.attempt import Result
from harness.run.model_file import ModelFile


@dataclass(frozen=True, slots=True)
class Job:
    """A task to execute, with the file and asset of its fitted model where predict takes one.

    `estimate` is its expected cost in USD, None where it is unknown.
    """

    task: Task
    fitted: ModelFile | None = None
    asset: str | None = None
    estimate: float | None = None


@dataclass(slots=True)
class Outcome:
    """A job and its outcome."""

    job: Job
    result: Result
