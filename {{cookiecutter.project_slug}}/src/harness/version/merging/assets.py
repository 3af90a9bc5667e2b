"""xetrack's assets in a database: read without running what a pickle may name, counted, copied."""

import pickle
import sqlite3
from base64 import b64decode

from harness.record.columns import quoted
from harness.record.pickles import index_load
from harness.version.merging.columns import columns_of, tables_of

TABLES = ("assets", "keys", "counts")


def count_assets(con: sqlite3.Connection) -> None:
    """Let the count of each asset be no less than the names it has: the last one deletes it."""
    if not {"keys", "counts"} <= set(tables_of(con, "main")):
        return
    names: dict[str, int] = {}
    for (value,) in con.execute("SELECT value FROM keys").fetchall():
        asset = str(index_load(value))
        names[asset] = names.get(asset, 0) + 1
    for asset, number in names.items():
        row = con.execute("SELECT value FROM counts WHERE key = ?", (asset,)).fetchone()
        counted = index_load(row[0]) if row else 0
        if isinstance(counted, int) and counted < number:
            con.execute(
                "INSERT OR REPLACE INTO counts (key, value) VALUES (?, ?)",
                (asset, pickle.dumps(number, protocol=pickle.HIGHEST_PROTOCOL)),
            )


def copy_named(con: sqlite3.Connection, schema: str, predictions: str) -> None:
    """Copy the assets that rows of `predictions` name, with their own names and counts."""
    named = _texts(con, predictions)
    for key, value in con.execute(f"SELECT key, value FROM {schema}.assets").fetchall():
        if _decoded(key) in named:
            con.execute("INSERT OR IGNORE INTO assets VALUES (?, ?)", (key, value))
    for key, value in con.execute(f"SELECT key, value FROM {schema}.keys").fetchall():
        if index_load(value) in named:
            con.execute("INSERT OR IGNORE INTO keys VALUES (?, ?)", (key, value))
    con.executemany(
        f"INSERT OR IGNORE INTO counts SELECT key, value FROM {schema}.counts WHERE key = ?",
        [(each,) for each in named],
    )


def _texts(con: sqlite3.Connection, table: str) -> set[str]:
    """Every text of 16 characters in a table: hashes of assets are among them."""
    found: set[str] = set()
    for name, kind in columns_of(con, "main", table).items():
        if kind.upper() in ("TEXT", "VARCHAR"):
            rows = con.execute(
                f"SELECT DISTINCT {quoted(name)} FROM {quoted(table)} "
                f"WHERE length({quoted(name)}) = 16"
            )
            found |= {str(row[0]) for row in rows}
    return found


def _decoded(key: str) -> str:
    """An asset's hash, as sqlitedict wrote it."""
    try:
        return str(index_load(b64decode(key)))
    except (ValueError, pickle.UnpicklingError, EOFError):
        return key
