"""What a table of predictions can tell, whoever wrote it: which of its columns mean what.

Our own tables have fixed names. A plain xetrack table has some of them or others for the same
thing, no experiments, and marks success by an empty error or by none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from harness.errors import HarnessError
from harness.views import columns, identifier

DEV = "dev"
_ITEM = ("input_id", "item_id", "sample_id", "example_id", "id")
_RAW = ("raw_response", "raw_output", "response", "output", "function_result")
_CODE = ("code_key", "git_commit_hash", "git_hash", "commit_hash", "git_commit")
# Never part of a task's identity, though a run may show one value of them all the way through.
_RESULTS = {
    *("track_id", "timestamp", "function_name", "function_time", "args", "kwargs", "attempts"),
    *("error", "error_type", "cache", "prediction", "ground_truth", "latency", "cost"),
    *("confidence", "score", "correct", "accuracy", "data_version", "experiment_version"),
    *("task_key", "item_key", "fit_asset", *_RAW, *_CODE),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """A view `predictions` and how to ask it; every text but `ours` and `whole` is an SQL part.

    `task` lists the columns that together name a task; it is empty where nothing names the item.
    `code` and `raw` are '' where there is no such column. `whole` is False where one table out of
    several was asked for, so that rows may rightly lie elsewhere.
    """

    con: duckdb.DuckDBPyConnection
    have: frozenset[str]
    ours: bool
    whole: bool
    experiment: str
    failed: str
    reused: str
    item: str
    params: tuple[str, ...]
    task: tuple[str, ...]
    code: str
    raw: str

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return self.con.execute(sql).fetchall()

    def number(self, sql: str) -> int:
        """The first value of the first row, as an integer."""
        return int(self.ask(sql)[0][0] or 0)

    @property
    def configuration(self) -> tuple[str, ...]:
        """The columns that name what an item was tried with."""
        return tuple(name for name in self.task if name not in (self.item, '"repeat"'))


def read_facts(
    con: duckdb.DuckDBPyConnection, *, key: Sequence[str] = (), whole: bool = True
) -> Facts:
    """Look at the columns of the view `predictions`; `key` names the columns of a task, if given.

    Raises HarnessError where the table is empty or lacks a column of `key`.
    """
    have = columns(con)
    if not con.execute("SELECT 1 FROM predictions LIMIT 1").fetchone():
        raise HarnessError("The table has no rows yet.", fix="make dev-run, or name another table")
    if missing := [name for name in key if name not in have]:
        raise HarnessError(
            f"There is no column {missing[0]!r}; there are: {', '.join(have)}", fix="name another"
        )
    ours = {"task_key", "experiment_version", "code_key"} <= set(have)
    item = _first(have, key[:1] or _ITEM)
    params = tuple(identifier(name) for name in have if name.startswith("params_"))
    if key:
        task = tuple(identifier(name) for name in key)
    elif not item:
        task = ()
    else:
        repeat = tuple(identifier(n) for n in ("repeat", "fold", "seed") if n in have)
        task = (item, *params, *repeat, *(() if ours else _settings(con, have, item)))
    return Facts(
        con=con,
        have=frozenset(have),
        ours=ours,
        whole=whole,
        experiment="experiment_version" if "experiment_version" in have else "''",
        failed="(coalesce(error, '') <> '')" if "error" in have else "false",
        reused="(coalesce(cache, '') <> '')" if "cache" in have else "false",
        item=item,
        params=params,
        task=task,
        code=_first(have, _CODE),
        raw=_first(have, _RAW),
    )


def _first(have: dict[str, str], names: Sequence[str]) -> str:
    return next((identifier(name) for name in names if name in have), "")


def _settings(con: duckdb.DuckDBPyConnection, have: dict[str, str], item: str) -> tuple[str, ...]:
    """The columns that never change within a run: what xetrack's Tracker was given as params."""
    names = [
        name
        for name in have
        if name not in _RESULTS and identifier(name) != item and not name.startswith("params_")
    ]
    if "track_id" not in have or not names:
        return ()
    same = ", ".join(
        f"min({identifier(n)}) IS NOT DISTINCT FROM max({identifier(n)}) "
        f"AND count({identifier(n)}) IN (0, count(*)) AS c{i}"
        for i, n in enumerate(names)
    )
    every = ", ".join(f"bool_and(c{i})" for i in range(len(names)))
    row = con.execute(
        f"SELECT {every} FROM (SELECT {same} FROM predictions GROUP BY track_id)"
    ).fetchone()
    return tuple(identifier(n) for n, kept in zip(names, row or (), strict=True) if kept)
