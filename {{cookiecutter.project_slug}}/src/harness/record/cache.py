"""Results that were computed before, in xetrack's own entry format, under keys of our own.

An entry is {"result": what predict returned and its times, "cache": track_id of the run that
computed it}, so `xt cache ls` and `xt cache delete` work. Failures never enter.
"""

import pickle
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import diskcache

from harness.errors import HarnessError, is_damaged, reason_of
from harness.project.values import Row


class ResultCache:
    """A folder of results. The thread that opened it reads; any one other may write."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
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

    def get_many(self, keys: list[str]) -> dict[str, tuple[Row, str]]:
        """The result under each key that has one, with the track_id that computed it.

        An entry that cannot be read counts in `corrupt` and is treated as absent.
        """
        # One query for all; diskcache itself asks once a key, which a fast predict would feel.
        marks = ", ".join("?" * len(keys))
        try:
            rows = self._reader.execute(
                f"SELECT key, mode, filename, value FROM Cache WHERE raw = 1 AND key IN ({marks})",
                keys,
            ).fetchall()
        except sqlite3.DatabaseError as error:
            reason, fix = reason_of(error, str(self._folder))
            if not isinstance(error, sqlite3.OperationalError) or is_damaged(error):
                fix = f"move it away: mv {self._folder.name} {self._folder.name}-damaged"
            raise HarnessError(f"cannot read the cache {self._folder}: {reason}", fix=fix) from None
        found: dict[str, tuple[Row, str]] = {}
        for key, mode, filename, value in rows:
            try:
                entry = self._cache.disk.fetch(mode, filename, value, False)
                result = entry["result"]
                origin = entry["cache"]
                if not isinstance(result, dict) or not isinstance(origin, str):
                    raise TypeError(f"{key} is no entry of ours")
            except Exception:  # whatever a damaged pickle or a missing file may raise
                self.corrupt += 1
                continue
            found[key] = (dict(result), origin)
        return found

    def put(self, entries: Iterable[tuple[str, Row, str]]) -> None:
        """Store (key, result, track_id) entries in one transaction.

        A result that does not pickle counts in `not_cached`: the next experiment computes it again.
        """
        with self._cache.transact():
            for key, result, track_id in entries:
                try:
                    self._cache.set(key, {"result": result, "cache": track_id})
                except (pickle.PicklingError, AttributeError, TypeError):
                    self.not_cached += 1

    def saw(self, track_id: str) -> bool:
        """Whether a run put its results in here. If so, those that are missing were deleted."""
        query = "SELECT 1 FROM harness_runs WHERE track_id = ?"
        return self._reader.execute(query, (track_id,)).fetchone() is not None

    def note_run(self, track_id: str) -> None:
        """Remember that this run puts its results in here."""
        with closing(sqlite3.connect(self._folder / "cache.db", timeout=60)) as connection:
            connection.execute("INSERT OR IGNORE INTO harness_runs VALUES (?)", (track_id,))
            connection.commit()

    def forget(self, keys: Iterable[str]) -> None:
        """Drop the results under these keys."""
        with self._cache.transact():
            for key in keys:
                self._cache.delete(key)

    def close(self) -> None:
        """Release the files."""
        self._reader.close()
        self._cache.close()


def _open(folder: Path) -> diskcache.Cache:
    # The defaults would silently drop old results at 1 GB. The setting is kept in the folder.
    # A small page cache (1,024 pages) and no mapping of the file (64 MB): keys are random, so they
    # only take memory.
    cache = diskcache.Cache(
        str(folder),
        eviction_policy="none",
        cull_limit=0,
        sqlite_cache_size=1024,
        sqlite_mmap_size=0,
    )
    # In a table next to diskcache's own, so that it is deleted together with the entries.
    with closing(sqlite3.connect(folder / "cache.db", timeout=60)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS harness_runs (track_id TEXT PRIMARY KEY)")
    return cache
