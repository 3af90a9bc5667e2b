"""The rows of one table brought together: what is new is added, what is equal is one, all else is a
clash that is listed and changes nothing.

With a base (what both sides were begun from) a row that one side alone has changed or deleted is
as that side has it, as git does with lines.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.record.columns import quoted
from harness.record.labelled import LABELLED
from harness.record.layout import JUDGE_RUNS
from harness.record.resamples_table import RESAMPLED
from harness.record.segments_table import SEGMENTED
from harness.version.merging.columns import Difference, Fitting, columns_of

MOST = 10  # clashes that are listed by name
_ORDINAL = "ordinal of equal rows"
# What tells rows apart.
_OF_RUN = ("track_id",)
_OF_AGGREGATE = ("experiment_version", "params_key", "name")
_OF_SEGMENT = ("experiment_version", "params_key", "segmentation", "segment", "name")
_OWN_KEYS = {
    "runs": _OF_RUN,
    JUDGE_RUNS: _OF_RUN,
    RESAMPLED: _OF_AGGREGATE,
    LABELLED: ("experiment_version", "score", "judge", "rubric", "answer", "task_key"),
    SEGMENTED: _OF_SEGMENT,
    "resamples_history": (*_OF_AGGREGATE, "score_version"),
    "segments_history": (*_OF_SEGMENT, "score_version"),
}
# In all other tables, by the columns that a table has; the first that fits.
_KEYS: tuple[tuple[str, ...], ...] = (
    ("experiment_version", "task_key"),
    ("experiment_version", "params_key"),
    ("experiment_version", "position"),
)
# xetrack's names of assets: a name that both gave to other bytes may stand for either of them.
_EITHER = ("keys", "counts")


@dataclass(slots=True)
class Clash:
    """Rows of one table and experiment that both sides have, each with other content."""

    table: str
    experiment: str
    count: int
    rows: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Taken:
    """What became of a table."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    clashes: list[Clash] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)

    @property
    def moved(self) -> int:
        """How many rows are other than before."""
        return self.added + self.changed + self.removed


def key_of(con: sqlite3.Connection, table: str, columns: Sequence[str]) -> tuple[str, ...]:
    """The columns that tell the rows of a table apart; empty where nothing does but all of them."""
    own = _OWN_KEYS.get(table, ())
    if own and set(own) <= set(columns):
        return own
    # A history has every version of a score, other tables the one in force.
    version = ("score_version",) if table.endswith("_history") else ()
    for key in _KEYS:
        if {*key, *version} <= set(columns):
            return (*key, *version)
    declared = con.execute(f"PRAGMA main.table_info({quoted(table)})").fetchall()
    primary = [row[1] for row in sorted(declared, key=lambda row: row[5]) if row[5]]
    if primary:
        return tuple(primary)
    for index in con.execute(f"PRAGMA main.index_list({quoted(table)})").fetchall():
        if index[2] and not index[4]:
            named = con.execute(f"PRAGMA main.index_info({quoted(index[1])})").fetchall()
            return tuple(row[2] for row in named)
    return ()


class Rows:
    """One table of `con` (main) taking the rows of others, or those for which `where` holds.

    All tables are known by the schema and name they have in the connection.
    """

    def __init__(self, con: sqlite3.Connection, target: str, where: str = "true") -> None:
        self.con, self.target, self.where = con, target, where

    def take(
        self, schema: str, source: str, base: tuple[str, str] | None = None, replace: bool = False
    ) -> Taken:
        """Take the rows of `schema.source`; `base` is (schema, table) of what both began from.

        Where rows clash, nothing is changed in this table but its columns, unless they `replace`
        those that are here.
        """
        fitting = Fitting(self.con, schema, source, self.target)
        taken = Taken(differences=fitting.differences)
        before = Fitting(self.con, *base, self.target) if base else None
        names = list(columns_of(self.con, "main", self.target))
        key = key_of(self.con, self.target, names)
        theirs = self._select(schema, source, fitting.selected(names), names)
        ours = self._select("main", self.target, [quoted(each) for each in names], names)
        sides = [ours, theirs]
        if before and base:
            sides.append(self._select(*base, before.selected(names), names))
        if not key or any(self._doubled(side, key) for side in sides):
            # Of rows that nothing tells apart each side has a number: the larger one is kept.
            key, sides = (*names, _ORDINAL), [self._numbered(side, names) for side in sides]
        self._hold(sides, key)
        self._sort_out(sides[0], Comparison(key), Comparison(names), replace)
        taken.clashes = self._clashes(names)
        if not taken.clashes:
            self._apply(taken, names)
        return taken

    def _select(self, schema: str, table: str, expressions: list[str], names: list[str]) -> str:
        listed = ", ".join(
            f"{expression} AS {quoted(name)}"
            for expression, name in zip(expressions, names, strict=True)
        )
        rows = f"FROM {schema}.{quoted(table)} WHERE {self.where}"
        return f"SELECT rowid AS rowid_of_it, {listed} {rows}"

    def _doubled(self, select: str, key: tuple[str, ...]) -> bool:
        if len(key) < 2 and self.target not in _OWN_KEYS:
            return False  # a primary key
        listed = ", ".join(map(quoted, key))
        query = f"SELECT 1 FROM ({select}) GROUP BY {listed} HAVING count(*) > 1 LIMIT 1"
        return self.con.execute(query).fetchone() is not None

    @staticmethod
    def _numbered(select: str, names: list[str]) -> str:
        listed = ", ".join(map(quoted, names))
        return (
            f"SELECT *, row_number() OVER (PARTITION BY {listed}) AS {quoted(_ORDINAL)} "
            f"FROM ({select})"
        )

    def _hold(self, sides: list[str], key: tuple[str, ...]) -> None:
        """Theirs (h_rows) and the base (b_rows, empty where there is none) in the target's form."""
        con = self.con
        for name in ("h_rows", "b_rows", "moves"):
            con.execute(f"DROP TABLE IF EXISTS temp.{name}")
        con.execute(f"CREATE TEMP TABLE h_rows AS {sides[1]}")
        base = sides[2] if len(sides) > 2 else "SELECT * FROM h_rows WHERE false"
        con.execute(f"CREATE TEMP TABLE b_rows AS {base}")
        listed = ", ".join(map(quoted, key[:60]))
        for name in ("h", "b"):
            con.execute(f"CREATE INDEX temp.{name}_key ON {name}_rows ({listed})")
        con.execute("CREATE TEMP TABLE moves (what TEXT, here INTEGER, there INTEGER)")

    def _sort_out(self, ours: str, on: "Comparison", same: "Comparison", replace: bool) -> None:
        """Write down what is to be done with each row that is not the same on both sides."""

        def in_base(side: str, unchanged: bool = False) -> str:
            more = f" AND {same('b', side)}" if unchanged else ""
            return f"EXISTS (SELECT 1 FROM b_rows AS b WHERE {on('b', side)}{more})"

        differ = (
            f"CASE WHEN {in_base('o', True)} THEN 'changed' "
            f"WHEN {in_base('h', True)} THEN 'kept' ELSE 'clash' END"
        )
        if self.target in _EITHER:
            differ = "CASE WHEN h.value > o.value THEN 'changed' ELSE 'kept' END"
        elif replace:
            differ = "'changed'"
        self.con.execute(
            f"INSERT INTO moves SELECT {differ}, o.rowid_of_it, h.rowid "
            f"FROM h_rows AS h JOIN ({ours}) AS o ON {on('o', 'h')} WHERE NOT ({same('o', 'h')})"
        )
        theirs_alone = (  # new there, or deleted here since
            f"CASE WHEN NOT {in_base('h')} THEN 'added' "
            f"WHEN {in_base('h', True)} THEN 'kept' ELSE 'clash' END"
        )
        self.con.execute(
            f"INSERT INTO moves SELECT {theirs_alone}, NULL, h.rowid FROM h_rows AS h "
            f"WHERE NOT EXISTS (SELECT 1 FROM ({ours}) AS o WHERE {on('o', 'h')})"
        )
        ours_alone = (  # new here, or deleted there since
            f"CASE WHEN {in_base('o', True)} THEN 'removed' ELSE 'clash' END"
        )
        self.con.execute(
            f"INSERT INTO moves SELECT {ours_alone}, o.rowid_of_it, NULL FROM ({ours}) AS o "
            f"WHERE {in_base('o')} "
            f"AND NOT EXISTS (SELECT 1 FROM h_rows AS h WHERE {on('h', 'o')})"
        )

    def _apply(self, taken: Taken, names: list[str]) -> None:
        con, target = self.con, quoted(self.target)
        counts = dict(con.execute("SELECT what, count(*) FROM moves GROUP BY what").fetchall())
        taken.added, taken.changed = counts.get("added", 0), counts.get("changed", 0)
        taken.removed = counts.get("removed", 0)
        con.execute(
            f"DELETE FROM {target} WHERE rowid IN "
            "(SELECT here FROM moves WHERE what IN ('changed', 'removed'))"
        )
        listed = ", ".join(map(quoted, names))
        con.execute(
            f"INSERT INTO {target} ({listed}) SELECT {listed} FROM h_rows WHERE rowid IN "
            "(SELECT there FROM moves WHERE what IN ('added', 'changed')) ORDER BY rowid"
        )

    def _clashes(self, names: list[str]) -> list[Clash]:
        if not self.con.execute("SELECT 1 FROM moves WHERE what = 'clash' LIMIT 1").fetchone():
            return []
        found: dict[str, Clash] = {}
        rows = self.con.execute("SELECT here, there FROM moves WHERE what = 'clash'")
        for here, there in rows.fetchall():
            ours = self._row(f"main.{quoted(self.target)}", here, names)
            theirs = self._row("h_rows", there, names)
            row = ours or theirs
            experiment = str(row.get("experiment_version") or "")
            clash = found.setdefault(experiment, Clash(self.target, experiment, 0))
            clash.count += 1
            if len(clash.rows) >= MOST:
                continue
            clash.rows.append(_called(row))
            odd = [each for each in names if ours.get(each) != theirs.get(each)]
            clash.columns += [each for each in odd if each not in clash.columns]
        return list(found.values())

    def _row(self, table: str, rowid: int | None, names: list[str]) -> dict[str, object]:
        if rowid is None:
            return {}
        listed = ", ".join(map(quoted, names))
        row = self.con.execute(f"SELECT {listed} FROM {table} WHERE rowid = ?", (rowid,)).fetchone()
        return dict(zip(names, row, strict=True))


def _called(row: dict[str, object]) -> str:
    """A row by what a person knows it by."""
    names = [name for name in row if name.startswith("params_")]
    for first in ("input_id", "name", "track_id", "key"):
        if row.get(first) is not None:
            names.insert(0, first)
            break
    if row.get("repeat"):
        names.append("repeat")
    chosen = names or list(row)[:3]
    return ", ".join(f"{name.removeprefix('params_')}={row[name]}" for name in chosen)


class Comparison:
    """SQL that compares two rows, NULL being equal to NULL.

    As row values: a chain of AND would end at SQLite's depth of 1,000.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def __call__(self, one: str, other: str) -> str:
        if len(self._names) < 10:  # an index is used for these
            return " AND ".join(f"{one}.{quoted(n)} IS {other}.{quoted(n)}" for n in self._names)
        listed = [", ".join(f"{side}.{quoted(n)}" for n in self._names) for side in (one, other)]
        return f"({listed[0]}) IS ({listed[1]})"
