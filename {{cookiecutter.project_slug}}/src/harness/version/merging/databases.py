"""Two results databases brought together in one file: every table, assets too.

The file that is changed is a private copy; whoever calls puts it in its place when all went well.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.clock import now
from harness.errors import explained
from harness.findings import Finding, many, within
from harness.record.columns import quoted
from harness.record.database_file import prepare_to_read
from harness.version.merging import columns as merge_columns
from harness.version.merging.assets import count_assets
from harness.version.merging.columns import Difference, columns_of, tables_of
from harness.version.merging.rows import Clash, Rows, Taken

LOG = "merges"
_LOG = (
    f"CREATE TABLE IF NOT EXISTS {LOG} "
    "(merged TEXT, origin TEXT, how TEXT, rows INTEGER, differences TEXT)"
)


@dataclass(slots=True)
class Outcome:
    """What a merge did, or why it did nothing.

    `twice` are experiments that were run on both sides, each with runs that the other has not.
    """

    tables: dict[str, Taken] = field(default_factory=dict)
    twice: dict[str, tuple[list[str], list[str]]] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)

    @property
    def clashes(self) -> list[Clash]:
        """Rows that are otherwise on the other side, but for experiments that were made twice."""
        every = [clash for taken in self.tables.values() for clash in taken.clashes]
        return [clash for clash in every if clash.experiment not in self.twice]

    @property
    def stopped(self) -> bool:
        """Whether nothing was merged."""
        return bool(self.twice or self.clashes)

    @property
    def rows(self) -> int:
        """How many rows were added, changed or removed, but for the log of merges."""
        return sum(each.moved for name, each in self.tables.items() if name != LOG)

    @property
    def changed(self) -> bool:
        """Whether the file is another one now."""
        return any(each.moved for each in self.tables.values())

    def experiments(self) -> list[str]:
        """Those that stand in the way."""
        return sorted({*self.twice, *(each.experiment for each in self.clashes)} - {""})

    def findings(self, other: str, rebase: str = "make rebase") -> list[Finding]:
        """What blocks the merge, for a person.

        `other` is how the other database is called, `rebase` the command that takes its rows.
        """
        found = []
        for tag, (here, there) in self.twice.items():
            message = (
                f"{within(tag)}it was run here and, separately, in {other}: "
                f"{many(len(here), 'run')} here ({here[0]}) and {len(there)} there ({there[0]})"
            )
            fix = (
                f"make retag TAG={tag} TO=… gives the rows of one side another name (before the "
                f"merge: git merge --abort); or {rebase} takes those of {other}"
            )
            found.append(Finding("made_twice", "error", message, len(here), (), fix, tag))
        for clash in self.clashes:
            columns = ", ".join(clash.columns[:8]) + (" …" if len(clash.columns) > 8 else "")
            message = (
                f"{within(clash.experiment)}{many(clash.count, 'row')} of {clash.table} differ "
                f"from those in {other}, in {columns}"
            )
            fix = f"{rebase} takes those of {other}, after a backup; or leave it"
            found.append(
                Finding("conflict", "error", message, clash.count, tuple(clash.rows), fix,
                        clash.experiment)
            )  # fmt: skip
        return found


def copy_database(source: Path, target: Path) -> None:
    """A private copy of a database as it is now, its log included; `target` is made anew."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    with explained(source, "read"):
        prepare_to_read(source)
        with _reading(source) as con, contextlib.closing(sqlite3.connect(target)) as to:
            to.execute("PRAGMA synchronous=OFF")
            con.backup(to)
            to.execute("PRAGMA journal_mode=DELETE")


@contextlib.contextmanager
def _reading(db: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(f"{db.resolve().as_uri()}?mode=ro", uri=True)) as con:
        yield con


def merge(
    work: Path,
    theirs: Path,
    origin: str,
    base: Path | None = None,
    replace: bool = False,
) -> Outcome:
    """Bring the rows of `theirs` into `work`, a private copy of ours, or change nothing.

    `origin` is how the other one is called in the table merges. With `replace` an experiment that
    differs is taken whole from `theirs`. Raises HarnessError where a database cannot be read.
    """
    prepare_to_read(theirs)
    with explained(theirs, "merge"), _open(work, theirs, base) as con:
        con.execute("BEGIN IMMEDIATE")
        outcome = _merge(con, base is not None, False)
        if outcome.stopped and replace:
            con.execute("ROLLBACK")
            con.execute("BEGIN IMMEDIATE")
            for experiment in outcome.experiments():
                _delete(con, experiment)
            outcome = _merge(con, False, True)
        if outcome.stopped:
            con.execute("ROLLBACK")
            return outcome
        if outcome.rows:
            words = [each.words for each in outcome.differences]
            con.execute(_LOG)
            how = "rebase" if replace else "merge"
            con.execute(
                f"INSERT INTO {LOG} VALUES (?, ?, ?, ?, ?)",
                (now(), origin, how, outcome.rows, json.dumps(words, ensure_ascii=False)),
            )
        con.execute("COMMIT")
        return outcome


@contextlib.contextmanager
def _open(work: Path, theirs: Path, base: Path | None) -> Iterator[sqlite3.Connection]:
    uri = work.resolve().as_uri()
    with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as con:
        merge_columns.prepare(con)
        con.execute("PRAGMA temp_store=FILE")
        # A private copy, thrown away where this is stopped; it is synced before it is put in place.
        con.execute("PRAGMA synchronous=OFF")
        con.execute("PRAGMA journal_mode=MEMORY")
        con.execute("ATTACH ? AS theirs", (f"{theirs.resolve().as_uri()}?mode=ro",))
        if base is not None:
            con.execute("ATTACH ? AS base", (f"{base.resolve().as_uri()}?mode=ro",))
        yield con


def _merge(con: sqlite3.Connection, with_base: bool, replace: bool) -> Outcome:
    outcome = Outcome()
    outcome.differences = _of_project(con) + _of_data(con)
    outcome.twice = _made_twice(con, with_base)
    before = set(tables_of(con, "base")) if with_base else set()
    for table in tables_of(con, "theirs"):
        make_table(con, "theirs", table, table)
        base = ("base", table) if table in before else None
        taken = Rows(con, table).take("theirs", table, base, replace)
        outcome.tables[table] = taken
        outcome.differences += taken.differences
    if not outcome.stopped:
        copy_indexes(con, "theirs")
        count_assets(con)
    return outcome


def _delete(con: sqlite3.Connection, experiment: str) -> None:
    for table in tables_of(con, "main"):
        if "experiment_version" in columns_of(con, "main", table):
            con.execute(f"DELETE FROM {quoted(table)} WHERE experiment_version = ?", (experiment,))


def make_table(con: sqlite3.Connection, schema: str, source: str, target: str) -> None:
    """Make a table of this database like one of another, where it is not there yet."""
    if target in tables_of(con, "main"):
        return
    query = f"SELECT sql FROM {schema}.sqlite_master WHERE type = 'table' AND name = ?"
    sql = str(con.execute(query, (source,)).fetchone()[0])
    columns = sql[sql.index("(") :]
    con.execute(f"CREATE TABLE main.{quoted(target)} {columns}")


def copy_indexes(con: sqlite3.Connection, schema: str) -> None:
    """Indexes and views that the other database has and this has not."""
    have = {row[0] for row in con.execute("SELECT name FROM main.sqlite_master")}
    rows = con.execute(
        f"SELECT name, sql FROM {schema}.sqlite_master "
        "WHERE type IN ('index', 'view') AND sql IS NOT NULL"
    )
    for name, sql in rows.fetchall():
        if name not in have:
            con.execute(sql)


# -- what is different


def _runs(con: sqlite3.Connection, schema: str, *wanted: str) -> list[tuple[str, ...]]:
    """Columns of the table runs; none where it or one of them is not there."""
    if not set(wanted) <= set(columns_of(con, schema, "runs")):
        return []
    listed = ", ".join(map(quoted, wanted))
    return con.execute(f"SELECT DISTINCT {listed} FROM {schema}.runs").fetchall()


def _made_twice(con: sqlite3.Connection, with_base: bool) -> dict[str, tuple[list[str], list[str]]]:
    """Experiments for which both sides have runs that are not on the other, nor in the base."""
    sides = [
        set(_runs(con, schema, "experiment_version", "track_id")) for schema in ("main", "theirs")
    ]
    common = set(_runs(con, "base", "experiment_version", "track_id")) if with_base else set()
    here, there = (_by_experiment(one - other - common) for one, other in (sides, sides[::-1]))
    return {tag: (here[tag], there[tag]) for tag in sorted(here.keys() & there.keys())}


def _by_experiment(runs: set[tuple[str, ...]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for experiment, track_id in sorted(runs, key=str):
        found.setdefault(str(experiment), []).append(str(track_id))
    return found


def _of_data(con: sqlite3.Connection) -> list[Difference]:
    """Data versions that come with the other's experiments, and that none here has."""
    ours = {row for row in _runs(con, "main", "experiment_version", "data_version")}
    known, mine = {data for _, data in ours}, {tag for tag, _ in ours}
    if not known:
        return []
    return [
        Difference(
            "data",
            f"{tag} ran on the data {(data or 'unknown')[:12]}, which no experiment here used",
        )
        for tag, data in sorted(_runs(con, "theirs", "experiment_version", "data_version"), key=str)
        if data not in known and tag not in mine
    ]


def _of_project(con: sqlite3.Connection) -> list[Difference]:
    """That the other is of another benchmark, or of nothing that this harness recorded."""
    here, there = (set(tables_of(con, schema)) for schema in ("main", "theirs"))
    if "runs" in here and "runs" not in there:
        words = "it has no table runs, so no run of this harness recorded it"
        return [Difference("project", words)]
    ours, theirs = (_names(con, schema) for schema in ("main", "theirs"))
    if not ours or not theirs or ours & theirs:
        return []
    words = f"it is of the benchmark {', '.join(theirs)}, and this one is {', '.join(ours)}"
    return [Difference("project", words)]


def _names(con: sqlite3.Connection, schema: str) -> set[str]:
    found = set()
    for (settings,) in _runs(con, schema, "settings"):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            found.add(str(json.loads(settings)["benchmark"]["name"]))
    return found
