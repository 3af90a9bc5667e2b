"""A fitted model in a file, as the workers get it: it is named by its SHA-256."""

import hashlib
from pathlib import Path

import cloudpickle

from harness.errors import PermanentError


def load_model(path: Path) -> object:
    """The model. Raises PermanentError where the file is not what was written."""
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != path.stem:
        raise PermanentError(f"{path.name} is not the model that was recorded")
    return cloudpickle.loads(content)
