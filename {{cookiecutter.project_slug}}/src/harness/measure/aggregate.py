"""The `metrics` table: a row per configuration and experiment, no number without its interval."""

import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

import numpy as np
import pandas as pd

from harness.clock import stamp
from harness.errors import HarnessError
from harness.measure.configuration_rows import (
    IN_ORDER,
    Chosen,
    ConfigurationRows,
    index_by_params,
    read_rows,
    recorded_configurations,
    selection,
)
from harness.measure.score import score_rows, unfit_names
from harness.measure.score_values import as_number
from harness.project.contract import Project
from harness.project.declarations import Rule, Uncounted, together
from harness.project.grid import configurations
from harness.project.hypotheses import LATENCIES, Plan, recorded_plan
from harness.project.values import INTEGER, REAL, plain
from harness.read.results import label
from harness.record.columns import RESERVED, Schema, holds, quoted
from harness.record.layout import DEV, Place
from harness.record.runs import of_first_run, of_last_run
from harness.record.score_tables import (
    add_uncounted,
    name_versions,
    recorded_rules,
    recorded_uncounted,
)
from harness.stats.intervals import (
    Indices,
    Interval,
    mean_interval,
    percentiles,
    statistic_interval,
)

_OWN = frozenset({"track_id", "timestamp", "error", "error_type"} | RESERVED) - {"repeat"}
Aggregate = Callable[[pd.DataFrame], float]
COUNTS = ("n", "executed", "cached", "failed")
FAILED = "failed"  # the column of an aggregate that is given failed rows


def measure(
    project: Project,
    place: Place,
    experiment: str,
    track_id: str,
    more: Mapping[str, Any] | None = None,
    as_recorded: bool = False,
) -> list[dict[str, Any]]:
    """Score every row of an experiment and summarise them; see `score_rows` and `summarise`."""
    with closing(sqlite3.connect(place.db, timeout=10)) as connection:
        plan = plan_of(connection, place, experiment)
    score_rows(place, experiment, project.score, project.scores, project.aggregates, plan)
    return summarise(project, place, experiment, track_id, more, as_recorded)


def rules_of(place: Place, experiment: str) -> list[Rule]:
    """How the scores of an experiment count, as recorded."""
    with closing(sqlite3.connect(place.db, timeout=10)) as connection:
        return recorded_rules(connection, experiment)


def uncounted_of(place: Place, experiment: str) -> list[Uncounted]:
    """What was returned as a score of an experiment and cannot count."""
    with closing(sqlite3.connect(place.db, timeout=10)) as connection:
        return recorded_uncounted(connection, experiment)


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
        rules = recorded_rules(connection, experiment)
        scores = _numeric(connection, place, experiment, rules)
        chosen = (
            recorded_configurations(connection, place, experiment)
            if as_recorded
            else [Chosen(each.columns, each.digest.hex()) for each in configurations(project)]
        )
        if len(chosen) > 1:
            index_by_params(connection, place, experiment)
        have = list(Schema.prepare(connection, place.predictions, {}).types)
        uncounted: list[Uncounted] = []
        made = [
            _row(project, connection, selection(place, experiment, each, len(chosen) > 1), each,
                 have, scores, [rule for rule in rules if rule.aggregate], uncounted)
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
        metrics = {f"{each.name}{end}" for each in rules for end in ("", "_low", "_high")}
        added, retyped = schema.changes(
            ready, lambda name: name in metrics or holds(connection, place.metrics, name)
        )
        schema.add(connection, {n: REAL if n in metrics else t for n, t in added.items()})
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
        add_uncounted(connection, experiment, together(uncounted))
        if experiment != DEV:  # whose tables are dropped, and a view without its table blocks ALTER
            name_versions(connection)
        connection.execute("COMMIT")
        return ready
    finally:
        connection.close()


def plan_of(connection: sqlite3.Connection, place: Place, experiment: str) -> Plan:
    """The plan as it was when the experiment began."""
    # A dev-run is judged by the plan as it is; an experiment by what was planned at first.
    which = of_last_run if experiment == DEV else of_first_run
    return recorded_plan(which(connection, place.runs, "plan", experiment_version=experiment))[0]


def _numeric(
    connection: sqlite3.Connection, place: Place, experiment: str, rules: list[Rule]
) -> list[Rule]:
    """The scores that are numbers: the declared ones, and others that some row has."""
    types = Schema.prepare(connection, place.predictions, {}).types
    able = [r for r in rules if not r.aggregate and types.get(r.name) in (INTEGER, REAL)]
    if not able:
        return []
    counts = ", ".join(f"count({quoted(rule.name)})" for rule in able)
    query = f"SELECT {counts} FROM {quoted(place.predictions)} WHERE experiment_version = ?"
    found = connection.execute(query, (experiment,)).fetchone()
    return [rule for rule, count in zip(able, found, strict=True) if count or rule.declared]


def _row(
    project: Project,
    connection: sqlite3.Connection,
    where: tuple[str, list[Any]],
    chosen: Chosen,
    have: list[str],
    scores: list[Rule],
    aggregates: list[Rule],
    uncounted: list[Uncounted],
) -> dict[str, Any]:
    query, values = where
    measured: dict[str, str] = {name: quoted(name) for name in ("latency", "cost") if name in have}
    measured |= {rule.name: rule.counted(quoted(rule.name)) for rule in scores}
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
    for rule in scores:
        row |= _columns(rule, _mean(rule, rows))
    for rule in aggregates:
        if rule.name in row or unfit_names((rule.name, *(each.name for each in scores))):
            raise HarnessError(
                f"AGGREGATES in metrics.py names {rule.name}, which score returns already, or "
                "which the table metrics has for something else",
                fix="give one of them another name in src/benchmark/metrics.py",
            )
        frame = _frame(connection, have, query, values, scores, rule)
        interval, reason = _aggregate(frame, rule.name, project.aggregates[rule.name])
        row |= _columns(rule, interval)
        if reason:
            uncounted.append(Uncounted(rule.name, reason, 1, label(_params(chosen))))
    timed = executed & np.isfinite(rows.latency)
    row["latency_n"] = int(timed.sum())
    clusters = rows.items[timed] if rows.items is not None else None
    found = percentiles(rows.latency[timed], list(LATENCIES.values()), clusters)
    for name, q in LATENCIES.items():
        row |= _bounds(name, found[q])
    if "canned" in have:
        count = f"SELECT count(*) {query} AND canned = 1"
        row["canned"] = connection.execute(count, values).fetchone()[0]
    paid = rows.cost[~rows.cached] if rows.cost.size else rows.cost
    row["cost"] = float(np.nansum(paid)) if np.isfinite(paid).any() else None
    return row


def _params(chosen: Chosen) -> dict[str, Any]:
    return {name.removeprefix("params_"): value for name, value in chosen.columns.items()}


def _mean(rule: Rule, rows: ConfigurationRows) -> Interval:
    counted = rows.values[rule.name]
    keep = np.isfinite(counted)
    clusters = rows.items[keep] if rows.items is not None else None
    return mean_interval(counted[keep], clusters, binary=rule.binary)


def _frame(
    connection: sqlite3.Connection,
    have: list[str],
    where: str,
    values: list[Any],
    scores: list[Rule],
    aggregate: Rule,
) -> pd.DataFrame:
    """The rows as AGGREGATES see them: without the harness's own columns, which every resample
    would copy. Scores are what they count as; failed rows are among them where they are `given`.
    """
    counted = {rule.name: rule.counted(quoted(rule.name)) for rule in scores}
    names = [n for n in have if n not in _OWN and not n.startswith("params_")]
    if aggregate.given and FAILED in names:
        raise HarnessError(
            f"{aggregate.name} is given failed rows by a column {FAILED}, and predict returns one "
            "of that name",
            fix=f"let predict call it something else, and not {FAILED}",
        )
    wanted = [f"{counted.get(name, quoted(name))} AS {quoted(name)}" for name in names]
    if aggregate.given:
        wanted.append(f"error IS NOT NULL AS {FAILED}")
    else:
        where += " AND error IS NULL"
    if aggregate.fresh:
        where += " AND cache = ''"
    query = f"SELECT {', '.join(wanted)} {where} {IN_ORDER}"
    frame = pd.read_sql_query(query, connection, params=values).copy()
    if aggregate.given:
        frame[FAILED] = frame[FAILED].astype(bool)
    return frame


def _aggregate(frame: pd.DataFrame, name: str, aggregate: Aggregate) -> tuple[Interval, str]:
    """The aggregate with its interval, and why its value cannot count; "" where it can.

    One that is None or NaN is undefined on these rows, which it may be.
    """
    reasons: list[str] = []

    def compute(chosen: Indices) -> float:
        number, reason = as_number(aggregate(frame.iloc[chosen]))
        reasons.append(reason)
        return float("nan") if number is None else float(number)

    try:
        interval = statistic_interval(len(frame), compute, frame["input_id"].to_numpy())
        of_all = reasons[0] if reasons else ""
        return interval, "" if of_all == "nan" else of_all
    except Exception as error:
        raise HarnessError(
            f"AGGREGATES[{name!r}] in metrics.py failed: {type(error).__name__}: {error}",
            fix="correct src/benchmark/metrics.py and run `make rescore`; the results are kept",
            code=1,
        ) from error


def _columns(rule: Rule, interval: Interval) -> dict[str, float | int | None]:
    return {**_bounds(rule.name, interval, rule), f"{rule.name}_n": interval.n}


def _bounds(name: str, interval: Interval, rule: Rule | None = None) -> dict[str, float | None]:
    low, high = interval.low, interval.high
    if rule is not None:
        low, high = rule.within(low), rule.within(high)
    return {name: interval.estimate, f"{name}_low": low, f"{name}_high": high}
