"""What can go wrong, explained: what is wrong, where, and which command fixes it."""

import contextlib
import errno
import sqlite3
import traceback
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


class WorkerDied(Exception):
    """The process that computed it ended: a crash in native code, a kill, an exit."""


class MemoryLimit(Exception):
    """The process that computed it was ended, as it took more than `[run] memory_mb`."""


class InvalidResult(Exception):
    """What `predict` returned cannot become a row: no dict, a reserved name, a changed type."""


def is_of_database(error: BaseException) -> bool:
    """Whether SQLite or DuckDB raised this. (DuckDB is not imported for it: that takes long.)"""
    module = type(error).__module__.lstrip("_")
    return isinstance(error, sqlite3.Error) or module.startswith("duckdb")


@contextlib.contextmanager
def explained(path: Path, doing: str = "write") -> Iterator[None]:
    """Turn errors of SQLite, DuckDB and the system into errors that say what the person can do."""
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:
        if not is_storage_error(error):
            raise
        reason, fix = reason_of(error, path.name)
        raise HarnessError(f"cannot {doing} {path}: {reason}", fix=fix, code=1) from error


def is_storage_error(error: Exception) -> bool:
    """Whether it comes from a database or the file system, and not from a mistake in code."""
    return isinstance(error, OSError) or is_of_database(error)


def is_of_the_file(error: Exception) -> bool:
    """Whether a query failed because of the file, and not because of the query itself."""
    return bool(_kind_of(error))


def is_damaged(error: Exception) -> bool:
    """Whether a file is not a database, or is damaged."""
    return _kind_of(error) == "damaged"


def reason_of(error: Exception, name: str = "the file") -> tuple[str, str]:
    """Why a database or a file cannot be used, and what to do about it.

    Judged by the error's code, since its message may quote a table called `full`.
    """
    kind = _kind_of(error)
    if not kind:
        return str(error), "fix that and run the same command again; what is recorded stays"
    reason, fix = _REASONS[kind]
    return reason, fix.format(name=name)


_REASONS = {
    "full": ("the disk is full", "free some space and run the same command again"),
    "too large": (
        "a file may not grow any further (ulimit -f)",
        "raise the limit, or free some space, and run the same command again",
    ),
    "busy": (
        "another program has it open and reads or writes",
        "close it there (a viewer, a notebook), or wait for it to end; then the same command again",
    ),
    "damaged": (
        "it is damaged or no database",
        "restore it with `dvc checkout` or `git checkout`, or move {name} away",
    ),
    "disk": (
        "the disk took no more (disk I/O error)",
        "free some space or look at the disk, then run the same command again",
    ),
    "forbidden": (
        "it may not be written here",
        "set the permissions of {name} and its folder, then run the same command again",
    ),
}
_SQLITE = {
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_BUSY: "busy",
    sqlite3.SQLITE_LOCKED: "busy",
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_NOTADB: "damaged",
    sqlite3.SQLITE_IOERR: "disk",
    sqlite3.SQLITE_READONLY: "forbidden",
    sqlite3.SQLITE_PERM: "forbidden",
}
_SYSTEM = {
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
    errno.EFBIG: "too large",
    errno.EIO: "disk",
    errno.EACCES: "forbidden",
    errno.EPERM: "forbidden",
    errno.EROFS: "forbidden",
}
# DuckDB passes on SQLite's sentences without its codes.
_SENTENCES = {
    "database or disk is full": "full",
    "No space left on device": "full",
    "database is locked": "busy",
    "database table is locked": "busy",
    "file is not a database": "damaged",
    "database disk image is malformed": "damaged",
    "disk I/O error": "disk",
    "attempt to write a readonly database": "forbidden",
}


def _kind_of(error: Exception) -> str:
    if isinstance(error, sqlite3.Error):
        # The last byte of an extended code is the plain one. Errors of Python's own have none.
        return _SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, "")
    if isinstance(error, OSError):
        return _SYSTEM.get(error.errno or 0, "")
    text = str(error).splitlines()[0] if str(error) else ""
    return next((kind for words, kind in _SENTENCES.items() if text.endswith(words)), "")


def in_words(error: Exception) -> str:
    """An error with the person's own line: the last frame inside their package."""
    if isinstance(error, SyntaxError):
        return f"{error.msg} ({Path(error.filename or '?').name}, line {error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/benchmark/" in frame.filename]
    place = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {error}{place}"
