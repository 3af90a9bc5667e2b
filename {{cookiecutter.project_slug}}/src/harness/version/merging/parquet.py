"""Tables that were exported as Parquet, brought together by their columns' names."""

import os
from pathlib import Path

import duckdb

from harness.errors import HarnessError, explained
from harness.record.columns import quoted
from harness.version.merging.rows import MOST

_KEYS = (("experiment_version", "task_key"), ("track_id", "timestamp"))


def merge_parquet(
    into: Path, other: Path, key: tuple[str, ...] = (), rebase: bool = False
) -> tuple[int, list[str]]:
    """Add the rows of `other` to `into`; returns how many, and the keys of rows that clash.

    Rows of one key are one row where they are equal, NULL and an absent column being the same.
    Where some are not, nothing is written, unless `rebase` takes those of `other`. Raises
    HarnessError where a file cannot be read, a column has types that do not go together, or the
    key is not there or not unique.
    """
    with explained(into, "merge"), duckdb.connect() as con:
        for name, path in (("ours", into), ("theirs", other)):
            if not path.is_file():
                raise HarnessError(f"there is no file {path}", fix="name another one")
            text = str(path).replace("'", "''")
            con.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{text}')")
        columns = _columns(con)
        key = key or _key(con)
        _refuse_doubled(con, key, into, other)
        on = " AND ".join(f"o.{quoted(n)} IS NOT DISTINCT FROM h.{quoted(n)}" for n in key)
        differ = " OR ".join(f"o.{quoted(n)} IS DISTINCT FROM h.{quoted(n)}" for n in columns)
        _align(con, columns)
        listed = ", ".join(f"h.{quoted(name)}" for name in key)
        clashes = con.execute(
            f"SELECT {listed} FROM o JOIN h ON {on} WHERE {differ} ORDER BY ALL LIMIT {MOST}"
        ).fetchall()
        if clashes and not rebase:
            return 0, [", ".join(map(str, row)) for row in clashes]
        new = f"SELECT * FROM h WHERE NOT EXISTS (SELECT 1 FROM o WHERE {on})"
        [added] = con.execute(f"SELECT count(*) FROM ({new})").fetchone() or (0,)
        first, second = ("h", "o") if rebase else ("o", "h")
        rest = f"SELECT * FROM {second} WHERE NOT EXISTS (SELECT 1 FROM {first} WHERE {on})"
        if added or clashes:
            _write(con, f"SELECT * FROM {first} UNION ALL BY NAME {rest}", into)
        return int(added) + (len(clashes) if rebase else 0), []


def _columns(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """All columns with a type for both."""
    found: dict[str, str] = {}
    for view in ("ours", "theirs"):
        for name, kind, *_ in con.execute(f"DESCRIBE {view}").fetchall():
            have = found.setdefault(name, kind)
            if have == kind:
                continue
            if {have, kind} <= _NUMBERS:
                found[name] = "DOUBLE" if {have, kind} & _FLOATS else "BIGINT"
            else:
                raise HarnessError(
                    f"{name} is {have} in one file and {kind} in the other",
                    fix="write one of them anew with that column cast",
                    code=1,
                )
    return found


_FLOATS = {"FLOAT", "DOUBLE"}
_NUMBERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", *_FLOATS}


def _align(con: duckdb.DuckDBPyConnection, columns: dict[str, str]) -> None:
    for name, view in (("o", "ours"), ("h", "theirs")):
        have = {row[0] for row in con.execute(f"DESCRIBE {view}").fetchall()}
        listed = ", ".join(
            f"CAST({quoted(each) if each in have else 'NULL'} AS {kind}) AS {quoted(each)}"
            for each, kind in columns.items()
        )
        con.execute(f"CREATE VIEW {name} AS SELECT {listed} FROM {view}")


def _key(con: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    for key in _KEYS:
        if all(
            set(key) <= {row[0] for row in con.execute(f"DESCRIBE {view}").fetchall()}
            for view in ("ours", "theirs")
        ):
            return key
    raise HarnessError(
        "nothing tells the rows of these files apart: they have no task_key and no track_id",
        fix="name the columns that do: --key=a,b",
    )


def _refuse_doubled(
    con: duckdb.DuckDBPyConnection, key: tuple[str, ...], into: Path, other: Path
) -> None:
    listed = ", ".join(map(quoted, key))
    for view, path in (("ours", into), ("theirs", other)):
        query = f"SELECT {listed} FROM {view} GROUP BY ALL HAVING count(*) > 1 LIMIT 1"
        if row := con.execute(query).fetchone():
            raise HarnessError(
                f"{path.name} has several rows of one {', '.join(key)}: {', '.join(map(str, row))}",
                fix="name columns that tell its rows apart: --key=a,b",
                code=1,
            )


def _write(con: duckdb.DuckDBPyConnection, query: str, into: Path) -> None:
    fresh = into.with_name(f".{into.name}.new")
    text = str(fresh).replace("'", "''")
    con.execute(f"COPY ({query}) TO '{text}' (FORMAT parquet)")
    with fresh.open("rb") as file:
        os.fsync(file.fileno())
    fresh.replace(into)
