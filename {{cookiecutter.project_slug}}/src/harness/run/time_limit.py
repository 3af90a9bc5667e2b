"""A limit on the time of one call of predict."""

import faulthandler
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from harness import system
from harness.errors import PredictionTimeout

_GRACE_SECONDS = 2.0


@contextmanager
def time_limit(seconds: float, hard_kill: bool) -> Iterator[None]:
    """Raise PredictionTimeout in this thread after `seconds` (0: never).

    Works in a process's main thread, where the system has timers; in other threads the driver gives
    up waiting instead. Native code that never returns to Python is ended with its process, where
    `hard_kill` allows it, and so is any call where the system has no timers. Where it does nothing,
    `unlimited` says so.
    """
    if seconds <= 0 or threading.current_thread() is not threading.main_thread():
        yield
        return
    interruptible = system.can_interrupt()

    def interrupt() -> None:
        raise PredictionTimeout(too_long(seconds))

    watched = _watchdog_file(os.getpid()).open("w") if hard_kill else None
    if watched:
        grace = _GRACE_SECONDS if interruptible else 0.0
        faulthandler.dump_traceback_later(seconds + grace, exit=True, file=watched)
    try:
        # Again every second, in case a bare `except:` in predict swallowed the first one.
        timer = system.interrupt_after(seconds, 1.0, interrupt)
        with timer if interruptible else nullcontext():
            yield
    finally:
        if watched:
            faulthandler.cancel_dump_traceback_later()
            watched.close()
            _watchdog_file(os.getpid()).unlink(missing_ok=True)


def _watchdog_file(pid: int) -> Path:
    return Path(tempfile.gettempdir()) / f"benchmark-watchdog-{system.user()}-{pid}"


def ended_by_watchdog(pid: int | None) -> bool:
    """Whether the process ended itself for overrunning its time limit (and not by os._exit)."""
    if pid is None:
        return False
    file = _watchdog_file(pid)
    try:
        return bool(file.read_text(errors="replace"))
    except OSError:
        return False
    finally:
        file.unlink(missing_ok=True)


def unlimited(executor: str, seconds: float) -> str:
    """What to say where no call of predict can be ended here; "" where one can."""
    if seconds <= 0 or executor != "serial" or system.can_interrupt():
        return ""
    return (
        f"this system cannot interrupt predict: [run] timeout_seconds = {seconds:g} ends no call "
        'of the executor "serial"; "threads" and "processes" keep to it'
    )


def too_long(seconds: float) -> str:
    """The message for a call that took longer than its limit."""
    return f"took longer than {seconds:g} s ([run] timeout_seconds)"
