"""A fitted model in a file beside the cache, as the workers get it: it is named by its SHA-256."""

import hashlib
from pathlib import Path

import cloudpickle

from harness.errors import PermanentError


def write_model(folder: Path, content: bytes) -> Path:
    """Write the pickle of a model, whole or not at all; returns its file."""
    path = folder / f"{hashlib.sha256(content).hexdigest()}.pkl"
    if not path.is_file() or path.read_bytes() != content:
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_bytes(content)
        part.replace(path)
    return path


def load_model(path: Path) -> object:
    """The model. Raises PermanentError where the file is not what was written."""
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != path.stem:
        raise PermanentError(f"{path.name} is not the model that was recorded")
    return cloudpickle.loads(content)
