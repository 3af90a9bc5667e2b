"""The rows of databases in another layout: the same rows, in the tables and files of that one."""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.errors import HarnessError, explained
from harness.project.settings import Settings
from harness.record.columns import make_once_index, quoted, score_names
from harness.record.database_file import prepare_to_read
from harness.record.layout import TAG, Place, place_for
from harness.version.merging import assets as merge_assets
from harness.version.merging import columns as merge_columns
from harness.version.merging.columns import columns_of, tables_of
from harness.version.merging.databases import make_table
from harness.version.merging.rows import Rows

_SHARED = (*merge_assets.TABLES, "scores")


def regroup(sources: Sequence[Path], settings: Settings, folder: Path) -> dict[str, Path]:
    """Write the rows of `sources` into new databases in `folder`, by the layout of `settings`.

    Returns them by their names in results/. What belongs to no experiment goes into the one of the
    newest. Raises HarnessError where two rows of one task are not the same.
    """
    experiments = sorted(
        {tag for source in sources for tag in experiments_in(source)},
        key=lambda tag: tuple(int(part) for part in tag[1:].split(".")),
    )
    if not experiments:
        raise HarnessError("no experiment is recorded there yet", fix="make experiment TAG=e0.0.1")
    made: dict[str, Path] = {}
    for source in sources:
        own = [tag for tag in experiments if tag in experiments_in(source)]
        for tag in own:
            place = place_for(folder, settings, tag)
            target = folder / place.db.name
            made[place.db.name] = target
            _pour(source, target, place, tag, rest=tag == own[-1])
    return made


def experiments_in(db: Path) -> set[str]:
    """The experiments of which a database has rows in any table."""
    prepare_to_read(db)
    found: set[str] = set()
    uri = f"{db.resolve().as_uri()}?mode=ro"
    with explained(db, "read"), contextlib.closing(sqlite3.connect(uri, uri=True)) as con:
        for table in tables_of(con, "main"):
            if "experiment_version" in columns_of(con, "main", table):
                rows = con.execute(f"SELECT DISTINCT experiment_version FROM {quoted(table)}")
                found |= {str(row[0]) for row in rows}
    return {tag for tag in found if TAG.match(tag)}


def is_grouped(db: Path, settings: Settings) -> bool:
    """Whether a database is as this layout has it."""
    wanted = {tag: place_for(Path(), settings, tag) for tag in experiments_in(db)}
    uri = f"{db.resolve().as_uri()}?mode=ro"
    with explained(db, "read"), contextlib.closing(sqlite3.connect(uri, uri=True)) as con:
        for table in _predictions(con, "main"):
            rows = con.execute(f"SELECT DISTINCT experiment_version FROM {quoted(table)}")
            for (tag,) in rows.fetchall():
                place = wanted.get(tag)
                if place is None or (place.predictions, place.db.name) != (table, db.name):
                    return False
    return True


def _predictions(con: sqlite3.Connection, schema: str) -> list[str]:
    return [
        table
        for table in tables_of(con, schema)
        if table == "predictions" or table.startswith("predictions_e")
    ]


@contextlib.contextmanager
def _pouring(source: Path, target: Path) -> Iterator[sqlite3.Connection]:
    uri = target.resolve().as_uri()
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        explained(target),
        contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as con,
    ):
        merge_columns.prepare(con)
        con.execute("ATTACH ? AS theirs", (f"{source.resolve().as_uri()}?mode=ro",))
        con.execute("PRAGMA synchronous=OFF")  # a new file, thrown away where this is stopped
        con.execute("BEGIN")
        yield con
        con.execute("COMMIT")


def _pour(source: Path, target: Path, place: Place, tag: str, rest: bool) -> None:
    """The rows of one experiment, and with the `rest` whatever belongs to none."""
    own = f"experiment_version = '{tag}'"
    with _pouring(source, target) as con:
        predictions = _predictions(con, "theirs")
        for table in tables_of(con, "theirs"):
            if table in _SHARED:
                continue
            into = place.predictions if table in predictions else table
            if "experiment_version" not in columns_of(con, "theirs", table):
                make_table(con, "theirs", table, into)
                if rest:
                    _take(con, table, into)
                continue
            where = own
            if rest and into == table:
                where = f"({own} OR experiment_version IS NULL)"
            query = f"SELECT 1 FROM theirs.{quoted(table)} WHERE {where}"
            if table in predictions and not con.execute(query).fetchone():
                continue
            make_table(con, "theirs", table, into)
            _take(con, table, into, where)
        if place.predictions not in tables_of(con, "main"):
            return  # an experiment that was begun, and has no row yet
        _scores(con, place.predictions, predictions)
        _assets(con, place.predictions, everything=rest)
        if {"experiment_version", "task_key"} <= set(columns_of(con, "main", place.predictions)):
            make_once_index(con, place.predictions)


def _take(con: sqlite3.Connection, table: str, into: str, where: str = "true") -> None:
    taken = Rows(con, into, where).take("theirs", table)
    if taken.clashes:
        clash = taken.clashes[0]
        raise HarnessError(
            f"{clash.experiment}: {clash.count} rows of {clash.table} are recorded twice, each "
            f"with different content: {'; '.join(clash.rows[:3])}",
            fix="make validate says more",
            code=1,
        )


def _scores(con: sqlite3.Connection, into: str, sources: Sequence[str]) -> None:
    """Which columns of the new table are scores: those that were, as far as it has them."""
    if "scores" not in tables_of(con, "theirs"):
        return
    make_table(con, "theirs", "scores", "scores")
    have = columns_of(con, "main", into)
    for source in sources:
        rows = con.execute("SELECT name FROM theirs.scores WHERE predictions = ?", (source,))
        for (name,) in rows.fetchall():
            if name in have and name not in score_names(con, into):
                con.execute("INSERT INTO scores VALUES (?, ?)", (into, name))


def _assets(con: sqlite3.Connection, predictions: str, everything: bool) -> None:
    """The assets that the rows name, or all of them, with xetrack's three tables of them."""
    if not set(merge_assets.TABLES) <= set(tables_of(con, "theirs")):
        return
    for table in merge_assets.TABLES:
        make_table(con, "theirs", table, table)
        if everything:
            _take(con, table, table)
    if not everything:
        merge_assets.copy_named(con, "theirs", predictions)
    merge_assets.count_assets(con)
