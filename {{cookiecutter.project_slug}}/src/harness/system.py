"""What only some systems have: signals that interrupt, limits of files, locks. And the collector.

Nothing else in the harness names a function that Windows or macOS lacks; each function here says
what it does where the system lacks it.
"""

import atexit
import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO

# Tried from above where the limit is "unlimited", which macOS names and then refuses.
_FILES = (1_048_576, 262_144, 65_536, 24_576, 10_240, 4_096)

_USUAL = gc.get_threshold()
_RARE = 50_000  # objects


def collect_rarely() -> None:
    """Look for garbage rarely: what is imported stays, and Python would look through it 150 times,
    which is a twelfth of a short command."""
    gc.set_threshold(_RARE, *_USUAL[1:])


def collect_as_usual() -> None:
    """As Python itself does, but not among what is there by now.

    So predict is measured under the collector that it has elsewhere, and does not wait while that
    looks through the harness.
    """
    gc.freeze()
    gc.set_threshold(*_USUAL)


def start_lean() -> None:
    """Leave out what a short command pays for and does not use, unless the person has chosen.

    numpy and scipy bring an OpenBLAS each, which starts a thread for every core, and these spin for
    a while before they sleep: here they sleep at once (as many threads compute the same figures).
    pydantic looks through all packages that are installed for plugins. Python looks for garbage
    once more through everything when it ends. Before any of them is loaded, and not where predict
    runs, here or in a program that this one starts: its times are those that it has elsewhere.
    """
    atexit.register(gc.freeze)
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")  # the least it takes: 2^4 ticks
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


def give_memory_back() -> None:
    """Give the system what one step has freed, which glibc keeps for the next.

    After a million rows that is 20 to 40 MB a step. Nothing where the C library has no such call.
    """
    import ctypes  # here, since short commands do without

    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def has_timers() -> bool:
    """Whether a signal can end a call after some time."""
    return hasattr(signal, "setitimer")


def can_interrupt() -> bool:
    """Whether `interrupt_after` works in this thread: in the main one, where there are timers."""
    in_main = threading.current_thread() is threading.main_thread()
    return has_timers() and in_main


@contextmanager
def interrupt_after(seconds: float, every: float, call: Callable[[], None]) -> Iterator[None]:
    """Call `call`, which may raise, in this thread after `seconds`, and then `every` so many.

    Only where `can_interrupt`.
    """
    previous = signal.signal(signal.SIGALRM, lambda number, frame: call())
    signal.setitimer(signal.ITIMER_REAL, seconds, every)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def most_files() -> int | None:
    """How many files a process may open at most; None where nothing says so."""
    try:
        import resource
    except ImportError:
        return None
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return None if most == resource.RLIM_INFINITY or most < 0 else most


def allow_files() -> None:
    """Let this process open as many files as the system allows; nothing where it says no."""
    try:
        import resource
    except ImportError:
        return
    have, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    known = most_files()
    for wanted in _FILES if known is None else (known,):
        if have != resource.RLIM_INFINITY and have < wanted:
            with suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
                return


def can_hand_over_sockets() -> bool:
    """Whether a child can be given an open socket, as load is generated and served here."""
    return os.name == "posix"


def new_process() -> str:
    """How multiprocessing is to start a process that shares nothing with this one."""
    # Fork would copy the writer's database connections and locks into the children.
    methods = multiprocessing.get_all_start_methods()
    return "forkserver" if "forkserver" in methods else "spawn"


def keeps_out(file: IO[bytes]) -> bool:
    """Whether the lock that something else in this process has on the whole file is in force.

    True where it cannot be tried: on Windows a lock that was granted holds.
    """
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def is_locked(file: IO[bytes], start: int, length: int) -> bool:
    """Whether another program holds a lock on these bytes of a file that is open for writing.

    False on Windows, where a log that is open cannot be moved anyway.
    """
    if sys.platform == "win32":
        return False
    try:
        import fcntl
    except ImportError:
        return False
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
    except OSError:
        return True
    return False
