"""Which column of a table of predictions means what, whoever wrote it.

Our own tables have fixed names. A plain xetrack table has some of them or others for the same
thing, no experiments, and marks success by an empty error or by none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from harness.errors import HarnessError
from harness.project.declarations import Rule
from harness.read.views import columns, literal
from harness.record.columns import LOOK, quoted
from harness.record.score_tables import DECLARED, RULES, rule_of

Rows = list[tuple[Any, ...]]
DEV = "dev"
_ITEM = ("input_id", "item_id", "sample_id", "example_id", "id")
_RAW = ("raw_response", "raw_output", "response", "output", "function_result")
_SPACE = "' ' || chr(9) || chr(10) || chr(13)"
# What xetrack's log_system_params and log_network_params measure.
_MACHINE = {
    *("cpu", "cpu_percent", "ram_percent", "memory_percent", "p_memory_percent", "disk_percent"),
    *("bytes_sent", "bytes_recv"),
}
_NO_SCORES = {
    *("repeat", "fold", "seed", "attempts", "latency", "function_time", "cost", "id"),
    *("n_train", "n_test"),
    *("prediction", "ground_truth", LOOK, *_MACHINE),
}
_MOST_SCORES = 8
_CODE = ("code_key", "git_commit_hash", "git_hash", "commit_hash", "git_commit")
# Never part of a task's identity, though a run may show one value of them all the way through.
_RESULTS = {
    *("track_id", "timestamp", "function_name", "function_time", "args", "kwargs", "attempts"),
    *("error", "error_type", "cache", "prediction", "ground_truth", "latency", "cost"),
    *("confidence", "score", "correct", "accuracy", "data_version", "experiment_version"),
    *("task_key", "item_key", "fit_asset", "fit_seconds", LOOK, *_RAW, *_CODE, *_MACHINE),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """A view `predictions` and how to ask it; each text is a part of SQL.

    `task` lists the columns that together name a task; it is empty where nothing names the item.
    `configuration` lists those that name what an item was tried with.
    `code` and `raw` are '' where there is no such column. `whole` is False where one table out of
    several was asked for, so that the others may hold rows too.

    The table `tally` holds what one pass over the rows counted, so that checks need no pass of
    their own. A group is an experiment `e`, the columns of `configuration` and `params`, `code`,
    `kind` of failure, `failed`, `reused`. It has `n` rows, of them `empty` ones (success without
    raw output) and `timed` ones (with a latency of their own), and an `example` of an error; read
    with scores, it has `times` (p50 and p95 of the timed rows, s) and per score i of `scores` the
    list `s<i>`, of what rows count as: count, sum, sum of squares, and how many do not make it a
    proportion.
    """

    con: duckdb.DuckDBPyConnection
    have: frozenset[str]
    ours: bool
    whole: bool
    experiment: str
    failed: str
    reused: str
    empty: str
    item: str
    params: tuple[str, ...]
    task: tuple[str, ...]
    configuration: tuple[str, ...]
    code: str
    raw: str
    with_scores: bool
    scores: tuple[str, ...]

    @property
    def fresh(self) -> str:
        """Whether a row took its own time to succeed."""
        return f"(NOT {self.failed} AND NOT {self.reused})"

    @property
    def time(self) -> str:
        """How long a prediction took, in seconds; xetrack by itself calls it `function_time`."""
        known = (name for name in ("latency", "function_time") if name in self.have)
        return next(known, "CAST(NULL AS DOUBLE)")

    @property
    def percentiles(self) -> str:
        """The aggregate that gives p50 and p95 of the fresh rows' time."""
        return f"quantile_cont({self.time}, [0.5, 0.95]) FILTER ({self.fresh})"

    @property
    def succeeded(self) -> bool:
        """Whether any row is no failure."""
        return bool(self.ask("SELECT 1 FROM tally WHERE NOT failed LIMIT 1"))

    def ask(self, sql: str) -> Rows:
        """The rows of a query."""
        return self.con.execute(sql).fetchall()


def read_facts(
    con: duckdb.DuckDBPyConnection,
    *,
    key: Sequence[str] = (),
    whole: bool = True,
    with_scores: bool = False,
) -> Facts:
    """Look at the view `predictions` and tally it; `key` names the columns of a task, if given.

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
    params = tuple(quoted(name) for name in have if name.startswith("params_"))
    repeat = tuple(quoted(n) for n in ("repeat", "fold", "seed") if n in have)
    if key:
        task = tuple(quoted(name) for name in key)
        configuration = tuple(name for name in task[1:] if name not in repeat)
    else:
        configuration = (*params, *(() if ours else _settings(con, have, item)))
        task = (item, *configuration, *repeat) if item else ()
    failed = "(coalesce(error, '') <> '')" if "error" in have else "false"
    raw = _first(have, _RAW)
    text = f"CAST({raw} AS VARCHAR)"
    # Only a text that begins with white space sorts below '!', and trimming them all is slow.
    trimmed = f"coalesce(trim({text}, {_SPACE}), '') = ''"
    blank = f"CASE WHEN coalesce({text}, '') >= '!' THEN false ELSE {trimmed} END"
    facts = Facts(
        con=con,
        have=frozenset(have),
        ours=ours,
        whole=whole,
        experiment="experiment_version" if "experiment_version" in have else "''",
        failed=failed,
        reused="(coalesce(cache, '') <> '')" if "cache" in have else "false",
        empty=f"(NOT {failed} AND {blank})" if raw else "false",
        item=item,
        params=params,
        task=task,
        configuration=configuration,
        code=_first(have, _CODE),
        raw=raw,
        with_scores=with_scores,
        scores=_scores(con, have, (*task, *configuration, item)) if with_scores else (),
    )
    _tally(facts)
    return facts


def _tally(facts: Facts) -> None:
    have = facts.have
    kind = "nullif(error_type, '')" if "error_type" in have else "NULL"
    error = "error" if "error" in have else "CAST(NULL AS VARCHAR)"
    counted = [
        "count(*) AS n",
        f"count(*) FILTER ({facts.empty}) AS empty",
        f"count({facts.time}) FILTER ({facts.fresh}) AS timed",
        f"any_value(left({error}, 200)) AS example",
    ]
    if facts.with_scores:
        counted.append(f"{facts.percentiles} AS times")
    rules, kinds = rules_by_experiment(facts.con), columns(facts.con)
    for i, name in enumerate(facts.scores):
        x, other = _counted(facts.experiment, name, kinds[name[1:-1].replace('""', '"')], rules)
        counted.append(f"[count({x}), sum({x}), sum({x} * {x}), count(*) FILTER ({other})] AS s{i}")
    named = dict.fromkeys((*facts.configuration, *facts.params))
    facts.con.execute(
        f"""CREATE OR REPLACE TEMP TABLE tally AS SELECT {facts.experiment} AS e,
            {"".join(f"{name}, " for name in named)}
            {facts.code or "CAST(NULL AS VARCHAR)"} AS code,
            CASE WHEN {facts.failed} THEN coalesce({kind}, nullif(regexp_extract({error},
                '^([A-Za-z_.]+)(:|$)', 1), ''), 'unknown') END AS kind,
            {facts.failed} AS failed, {facts.reused} AS reused, {", ".join(counted)}
        FROM predictions GROUP BY ALL"""
    )


def rules_by_experiment(con: duckdb.DuckDBPyConnection) -> dict[str, list[Rule]]:
    """How scores count in each experiment that recorded it."""
    found: dict[str, list[Rule]] = {}
    if columns(con, DECLARED):
        for experiment, *row in con.execute(RULES).fetchall():
            found.setdefault(experiment, []).append(rule_of(row))
    return found


def _counted(
    experiment: str, column: str, kind: str, rules: Mapping[str, list[Rule]]
) -> tuple[str, str]:
    """What a row counts as, and whether that keeps the mean from being a proportion."""
    values, others = [], []
    for name, declared in rules.items():
        for rule in declared:
            if quoted(rule.name) == column and not rule.aggregate:
                value = f"CAST({rule.counted(column)} AS DOUBLE)"
                values.append(f"WHEN {literal(name)} THEN {value}")
                other = f"{value} NOT IN (0, 1)" if rule.binary else "true"
                others.append(f"WHEN {literal(name)} THEN {other}")
    plain = f"CAST({column} AS DOUBLE)"
    # Of a table that declares nothing, the type is all that there is to go by.
    other = "true" if kind == "DOUBLE" else f"{plain} NOT IN (0, 1)"
    if not values:
        return plain, other
    return (
        f"CASE {experiment} {' '.join(values)} ELSE {plain} END",
        f"CASE {experiment} {' '.join(others)} ELSE {other} END",
    )


def _scores(
    con: duckdb.DuckDBPyConnection, have: dict[str, str], names: Sequence[str]
) -> tuple[str, ...]:
    """The numeric columns that are results: those that metrics summarises, if it is there."""
    metrics = columns(con, "metrics")
    summarised = [name for name in have if f"{name}_low" in metrics]
    declared = [rule.name for rules in rules_by_experiment(con).values() for rule in rules]
    summarised.sort(key=lambda name: declared.index(name) if name in declared else len(declared))
    others = [
        name
        for name, kind in have.items()
        if kind in ("BIGINT", "DOUBLE", "BOOLEAN")
        and quoted(name) not in names
        and not name.startswith("params_")
        and name not in _NO_SCORES
    ]
    return tuple(quoted(name) for name in (summarised or others)[:_MOST_SCORES])


def _first(have: dict[str, str], names: Sequence[str]) -> str:
    return next((quoted(name) for name in names if name in have), "")


def _settings(con: duckdb.DuckDBPyConnection, have: dict[str, str], item: str) -> tuple[str, ...]:
    """The columns that never change within a run: what xetrack's Tracker was given as params."""
    names = [
        name
        for name in have
        if name not in _RESULTS and quoted(name) != item and not name.startswith("params_")
        and name not in ("repeat", "fold", "seed")
    ]  # fmt: skip
    if "track_id" not in have or not names:
        return ()
    same = ", ".join(
        f"min({quoted(n)}) IS NOT DISTINCT FROM max({quoted(n)}) "
        f"AND count({quoted(n)}) IN (0, count(*)) AS c{i}"
        for i, n in enumerate(names)
    )
    # Where no item is named and each run has one row, nothing tells settings from results.
    distinct = "true" if item else "max(n) > 1"
    every = ", ".join(f"bool_and(c{i}) AND {distinct}" for i in range(len(names)))
    row = con.execute(
        f"SELECT {every} FROM (SELECT count(*) AS n, {same} FROM predictions GROUP BY track_id)"
    ).fetchone()
    return tuple(quoted(n) for n, kept in zip(names, row or (), strict=True) if kept)
