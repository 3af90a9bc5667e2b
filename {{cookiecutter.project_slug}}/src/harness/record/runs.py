"""The table of runs: its columns, and the order in which runs began, whatever the clock said.

A run's origin is filled in by `run/provenance.py`. Each run gets the next number of its database,
`runs.sequence`, when its row is first written. Rows of earlier versions have none: they come before
all others, in the order in which they were written.
"""

import random
import sqlite3

from harness.project.values import INTEGER, TEXT
from harness.record.columns import quoted

# A new column gets its value in `run/provenance.py`; `tell/show.py` and `tell/changes.py` show it.
# What people are shown of a run: how it went, what made it, where it ran.
WENT = ("started", "ended", "ended_how", "executed", "cached", "failed")
MADE_BY = ("commit_hash", "dirty", "code_key", "data_version")
RAN_ON = ("python", "platform", "cpu", "gpu", "lock_hash", "harness_version", "harness_digest")

RUNS: dict[str, str | None] = {
    **dict.fromkeys(("experiment_version", "phase", "commit_hash", "branch", "dirty"), TEXT),
    **dict.fromkeys(("code_key", "code_parts", "environment", "data_version", "lock_hash"), TEXT),
    **dict.fromkeys(("python", "platform", "cpu", "packages", "settings", "gates"), TEXT),
    **dict.fromkeys(("plan", "grid", "grid_files", "inputs"), TEXT),
    **dict.fromkeys(("sequence", "items", "planned", "executed", "cached", "failed"), INTEGER),
    **dict.fromkeys(("started", "ended", "ended_how", "message"), TEXT),
    # Which harness ran, and a JSON list of its files that differ from its seal.
    **dict.fromkeys(("harness_version", "harness_digest", "harness_edited"), TEXT),
    "gpu": TEXT,  # name and driver of each; NULL where there is none
    "sampled": TEXT,  # what it took of the machine, as JSON; only where [run] sample says so
    "holdout": TEXT,  # "kept" or "opened", "" where there is none
    # What its look of the plan found (JSON; "" where it was at none), and why it ended the
    # experiment before all items: "decided", "budget", "" where it did not.
    "looked": TEXT,
    "ended_by_plan": TEXT,
    "published": TEXT,  # when its experiment was about to be tagged
    "imported": TEXT,  # JSON: which tool ran it, and in which files; NULL where we did
}


def new_track_id() -> str:
    """A name for a run, in xetrack's form.

    xetrack draws it from Python's shared generator: where predict.py says `random.seed(42)`, every
    run would get the same name.
    """
    from xetrack import Tracker  # here, because it brings pandas and most commands do without

    state = random.getstate()
    try:
        random.seed()
        return str(Tracker.generate_track_id())
    finally:
        random.setstate(state)


def order(connection: sqlite3.Connection, table: str) -> str:
    """The SQL expression that sorts the rows of a table of runs."""
    return "coalesce(sequence, rowid)" if "sequence" in _columns(connection, table) else "rowid"


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in connection.execute(f"PRAGMA table_info({quoted(table)})")}


def next_sequence(connection: sqlite3.Connection, table: str) -> int:
    """The number of the run that begins now."""
    query = f"SELECT coalesce(max({order(connection, table)}), 0) + 1 FROM {quoted(table)}"
    return int(connection.execute(query).fetchone()[0])


def opened_by(connection: sqlite3.Connection, tag: str, plan: str) -> str | None:
    """The experiment other than `tag` that saw the holdout under a plan (as runs hold it)."""
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
        if not {"holdout", "plan", "experiment_version", "sequence"} <= _columns(connection, table):
            continue
        row = connection.execute(
            f"SELECT experiment_version FROM {quoted(table)} WHERE holdout = 'opened' "
            "AND plan = ? AND experiment_version <> ?",
            (plan, tag),
        ).fetchone()
        if row:
            return str(row[0])
    return None


def of_first_run(
    connection: sqlite3.Connection, table: str, wanted: str, **known: str
) -> str | None:
    """The column `wanted` of the first run with these values in others, None without one."""
    return _of_run(connection, table, wanted, known, "ASC")


def of_last_run(
    connection: sqlite3.Connection, table: str, wanted: str, **known: str
) -> str | None:
    """The column `wanted` of the last run with these values in others, None without one."""
    return _of_run(connection, table, wanted, known, "DESC")


def _of_run(
    connection: sqlite3.Connection, table: str, wanted: str, known: dict[str, str], way: str
) -> str | None:
    if not {wanted, *known} <= _columns(connection, table):
        return None  # SQLite would read the quoted name of a missing column as a text
    where = " AND ".join(f"{quoted(name)} = ?" for name in known)
    row = connection.execute(
        f"SELECT {quoted(wanted)} FROM {quoted(table)} WHERE {where} "
        f"ORDER BY {order(connection, table)} {way} LIMIT 1",
        [*known.values()],
    ).fetchone()
    return row[0] if row else None
