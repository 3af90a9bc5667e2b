"""A limit on the time of one call of predict."""

import faulthandler
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from harness import system
from harness.errors import PredictionTimeout
from harness.project.settings import Run

_GRACE_SECONDS = 2.0
_ENDING = ("processes", "dask")  # they can end a process
_CANNOT = {
    "serial": "serial cannot end native code that never returns to Python, it waits for it",
    "threads": "threads cannot end a call that overruns; it gets its row and runs on unseen",
    "async": "async cannot end a call that never awaits, and every other call waits for it",
}


@contextmanager
def time_limit(seconds: float, hard_kill: bool, setting: str = "timeout_seconds") -> Iterator[None]:
    """Raise PredictionTimeout here after `seconds` (0: never), a limit that `setting` gives.

    Works in a process's main thread, where the system has timers; in other threads the driver gives
    up waiting instead. Native code that never returns to Python is ended with its process, where
    `hard_kill` allows it, and so is any call where the system has no timers. Where it does nothing,
    `unenforced` says so.
    """
    if seconds <= 0 or threading.current_thread() is not threading.main_thread():
        yield
        return
    interruptible = system.can_interrupt()

    def interrupt() -> None:
        raise PredictionTimeout(too_long(seconds, setting))

    mark = _mark(_marks, os.getpid()) if hard_kill else None
    watched = mark.open("w") if mark else None
    if watched:
        grace = _GRACE_SECONDS if interruptible else 0.0
        faulthandler.dump_traceback_later(seconds + grace, exit=True, file=watched)
    try:
        # Again every second, in case a bare `except:` in predict swallowed the first one.
        timer = system.interrupt_after(seconds, 1.0, interrupt)
        with timer if interruptible else nullcontext():
            yield
    finally:
        if watched and mark:
            faulthandler.cancel_dump_traceback_later()
            watched.close()
            mark.unlink(missing_ok=True)


_marks = Path()


def leave_marks_in(folder: Path) -> None:
    """Say where this process's watchdog writes what it ended.

    A folder that whoever started the process made for itself: in one that others share, a file of
    a known name could be theirs, or a link to one of ours.
    """
    global _marks
    _marks = folder


def _mark(folder: Path, pid: int) -> Path:
    return folder / f"watchdog-{pid}"


def ended_by_watchdog(folder: Path, pid: int | None) -> bool:
    """Whether the process ended itself for overrunning its time limit (and not by os._exit)."""
    if pid is None:
        return False
    file = _mark(folder, pid)
    try:
        return bool(file.read_text(errors="replace"))
    except OSError:
        return False
    finally:
        file.unlink(missing_ok=True)


def too_long(seconds: float, setting: str = "timeout_seconds") -> str:
    """The message for a call that took longer than its limit."""
    return f"took longer than {seconds:g} s ([run] {setting})"


def unenforced(run: Run) -> Iterator[str]:
    """What the limits of [run] cannot do under its executor, in words for the start of a run."""
    cannot = _CANNOT.get(run.executor, "")
    if run.executor == "serial" and not system.has_timers():
        cannot = "this system has no timer that could end a call"
    if not cannot:
        return
    instead = "" if run.executor in _ENDING else '; executor = "processes" ends it'
    if run.timeout_seconds:
        yield f"[run] timeout_seconds: {cannot}{instead}"
    if run.fit_seconds and run.executor not in _ENDING:
        yield f"[run] fit_seconds cannot end a fit under {run.executor}{instead}"
