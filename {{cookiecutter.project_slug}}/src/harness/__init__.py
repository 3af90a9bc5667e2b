"""The harness: runs `predict` for every datapoint, keeps one row of each, repeats no good one.

Its rooms, in the order of a datapoint's way; each one's `__init__` says what is in it:

    project/   what the person wrote and declared, and the keys made from it
    gates/     what must hold before an experiment
    run/       what is executed, where, within which limits
    record/    the one writer: databases, columns, cache
    measure/   scores of rows, figures of configurations, verdicts
    stats/     intervals and tests, pure functions
    read/      what is recorded, read
    tell/      what people see of it: tables, summary, report, comparison
    exchange/  logs of other tools, and what they read
    version/   git, DVC, tags; merging, worktrees, layouts, models
    load/      load on a server
    cli/       the commands

experiment leads through all of it, judging asks a judge in between, labelling asks a person,
importing has a log in the place of predict, trial does so for tests,
suggest names the next tag, doctor looks at what it stands on. All rooms
use errors, console, findings, clock and system; seal says which harness this is. No room imports
one that is above it (scripts/rooms.py of the template draws them).
"""

from harness.errors import PermanentError, TransientError
from harness.project.scores import Score

__version__ = "0.3.0"
__all__ = ["PermanentError", "Score", "TransientError"]
