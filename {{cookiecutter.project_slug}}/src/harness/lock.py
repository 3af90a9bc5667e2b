"""One run at a time in a folder of results, and a name for the one that is at work."""

import contextlib
import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from harness.errors import HarnessError


@contextlib.contextmanager
def one_at_a_time(folder: Path, what: str) -> Iterator[None]:
    """Keep everything else that writes results in `folder` out, from the first look to the tag.

    The lock goes with the process, however it ends. Raises HarnessError where it is taken: `what`
    is how the other one is told who has it.
    """
    path = folder / ".harness.lock"
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
            f"cannot write in {folder}: {error.strerror}",
            fix="free some space or correct the folder's permissions",
            code=1,
        ) from None
    try:
        since = datetime.now().astimezone().isoformat(timespec="seconds")
        note.write_text(json.dumps({"what": what, "pid": os.getpid(), "since": since}))
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _holder(note: Path) -> str:
    try:
        found = json.loads(note.read_text())
        return f"{found['what']} (process {found['pid']}, since {found['since']})"
    except (OSError, ValueError, KeyError):
        return "unknown"
