"""What can go wrong, said so that the person knows what, where, and which command mends it."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path


class HarnessError(Exception):
    """A stop with a reason.

    `code` becomes the exit code: 1 means findings (something measured is not as it should be),
    2 means wrong use (something the person must change before anything can be measured).
    """

    def __init__(self, message: str, fix: str = "", code: int = 2) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.code = code


class TransientError(Exception):
    """Raise it from `predict` where the same call may succeed later; `retry_after` in seconds."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process borders by pickle, which would call us with one argument only.
        return (type(self), (str(self), self.retry_after))


class PermanentError(Exception):
    """Raise it from `predict` where no call can succeed (wrong key): the run stops soon."""


class PredictionTimeout(BaseException):
    """A call of predict took longer than `[run] timeout_seconds`.

    Not an Exception, so that an `except Exception` inside predict cannot swallow it.
    """


class InvalidResult(Exception):
    """What `predict` returned cannot become a row: no dict, a reserved name, a changed type."""


def is_of_database(error: BaseException) -> bool:
    """Whether SQLite or DuckDB raised this. (DuckDB is not imported for it: that takes long.)"""
    module = type(error).__module__.lstrip("_")
    return isinstance(error, sqlite3.Error) or module.startswith("duckdb")


@contextlib.contextmanager
def explained(path: Path, doing: str = "write") -> Iterator[None]:
    """Turn what SQLite and DuckDB say into what the person can do."""
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:
        text = str(error)
        if not isinstance(error, OSError) and not is_of_database(error):
            raise
        if "full" in text or getattr(error, "errno", None) == 28:
            reason, fix = "the disk is full", "free some space and run the same command again"
        elif "locked" in text:
            reason, fix = "another program is writing to it", "wait for it to end, or stop it"
        elif "not a database" in text or "malformed" in text:
            reason = "it is damaged or no database"
            fix = f"restore it with `dvc checkout` or `git checkout`, or move {path.name} away"
        elif "disk I/O" in text:
            reason = "the disk took no more (disk I/O error)"
            fix = "free some space or look at the disk, then run the same command again"
        else:
            reason, fix = text, "mend that and run the same command again; what is recorded stays"
        raise HarnessError(f"cannot {doing} {path}: {reason}", fix=fix, code=1) from error
