"""Do the columns that the code records now agree with the columns of earlier experiments?

xetrack gives a renamed parameter a new column and leaves the old one behind, so that no query finds
both. This module recognises such a rename and, where a person asks, renames the recorded columns
too.
"""

import difflib
import json
import re
import shutil
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from harness.errors import HarnessError
from harness.findings import Finding
from harness.project.values import Value
from harness.record.columns import PREDICTIONS, RESERVED, holds, quoted
from harness.record.database_file import aside, begin_writing, set_strangers_aside

_TABLES = re.compile(r"predictions(_.*)?|metrics|runs")
_FAMILY = {"INTEGER": "a number", "REAL": "a number", "TEXT": "text", "BLOB": "bytes"}
_OURS = {*PREDICTIONS, *RESERVED} - {"prediction", "ground_truth"}
_PREFIX = "params_"
_SIMILAR = 0.6

Columns = Mapping[str, str]
ColumnValues = Mapping[str, Collection[Value]]


def recorded_columns(databases: Sequence[Path]) -> dict[str, dict[str, str]]:
    """Per table of predictions, named `file:table`: its columns and their declared types.

    A result that never had a value is left out, because its type is still open.
    """
    found: dict[str, dict[str, str]] = {}
    for path in databases:
        with closing(_open(path)) as con:
            for table in _tables(con):
                if table.startswith("predictions"):
                    found[f"{path.name}:{table}"] = {
                        name: kind
                        for name, kind in _columns(con, table).items()
                        if kind != "TEXT" or name.startswith(_PREFIX) or holds(con, table, name)
                    }
    return found


def expected_columns(params: Columns, dev: Sequence[Path]) -> dict[str, str]:
    """What the code would record: the params columns, and the results that a dev-run recorded."""
    results: dict[str, str] = {}
    for columns in recorded_columns(dev).values():
        results |= {name: kind for name, kind in columns.items() if not name.startswith(_PREFIX)}
    return {**results, **params}


def recorded_values(databases: Sequence[Path], most: int = 100) -> dict[str, set[Value]]:
    """Per params column: the values that occur, `most` at the most."""
    found: dict[str, set[Value]] = {}
    for path in databases:
        with closing(_open(path)) as con:
            for table in (name for name in _tables(con) if name == "metrics"):
                for column in _columns(con, table):
                    if column.startswith(_PREFIX):
                        rows = con.execute(
                            f"SELECT DISTINCT {quoted(column)} FROM {quoted(table)} LIMIT ?", [most]
                        )
                        found.setdefault(column, set()).update(row[0] for row in rows)
    return found


def schema_findings(
    recorded: Mapping[str, Columns],
    expected: Columns,
    values: ColumnValues | None = None,
    expected_values: ColumnValues | None = None,
) -> list[Finding]:
    """Compare recorded columns (per table) with those that the code would record now.

    `expected` has the params columns of the dataclass and, where there was a dev-run, what it
    recorded. `values` and `expected_values` hold what params columns contained and would contain;
    they help to recognise a rename. Numbers may become wider; they never count as retyped.
    """
    found: list[Finding] = []
    known: dict[str, str] = {}
    for table, columns in recorded.items():
        for name, kind in columns.items():
            known[name] = kind
            wanted = expected.get(name)
            if wanted and name not in _OURS and _family(kind) != _family(wanted):
                message = (
                    f"{name} was recorded as {_family(kind)} ({table}), now is {_family(wanted)}"
                )
                fix = "change it back, or give it another name"
                found.append(Finding("retyped_column", "error", message, fix=fix))
    gone = [name for name in known if name not in expected and name not in _OURS]
    new = [name for name in expected if known and name not in known and name not in _OURS]
    renamed = _renames(gone, new, known, expected, values or {}, expected_values or {})
    for old, fresh in renamed.items():
        message = f"{old} is recorded, the code now says {fresh}; this looks like a rename"
        plain = [name.removeprefix(_PREFIX) for name in (old, fresh)]
        fix = f"python -m harness schema rename {plain[0]} {plain[1]}"
        found.append(Finding("renamed_param", "error", message, fix=fix))
    # Results come and go with kinds and metrics; without a dev-run they are unknown.
    results_known = any(not name.startswith(_PREFIX) for name in expected)
    for name in gone:
        if name not in renamed and (results_known or name.startswith(_PREFIX)):
            message = f"{name} is recorded, but the code has it no longer"
            found.append(
                Finding("vanished_column", "warning", message, fix=f"put {name} back, if meant")
            )
    return found


def _renames(
    gone: Sequence[str],
    new: Sequence[str],
    known: Columns,
    expected: Columns,
    values: ColumnValues,
    expected_values: ColumnValues,
) -> dict[str, str]:
    """The vanished params and what each became: the best matches first, each name once."""
    gone = [name for name in gone if name.startswith(_PREFIX)]
    new = [name for name in new if name.startswith(_PREFIX)]
    scored = []
    for old in gone:
        for fresh in new:
            if _family(known[old]) != _family(expected[fresh]):
                continue
            one = old.removeprefix(_PREFIX)
            other = fresh.removeprefix(_PREFIX)
            alike = difflib.SequenceMatcher(None, one, other).ratio()
            shared = set(values.get(old, ())) & set(expected_values.get(fresh, ())) - {None}
            alone = len(gone) == len(new) == 1
            if alike >= _SIMILAR or shared or alone or one in other or other in one:
                scored.append((alike + bool(shared), old, fresh))
    matched: dict[str, str] = {}
    for _, old, fresh in sorted(scored, reverse=True):
        if old not in matched and fresh not in matched.values():
            matched[old] = fresh
    return matched


def rename_column(databases: Sequence[Path], old: str, new: str) -> list[Path]:
    """Rename a column in every table of every database; returns the backups.

    `old` and `new` may leave out `params_`. All databases change or none does. Where some rows
    have the old column and some the new, they become one. Raises HarnessError where no table has
    the old column, where rows have both with different values, or where a run is going on.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", new):
        raise HarnessError(f"{new!r} cannot be a column name.", fix="letters, digits and _ only")
    present: set[str] = set()
    for path in databases:
        with closing(_open(path)) as con:
            present |= {column for table in _tables(con) for column in _columns(con, table)}
    if _PREFIX + old in present:
        old = _PREFIX + old
    if old.startswith(_PREFIX) and not new.startswith(_PREFIX):
        new = _PREFIX + new
    if old not in present:
        params = ", ".join(sorted(name for name in present if name.startswith(_PREFIX)))
        raise HarnessError(f"No table has a column {old!r}.", fix=f"one of: {params or 'none'}")
    if {old, new} & _OURS:
        raise HarnessError(f"{({old, new} & _OURS).pop()!r} is a column of the harness itself.")
    backups: dict[Path, Path] = {}
    try:
        for path in databases:
            backups[path] = aside(path.with_name(f"{path.name}.before-rename"))
            _leave_wal(path)
            shutil.copy2(path, backups[path])
        for path in databases:
            begin_writing(path)
            _rename_in(path, old, new)
    except BaseException as error:
        for path, backup in backups.items():
            if backup.exists():
                backup.replace(path)
        if isinstance(error, sqlite3.Error):
            raise HarnessError(
                f"Nothing was renamed: {error}", fix="wait until no run is going on, then again"
            ) from error
        raise
    return list(backups.values())


def _rename_in(path: Path, old: str, new: str) -> None:
    with closing(_open(path)) as con:
        con.execute("BEGIN EXCLUSIVE")
        for table in _tables(con):
            columns = _columns(con, table)
            name = quoted(table)
            if old in columns and new not in columns:
                con.execute(f"ALTER TABLE {name} RENAME COLUMN {quoted(old)} TO {quoted(new)}")
            elif old in columns:
                differ = f"{quoted(old)} IS NOT NULL AND {quoted(new)} <> {quoted(old)}"
                if con.execute(f"SELECT 1 FROM {name} WHERE {differ} LIMIT 1").fetchone():
                    raise HarnessError(f"{table} in {path} has rows with both {old} and {new}.")
                con.execute(
                    f"UPDATE {name} SET {quoted(new)} = coalesce({quoted(new)}, {quoted(old)})"
                )
                con.execute(f"ALTER TABLE {name} DROP COLUMN {quoted(old)}")
            for field in {"grid", "plan"} & columns.keys() if table == "runs" else ():
                rows = con.execute(
                    f"SELECT rowid, {field} FROM runs WHERE {field} <> ''"
                ).fetchall()
                for row, text in rows:
                    changed = json.dumps(
                        _rename_keys(json.loads(text), old, new), ensure_ascii=False
                    )
                    con.execute(f"UPDATE runs SET {field} = ? WHERE rowid = ?", [changed, row])
        con.execute("COMMIT")


def _rename_keys(value: object, old: str, new: str) -> object:
    """Nested data with the key renamed, also where it has no prefix, as in a plan."""
    if isinstance(value, list):
        return [_rename_keys(each, old, new) for each in value]
    if not isinstance(value, dict):
        return value
    names = {old: new, old.removeprefix(_PREFIX): new.removeprefix(_PREFIX)}
    return {names.get(key, key): _rename_keys(each, old, new) for key, each in value.items()}


def _leave_wal(path: Path) -> None:
    """Out of write-ahead mode, so that the file alone is the database; fails while a run writes."""
    with closing(_open(path)) as con:
        con.execute("PRAGMA journal_mode = delete").fetchone()
        con.execute("BEGIN EXCLUSIVE")
        con.execute("ROLLBACK")


def _open(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise HarnessError(f"There is no database {path}.", fix="make dev-run")
    set_strangers_aside(path)
    return sqlite3.connect(path, isolation_level=None, timeout=2)


def _tables(con: sqlite3.Connection) -> list[str]:
    rows = con.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    return [name for (name,) in rows if _TABLES.fullmatch(name)]


def _columns(con: sqlite3.Connection, table: str) -> dict[str, str]:
    return {row[1]: row[2].upper() for row in con.execute(f"PRAGMA table_info({quoted(table)})")}


def _family(kind: str) -> str:
    return _FAMILY.get(kind.upper(), "text")
