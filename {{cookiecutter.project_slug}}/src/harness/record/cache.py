"""Results that were computed before, in xetrack's own entry format, under keys of our own.

An entry is {"result": what predict returned and its times, "cache": track_id of the run that
computed it}, so `xt cache ls` and `xt cache delete` work. Failures never enter. Results are kept as
the plain data that their rows hold, so reading them runs no code (record.pickles says when other
values are loaded).
"""

import pickle
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from urllib.parse import quote

import diskcache

from harness.errors import HarnessError, explained, is_damaged, reason_of
from harness.project.values import Row, plain
from harness.record.database_file import expect_many_rows, insert_rows, is_faster_at_the_end
from harness.record.pickles import NotPlain, Trusted, names_in, plain_load

_PICKLED = 4  # diskcache's mode of a value that it pickled
_PLAIN = frozenset({type(None), bool, int, float, str, bytes})
_FEW = 10_000  # entries whose keys are kept in memory
_INSERT = "INSERT OR IGNORE INTO Cache (key, raw, store_time, access_time, size, mode, value)"


class ResultCache:
    """A folder of results. The thread that opened it reads; any one other may write."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._trusted = Trusted(folder.parent)
        self.corrupt = 0
        self.not_cached = 0
        self.moved_to: Path | None = None
        try:
            self._cache = _open(folder)
        except (sqlite3.DatabaseError, OSError) as error:
            if not is_damaged(error):
                reason, fix = reason_of(error, str(folder))
                raise HarnessError(f"cannot open the cache {folder}: {reason}", fix=fix) from None
            # The time of day alone comes again tomorrow, and a folder in use is not replaced.
            now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            self.moved_to = folder.with_name(f"{folder.name}-corrupt-{now}")
            folder.rename(self.moved_to)
            self._cache = _open(folder)
        self._reader = sqlite3.connect(
            f"file:{quote(str(folder / 'cache.db'))}?mode=ro", uri=True, timeout=60
        )
        self._writer: sqlite3.Connection | None = None
        # What was here before, while the index of keys is left out: row numbers by key.
        self._few: dict[str, int] | None = None

    def expect(self, results: int) -> None:
        """Prepare for about so many new results: many are put into the index of keys at the end.

        Until then they are not found here. diskcache makes the index where a killed run left none.
        """
        with closing(self._connection()) as connection:
            there = connection.execute("SELECT max(rowid) FROM Cache").fetchone()[0] or 0
            if there > _FEW or not is_faster_at_the_end(results, there):
                return
            rows = connection.execute("SELECT key, rowid FROM Cache WHERE raw = 1").fetchall()
            connection.execute("DROP INDEX IF EXISTS Cache_key_raw")
            self._few = dict(rows)

    def _make_index(self) -> None:
        if self._few is None:
            return
        with closing(self._connection()) as connection:
            _make_index(connection)
        self._few = None

    def _connection(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self._folder / "cache.db", timeout=60, isolation_level=None, check_same_thread=False
        )

    def get_many(self, keys: list[str]) -> dict[str, tuple[Row, str]]:
        """The result under each key that has one, with the track_id that computed it.

        An entry that cannot be read counts in `corrupt` and is treated as absent.
        """
        # One query for all; diskcache itself asks once a key, which a fast predict would feel.
        few = self._few
        wanted: list[str] | list[int] = keys
        column = "key"
        if few is not None:
            wanted, column = [few[key] for key in keys if key in few], "rowid"
        marks = ", ".join("?" * len(wanted))
        try:
            rows = self._reader.execute(
                "SELECT key, mode, filename, value FROM Cache "
                f"WHERE raw = 1 AND {column} IN ({marks})",
                wanted,
            ).fetchall()
        except sqlite3.DatabaseError as error:
            reason, fix = reason_of(error, str(self._folder))
            if not isinstance(error, sqlite3.OperationalError) or is_damaged(error):
                fix = f"move it away: mv {self._folder.name} {self._folder.name}-damaged"
            raise HarnessError(f"cannot read the cache {self._folder}: {reason}", fix=fix) from None
        found: dict[str, tuple[Row, str]] = {}
        for key, mode, filename, value in rows:
            try:
                content = self._content(mode, filename, value)
                found[key] = _result_of(self._entry(key, content))
            except HarnessError:
                raise
            except Exception:  # whatever a damaged pickle or a missing file may raise
                self.corrupt += 1
        return found

    def known(self, keys: list[str]) -> set[str]:
        """Which of these keys have an entry; none is opened."""
        if (few := self._few) is not None:
            return few.keys() & {*keys}
        marks = ", ".join("?" * len(keys))
        query = f"SELECT key FROM Cache WHERE raw = 1 AND key IN ({marks})"
        with explained(self._folder / "cache.db", "read"):
            return {row[0] for row in self._reader.execute(query, keys).fetchall()}

    def trust(self) -> dict[str, int]:
        """Put all entries that name code on this checkout's list; how many name which package."""
        counts: dict[str, int] = {}
        query = "SELECT mode, filename, value FROM Cache WHERE raw = 1"
        for mode, filename, value in self._reader.execute(query):
            try:
                content = self._content(mode, filename, value)
                plain_load(content)
            except NotPlain:
                self._trusted.add([content])
                for name in names_in(content):
                    counts[name] = counts.get(name, 0) + 1
            except Exception:  # damaged, so it is never loaded
                continue
        return counts

    def _entry(self, key: str, content: bytes) -> object:
        try:
            return plain_load(content)
        except NotPlain:
            return self._trusted.load(content, f"the result {key[:16]} in {self._folder}")

    def _content(self, mode: int, filename: str | None, value: object) -> bytes:
        """The bytes of an entry, which diskcache keeps in a file of the folder where it is long."""
        if mode != _PICKLED:
            raise TypeError("no entry of ours")
        if filename is None:
            return bytes(value)  # type: ignore[call-overload, no-any-return]
        path = (self._folder / filename).resolve()
        if not path.is_relative_to(self._folder.resolve()):
            raise ValueError("a name that leads out of the folder")
        return path.read_bytes()

    def put(self, entries: Iterable[tuple[str, Row, str]]) -> None:
        """Store (key, result, track_id) entries: short ones in one transaction, then the others.

        A result that does not pickle counts in `not_cached`: the next experiment computes it again.
        """
        made: dict[str, Row] = {}
        short: dict[str, bytes] = {}
        for key, result, track_id in entries:
            try:
                kept = _plain_result(result)
                entry: Row = {"result": kept, "cache": track_id}
                content = pickle.dumps(entry, protocol=self._cache.disk.pickle_protocol)
            except (pickle.PicklingError, AttributeError, TypeError):
                self.not_cached += 1
                continue
            if not _PLAIN.issuperset(map(type, kept.values())) and not _is_plain(entry):
                self._trusted.add([content])  # it names code
            made[key] = entry
            if len(content) < self._cache.disk_min_file_size:
                short[key] = content
        few = self._few
        if few is not None and (len(short) < len(made) or not few.keys().isdisjoint(made)):
            self._make_index()
        left = made.keys() - self._insert(short)
        if left:
            with self._cache.transact():
                for key in sorted(left):
                    self._cache.set(key, made[key])

    def _insert(self, contents: dict[str, bytes]) -> set[str]:
        """Insert entries that are new, as diskcache keeps them; returns their keys.

        diskcache itself needs two statements an entry, which a fast predict would feel.
        """
        if not contents:
            return set()
        if self._writer is None:
            self._writer = self._connection()
            expect_many_rows(self._writer)
        writer = self._writer
        writer.execute("BEGIN IMMEDIATE")
        try:
            new = set(contents)
            if _insert_new(writer, contents) < len(new):
                # Some were there; asked only now, because asking costs as much as inserting.
                writer.execute("ROLLBACK")
                writer.execute("BEGIN IMMEDIATE")
                new -= _there(writer, new)
                _insert_new(writer, {key: contents[key] for key in new})
            writer.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                writer.execute("ROLLBACK")
            raise
        return new

    def saw(self, track_id: str) -> bool:
        """Whether a run put its results in here. If so, those that are missing were deleted."""
        query = "SELECT 1 FROM harness_runs WHERE track_id = ?"
        return self._reader.execute(query, (track_id,)).fetchone() is not None

    def note_run(self, track_id: str) -> None:
        """Remember that this run puts its results in here."""
        with closing(self._connection()) as connection:
            connection.execute("INSERT OR IGNORE INTO harness_runs VALUES (?)", (track_id,))

    def forget(self, keys: Iterable[str]) -> None:
        """Drop the results under these keys."""
        self._make_index()
        with self._cache.transact():
            for key in keys:
                self._cache.delete(key)

    def close(self) -> None:
        """Release the files."""
        with suppress(sqlite3.Error):  # where there is no room, the next to open it makes it
            self._make_index()
        self._reader.close()
        if self._writer is not None:
            self._writer.close()
        self._cache.close()


def _insert_new(writer: sqlite3.Connection, contents: dict[str, bytes]) -> int:
    """Insert those that are not there; returns how many."""
    now = time.time()
    rows = [(key, 1, now, now, 0, _PICKLED, contents[key]) for key in sorted(contents)]
    return insert_rows(writer, _INSERT, rows)


def _there(writer: sqlite3.Connection, keys: set[str]) -> set[str]:
    marks = ", ".join("?" * len(keys))
    query = f"SELECT key FROM Cache WHERE raw = 1 AND key IN ({marks})"
    return {row[0] for row in writer.execute(query, [*keys])}


def _make_index(connection: sqlite3.Connection) -> None:
    """Make diskcache's own index of keys, if there is none."""
    index = "CREATE UNIQUE INDEX IF NOT EXISTS Cache_key_raw ON Cache (key, raw)"
    try:
        connection.execute(index)
    except sqlite3.IntegrityError:
        # Another program put a result in here meanwhile; the last one counts, as in diskcache.
        connection.execute(
            "DELETE FROM Cache WHERE rowid NOT IN (SELECT max(rowid) FROM Cache GROUP BY key, raw)"
        )
        connection.execute(index)
        connection.commit()


def _result_of(entry: object) -> tuple[Row, str]:
    if isinstance(entry, dict):
        result, origin = entry["result"], entry["cache"]
        if isinstance(result, dict) and isinstance(origin, str):
            return result, origin
    raise TypeError("no entry of ours")


def _plain_result(result: Row) -> Row:
    """The result with each value as a row holds it, where it is not plain data already."""
    if _PLAIN.issuperset(map(type, result.values())):
        return result
    return {name: value if _is_plain(value) else _as_row(value) for name, value in result.items()}


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return all(map(_is_plain, value))
    if isinstance(value, dict) and type(value) is dict:
        return all(_is_plain(name) and _is_plain(each) for name, each in value.items())
    return type(value) in _PLAIN


def _as_row(value: object) -> object:
    try:
        return plain(value)
    except Exception:  # it becomes an asset, or a failure where it cannot be kept
        return value


def _open(folder: Path) -> diskcache.Cache:
    # The defaults would silently drop old results at 1 GB. The setting is kept in the folder.
    # A small page cache (1,024 pages) and no mapping of the file (64 MB): keys are random, so they
    # only take memory.
    make = partial(
        diskcache.Cache,
        str(folder),
        eviction_policy="none",
        cull_limit=0,
        sqlite_cache_size=1024,
        sqlite_mmap_size=0,
    )
    try:
        cache = make()
    except sqlite3.IntegrityError:
        with closing(sqlite3.connect(folder / "cache.db", timeout=60)) as connection:
            _make_index(connection)
        cache = make()
    # In a table next to diskcache's own, so that it is deleted together with the entries.
    with closing(sqlite3.connect(folder / "cache.db", timeout=60)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS harness_runs (track_id TEXT PRIMARY KEY)")
    return cache
