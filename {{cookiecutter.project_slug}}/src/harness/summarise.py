"""The `metrics` table: a row per configuration and experiment, no number without its interval."""

import hashlib
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.analysis.stats import Interval, mean_interval, percentiles, statistic_interval
from harness.attempt import RESERVED
from harness.columns import INTEGER, REAL, Schema, plain, quoted
from harness.errors import HarnessError
from harness.layout import Place
from harness.plan import Configuration, configurations
from harness.plan_file import LATENCIES, Plan, recorded_plan
from harness.project import Project
from harness.score import score_names

_OWN = frozenset({"track_id", "timestamp", "error", "error_type"} | RESERVED) - {"repeat"}
COUNTS = ("n", "executed", "cached", "failed")


@dataclass(slots=True)
class _Rows:
    """Columns of one configuration's rows; `values` by score name, NaN where there is none."""

    failed: npt.NDArray[np.bool_]
    cached: npt.NDArray[np.bool_]
    latency: npt.NDArray[np.float64]
    cost: npt.NDArray[np.float64]
    items: npt.NDArray[np.uint64] | None
    values: dict[str, npt.NDArray[np.float64]]


def summarise(
    project: Project,
    place: Place,
    experiment: str,
    track_id: str,
    more: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Compute and store the metrics of an experiment; returns the rows as written.

    `more` are columns that stand in each row besides. The rows replace those there were, at once.
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
        scores = _numeric(connection, place)
        shares = _proportions(connection, place, experiment, scores)
        plan = plan_of(connection, place, experiment)
        # What a failed datapoint counts in a proportion, unless the policy is to leave it out.
        worst = {name: float(plan.lower_is_better(name)) for name in shares}
        made = [
            _row(project, connection, place, experiment, configuration, scores, worst)
            for configuration in configurations(project)
        ]
        now = datetime.now().strftime("%Y-%m-%d %H:%M:%S")
        for index, row in enumerate(made):
            row |= {
                **(more or {}),
                "track_id": track_id,
                "timestamp": f"{now}.{index:06d}",
                "experiment_version": experiment,
            }
        ready = [{name: plain(value) for name, value in row.items()} for row in made]
        measured = {n for n in schema.types if n.endswith(("_low", "_high"))}
        added, retyped = schema.changes(ready, lambda name: name in measured)
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
    row = connection.execute(
        f"SELECT plan FROM {quoted(place.runs)} WHERE experiment_version = ? ORDER BY timestamp",
        (experiment,),
    ).fetchone()
    return recorded_plan(row[0] if row else None)[0]


def _is_measure(name: str, rows: list[dict[str, Any]]) -> bool:
    base = name.removesuffix("_low").removesuffix("_high")
    return any(f"{base}_low" in row for row in rows)


def _numeric(connection: sqlite3.Connection, place: Place) -> list[str]:
    types = Schema.prepare(connection, place.predictions, {}).types
    return [
        name
        for name in score_names(connection, place.predictions)
        if types.get(name) in (INTEGER, REAL)
    ]


def _row(
    project: Project,
    connection: sqlite3.Connection,
    place: Place,
    experiment: str,
    configuration: Configuration,
    scores: list[str],
    worst: dict[str, float],
) -> dict[str, Any]:
    query, values = _selection(place, experiment, configuration)
    rows = _read(connection, query, values, scores, repeats=project.settings.run.repeats)
    executed = ~rows.failed & ~rows.cached
    row: dict[str, Any] = {
        **configuration.columns,
        "params_key": configuration.digest.hex(),
        "n": len(rows.failed),
        "executed": int(executed.sum()),
        "cached": int((~rows.failed & rows.cached).sum()),
        "failed": int(rows.failed.sum()),
    }
    counted = project.settings.run.on_error != "skip"
    for name in scores:
        scored = rows.values[name]
        if counted and name in worst:
            scored = np.where(rows.failed, worst[name], scored)
        keep = np.isfinite(scored)
        clusters = rows.items[keep] if rows.items is not None else None
        row |= _columns(name, mean_interval(scored[keep], clusters, binary=name in worst or None))
    for name, aggregate in project.aggregates.items():
        if name in row:
            raise HarnessError(
                f"AGGREGATES in metrics.py names {name}, which score returns already",
                fix="give one of them another name in src/benchmark/metrics.py",
            )
        row |= _columns(name, _aggregate(connection, query, values, name, aggregate))
    timed = executed & np.isfinite(rows.latency)
    row["latency_n"] = int(timed.sum())
    clusters = rows.items[timed] if rows.items is not None else None
    found = percentiles(rows.latency[timed], list(LATENCIES.values()), clusters)
    for name, q in LATENCIES.items():
        row |= _columns(name, found[q])
    if "canned" in Schema.prepare(connection, place.predictions, {}).types:
        count = f"SELECT count(*) {query} AND canned = 1"
        row["canned"] = connection.execute(count, values).fetchone()[0]
    paid = rows.cost[~rows.cached] if rows.cost.size else rows.cost
    row["cost"] = float(np.nansum(paid)) if np.isfinite(paid).any() else None
    return row


def _selection(
    place: Place, experiment: str, configuration: Configuration
) -> tuple[str, list[Any]]:
    columns = {name: plain(value) for name, value in configuration.columns.items()}
    wanted = "".join(f" AND {quoted(name)} IS ?" for name in columns)
    where = f"FROM {quoted(place.predictions)} WHERE experiment_version = ?{wanted}"
    return where, [experiment, *columns.values()]


def _read(
    connection: sqlite3.Connection,
    where: str,
    values: list[Any],
    scores: list[str],
    repeats: int,
) -> _Rows:
    """Fill arrays batch by batch: a few dozen bytes a row instead of Python objects."""
    count = connection.execute(f"SELECT count(*) {where}", values).fetchone()[0]
    have = {row[1] for row in connection.execute(f"PRAGMA table_info({where.split(' ')[1]})")}
    measured = ["latency", *(["cost"] if "cost" in have else []), *scores]
    failed, cached = np.zeros(count, dtype=np.bool_), np.zeros(count, dtype=np.bool_)
    numbers = {name: np.empty(count) for name in measured}
    items = np.empty(count, dtype=np.uint64) if repeats > 1 else None
    cursor = connection.execute(
        f"SELECT error_type IS NOT NULL, cache != '', input_id, "
        f"{', '.join(map(quoted, measured))} {where}",
        values,
    )
    filled = 0
    while batch := cursor.fetchmany(5000):
        stop = filled + len(batch)
        columns = list(zip(*batch, strict=True))
        failed[filled:stop], cached[filled:stop] = columns[0], columns[1]
        if items is not None:
            items[filled:stop] = [_hash(name) for name in columns[2]]
        for name, column in zip(measured, columns[3:], strict=True):
            numbers[name][filled:stop] = np.array(column, dtype=np.float64)
        filled = stop
    latency, cost = numbers.pop("latency"), numbers.pop("cost", np.empty(0))
    return _Rows(failed, cached, latency, cost, items, numbers)


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


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


def _aggregate(
    connection: sqlite3.Connection, where: str, values: list[Any], name: str, aggregate: Any
) -> Interval:
    # Without the harness's own columns: every resample copies what is there.
    table = where.split(" ")[1]
    have = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    wanted = ", ".join(quoted(n) for n in have if n not in _OWN and not n.startswith("params_"))
    query = f"SELECT {wanted} {where} AND error_type IS NULL"
    frame = pd.read_sql_query(query, connection, params=values).copy()
    try:
        return statistic_interval(
            len(frame),
            lambda chosen: float(aggregate(frame.iloc[chosen])),
            clusters=frame["input_id"].to_numpy(),
        )
    except Exception as error:
        raise HarnessError(
            f"AGGREGATES[{name!r}] in metrics.py failed: {type(error).__name__}: {error}",
            fix="mend src/benchmark/metrics.py and run `make rescore`; the results are kept",
            code=1,
        ) from error


def _columns(name: str, interval: Interval) -> dict[str, float | None]:
    return {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
