"""One run at a time for a database, and a name for the one that is at work."""

import contextlib
import json
import os
from collections.abc import Iterator

from filelock import FileLock, Timeout

from harness.clock import local, now
from harness.errors import HarnessError, reason_of
from harness.layout import Place


@contextlib.contextmanager
def one_run(place: Place, track_id: str, experiment: str) -> Iterator[None]:
    """One run at a time for a database; the lock goes with the process, however it ends."""
    path = place.db.with_name(f".{place.db.name}.lock")
    note = path.with_suffix(".run")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=0)
        lock.acquire()
    except Timeout:
        try:
            holder = json.loads(note.read_text())
        except (OSError, ValueError):
            holder = {}
        raise HarnessError(
            f"another run is writing to {place.db}: {holder.get('track_id', 'unknown')} "
            f"({holder.get('experiment')}, process {holder.get('pid')}, "
            f"since {local(str(holder.get('since')))})",
            fix="wait until it ends, or stop it with Ctrl-C there; what it recorded stays",
        ) from None
    except OSError as error:
        raise HarnessError(
            f"cannot write in {path.parent}: {reason_of(error)[0]}",
            fix=reason_of(error, str(path.parent))[1],
            code=1,
        ) from None
    try:
        note.write_text(
            json.dumps(
                {
                    "track_id": track_id,
                    "experiment": experiment,
                    "pid": os.getpid(),
                    "since": now(),
                }
            )
        )
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()
