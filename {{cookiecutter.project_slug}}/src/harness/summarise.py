"""The `metrics` table: a row per configuration and experiment, no number without its interval."""

import json
import sqlite3
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis.stats import Interval, mean_interval, percentiles, statistic_interval
from harness.attempt import RESERVED
from harness.clock import stamp
from harness.columns import INTEGER, REAL, Schema, holds, plain, quoted, score_names
from harness.configuration_rows import (
    IN_ORDER,
    Chosen,
    index_by_params,
    read_rows,
    recorded_configurations,
    selection,
)
from harness.errors import HarnessError
from harness.layout import DEV, Place
from harness.plan import configurations
from harness.plan_file import LATENCIES, Plan, recorded_plan
from harness.project import Project
from harness.runs import of_first_run, of_last_run
from harness.score import unfit_names

_OWN = frozenset({"track_id", "timestamp", "error", "error_type"} | RESERVED) - {"repeat"}
COUNTS = ("n", "executed", "cached", "failed")


def summarise(
    project: Project,
    place: Place,
    experiment: str,
    track_id: str,
    more: Mapping[str, Any] | None = None,
    as_recorded: bool = False,
) -> list[dict[str, Any]]:
    """Compute and store the metrics of an experiment; returns the rows as written.

    `more` are columns that stand in each row besides. The rows replace those there were, at once.
    With `as_recorded` the configurations are those that ran, whatever GRID lists today.
    """
    connection = sqlite3.connect(place.db, isolation_level=None, timeout=10)
    try:
        schema = Schema.prepare(
            connection,
            place.metrics,
            {
                "experiment_version": "TEXT",
                "params_key": "TEXT",
                **dict.fromkeys(COUNTS, INTEGER),
                **dict.fromkeys(("latency_n",), INTEGER),
                **dict.fromkeys((*LATENCIES, "cost"), REAL),
            },
        )
        scores = _numeric(connection, place, experiment)
        shares = _proportions(connection, place, experiment, scores)
        plan = plan_of(connection, place, experiment)
        # What a failed datapoint counts in a proportion; NaN where the policy is to leave it out.
        worst = {name: float(plan.lower_is_better(name)) for name in shares}
        if _policy(connection, place, experiment, project) == "skip":
            worst = dict.fromkeys(worst, np.nan)
        chosen = (
            recorded_configurations(connection, place, experiment)
            if as_recorded
            else [Chosen(each.columns, each.digest.hex()) for each in configurations(project)]
        )
        if len(chosen) > 1:
            index_by_params(connection, place, experiment)
        have = list(Schema.prepare(connection, place.predictions, {}).types)
        made = [
            _row(project, connection, selection(place, experiment, each, len(chosen) > 1), each,
                 have, scores, worst)
            for each in chosen
        ]  # fmt: skip
        now = time.time_ns() // 1000
        for index, row in enumerate(made):
            row |= {
                **(more or {}),
                "track_id": track_id,
                "timestamp": stamp(now + index),
                "experiment_version": experiment,
            }
        ready = [{name: plain(value) for name, value in row.items()} for row in made]
        measured = {n for n in schema.types if n.endswith(("_low", "_high"))}
        added, retyped = schema.changes(
            ready, lambda name: name in measured or holds(connection, place.metrics, name)
        )
        schema.add(connection, {n: REAL if _is_measure(n, ready) else t for n, t in added.items()})
        for name, kind in retyped.items():
            schema.retype(connection, name, kind)
        table = quoted(place.metrics)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"DELETE FROM {table} WHERE experiment_version = ?", (experiment,))
        for row in ready:
            names = ", ".join(map(quoted, row))
            connection.execute(
                f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})",
                tuple(row.values()),
            )
        connection.execute("COMMIT")
        return ready
    finally:
        connection.close()


def plan_of(connection: sqlite3.Connection, place: Place, experiment: str) -> Plan:
    """The plan as it was when the experiment began."""
    # A dev-run is judged by the plan as it is; an experiment by what was planned at first.
    which = of_last_run if experiment == DEV else of_first_run
    return recorded_plan(which(connection, place.runs, "plan", experiment_version=experiment))[0]


def _policy(connection: sqlite3.Connection, place: Place, experiment: str, project: Project) -> str:
    """What [run] on_error was when the experiment ran."""
    text = of_last_run(connection, place.runs, "settings", experiment_version=experiment)
    settings = json.loads(text) if text else {}
    return str(settings.get("run", {}).get("on_error", project.settings.run.on_error))


def _is_measure(name: str, rows: list[dict[str, Any]]) -> bool:
    base = name.removesuffix("_low").removesuffix("_high")
    return any(f"{base}_low" in row for row in rows)


def _numeric(connection: sqlite3.Connection, place: Place, experiment: str) -> list[str]:
    """The scores that are numbers and that some row of the experiment has."""
    types = Schema.prepare(connection, place.predictions, {}).types
    names = [
        name
        for name in score_names(connection, place.predictions)
        if types.get(name) in (INTEGER, REAL)
    ]
    if not names:
        return []
    counts = ", ".join(f"count({quoted(name)})" for name in names)
    query = f"SELECT {counts} FROM {quoted(place.predictions)} WHERE experiment_version = ?"
    found = connection.execute(query, (experiment,)).fetchone()
    return [name for name, count in zip(names, found, strict=True) if count]


def _row(
    project: Project,
    connection: sqlite3.Connection,
    where: tuple[str, list[Any]],
    chosen: Chosen,
    have: list[str],
    scores: list[str],
    worst: dict[str, float],
) -> dict[str, Any]:
    query, values = where
    measured = ["latency", *(["cost"] if "cost" in have else []), *scores]
    rows = read_rows(connection, query, values, measured)
    executed = ~rows.failed & ~rows.cached
    row: dict[str, Any] = {
        **chosen.columns,
        "params_key": chosen.key,
        "n": len(rows.failed),
        "executed": int(executed.sum()),
        "cached": int((~rows.failed & rows.cached).sum()),
        "failed": int(rows.failed.sum()),
    }
    for name in scores:
        scored = rows.values[name]
        if name in worst:
            scored = np.where(rows.failed, worst[name], scored)
        keep = np.isfinite(scored)
        clusters = rows.items[keep] if rows.items is not None else None
        row |= _columns(name, mean_interval(scored[keep], clusters, binary=name in worst or None))
    frame = _frame(connection, have, query, values) if project.aggregates else pd.DataFrame()
    for name, aggregate in project.aggregates.items():
        if name in row or unfit_names((name, *scores)):
            raise HarnessError(
                f"AGGREGATES in metrics.py names {name}, which score returns already, or which the "
                "table metrics has for something else",
                fix="give one of them another name in src/benchmark/metrics.py",
            )
        row |= _columns(name, _aggregate(frame, name, aggregate))
    timed = executed & np.isfinite(rows.latency)
    row["latency_n"] = int(timed.sum())
    clusters = rows.items[timed] if rows.items is not None else None
    found = percentiles(rows.latency[timed], list(LATENCIES.values()), clusters)
    for name, q in LATENCIES.items():
        row |= _columns(name, found[q])
    if "canned" in have:
        count = f"SELECT count(*) {query} AND canned = 1"
        row["canned"] = connection.execute(count, values).fetchone()[0]
    paid = rows.cost[~rows.cached] if rows.cost.size else rows.cost
    row["cost"] = float(np.nansum(paid)) if np.isfinite(paid).any() else None
    return row


def _proportions(
    connection: sqlite3.Connection, place: Place, experiment: str, scores: list[str]
) -> set[str]:
    """Scores that are 0 or 1 wherever they are, in every configuration."""
    if not scores:
        return set()
    tests = ", ".join(f"min({quoted(n)} IN (0, 1))" for n in scores)
    query = f"SELECT {tests} FROM {quoted(place.predictions)} WHERE experiment_version = ?"
    found = connection.execute(query, (experiment,)).fetchone()
    return {name for name, only in zip(scores, found, strict=True) if only}


def _frame(
    connection: sqlite3.Connection, have: list[str], where: str, values: list[Any]
) -> pd.DataFrame:
    """The good rows as AGGREGATES see them: without the harness's own columns, which every
    resample would copy."""
    wanted = ", ".join(quoted(n) for n in have if n not in _OWN and not n.startswith("params_"))
    query = f"SELECT {wanted} {where} AND error_type IS NULL {IN_ORDER}"
    return pd.read_sql_query(query, connection, params=values).copy()


def _aggregate(frame: pd.DataFrame, name: str, aggregate: Any) -> Interval:
    try:
        return statistic_interval(
            len(frame),
            lambda chosen: _number(aggregate(frame.iloc[chosen])),
            clusters=frame["input_id"].to_numpy(),
        )
    except Exception as error:
        raise HarnessError(
            f"AGGREGATES[{name!r}] in metrics.py failed: {type(error).__name__}: {error}",
            fix="mend src/benchmark/metrics.py and run `make rescore`; the results are kept",
            code=1,
        ) from error


def _number(value: Any) -> float:
    return np.nan if value is None else float(value)


def _columns(name: str, interval: Interval) -> dict[str, float | None]:
    return {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
