"""Stops a command where it enters or leaves a function, so that a test reaches every step of it.

Nothing of the harness is replaced. A `sitecustomize` in the command's process watches which
functions run, and at the step sends the process a signal, or holds it until the test lets it go on.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness.project_fixture import Bench, eventually

# The whole way of an experiment, from its first look at the items to the push.
STEPS = (
    "run/prepared.py:prepare:return",
    "gates/gates.py:pass_gates:return",
    "run/loop.py:_begin:return",
    "run/loop.py:_end:return",
    "measure/score.py:score_rows:call",
    "measure/score.py:score_rows:return",
    "measure/aggregate.py:measure:return",
    "read/validate.py:validate:call",
    "version/published.py:begin_finishing:return",
    "tell/committed.py:write_summary:return",
    "version/git.py:commit:call",
    "version/git.py:commit:return",
    "version/git.py:annotate:return",
    "version/git.py:push:return",
)

WATCHER = """
import os
import sys
import time

steps = os.environ.pop("AT_STEPS", "").split()
number = int(os.environ.pop("AT_STEP_SIGNAL", "0"))
folder = os.environ.pop("AT_STEP_FOLDER", "")


def act(step):
    open(f"{folder}/at-{step.replace('/', '-')}", "w").close()
    if number:
        os.kill(os.getpid(), number)
        time.sleep(0.05)  # Python runs a handler a little later
    while not number and not os.path.exists(f"{folder}/on-{step.replace('/', '-')}"):
        time.sleep(0.01)


def look(frame, event, argument):
    file, name, when = steps[0].split(":")
    code = frame.f_code
    if code.co_name == name and event == when and code.co_filename.endswith(f"harness/{file}"):
        step = steps.pop(0)
        if not steps:
            sys.setprofile(None)
        act(step)


if steps:
    sys.setprofile(look)
"""


@dataclass
class Stops:
    """Where the commands of a repository are stopped."""

    bench: Bench
    folder: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder = self.bench.root.with_name("steps")
        self.folder.mkdir()
        (self.folder / "sitecustomize.py").write_text(WATCHER)

    def at(self, *steps: str, signal: int = 0) -> dict[str, str]:
        """The environment in which a command is stopped there, one step after the other."""
        path = self.bench.environment()["PYTHONPATH"]
        return {
            "PYTHONPATH": f"{self.folder}{os.pathsep}{path}",
            "AT_STEPS": " ".join(steps),
            "AT_STEP_SIGNAL": str(signal),
            "AT_STEP_FOLDER": str(self.folder),
        }

    def reached(self, step: str, seconds: float = 0.0) -> bool:
        """Whether a command came to a step; waits for it so long."""
        mark = self.folder / f"at-{step.replace('/', '-')}"
        return eventually(mark.exists, seconds) if seconds else mark.exists()

    def go_on(self, step: str) -> None:
        """Let the command that is held there go on."""
        (self.folder / f"on-{step.replace('/', '-')}").touch()
