"""The results database: xetrack's Tracker in front of one SQLite file, one writer, typed columns.

While a run writes with the sqlite engine, the file is in WAL mode, so others can read. Afterwards
it is in delete mode: xetrack's own Reader switches to that mode whenever it opens a file, which
would change the bytes of a result that DVC has already recorded.
"""

import contextlib
import json
import os
import sqlite3
import tempfile
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import cloudpickle
import numpy as np
import numpy.typing as npt
from xetrack import Tracker

from harness.clock import microseconds_of, stamp
from harness.errors import HarnessError, explained
from harness.project.values import REAL, Row, Value, readable
from harness.record.columns import (
    LOOK,
    PREDICTIONS,
    Schema,
    drop_once_index,
    make_once_index,
    quoted,
)
from harness.record.database_file import (
    begin_writing,
    expect_many_rows,
    insert_rows,
    is_faster_at_the_end,
    set_strangers_aside,
)
from harness.record.fitted_files import keep_file
from harness.record.labelled import LABELLED
from harness.record.layout import DEV, JUDGEMENTS, Place
from harness.record.pickles import index_load
from harness.record.resamples_table import RESAMPLED
from harness.record.row_fitter import RowFitter, Wrong, mark_unfit
from harness.record.runs import RUNS, next_sequence
from harness.record.score_tables import DECLARED, UNCOUNTED
from harness.record.segments_table import SEGMENTED

Answer = TypeVar("Answer")
_OF_SCORES = (DECLARED, UNCOUNTED, RESAMPLED, SEGMENTED)  # tables that scoring fills
_DUCKDB_ROWS = 200
_READERS_SECONDS = 10.0  # how long a reader may keep a run from its end


class _Source(NamedTuple):
    """What rows have in common: the run that wrote them, the one that computed them, their code."""

    track_id: str
    origin: str
    code_key: str
    good: bool


class Store:
    """One database, open for one run. All calls must come from the thread that made it.

    `params` maps params columns to their types. `sequence` is the number of the run.
    """

    def __init__(
        self,
        place: Place,
        engine: str,
        track_id: str,
        experiment: str,
        params: dict[str, str],
    ) -> None:
        self.place = place
        self.engine = engine
        self.experiment = experiment
        self._last_stamp: dict[str, int] = {}
        self._known_sources: set[_Source] | None = None
        begin_writing(place.db, "" if experiment == DEV else experiment)
        with explained(place.db):
            with _apart(place.db) as connection:
                # In one transaction: some forty single changes would each wait for the disk.
                connection.execute("BEGIN IMMEDIATE")
                self.predictions = Schema.prepare(
                    connection, place.predictions, {**PREDICTIONS, **params}
                )
                self.runs = Schema.prepare(connection, place.runs, RUNS)
                self.sequence = next_sequence(connection, place.runs)
                # xetrack makes this table whenever it reads a file and nobody names a table. That
                # would change a result that is tagged already.
                Schema.prepare(connection, "default", {})
                make_once_index(connection, self.place.predictions)
                connection.execute("COMMIT")
            self._open(track_id)
            self._fitter = RowFitter(
                self.predictions,
                engine,
                self.connection,
                # Not methods of this object: in a reference cycle any thread might collect it.
                partial(_apart, place.db),
                partial(_keep, self.tracker.assets),
            )

    def _open(self, track_id: str) -> None:
        with duckdb_sqlite() if self.engine == "duckdb" else contextlib.nullcontext():
            self.tracker = Tracker(
                db=str(self.place.db),
                engine="duckdb" if self.engine == "duckdb" else "sqlite",
                table=self.place.predictions,
                track_id=track_id,
                warnings=False,
            )
        read_plainly(self.tracker.assets)
        self.connection = self.tracker.conn
        if self.engine == "sqlite":
            # Only now: opening the Tracker's asset store has just set the mode back.
            mode = self.connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
            if mode != "wal":
                raise HarnessError(
                    f"{self.place.db} cannot use write-ahead logging (mode {mode})",
                    fix="put the repository on a local disk; network drives cannot hold it",
                )
            expect_many_rows(self.connection)

    def expect(self, rows: int) -> None:
        """Prepare for about so many rows: many are put into the index at the end, all at once.

        Until then it is the run that records no datapoint twice. What needs the index before, makes
        it; after a kill, the next to open the database does.
        """
        there = int(self._one(f"SELECT max(rowid) FROM {quoted(self.place.predictions)}") or 0)
        if self.engine == "sqlite" and is_faster_at_the_end(rows, there):
            with explained(self.place.db):
                drop_once_index(self.connection, self.place.predictions)

    def recorded(self) -> tuple[npt.NDArray[np.bytes_], list[str]]:
        """Keys of this experiment's good rows (sorted numpy bytes), and of its failed ones."""
        table = quoted(self.place.predictions)
        mine = f"SELECT task_key FROM {table} WHERE experiment_version = ?"
        keys = np.empty(self.count(), dtype="S32")
        cursor = self.connection.execute(mine, [self.experiment])
        filled = 0
        while batch := cursor.fetchmany(10_000):
            keys[filled : filled + len(batch)] = [bytes.fromhex(row[0]) for row in batch]
            filled += len(batch)
        keys.sort()
        if all(each.good for each in self._sources()):
            return keys, []
        rows = self.connection.execute(f"{mine} AND error_type IS NOT NULL", [self.experiment])
        failed = [row[0] for row in rows.fetchall()]
        at = np.searchsorted(keys, np.array([bytes.fromhex(key) for key in failed], dtype="S32"))
        return np.delete(keys, at), failed

    def failed_before(self, look: int) -> list[str]:
        """Keys of this experiment's failed rows that came before a look of the plan."""
        if look < 2 or LOOK not in self.predictions.types:
            return []
        rows = self.connection.execute(
            f"SELECT task_key FROM {quoted(self.place.predictions)} WHERE experiment_version = ? "
            f"AND error_type IS NOT NULL AND {LOOK} < ?",
            [self.experiment, look],
        ).fetchall()
        return [row[0] for row in rows]

    def _sources(self) -> set[_Source]:
        """Where the rows of this experiment come from; looked up once after each change of them."""
        if self._known_sources is None:
            rows = self.connection.execute(
                "SELECT DISTINCT track_id, cache, code_key, error_type IS NULL "
                f"FROM {quoted(self.place.predictions)} WHERE experiment_version = ?",
                [self.experiment],
            ).fetchall()
            self._known_sources = {
                _Source(track_id, origin or track_id, code_key, bool(good))
                for track_id, origin, code_key, good in rows
            }
        return self._known_sources

    def code_keys(self) -> set[str]:
        """The code versions under which this experiment has good rows."""
        return {each.code_key for each in self._sources() if each.good}

    def begun_with(self) -> list[tuple[str, dict[str, str]]]:
        """The data version and the files of configurations of each run that has good rows here."""
        rows = self.connection.execute(
            f"SELECT track_id, data_version, grid_files FROM {quoted(self.place.runs)} "
            "WHERE experiment_version = ?",
            [self.experiment],
        ).fetchall()
        good = {each.track_id for each in self._sources() if each.good}
        found = dict.fromkeys((row[1] or "", row[2] or "{}") for row in rows if row[0] in good)
        return [(data, json.loads(files)) for data, files in found]

    def inputs(self) -> set[str]:
        """What the runs that computed this experiment's rows read and no key held."""
        rows = self.connection.execute(
            f"SELECT track_id, inputs FROM {quoted(self.place.runs)} WHERE inputs IS NOT NULL"
        ).fetchall()
        origins = {each.origin for each in self._sources()}
        return {name for row in rows if row[0] in origins for name in json.loads(row[1])}

    def count(self) -> int:
        """How many rows this experiment has."""
        query = (
            f"SELECT count(*) FROM {quoted(self.place.predictions)} WHERE experiment_version = ?"
        )
        return int(self._one(query, [self.experiment]))

    def apart(self, function: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """What `function` returns, called with a plain connection of its own to the database."""
        with _apart(self.place.db) as connection:
            make_once_index(connection, self.place.predictions)
            connection.row_factory = sqlite3.Row
            return function(connection)

    def forget_run(self, track_id: str) -> list[str]:
        """Delete what a run executed; returns the keys."""
        table = quoted(self.place.predictions)
        keys = self.connection.execute(
            f"SELECT task_key FROM {table} WHERE track_id = ? AND cache = ''", [track_id]
        ).fetchall()
        with explained(self.place.db), self._transaction():
            self.connection.execute(
                f"DELETE FROM {table} WHERE track_id = ? AND cache = ''", [track_id]
            )
        return [row[0] for row in keys]

    def track_ids(self) -> set[str]:
        """The runs that belong to this experiment so far."""
        rows = self.connection.execute(
            f"SELECT track_id FROM {quoted(self.place.runs)} WHERE experiment_version = ?",
            [self.experiment],
        ).fetchall()
        return {row[0] for row in rows}

    def spent(self) -> float:
        """The cost in USD of what this experiment has executed so far, estimated where unknown."""
        return spent_on(self.place, self.experiment)

    def keep_asset(self, name: str, content: bytes) -> str:
        """Store the pickle of an object as an xetrack asset; returns its hash.

        Raises HarnessError where another one stands under that hash.
        """
        return _keep_bytes(self.tracker.assets, name, content)

    def keep_model(self, name: str, content: bytes, most: int) -> tuple[str, Path | None]:
        """Store the pickle of a fitted model; its asset's hash, and its file.

        Up to `most` bytes it is the asset itself, and there is no file.
        """
        if len(content) <= most:
            return self.keep_asset(name, content), None
        text, path = keep_file(self.place.db, self.experiment, content)
        return self.keep_asset(name, text), path

    def model(self, name: str) -> tuple[str, bytes, Path] | None:
        """The hash of a fitted model's asset, what it holds, and the database that has it.

        None where there is none; nothing is loaded.
        """
        hash_value = self.tracker.assets.keys.get(name)
        if hash_value is None:
            return None
        content = bytes(self.tracker.assets.assets[hash_value])
        return str(hash_value), content, self.place.db

    def stamp(self, track_id: str) -> str:
        """The time now; later than any in the rows of that run, with which it is their primary key.

        This also holds where the clock has stepped back: results that an earlier run of the
        experiment left in the cache get rows under that run's track_id.
        """
        return stamp(self._later(track_id, time.time_ns() // 1000))

    def stamp_rows(self, rows: list[Row]) -> None:
        """Fill in `timestamp` of rows that are written together, as `stamp` does."""
        now = time.time_ns() // 1000
        for row in rows:
            row["timestamp"] = stamp(self._later(row["track_id"], now))

    def _later(self, track_id: str, now: int) -> int:
        last = self._last_stamp.get(track_id)
        if last is None:
            last = microseconds_of(
                self._one(
                    f"SELECT max(timestamp) FROM {quoted(self.place.predictions)} "
                    "WHERE track_id = ? AND timestamp LIKE '%+00:00'",
                    [track_id],
                )
            )
        later = self._last_stamp[track_id] = now if now > last else last + 1
        return later

    def fit(self, rows: list[Row]) -> list[tuple[Row, Wrong]]:
        """Rows as they can be written; each with what is wrong, by column."""
        return self._fitter.fit(rows)

    def insert(self, rows: list[Row], replace: list[str]) -> None:
        """Write plain rows in one transaction, first deleting the failed rows in `replace`."""
        try:
            self._insert(rows, replace)
        except OverflowError:
            # A number beyond 64 bits hid in a row that looked like those before it.
            self.predictions.forget()
            fitted = self._fitter.fit(rows, each=True)
            for row, wrong in fitted:
                if wrong:
                    mark_unfit(row, wrong)
            self._insert([row for row, _ in fitted], replace)
            rows[:] = [row for row, _ in fitted]

    def _insert(self, rows: list[Row], replace: list[str]) -> None:
        if replace:
            make_once_index(self.connection, self.place.predictions)
            self._carry_over(rows, replace)
        columns, values = _as_values(rows)
        keys: list[list[Value]] = [[self.experiment, key] for key in replace]
        old = "experiment_version = ? AND task_key = ?"
        self._put(self.place.predictions, old, keys, columns, values)

    def _carry_over(self, rows: list[Row], replace: list[str]) -> None:
        """What failed rows cost stays counted in the rows that take their place."""
        if "cost_lost" not in self.predictions.types and "cost" not in self.predictions.types:
            return
        query = (
            f"SELECT {_paid(set(self.predictions.types))} FROM {quoted(self.place.predictions)} "
            "WHERE experiment_version = ? AND task_key = ?"
        )
        by_key = {row["task_key"]: row for row in rows}
        for key in replace:
            paid = float(self._one(query, [self.experiment, key]) or 0.0)
            if paid:
                row = by_key[key]
                row["cost_lost"] = (row.get("cost_lost") or 0.0) + paid
        if any(row.get("cost_lost") for row in rows):
            self.predictions.add(self.connection, {"cost_lost": REAL})

    def put_run(self, row: Row) -> None:
        """Write this run's row, or the newer version of it."""
        row = {**row, "sequence": self.sequence}
        values = [tuple(row.values())]
        self._put(self.place.runs, "sequence = ?", [[self.sequence]], list(row), values)

    def _put(
        self,
        name: str,
        old: str,
        keys: list[list[Value]],
        columns: list[str],
        values: list[tuple[Value, ...]],
    ) -> None:
        """Insert rows into a table, in one transaction; first delete what is `old` by each key."""
        # `_exchange` is no function in here: that would hold on to the store through the frame of
        # what fails in it, which the recorder cannot make forget.
        try:
            self._exchange(name, old, keys, columns, values)
        except UnicodeEncodeError:  # half of a character; all was taken back
            self._exchange(name, old, keys, columns, [_readable_row(row) for row in values])

    def _exchange(
        self,
        name: str,
        old: str,
        keys: list[list[Value]],
        columns: list[str],
        values: list[tuple[Value, ...]],
    ) -> None:
        table = quoted(name)
        with explained(self.place.db), self._transaction():
            for key in keys:
                self.connection.execute(f"DELETE FROM {table} WHERE {old}", key)
            self._insert_values(table, columns, values)

    def _insert_values(
        self, table: str, columns: list[str], values: list[tuple[Value, ...]]
    ) -> None:
        insert = f"INSERT INTO {table} ({', '.join(map(quoted, columns))})"
        if self.engine == "sqlite":
            insert_rows(self.connection, insert, values)
            return
        marks = f"({', '.join('?' * len(columns))})"
        for start in range(0, len(values), _DUCKDB_ROWS):
            part = values[start : start + _DUCKDB_ROWS]
            flat: list[Value] = []
            for row in part:
                flat += _readable_row(row)
            self.connection.execute(f"{insert} VALUES {', '.join([marks] * len(part))}", flat)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self.connection.execute("BEGIN IMMEDIATE" if self.engine == "sqlite" else "BEGIN")
        self._known_sources = None
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(Exception):
                self.connection.execute("ROLLBACK")
            raise

    def _one(self, query: str, parameters: list[Value] | None = None) -> Any:
        return self.connection.execute(query, parameters or []).fetchone()[0]

    def close(self) -> None:
        """Leave one plain file: delete mode, nothing open."""
        try:
            for part in _parts(self.tracker.assets):
                part.close()
            if self.engine == "sqlite":
                with explained(self.place.db, "finish writing"):
                    with _apart(self.place.db) as connection:
                        make_once_index(connection, self.place.predictions)
                    self._leave_wal()
        finally:
            self.connection.close()

    def _leave_wal(self) -> None:
        """Wait for whoever reads just now: SQLite itself does not wait for a change of the mode."""
        until = time.monotonic() + _READERS_SECONDS
        while True:
            try:
                self.connection.execute("PRAGMA journal_mode=DELETE")
                return
            except sqlite3.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)


@contextlib.contextmanager
def _apart(db: Path) -> Iterator[sqlite3.Connection]:
    """A plain connection for schema changes, closed before anything else happens."""
    connection = sqlite3.connect(db, isolation_level=None, timeout=10)
    try:
        yield connection
    finally:
        connection.close()


def _as_values(rows: list[Row]) -> tuple[list[str], list[tuple[Value, ...]]]:
    """The columns of rows, and the values of each in their order; None where a row lacks one."""
    columns = tuple(rows[0])
    if all(tuple(row) == columns for row in rows):
        return [*columns], [tuple(row.values()) for row in rows]
    every = list(dict.fromkeys(chain.from_iterable(rows)))
    return every, [tuple(map(row.get, every)) for row in rows]


def _readable_row(row: tuple[Value, ...]) -> tuple[Value, ...]:
    return tuple(readable(value) if isinstance(value, str) else value for value in row)


def _keep(assets: Any, name: str, value: object) -> str:
    return _keep_bytes(assets, name, bytes(cloudpickle.dumps(value)))


def _keep_bytes(assets: Any, name: str, content: bytes) -> str:
    """As AssetsManager.insert, which trusts that what stands under a hash already is the same."""
    hash_value = str(assets.hash_bytes(content))
    if hash_value not in assets.assets:
        assets.assets[hash_value] = sqlite3.Binary(content)
    elif bytes(assets.assets[hash_value]) != content:
        raise HarnessError(
            f"the asset {hash_value} is not what its hash says: somebody changed it",
            fix="bring the database back as it was recorded (dvc checkout, git checkout)",
            code=1,
        )
    assets.counts[hash_value] = assets.counts.get(hash_value, 0) + 1
    assets.keys[name] = hash_value
    for part in _parts(assets):
        part.commit(blocking=True)
    return hash_value


def read_plainly(assets: Any) -> None:
    """Let xetrack's index of assets be read as the texts and numbers that it holds.

    sqlitedict unpickles them, and what somebody else put there could run code.
    """
    for part in (assets.keys, assets.counts):
        part.decode = index_load
        part.decode_key = lambda key: index_load(b64decode(key))


def _parts(assets: Any) -> tuple[Any, ...]:
    return assets.assets, assets.keys, assets.counts


def clear_rows(place: Place, experiment: str) -> int:
    """Delete what was predicted, scored and measured under `experiment`; runs and the cache stay.

    Returns how many predictions there were.
    """
    if not place.db.exists() or not _has_rows(place, experiment):
        return 0
    begin_writing(place.db)
    with explained(place.db), contextlib.closing(sqlite3.connect(place.db, timeout=10)) as con:
        deleted = 0
        tables = (*_OF_SCORES, LABELLED, JUDGEMENTS, place.metrics, place.predictions)
        for table in tables:
            if con.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone():
                deleted = con.execute(
                    f"DELETE FROM {quoted(table)} WHERE experiment_version = ?", (experiment,)
                ).rowcount
        con.commit()
        return deleted


def _has_rows(place: Place, experiment: str) -> bool:
    """Looked up first, because beginning to write already changes the file."""
    set_strangers_aside(place.db)
    with explained(place.db), contextlib.closing(sqlite3.connect(place.db, timeout=10)) as con:
        for table in (place.metrics, place.predictions):
            if con.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone():
                query = f"SELECT 1 FROM {quoted(table)} WHERE experiment_version = ?"
                if con.execute(query, (experiment,)).fetchone():
                    return True
    return False


def _paid(have: set[str]) -> str:
    """As SQL: what a row cost in USD, with the attempts before it that gave nothing."""
    known = [name for name in ("cost", "cost_estimate") if name in have]
    lost = "coalesce(cost_lost, 0)" if "cost_lost" in have else "0"
    return f"coalesce({', '.join([*known, '0', '0'])}) + {lost}"


def begin_anew(place: Place) -> None:
    """Drop the tables of predictions and metrics, as every dev-run begins; runs stay.

    Their columns too: one that only an earlier dev-run had is no part of what is developed now.
    """
    if not place.db.exists():
        return
    with explained(place.db), contextlib.closing(sqlite3.connect(place.db, timeout=10)) as con:
        for table in (*_OF_SCORES, place.metrics, place.predictions):
            con.execute(f"DROP TABLE IF EXISTS {quoted(table)}")
        if con.execute("SELECT 1 FROM sqlite_master WHERE name = 'scores'").fetchone():
            con.execute("DELETE FROM scores WHERE predictions = ?", (place.predictions,))
        con.commit()


def spent_on(place: Place, experiment: str) -> float:
    """The cost in USD of what an experiment has executed so far, estimated where unknown."""
    total = 0.0
    with _apart(place.db) as connection:
        for table in (place.predictions, *place.beside):
            named = quoted(table)
            have = {row[1] for row in connection.execute(f"PRAGMA table_info({named})")}
            if have:
                query = (
                    f"SELECT sum({_paid(have)}) FROM {named} "
                    "WHERE experiment_version = ? AND cache = ''"
                )
                total += float(connection.execute(query, (experiment,)).fetchone()[0] or 0.0)
    return total


def update_run(place: Place, track_id: str, columns: dict[str, str]) -> None:
    """Change columns of a run that has ended."""
    assigned = ", ".join(f"{quoted(name)} = ?" for name in columns)
    with explained(place.db), contextlib.closing(sqlite3.connect(place.db, timeout=10)) as con:
        con.execute(
            f"UPDATE {quoted(place.runs)} SET {assigned} WHERE track_id = ?",
            (*columns.values(), track_id),
        )
        con.commit()


@contextlib.contextmanager
def duckdb_sqlite() -> Iterator[None]:
    """Put the SQLite extension where xetrack's duckdb engine looks for it, without the network.

    It looks at home. Where there is none that can be written (a container, a service), a temporary
    folder stands for it until the engine has loaded the extension.
    """
    from duckdb_extensions import import_extension

    home = os.environ.get("HOME", "")
    if os.name == "nt" or (home and os.access(home, os.W_OK)):
        import_extension("sqlite_scanner")
        yield
        return
    with tempfile.TemporaryDirectory(prefix="bench-home-") as folder:
        os.environ["HOME"] = folder
        try:
            import_extension("sqlite_scanner")
            yield
        finally:
            os.environ.pop("HOME")
            if home:
                os.environ["HOME"] = home
