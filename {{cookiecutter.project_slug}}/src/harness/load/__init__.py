"""Load tests: requests sent when they are due, each a datapoint of its own.

In order: target (what is asked), schedule (when), connection and generator (a process that sends),
process (the side of its owner), executor (a phase for each configuration) with one sampler;
settings and checks, which the kind throughput plugs in; serve runs the repository's own server.
predict.py says what a request is.
"""

from harness.load.schedule import sent_late
from harness.load.target import Request, Response, Target, load_options, open_target

__all__ = ["Request", "Response", "Target", "load_options", "open_target", "sent_late"]
