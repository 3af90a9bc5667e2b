"""A fitted model in a file beside the cache, as the workers get it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cloudpickle

from harness.errors import PermanentError


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model's file and the SHA-256 of what was written there."""

    path: Path
    sha256: str

    @classmethod
    def written(cls, path: Path, content: bytes) -> "ModelFile":
        """Write the pickle of a model; whole or not at all, whatever is killed."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_bytes(content)
        part.replace(path)
        return cls(path, hashlib.sha256(content).hexdigest())

    def load(self) -> object:
        """The model. Raises PermanentError where the file is not what was written."""
        content = self.path.read_bytes()
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise PermanentError(f"{self.path.name} is not the model that was recorded")
        return cloudpickle.loads(content)
