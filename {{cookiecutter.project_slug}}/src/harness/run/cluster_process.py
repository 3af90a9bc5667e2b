"""A process on a cluster's worker: checks that it has the driver's project, then computes for it.

Its argument is the folder in which its watchdog leaves marks.

Messages come on standard input and answers leave on what was standard output: eight bytes of
length, then a pickle.
"""

import os
import pickle
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

_HEADER = 8  # bytes that say how long a message is


def main() -> None:
    """Serve until standard input ends."""
    source = sys.stdin.buffer
    # What predict prints must not get between the answers.
    target = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    answer: Callable[..., tuple[Any, ...]] = _hello
    while (message := _read(source)) is not None:
        found = answer(*pickle.loads(message))
        _write(target, found)
        if found[0] == "refused":
            return
        answer = _answer


def _hello(python: str, content: bytes) -> tuple[Any, ...]:
    """("ready",) or ("refused", why).

    The rest of the message is read only where Python is the same: it names the harness's classes.
    """
    here = ".".join(platform.python_version_tuple()[:2])
    if here != python:
        return "refused", f"Python is {here} there, {python} here"
    try:
        return _open(*pickle.loads(content))
    except BaseException as error:
        return "refused", f"{type(error).__name__}: {error}"


def _open(expected: dict[bytes, Any], items: str | None, share: int, root: str) -> tuple[Any, ...]:
    from harness.project.contract import Project
    from harness.project.grid import resolve_grid
    from harness.project.keys import differences
    from harness.run.time_limit import leave_marks_in
    from harness.run.worker_process import become_worker

    project = Project.open(Path.cwd())
    grid = resolve_grid(project)
    if items is not None:
        grid = grid.with_items(items)
    found = {each.digest: each.context for each in grid.configurations}
    if found.keys() != expected.keys():
        return "refused", "its grid of configurations is another one"
    for digest, context in found.items():
        if names := differences(expected[digest], context):
            return "refused", "; ".join(
                _differs(n, expected[digest], context) for n in sorted(names)
            )
    leave_marks_in(Path(sys.argv[1]))
    become_worker(project, share)
    global _driver_root
    _driver_root = Path(root)
    return ("ready",)


_driver_root = Path()


def _differs(name: str, here: Any, there: Any) -> str:
    known = [
        (each.environment | each.code.parts).get(name, "absent")[:16] for each in (there, here)
    ]
    return f"{name} is {known[0]} there, {known[1]} here"


def _answer(kind: str, *arguments: Any) -> tuple[Any, ...]:
    from harness.run.worker_process import packed, worker_of_process

    worker = worker_of_process()
    if kind == "fit":
        from harness.run.fitted import fit_in_place

        return "fitted", *fit_in_place(worker.project, *arguments)
    items, params, digest, model, repeats = arguments
    items = [_placed(item) for item in items]
    fitted = None if model is None else Path.cwd() / model
    return "ok", packed(worker.run_all(items, params, digest, fitted, repeats))


def _placed(value: Any) -> Any:
    """An item whose files lie in this project, as they lay in the driver's."""
    if isinstance(value, Path) and value.is_relative_to(_driver_root):
        return Path.cwd() / value.relative_to(_driver_root)
    if isinstance(value, dict):
        return {name: _placed(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_placed(each) for each in value)
    return value


def _read(source: BinaryIO) -> bytes | None:
    header = source.read(_HEADER)
    if len(header) < _HEADER:
        return None
    return source.read(int.from_bytes(header, "big"))


def _write(target: BinaryIO, found: tuple[Any, ...]) -> None:
    content = pickle.dumps(found)
    target.write(len(content).to_bytes(_HEADER, "big") + content)
    target.flush()


if __name__ == "__main__":
    # As a module of its own name: its state must be the one that others import.
    from harness.run import cluster_process

    cluster_process.main()
