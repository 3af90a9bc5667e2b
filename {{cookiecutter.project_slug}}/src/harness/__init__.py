"""The harness: runs `predict` once for every datapoint and keeps what came out.

The way of a datapoint, one module a step:
gates > plan > keys > cache > executors (attempt) > store > score > summarise > experiment (tag).
"""

from harness.errors import PermanentError, TransientError

__all__ = ["PermanentError", "TransientError"]
