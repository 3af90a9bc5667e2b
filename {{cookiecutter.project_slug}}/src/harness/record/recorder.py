"""The one writer: a thread that owns the store and the cache and writes what came in every 50 ms.

It is a thread so that rows reach the disk while predict is still busy with the next datapoint.
"""

import sqlite3
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from typing import Any, TypeVar

from harness.errors import HarnessError, reason_of
from harness.project.inputs import is_harness_thread
from harness.project.values import Row
from harness.project.watch import Watch
from harness.record.cache import ResultCache
from harness.record.row_fitter import mark_unfit
from harness.record.store import Store

Answer = TypeVar("Answer")
FLUSH_SECONDS = 0.05
_MOST_WAITING = 1000


@dataclass(slots=True)
class Counts:
    """What has been written so far.

    `unfit` of the failed rows had values that cannot be stored; only the recorder knows of these.
    """

    executed: int = 0
    cached: int = 0
    failed: int = 0
    unfit: int = 0
    error_types: Counter[str] = field(default_factory=Counter)
    example: dict[str, str] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Rows written."""
        return self.executed + self.cached + self.failed


class Recorder(threading.Thread):
    """Writes rows as they come. `open_store` is called in the thread that will use the store.

    Rows are dicts by column; a row that may be cached comes with the result to keep. Before each
    batch the recorder looks at the files in `watch`. Once one of them was written, it keeps no more
    rows, and `written` names the file.
    """

    def __init__(
        self, open_store: Callable[[], Store], cache: ResultCache | None, watch: Watch
    ) -> None:
        super().__init__(name="recorder", daemon=True)
        self.written = ""
        self._watch = watch
        self.counts = Counts()
        self.failure: BaseException | None = None
        self._open_store = open_store
        self._cache = cache
        self._waiting: deque[tuple[Row, Row | None]] = deque()
        self._calls: deque[tuple[Callable[[Store], Any], Future[Any]]] = deque()
        self._wake = threading.Event()
        self._taken = threading.Event()
        self._closing = False
        self._failed_before: set[str] = set()

    def put(self, row: Row, keep: Row | None = None) -> None:
        """Hand over a row; `keep` is what goes into the cache. Waits where the disk cannot follow.

        Raises what stopped the writer, if anything did.
        """
        self._waiting.append((row, keep))
        if len(self._waiting) >= _MOST_WAITING:
            self._wake.set()
            # Until what waited is being written: meanwhile the next can be computed.
            while len(self._waiting) >= _MOST_WAITING and self.is_alive():
                self._taken.wait(1.0)
                self._taken.clear()
        if self.failure is not None:
            raise self.failure

    def call(self, function: Callable[[Store], Answer]) -> Answer:
        """Run `function(store)` in the writer's thread, between batches, and return its result."""
        future: Future[Answer] = Future()
        self._calls.append((function, future))
        self._wake.set()
        while True:
            try:
                return future.result(timeout=1.0)
            except FutureTimeout:
                if not self.is_alive() and not future.done():
                    raise self.failure or HarnessError("the recorder has ended") from None

    def replaces(self, failed_keys: list[str]) -> None:
        """Name the tasks whose failed row is to be replaced by what comes now."""
        self._failed_before = set(failed_keys)

    def close(self) -> None:
        """Write what is waiting, close the database, and end. Raises what stopped the writer."""
        self._closing = True
        self._wake.set()
        self.join()
        if self.failure is not None:
            raise self.failure

    def run(self) -> None:
        is_harness_thread()
        store = None
        try:
            store = self._open_store()
            began = 0.0
            while not (self._closing and not self._waiting and not self._calls):
                self._wake.wait(max(0.0, began + FLUSH_SECONDS - time.monotonic()))
                self._wake.clear()
                began = time.monotonic()
                # Counted first: what a call is to see came before it.
                calls = len(self._calls)
                self._write(store)
                for _ in range(calls):
                    function, future = self._calls.popleft()
                    try:
                        future.set_result(function(store))
                    except BaseException as error:
                        _forget_frames(error)
                        future.set_exception(error)
        except BaseException as error:
            self.failure = error
        finally:
            if store is not None:
                try:
                    store.close()
                except Exception as error:
                    self.failure = self.failure or error
            # What failed holds on to the store through its frames; xetrack would then close the
            # connection in whichever thread lets go of it last, which SQLite refuses.
            _forget_frames(self.failure)
            store = None
            self._taken.set()

    def _write(self, store: Store) -> None:
        # What comes while this writes waits for the next time: a fast predict would else be
        # recorded in transactions of a few rows each.
        left = len(self._waiting)
        while left:
            batch = [self._waiting.popleft() for _ in range(min(left, _MOST_WAITING))]
            left -= len(batch)
            self._taken.set()
            # Here and not where they were computed: a worker loads code when it likes, but what it
            # loaded until now is what the keys say, if no file was written until now.
            self.written = self.written or self._watch.written()
            if self.written:
                continue
            # The cache first: a kill between the two then costs nothing, the row is made again
            # from the entry. The other way round the next experiment would pay once more.
            fitted = store.fit([row for row, _ in batch])
            keep: list[tuple[str, Row, str]] = []
            rows = []
            for (row, wrong), (_, result) in zip(fitted, batch, strict=True):
                if wrong:
                    self.counts.unfit += row["error_type"] is None
                    mark_unfit(row, wrong)
                elif result is not None:
                    keep.append((row["task_key"], result, row["track_id"]))
                rows.append(row)
            store.stamp_rows(rows)
            uncached = self._keep(keep)
            replaced = [row["task_key"] for row in rows if row["task_key"] in self._failed_before]
            store.insert(rows, replaced)
            self._failed_before.difference_update(replaced)
            self._count(rows)
            if uncached is not None:
                raise uncached

    def _keep(self, entries: list[tuple[str, Row, str]]) -> HarnessError | None:
        """Put entries into the cache; where that fails the rows are still to be written."""
        if not entries or self._cache is None:
            return None
        try:
            self._cache.put(entries)
        except (sqlite3.Error, OSError) as error:
            reason, fix = reason_of(error, "the cache")
            return HarnessError(f"cannot write the cache: {reason}", fix=fix, code=1)
        return None

    def _count(self, rows: list[Row]) -> None:
        for row in rows:
            if row["error_type"] is not None:
                self.counts.failed += 1
                self.counts.error_types[row["error_type"]] += 1
                self.counts.example.setdefault(row["error_type"], row["error"])
            elif row["cache"]:
                self.counts.cached += 1
            else:
                self.counts.executed += 1


def _forget_frames(error: BaseException | None) -> None:
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
