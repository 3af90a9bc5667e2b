"""Load tests: requests sent when they are due, each a datapoint of its own.

target (what is asked) > schedule (when) > connection, generator (a process that sends), process
(its owner's side) > executor (phase by phase, one a configuration) beside one sampler. predict.py
says what a request is.
"""

from harness.load.schedule import sent_late
from harness.load.target import Request, Response, Target, load_options, open_target

__all__ = ["Request", "Response", "Target", "load_options", "open_target", "sent_late"]
