"""What `predict` reads while it runs: files of the repository, environment variables, late modules.

A key can hold only what somebody declared. So Python's audit hooks and a wrapper of `os.environ`
note what is really read, and the harness names everything that no key holds. It does not see what
code outside Python reads (another process, a database engine's own files), or variables that a
library reads itself.
"""

import fnmatch
import importlib
import os
import sys
import threading
from collections.abc import Callable, Iterable, MutableMapping
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from harness.project.modules import HARNESS, is_installed

FILE, VARIABLE, MODULE = "file", "variable", "module"
# Python itself reads source files for imports and tracebacks.
_IMPORTING = ("<frozen importlib", "importlib", "linecache.py", "tokenize.py", "inspect.py")
_PASSED_ON = ("/os.py", "<frozen os>", "/_collections_abc.py", "<frozen _collections_abc>")
_NO_INPUTS = frozenset({".git", ".dvc", ".dev", ".venv", "results", "__pycache__"})
_OWN = str(Path(__file__).parent)


# What a thread, or a task of asyncio, has read since predict was called; None outside predict.
_notes: ContextVar[set[str] | None] = ContextVar("notes", default=None)
_elsewhere: set[str] = set()  # read by threads that predict started
_root: Path | None = None
_top = ""
_one_worker = False
_known_threads: set[int] = set()
_loaded: set[str] = set()  # the modules that were looked at already
_MAIN = ("__main__", "__mp_main__")  # the program itself; multiprocessing gives it a second name


def unkeyed(
    reads: Iterable[str], item: object, known: Iterable[str], harmless: Iterable[str], root: Path
) -> set[str]:
    """The reads that no key, no item and no setting declares.

    `known` are names as in `noted`; `harmless` those of `[key] harmless`, files as patterns.
    """
    left = set(reads) - set(known) - paths_in(item, root)
    patterns = list(harmless)
    return {name for name in left if not any(_is_meant(name, each) for each in patterns)}


def _is_meant(name: str, pattern: str) -> bool:
    kind, _, what = name.partition(" ")
    return fnmatch.fnmatchcase(what, pattern) if kind == FILE else what == pattern


def advice(name: str) -> str:
    """What to do about a read that no key holds."""
    kind, _, what = name.partition(" ")
    if kind == MODULE:
        return f"import {what} in predict.py, or name it in modules(params) of params.py"
    key = "files" if kind == FILE else "variables"
    return (
        f'benchmark.toml: add "{what}" to [key] {key}, or to [key] harmless where no result '
        "depends on it"
    )


def begin(root: Path, top: Path) -> None:
    """Start to watch this process, for the benchmark at `root` of the git repository at `top`."""
    global _root, _top
    if _root is None:
        sys.addaudithook(_audit)
        _follow_variables()
        _follow_import_module()
    _root = root
    _top = str(top) + os.sep
    all_loaded()


def all_loaded() -> None:
    """Say that the modules loaded so far are no late modules."""
    global _loaded
    _loaded = _loaded | set(sys.modules)


def brought_by_harness(names: Iterable[str]) -> None:
    """Say that the harness itself loaded these modules, not a prediction."""
    global _loaded
    _loaded = _loaded.union(names)


def secret(name: str) -> str:
    """An environment variable that no result depends on, such as a key; "" where it is not set.

    Read here, it is not noted as something that a result may depend on.
    """
    return os.environ.get(name, "")


def one_worker() -> None:
    """Say that this process runs one prediction at a time: what its other threads read counts as
    read by that prediction."""
    global _one_worker
    _one_worker = True
    for thread in threading.enumerate():
        if thread.ident is not None:
            _known_threads.add(thread.ident)


def is_harness_thread() -> None:
    """Say that the thread that calls this is the harness's own."""
    _known_threads.add(threading.get_ident())


class noted:
    """What is read in here, as `file PATH`, `variable NAME` or `module NAME`."""

    __slots__ = ("_before", "_found")

    def __enter__(self) -> set[str]:
        self._found = set[str]()
        self._before = _notes.set(self._found)
        return self._found

    def __exit__(self, *_: object) -> None:
        _notes.reset(self._before)
        if _elsewhere:
            self._found.update(_elsewhere)
            _elsewhere.clear()
        if len(sys.modules) != len(_loaded):
            self._found.update(f"{MODULE} {name}" for name in _newly_loaded())


def paths_in(value: object, root: Path) -> set[str]:
    """The files that an item points to, named as `noted` names them."""
    if isinstance(value, Path):
        return {_file_name(os.path.normpath(root / value))}
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return set()
    return {name for each in value for name in paths_in(each, root)}


def _note(name: str) -> None:
    if (found := _notes.get()) is not None:
        found.add(name)
    elif _one_worker and threading.get_ident() not in _known_threads:
        _elsewhere.add(name)


def _listening() -> bool:
    if _notes.get() is not None:
        return True
    return _one_worker and threading.get_ident() not in _known_threads


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" and event != "sqlite3.connect":
        return
    if not _listening():
        return
    path = arguments[0]
    if event == "open" and not _is_read(*arguments[1:3]):
        return
    try:
        if isinstance(path, int):
            return
        name = os.path.abspath(os.fsdecode(path))
    except (TypeError, ValueError, OSError):
        return
    if name.startswith(_top) and _may_be_input(name) and _is_wanted(sys._getframe(1)):
        _note(_file_name(name))


def _is_read(mode: str | None, flags: int) -> bool:
    if mode is None:
        return flags & os.O_ACCMODE != os.O_WRONLY if hasattr(os, "O_ACCMODE") else True
    return "r" in mode or "+" in mode


@lru_cache(maxsize=10_000)
def _may_be_input(name: str) -> bool:
    parts = name[len(_top) :].split(os.sep)
    if any(part in _NO_INPUTS or part.startswith(".cache") for part in parts):
        return False
    return not is_installed(Path(name)) and not name.startswith(_OWN)


def _file_name(name: str) -> str:
    return f"{FILE} {os.path.relpath(name, _root).replace(os.sep, '/')}"


def _is_wanted(frame: FrameType | None) -> bool:
    """Whether the person's code, or a library that it called, opens a file; not the harness for
    itself, and not Python for an import or a traceback."""
    file = frame.f_code.co_filename if frame else ""
    if any(part in file for part in _IMPORTING):
        return False
    while frame:
        file = frame.f_code.co_filename
        if file.startswith(_OWN):
            return False
        if _is_own(file):
            return True
        frame = frame.f_back
    return True


@lru_cache(maxsize=10_000)
def _is_own(file: str) -> bool:
    """Whether code in this file is the person's own."""
    return not (file.startswith("<") or file.startswith(_OWN) or is_installed(Path(file)))


def _follow_variables() -> None:
    kind: Any = type(os.environ)
    read: Callable[[MutableMapping[str, str], str], str] = kind.__getitem__

    def noting(self: MutableMapping[str, str], key: str) -> str:
        if _listening():
            frame: FrameType | None = sys._getframe(1)
            while frame and frame.f_code.co_filename.endswith(_PASSED_ON):
                frame = frame.f_back
            if frame and _is_own(frame.f_code.co_filename):
                _note(f"{VARIABLE} {key}")
        return read(self, key)

    kind.__getitem__ = noting


def _follow_import_module() -> None:
    """A module that is already loaded leaves no trace, so the call itself is noted."""
    load = importlib.import_module

    def noting(name: str, package: str | None = None) -> ModuleType:
        module = load(name, package)
        if _listening() and _is_own(str(getattr(module, "__file__", None) or "<")):
            _note(f"{MODULE} {module.__name__}")
        return module

    importlib.import_module = noting


def loaded_since(before: Iterable[str]) -> set[str]:
    """The person's own modules that were loaded since `before` (names in sys.modules)."""
    return _own_modules(set(sys.modules) - set(before))


def _newly_loaded() -> set[str]:
    # One assignment, because several predictions may end at once: none may see an empty set.
    global _loaded
    before, now = _loaded, set(sys.modules)
    _loaded = now
    return _own_modules(now - before)


def _own_modules(names: Iterable[str]) -> set[str]:
    found = set()
    for name in names:
        file = getattr(sys.modules.get(name), "__file__", None)
        if file and name not in _MAIN and name.partition(".")[0] != HARNESS and _is_own(str(file)):
            found.add(name)
    return found
