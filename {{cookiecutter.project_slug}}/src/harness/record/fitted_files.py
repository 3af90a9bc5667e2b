"""Fitted models as files: those that are too large for a database lie beside it.

xetrack's table of assets stays the index: of such a model it holds a text that names the file,
`fitted/TAG/SHA256.pkl` from the database's folder. A file never changes, and so each push of the
results brings only those that are new.
"""

import hashlib
import os
import pickle
from pathlib import Path

from harness.errors import HarnessError
from harness.record.pickles import NotPlain, plain_load

FOLDER = "fitted"
_MARK = "model file: "
_LONGEST = 400  # bytes of such a text's pickle


def write_model(folder: Path, content: bytes) -> Path:
    """Write the pickle of a model, whole or not at all; returns its file."""
    path = folder / f"{hashlib.sha256(content).hexdigest()}.pkl"
    if not path.is_file() or path.read_bytes() != content:
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_bytes(content)
        part.replace(path)
    return path


def keep_file(db: Path, experiment: str, content: bytes) -> tuple[bytes, Path]:
    """Write a model beside the database; what its asset is to hold, and the file."""
    path = write_model(db.parent / FOLDER / experiment, content)
    return pickle.dumps(_MARK + path.relative_to(db.parent).as_posix()), path


def file_of(db: Path, asset: bytes) -> Path | None:
    """The file that an asset names; None where it holds the model itself.

    Raises HarnessError where the name leads elsewhere.
    """
    if len(asset) > _LONGEST:
        return None
    try:
        text = plain_load(asset)
    except (NotPlain, pickle.UnpicklingError, EOFError, ValueError, IndexError, AttributeError):
        return None
    if not isinstance(text, str) or not text.startswith(_MARK):
        return None
    folder = (db.parent / FOLDER).resolve()
    path = (db.parent / text.removeprefix(_MARK)).resolve()
    if not path.is_relative_to(folder):
        raise HarnessError(
            f"an asset of {db.name} names a model outside of {folder.name}/: {path}",
            fix="do not use that database; ask where it comes from",
        )
    return path


def read_file(path: Path) -> bytes:
    """The pickle of a model. Raises HarnessError where the file is not here, or another one."""
    record = path.parent.with_name(f"{path.parent.name}.dvc")
    fix = f"git checkout -- {os.path.relpath(path)}"
    if record.exists():
        fix = f"dvc checkout {os.path.relpath(record)}, or make pull"
    try:
        content = path.read_bytes()
    except OSError:
        raise HarnessError(f"the fitted model {path} is not here", fix=fix, code=1) from None
    if hashlib.sha256(content).hexdigest() != path.stem:
        raise HarnessError(f"{path} is not the model that was recorded", fix=fix, code=1)
    return content


def is_lost(path: Path) -> bool:
    """Whether a model is not here and nothing says where it can be had: it is fitted again."""
    recorded = path.parent.with_name(f"{path.parent.name}.dvc").exists()
    return not path.is_file() and not recorded
