"""A database's file, and the log that a killed run leaves next to it.

SQLite's `-wal` and `-journal` belong to a name, not to a file: SQLite replays them over whatever
file has that name. `git checkout` and `dvc checkout` put another version there, ignore the log and
leave it. So a writer first gives the file a new mark (SQLite's `user_version`, in its first page)
and notes the mark next to the file. A log is replayed only where both agree. Any other log is set
aside, whole and under a name that says what it is.
"""

import contextlib
import json
import os
import secrets
import shutil
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

from harness import system
from harness.console import err
from harness.errors import HarnessError, explained

ASIDE = "aside"
_LOGS = ("-wal", "-journal")
_HEADER = 100
_CACHE_KB = 16_384
_LOG_PAGES = 16_384  # 64 MB
# Rows by one statement. Few sizes, since SQLite compiles each once.
_AT_ONCE = (1_000, 250, 50)
_MOST_TEXT = 2**24  # characters by one statement, since SQLite copies what it is given
# From how many rows on an index made after them takes less than one that is there before.
_LATE = 1_000
# SQLite's locks are on these bytes of the file, whatever its size.
_LOCKED_BYTES = (0x40000000, 512)


@dataclass(frozen=True, slots=True)
class Note:
    """The note next to a database: the marks that its file may have, and what it was begun from.

    There are two marks only while a new one is being written. `begun_from` is the version that DVC
    or git had recorded when this writing began, '' where there was none. `experiment` is the one
    that is being written.
    """

    marks: tuple[int, ...] = ()
    begun_from: str = ""
    experiment: str = ""


def begin_writing(db: Path, experiment: str = "") -> None:
    """Prepare `db` for writing: no log of another file next to it, no link, a mark of its own.

    Call it before a connection is opened. Raises HarnessError where it cannot be written.
    """
    with explained(db):
        db.parent.mkdir(parents=True, exist_ok=True)
        set_strangers_aside(db)
        _unlink_from_cache(db)
        old = mark_of(db)
        before = written_here(db)
        begun_from = before.begun_from if before and db.exists() else ""
        mark = secrets.randbelow(2**31 - 1) + 1
        _write_note(db, Note((old, mark), begun_from, experiment))
        with contextlib.closing(sqlite3.connect(db, timeout=10)) as con:
            con.execute(f"PRAGMA user_version = {mark}")
        # A reader that has the file open keeps the mark in the log, and the old one in the file.
        if mark_of(db) == mark:
            _write_note(db, Note((mark,), begun_from, experiment))


def expect_many_rows(connection: sqlite3.Connection) -> None:
    """Let a connection in WAL mode write many rows with random keys, as hashes are.

    Each row changes a page of its own of the index, so pages are kept in memory, and come from the
    log into the file after many changes of each.
    """
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(f"PRAGMA cache_size=-{_CACHE_KB}")
    connection.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES}")


def is_faster_at_the_end(rows: int, there: int) -> bool:
    """Whether an index by random keys is made faster after `rows` new ones beside those `there`.

    Each new row would change a page of its own, and each of these pages is written to the log and
    then to the file. After them all keys are sorted, and each page is written once.
    """
    return rows >= _LATE and there <= 2 * rows


def insert_rows(
    connection: sqlite3.Connection, insert: str, rows: Sequence[tuple[object, ...]]
) -> int:
    """Insert rows of one length, `insert` being such as `INSERT INTO t (a, b)`; returns how many.

    Many by one statement: while SQLite works on it, another thread has the interpreter. With
    `executemany` SQLite would have to wait for the interpreter again after each row; long rows go
    that way.
    """
    if not rows:
        return 0
    marks = f"({', '.join('?' * len(rows[0]))})"
    one = f"{insert} VALUES {marks}"
    most = connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) // len(rows[0])
    inserted, begin = 0, 0
    for size in (each for each in _AT_ONCE if each <= most):
        statement = f"{insert} VALUES {', '.join([marks] * size)}"
        while begin + size <= len(rows):
            some = rows[begin : begin + size]
            values = list(chain.from_iterable(some))
            text = sum([len(each) for each in values if type(each) is str or type(each) is bytes])
            if text > _MOST_TEXT:
                inserted += connection.executemany(one, some).rowcount
            else:
                inserted += connection.execute(statement, values).rowcount
            begin += size
    if begin < len(rows):
        inserted += connection.executemany(one, rows[begin:]).rowcount
    return inserted


def put_in_place(fresh: Path, db: Path) -> None:
    """Let `fresh`, a whole database beside it, take the place of `db` in one step.

    Raises HarnessError where another program has `db` open: its log would outlive the file.
    """
    with explained(db):
        set_strangers_aside(db)
        _bring_to_rest(db)
        old, before = mark_of(db), written_here(db)
        begun_from, experiment = (before.begun_from, before.experiment) if before else ("", "")
        mark = secrets.randbelow(2**31 - 1) + 1
        with contextlib.closing(sqlite3.connect(fresh)) as con:
            con.execute(f"PRAGMA user_version = {mark}")
        _write_note(db, Note((old, mark), begun_from, experiment))
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        fresh.replace(db)
        _write_note(db, Note((mark,), begun_from, experiment))


def _bring_to_rest(db: Path) -> None:
    if not db.exists():
        return
    with contextlib.closing(sqlite3.connect(db, timeout=2)) as con:
        if con.execute("PRAGMA journal_mode=DELETE").fetchone()[0] == "delete":
            return
    raise HarnessError(
        f"another program has {db} open", fix="close it, then run the same command again"
    )


def set_strangers_aside(db: Path) -> None:
    """Move a log away that a killed run left next to another version of this file, and say so.

    Raises HarnessError where it cannot be moved, and where nothing says which file it belongs to.
    """
    logs = [db.with_name(db.name + end) for end in _LOGS]
    logs = [log for log in logs if log.is_file() and log.stat().st_size]
    if not logs:
        return
    note = read_note(db)
    ours = mark_of(db) in note.marks if note.marks else _may_have_a_log(db, logs)
    # A log that is being written now belongs to the file that its writer has open.
    if ours or _is_open_elsewhere(db):
        return
    if not note.marks:
        raise HarnessError(
            f"{logs[0]} was left by another version of {db.name}; replayed, it would destroy it",
            fix=f"move it away: mv {logs[0]} {logs[0]}.old",
        )
    for log in logs:
        _set_aside(db, log, note)


def prepare_to_read(db: Path) -> None:
    """Set strangers' logs aside, and roll back what a killed writer of this file did not commit.

    SQLite would do that when it next opens the file; DuckDB, which only reads, refuses the file.
    """
    set_strangers_aside(db)
    journal = db.with_name(f"{db.name}-journal")
    if journal.is_file() and journal.stat().st_size:
        with contextlib.closing(sqlite3.connect(db, timeout=2)) as con:
            con.execute("SELECT 1 FROM sqlite_master").fetchone()


def _may_have_a_log(db: Path, logs: list[Path]) -> bool:
    """Without a note: a `-wal` next to a file that is not in WAL mode belongs to another file."""
    wal = any(log.name.endswith("-wal") for log in logs)
    return not wal or _header(db)[18:20] == b"\x02\x02"


def _set_aside(db: Path, log: Path, note: Note) -> None:
    target = aside(log)
    try:
        log.rename(target)
        # An index into the log, which SQLite rebuilds from it.
        db.with_name(db.name + "-shm").unlink(missing_ok=True)
    except OSError as error:
        raise HarnessError(
            f"{log} was left by another version of {db}; replayed, it would destroy it, and it "
            f"cannot be moved away: {error.strerror}",
            fix=f"mv {log} {target}",
        ) from None
    again = "the same command" if not note.experiment else f"make experiment TAG={note.experiment}"
    err.print(
        f"note: a killed run left {log.name} next to another version of {db.name} than the one "
        f"that is here now. It was not replayed; it is {target}. To go on with that run, return to "
        f"its branch (git switch, dvc checkout) and run {again}: what it computed is in the cache.",
        markup=False,
        soft_wrap=True,
    )


def aside(path: Path) -> Path:
    """A free name in the folder `aside` next to `path`, which neither git nor DVC records."""
    folder = path.parent / ASIDE
    folder.mkdir(parents=True, exist_ok=True)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")
    names = (folder / f"{path.name}.{number}" for number in range(1, 10_000))
    return next(name for name in names if not name.exists())


def mark_of(db: Path) -> int:
    """The mark in the file itself, not in a log; 0 where there is none."""
    return int.from_bytes(_header(db)[60:64], "big")


def _header(db: Path) -> bytes:
    try:
        with db.open("rb") as file:
            return file.read(_HEADER)
    except OSError:
        return b""  # a reader that needs more will say why it cannot be read


def _note_of(db: Path) -> Path:
    return db.with_name(f".{db.name}.mark")


def read_note(db: Path) -> Note:
    """What was noted when this checkout last wrote `db`; an empty one where nothing was."""
    try:
        found = json.loads(_note_of(db).read_text(encoding="utf-8"))
        return Note(tuple(found["marks"]), str(found["begun_from"]), str(found["experiment"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Note()


def _write_note(db: Path, note: Note) -> None:
    path = _note_of(db)
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("w", encoding="utf-8") as file:
        json.dump(asdict(note), file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def written_here(db: Path) -> Note | None:
    """The note on `db`, where the file is the one that this checkout wrote last."""
    note = read_note(db)
    return note if mark_of(db) in note.marks else None


def note_origin(db: Path, version: str) -> None:
    """Note that `db` goes back to this version, as DVC or git records it."""
    if not db.exists():
        return
    set_strangers_aside(db)
    with explained(db):
        before, mark = written_here(db), mark_of(db)
        marks, experiment = (before.marks, before.experiment) if before else ((mark,), "")
        _write_note(db, Note(marks, version, experiment))


def _unlink_from_cache(db: Path) -> None:
    """Replace a link into DVC's cache by a copy, because writing would change the cache too."""
    if not db.is_file() or not (db.is_symlink() or db.stat().st_nlink > 1):
        return
    copy = db.with_name(f".{db.name}.copy")
    shutil.copyfile(db, copy)
    copy.replace(db)


def _is_open_elsewhere(db: Path) -> bool:
    """Whether another program is reading from or writing to this file through SQLite.

    Do not call it where this process has the file open: closing any handle drops all its locks.
    """
    start, length = _LOCKED_BYTES
    try:
        file = db.open("rb+")
    except OSError:
        return False  # then the log cannot be moved either, and that says why
    with file:
        return system.is_locked(file, start, length)
