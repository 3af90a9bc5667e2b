"""Ctrl-C and SIGTERM during a run: the first lets calls finish, the second stops at once."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def graceful(ask: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM lets what is in flight finish; the second one ends at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False
    own = os.getpid()

    def handle(signum: int, frame: object) -> None:
        nonlocal asked
        if os.getpid() != own:
            # A process that predict forked inherited this handler; multiprocessing stops its
            # processes with SIGTERM.
            signal.signal(signum, signal.SIG_DFL)
            signal.raise_signal(signum)
        if asked:
            raise KeyboardInterrupt
        asked = True
        ask()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
