"""One run at a time in a folder of results, and a name for the one that is running."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from harness import system
from harness.clock import local, now
from harness.errors import HarnessError, reason_of


@contextlib.contextmanager
def one_at_a_time(folder: Path, what: str) -> Iterator[None]:
    """Let nothing else write results in `folder`, from the first look to the tag.

    The lock ends with the process, however that ends. Raises HarnessError where it is taken; its
    message to the other run says `what` has it.
    """
    path = folder / ".harness.record.lock"
    note = path.with_suffix(".run")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=0)
        lock.acquire()
    except Timeout:
        raise HarnessError(
            f"another run is writing to {folder}: {_holder(note)}",
            fix="wait until it ends, or stop it with Ctrl-C there; what it recorded stays",
        ) from None
    except OSError as error:
        raise HarnessError(
            f"cannot write in {folder}: {reason_of(error)[0]}",
            fix=reason_of(error, str(folder))[1],
            code=1,
        ) from None
    try:
        _refuse_without_locks(path)
        note.write_text(json.dumps({"what": what, "pid": os.getpid(), "since": now()}))
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _refuse_without_locks(path: Path) -> None:
    """Some network drives grant a lock to everybody who asks: then nothing keeps two runs apart."""
    with path.open("rb") as second:
        if system.keeps_out(second):
            return
    raise HarnessError(
        f"{path.parent} is on a file system without locks: two runs could write at once, and "
        "SQLite would damage the results",
        fix="put the repository on a local disk; many machines keep one each, and merge",
        code=1,
    )


def _holder(note: Path) -> str:
    try:
        found = json.loads(note.read_text())
        return f"{found['what']} (process {found['pid']}, since {local(found['since'])})"
    except (OSError, ValueError, KeyError):
        return "unknown"
