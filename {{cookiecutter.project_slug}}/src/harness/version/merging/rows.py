"""The rows of one table brought together: what is new is added, what is equal is one, all else is a
clash that is listed and changes nothing.

With a base (what both sides were begun from) a row that one side alone has changed or deleted is
as that side has it, as git does with lines.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.record.columns import quoted
from harness.version.merging.columns import Difference, Fitting, columns_of

MOST = 10  # clashes that are listed by name
_ORDINAL = "ordinal of equal rows"
# What tells rows apart, by the columns that a table has; the first that fits.
_KEYS: tuple[tuple[str, ...], ...] = (
    ("experiment_version", "task_key", "score_version"),
    ("experiment_version", "task_key"),
    ("experiment_version", "params_key", "score_version"),
    ("experiment_version", "params_key"),
    ("experiment_version", "position", "score_version"),
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
    if table == "runs" and "track_id" in columns:
        return ("track_id",)
    for key in _KEYS:
        if set(key) <= set(columns):
            return key
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
        sides = [(ours, False), (theirs, False)]
        if before and base:
            sides.append((self._select(*base, before.selected(names), names), False))
        if not key or any(self._doubled(side, key) for side, _ in sides):
            key = (*names, _ORDINAL)
            # Of rows that nothing tells apart each side's number is kept: the larger one.
            numbered = [self._numbered(side, names) for side, _ in sides]
        else:
            numbered = [side for side, _ in sides]
        self._merge(taken, numbered, key, names, replace)
        return taken

    def _select(self, schema: str, table: str, expressions: list[str], names: list[str]) -> str:
        listed = ", ".join(
            f"{expression} AS {quoted(name)}"
            for expression, name in zip(expressions, names, strict=True)
        )
        rows = f"FROM {schema}.{quoted(table)} WHERE {self.where}"
        return f"SELECT rowid AS rowid_of_it, {listed} {rows}"

    def _doubled(self, select: str, key: tuple[str, ...]) -> bool:
        if len(key) < 2 and self.target != "runs":
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

    def _merge(
        self,
        taken: Taken,
        sides: list[str],
        key: tuple[str, ...],
        names: list[str],
        replace: bool,
    ) -> None:
        ours, theirs, *base = sides
        con = self.con
        for name, select in zip(("h", "b"), (theirs, *base), strict=False):
            con.execute(f"DROP TABLE IF EXISTS temp.{name}_rows")
            con.execute(f"CREATE TEMP TABLE {name}_rows AS {select}")
            listed = ", ".join(map(quoted, key[:60]))
            con.execute(f"CREATE INDEX temp.{name}_key ON {name}_rows ({listed})")
        self._sort_out(taken, ours, key, names, bool(base), replace)
        for name in ("h", "b"):
            con.execute(f"DROP TABLE IF EXISTS temp.{name}_rows")
        con.execute("DROP TABLE IF EXISTS temp.moves")

    def _sort_out(
        self,
        taken: Taken,
        ours: str,
        key: tuple[str, ...],
        names: list[str],
        with_base: bool,
        replace: bool,
    ) -> None:
        con = self.con
        same = Comparison(names)
        joined = Comparison(key)
        con.execute("DROP TABLE IF EXISTS temp.moves")
        con.execute("CREATE TEMP TABLE moves (what TEXT, here INTEGER, there INTEGER)")
        # In both, and not the same.
        known = f"EXISTS (SELECT 1 FROM b_rows AS b WHERE {joined('b', 'o')}" if with_base else ""
        what = "'clash'"
        if self.target in _EITHER:
            what = "CASE WHEN h.value > o.value THEN 'changed' ELSE 'kept' END"
        elif replace:
            what = "'changed'"
        elif with_base:
            what = (
                f"CASE WHEN {known} AND {same('b', 'o')}) THEN 'changed' "
                f"WHEN {known} AND {same('b', 'h')}) THEN 'kept' ELSE 'clash' END"
            )
        con.execute(
            f"INSERT INTO moves SELECT {what}, o.rowid_of_it, h.rowid "
            f"FROM h_rows AS h JOIN ({ours}) AS o ON {joined('o', 'h')} "
            f"WHERE NOT ({same('o', 'h')})"
        )
        # In theirs alone: new, or deleted here since.
        what = "'added'"
        if with_base:
            in_base = f"EXISTS (SELECT 1 FROM b_rows AS b WHERE {joined('b', 'h')}"
            what = (
                f"CASE WHEN NOT {in_base}) THEN 'added' WHEN {in_base} AND {same('b', 'h')}) "
                "THEN 'kept' ELSE 'clash' END"
            )
        con.execute(
            f"INSERT INTO moves SELECT {what}, NULL, h.rowid FROM h_rows AS h WHERE NOT EXISTS "
            f"(SELECT 1 FROM ({ours}) AS o WHERE {joined('o', 'h')})"
        )
        if with_base:  # in ours alone: new here, or deleted there since
            con.execute(
                f"INSERT INTO moves SELECT CASE WHEN {known} AND {same('b', 'o')}) THEN 'removed' "
                f"ELSE 'clash' END, o.rowid_of_it, NULL FROM ({ours}) AS o WHERE NOT EXISTS "
                f"(SELECT 1 FROM h_rows AS h WHERE {joined('h', 'o')}) AND {known})"
            )
        taken.clashes = self._clashes(names)
        if taken.clashes:
            return
        self._apply(taken, names)

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
