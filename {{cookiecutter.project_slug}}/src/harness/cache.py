"""Results that were computed before, in xetrack's own entry format, under keys of our own.

An entry is {"result": what predict returned and its times, "cache": track_id of the run that computed
it}, so `xt cache ls` and `xt cache delete` work. Failures never enter.
"""

import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import diskcache

from harness.errors import HarnessError

_NOTHING = object()


class ResultCache:
    """A folder of results. One thread may read while another writes."""

    def __init__(self, folder: Path) -> None:
        self.corrupt = 0
        self.moved_to: Path | None = None
        try:
            self._cache = _open(folder)
        except (sqlite3.DatabaseError, OSError) as error:
            if isinstance(error, sqlite3.OperationalError) or isinstance(error, OSError):
                raise HarnessError(
                    f"cannot open the cache {folder}: {error}",
                    fix="free disk space or mend the folder's permissions, then run it again",
                ) from None
            self.moved_to = folder.with_name(f"{folder.name}-corrupt-{time.strftime('%H%M%S')}")
            folder.rename(self.moved_to)
            self._cache = _open(folder)

    def get(self, key: str) -> tuple[dict[str, Any], str] | None:
        """The result under `key` and the track_id that computed it, or None.

        An entry that cannot be read counts in `corrupt` and is as good as absent.
        """
        try:
            entry = self._cache.get(key, default=_NOTHING)
        except Exception:
            self.corrupt += 1
            return None
        if entry is _NOTHING:
            return None
        try:
            result, origin = entry["result"], entry["cache"]
            if isinstance(result, dict) and isinstance(origin, str):
                return dict(result), origin
        except (TypeError, KeyError):
            pass
        self.corrupt += 1
        return None

    def put(self, entries: Iterable[tuple[str, dict[str, Any], str]]) -> None:
        """Store (key, result, track_id) entries in one transaction."""
        with self._cache.transact():
            for key, result, track_id in entries:
                self._cache.set(key, {"result": result, "cache": track_id})

    def close(self) -> None:
        """Release the files."""
        self._cache.close()


def _open(folder: Path) -> diskcache.Cache:
    # The defaults would silently drop old results at 1 GB. The setting is kept in the folder.
    return diskcache.Cache(str(folder), eviction_policy="none", cull_limit=0)
