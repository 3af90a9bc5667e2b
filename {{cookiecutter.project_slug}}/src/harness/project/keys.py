"""The key of a datapoint: everything that could change its result, and nothing else.

key = SHA-256 of: key version, code, environment, params, item, repeat. Each part is kept with the
row or the run, so that a miss can be explained.
"""

import dataclasses
import glob
import hashlib
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from harness.errors import HarnessError
from harness.project.fingerprint import Code, reachable_code
from harness.project.modules import repository_top
from harness.project.settings import Settings
from harness.project.values import Params

# It represents the harness: no file of the harness is in a key. Raise it when the harness changes
# what a stored result means. Every earlier result is then computed again.
KEY_VERSION = "2"
# A date is not the text that orjson would write for it: predict sees the difference.
_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME


@dataclass(frozen=True, slots=True)
class Context:
    """What the keys of a configuration share: code, and `environment`.

    `environment` maps a name to a version, or to the SHA-256 of a file or variable; `files` are the
    declared files by their names there.
    """

    code: Code
    environment: dict[str, str]
    files: dict[str, Path] = field(default_factory=dict, compare=False)

    def with_items(self, digest: str) -> "Context":
        """The same where results also depend on all items together: a model was fitted on them."""
        return dataclasses.replace(self, environment={**self.environment, "items": digest})

    @property
    def prefix(self) -> bytes:
        """The digest of the shared parts, in bytes."""
        parts = [KEY_VERSION, self.code.key, json.dumps(self.environment, sort_keys=True)]
        return hashlib.sha256("\0".join(parts).encode()).digest()


def differences(before: Context | None, now: Context) -> set[str]:
    """The files, packages and variables that differ; empty where there is nothing to compare."""
    if before is None:
        return set()
    changed = set()
    for old, new in (
        (before.code.parts, now.code.parts),
        (before.environment, now.environment),
    ):
        changed |= {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
    return changed - {"items"}


def read_context(root: Path, settings: Settings, code: Code | None = None) -> Context:
    """Look up what else results depend on: declared files, variables and packages, and the packages
    that `code` imports (by default what predict.py reaches).

    Raises HarnessError where a declared package is not installed or a declared file is missing.
    """
    code = reachable_code(root) if code is None else code
    environment = {"python": ".".join(platform.python_version_tuple()[:2])}
    outside = {name for name in code.packages if name not in sys.stdlib_module_names}
    known = importlib.metadata.packages_distributions() if outside else {}
    imported = {name for package in outside for name in known.get(package, [])}
    for name in sorted(imported | set(settings.key.packages)):
        environment[f"package {name}"] = _version(name)
    for name in settings.key.variables:
        value = os.environ.get(name)
        # Not the value itself: a variable may hold a secret, and this is recorded.
        environment[f"variable {name}"] = "unset" if value is None else _digest(value.encode())
    files = declared_files(root, settings)
    for name, path in files.items():
        environment[f"file {name}"] = file_digest(path)
    return Context(code, environment, {f"file {name}": path for name, path in files.items()})


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _version(package: str) -> str:
    try:
        found = importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        raise HarnessError(
            f"[key] packages names {package}, which is not installed",
            fix=f"add {package} to requirements-benchmark.in, then make lock setup; or remove it",
        ) from None
    record = found.read_text("RECORD")
    if record and found.read_text("direct_url.json"):
        # Installed from a folder or a commit, where the version says little. RECORD has the hash of
        # each installed file.
        return f"{found.version} ({_digest(record.encode())[:16]})"
    return found.version


def declared_files(root: Path, settings: Settings) -> dict[str, Path]:
    """The files that `[key] files` matches, by their path from `root`.

    Raises HarnessError for a pattern that matches nothing, or something outside the git repository.
    """
    files: dict[str, Path] = {}
    for pattern in settings.key.files:
        found = [] if Path(pattern).is_absolute() else _glob(root, pattern)
        if not found:
            raise HarnessError(
                f"[key] files: nothing in the repository matches {pattern!r}",
                fix="correct the pattern in benchmark.toml; it is relative to this folder",
            )
        files |= {os.path.relpath(path, root).replace(os.sep, "/"): path for path in found}
    return files


def _glob(root: Path, pattern: str) -> list[Path]:
    names = glob.glob(pattern, root_dir=root, recursive=True, include_hidden=True)
    paths = [Path(os.path.normpath(root / name)) for name in names]
    top = root
    if any(not path.is_relative_to(root) for path in paths):
        top = repository_top(root)
    return sorted(path for path in paths if path.is_file() and path.is_relative_to(top))


def item_digest(item: Mapping[str, object], root: Path) -> bytes:
    """SHA-256 of an item's content; a `Path` in it counts with that file's place and bytes.

    The place counts because predict sees it: a folder's name is often the label of what is in it.

    Raises TypeError or ValueError where the item cannot be written as JSON, HarnessError where a
    file is missing.
    """
    try:
        encoded = orjson.dumps(item, option=_OPTIONS)
    except TypeError:  # a Path in it, a number beyond 64 bits, or what cannot be written
        encoded = b"null"
    if b"null" not in encoded:
        return hashlib.sha256(encoded).digest()

    def encode(value: object) -> object:
        if isinstance(value, Path):
            return {"file": place_of(value, root), "sha256": file_digest(root / value)}
        words = f"a {type(value).__name__} cannot be written as JSON"
        if hasattr(value, "tolist"):
            words += "; give its .tolist(), or keep it in a file and give the Path"
        raise TypeError(words)

    return hashlib.sha256(_canonical(item, encode)).digest()


def _canonical(value: object, encode: Callable[[object], object]) -> bytes:
    """JSON in one form only: sorted names, no NaN, numbers of any size."""

    def otherwise(value: object) -> object:
        # What orjson writes by itself and json does not.
        if isinstance(value, (Enum, UUID)):
            return value.value if isinstance(value, Enum) else str(value)
        return encode(value)

    try:
        encoded = orjson.dumps(value, default=encode, option=_OPTIONS)
        if b"null" not in encoded:
            return encoded
        # orjson writes NaN as null, which would give two different values one key.
        json.dumps(value, allow_nan=False, default=otherwise)
        return encoded
    except TypeError as error:
        if isinstance(error.__cause__, (HarnessError, TypeError)):
            raise error.__cause__ from None
        if "64-bit" not in str(error):
            raise
        text = json.dumps(
            value, allow_nan=False, default=otherwise, sort_keys=True, ensure_ascii=False
        )
        return text.encode()


def place_of(path: Path, root: Path) -> str:
    """A file's name from `root` where it is below it, so that a repository may move."""
    place = Path(os.path.normpath(root / path))
    return (place.relative_to(root) if place.is_relative_to(root) else place).as_posix()


def params_digest(params: Params, files: dict[str, str] | None = None) -> bytes:
    """SHA-256 of a configuration. A nested dataclass counts with its class.

    `files` are those that predict reads under it: SHA-256 by place.
    """

    def encode(value: Any) -> object:
        if isinstance(value, float):
            return float(value)  # numpy's, say from a linspace
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {"class": type(value).__qualname__, "fields": fields}

    fields = {field.name: getattr(params, field.name) for field in dataclasses.fields(params)}
    content: object = {"params": fields, "files": files} if files else fields
    return hashlib.sha256(_canonical(content, encode)).digest()


def task_key(prefix: bytes, params: bytes, item: bytes, repeat: int) -> str:
    """The key in hex, from the digests of its parts."""
    return hashlib.sha256(prefix + params + item + repeat.to_bytes(8, "big")).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes; read again only when its size or times changed."""
    try:
        stat = path.stat()
        version = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        known = _digests.get(str(path))
        if known is None or known[0] != version:
            with path.open("rb") as file:
                known = version, hashlib.file_digest(file, "sha256").digest()
            _digests[str(path)] = known
        return known[1].hex()
    except OSError as error:
        raise HarnessError(
            f"cannot read {path}: {error.strerror}",
            fix="restore the file; data kept with DVC comes with `make pull`",
        ) from None


# Without a limit: each configuration asks for each file again, and a memo that drops the oldest
# files would read all of them each time. It takes half a kilobyte a file.
_digests: dict[str, tuple[tuple[int, int, int], bytes]] = {}
