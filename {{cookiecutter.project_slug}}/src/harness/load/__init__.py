"""Load tests: requests sent when they are due, each a datapoint of its own.

target (what is asked) > schedule (when) > generator, connection (a process that sends) > executor
(phase by phase, one a configuration) beside one sampler. predict.py says what a request is.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.load.schedule import sent_late
from harness.load.target import Request, Response, Target, load_options, open_target

if TYPE_CHECKING:
    from harness.executors import Job, Outcome
    from harness.project import Project

__all__ = [
    "Request",
    "Response",
    "Target",
    "execute_load",
    "load_options",
    "open_target",
    "sent_late",
]


def execute_load(project: "Project", jobs: "Iterator[Job]") -> "Iterator[Outcome]":
    """The executor `load`: see harness.load.executor, which only the driver needs."""
    from harness.load.executor import run

    return run(project, jobs)
