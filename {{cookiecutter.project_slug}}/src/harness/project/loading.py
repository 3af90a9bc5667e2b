"""The person's modules, imported as they lie on the disk at this moment."""

import contextlib
import importlib
import importlib.util
import os
import typing
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.errors import HarnessError, in_words
from harness.project.fingerprint import reachable_code
from harness.project.modules import repository_top
from harness.project.watch import Stamp, stamp

PACKAGE = "benchmark"
_COARSE_NS = 20_000_000  # a file's times move in steps of the system's clock


def fresh_stamps(root: Path) -> dict[str, Stamp]:
    """When each file that predict reaches was last written, by place; stale bytecode is deleted."""
    try:
        files = reachable_code(root).files
    except HarnessError:
        return {}  # importing it will say what is wrong
    for path in files.values():
        _forget_stale_bytecode(path)
    return {name: stamp(path) for name, path in files.items()}


def _forget_stale_bytecode(source: Path) -> None:
    """Python takes a .pyc for current by size and whole seconds: an edit within one second would
    run the old code under the new code's key."""
    with contextlib.suppress(OSError, NotImplementedError):
        compiled = Path(importlib.util.cache_from_source(str(source)))
        if compiled.stat().st_mtime_ns <= source.stat().st_ctime_ns + _COARSE_NS:
            compiled.unlink(missing_ok=True)


def refuse_written(before: dict[str, Stamp], now: dict[str, Stamp], begun: int) -> None:
    """Refuse files that changed between fingerprint and import; a file found late is judged by its
    time."""
    for name, found in now.items():
        late = name not in before and found and found[-1] > begun
        if late or before.get(name, found) != found:
            raise HarnessError(
                f"{name} was written while it was loaded", fix="run the same command again", code=1
            )


def import_own(root: Path, name: str) -> ModuleType:
    """A module of the person's package. Raises HarnessError where it is missing or fails."""
    path = root / "src" / PACKAGE / f"{name}.py"
    if not path.exists():
        raise HarnessError(f"there is no {path.relative_to(root)}", fix=f"write {path.name}")
    try:
        return importlib.import_module(f"{PACKAGE}.{name}")
    except HarnessError:
        raise
    except Exception as error:
        fix = "correct that line"
        if isinstance(error, ModuleNotFoundError):
            fix = _how_to_find(str(error.name or "").partition(".")[0], root)
        raise HarnessError(
            f"src/{PACKAGE}/{name}.py does not import: {in_words(error)}", fix=fix
        ) from error


def _how_to_find(package: str, root: Path) -> str:
    """What makes a missing package importable. A stranger may own its name on a package index, so
    where a folder here is called like it, that one is meant."""
    if package == PACKAGE:
        return "correct that line"
    nearby = [
        base
        for base in (repository_top(root) / "src", repository_top(root))
        if (base / package).is_dir()
    ]
    if nearby and not (root / "src" / package).is_dir():
        folder = os.path.relpath(repository_top(root), root).replace(os.sep, "/")
        return (
            f"{package} lies in {os.path.relpath(nearby[0] / package, root)}: add the line "
            f"`-e {folder}` to requirements-benchmark.in, then make lock setup"
        )
    return (
        f"if {package} is your own code, add `-e FOLDER` to requirements-benchmark.in; if it is a "
        "published package, add the name under which you know it; then make lock setup"
    )


def own_function(module: ModuleType, name: str) -> Callable[..., Any]:
    """A function that a module of the person's must have. Raises HarnessError without it."""
    function = getattr(module, name, None)
    if not callable(function):
        file = f"src/{PACKAGE}/{module.__name__.rpartition('.')[2]}.py"
        raise HarnessError(f"{file} defines no function {name}", fix=f"define {name} in {file}")
    return typing.cast(Callable[..., Any], function)
