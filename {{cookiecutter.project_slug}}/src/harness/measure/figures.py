"""The figures of one configuration: counts, scores, aggregates, percentiles of times, cost."""

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.errors import HarnessError
from harness.measure.configuration_rows import IN_ORDER, Chosen, ConfigurationRows, read_rows
from harness.measure.draws import resampled
from harness.measure.score import unfit_names
from harness.measure.segment_aggregates import Segmentations, Selection, named
from harness.project.contract import Project
from harness.project.declarations import Rule, Uncounted
from harness.project.values import INTEGER, REAL, Row
from harness.read.results import label
from harness.record.columns import CLUSTER, RESERVED, quoted
from harness.record.metrics_table import percentile_columns
from harness.record.resamples_table import Named
from harness.record.segments_table import SegmentAggregate
from harness.stats.intervals import (
    Interval,
    mean_interval,
    percentiles,
)
from harness.stats.phases import rises, trend
from harness.stats.resampling import NO_ITEMS, Resamples, interval_of

_OWN = frozenset({"error", "error_type"} | RESERVED) - {"repeat", CLUSTER}
FAILED = "failed"  # the column of an aggregate that is given failed rows


@dataclass(slots=True)
class Calculator:
    """Makes the metrics rows of an experiment, a configuration at a time.

    `types` are those of the columns of predictions; `scores` the rules of what each row has,
    `aggregates` of what rows have together, on so many `draws`. `uncounted` collects what cannot
    count,
    `resampled` aggregates on draws of the items, `segmented` those of the plan's `segmentations`.
    """

    project: Project
    connection: sqlite3.Connection
    types: Mapping[str, str]
    scores: Sequence[Rule]
    aggregates: Sequence[Rule]
    draws: int
    uncounted: list[Uncounted] = field(default_factory=list)
    resampled: list[Named] = field(default_factory=list)
    segmentations: Segmentations | None = None
    segmented: list[SegmentAggregate] = field(default_factory=list)

    def figures(self, chosen: Chosen, selection: tuple[str, list[object]]) -> Row:
        """The figures of a configuration, whose rows are those of `selection` (SQL and values)."""
        query, values = selection
        times = [name for name in self.project.kind.times if self._is_number(name)]
        measured = {name: quoted(name) for name in ("latency", "cost") if name in self.types}
        if "cost" in measured and "cost_lost" in self.types:
            # A server may charge for attempts that gave nothing.
            measured["cost"] = (
                "CASE WHEN cost IS NULL AND cost_lost IS NULL THEN NULL "
                "ELSE coalesce(cost, 0) + coalesce(cost_lost, 0) END"
            )
        measured |= {name: quoted(name) for name in times}
        clock = self.project.kind.clock if self._is_number(self.project.kind.clock) else ""
        if clock:
            measured[clock] = quoted(clock)
        measured |= {rule.name: rule.counted(quoted(rule.name)) for rule in self.scores}
        clustered = CLUSTER if CLUSTER in self.types else ""
        rows = read_rows(self.connection, query, values, measured, clustered)
        executed = ~rows.failed & ~rows.cached
        row: Row = {
            **chosen.columns,
            "params_key": chosen.key,
            "n": len(rows.failed),
            "executed": int(executed.sum()),
            "cached": int((~rows.failed & rows.cached).sum()),
            "failed": int(rows.failed.sum()),
        }
        for rule in self.scores:
            row |= _columns(rule, _mean(rule, rows))
        if self.aggregates:
            everyone = self._units(*selection)
            frames: dict[tuple[bool, bool], pd.DataFrame] = {}
            for rule in self.aggregates:
                self._refuse_name(rule, row.keys())
                sees = (rule.given, rule.fresh)
                if sees not in frames:
                    frames[sees] = self._frame(rule, *selection)
                row |= self._aggregate(rule, chosen, frames[sees], everyone)
                self._by_segment(rule, chosen, frames[sees], selection)
        steady = not (clock and _backlog(rows, rows.values[clock], executed))
        row |= _percentiles("latency", rows.latency, executed, rows.items, steady)
        for name in times:
            row |= _percentiles(name, rows.values[name], executed, rows.items, steady)
        row |= self._doubts(query, values)
        return row | {"cost": _paid(rows)}

    def _is_number(self, name: str) -> bool:
        return self.types.get(name) in (INTEGER, REAL)

    def _refuse_name(self, rule: Rule, there: Collection[str]) -> None:
        scores = [each.name for each in self.scores]
        if rule.name in there or unfit_names((rule.name, *scores)):
            raise HarnessError(
                f"AGGREGATES in metrics.py names {rule.name}, which score returns already, or "
                "which the table metrics has for something else",
                fix="give one of them another name in src/benchmark/metrics.py",
            )

    def _units(self, query: str, values: list[object]) -> list[str]:
        """The names of the items, or clusters, that are drawn: also of those without a good row."""
        found = self.connection.execute(f"SELECT DISTINCT {self._unit} {query}", values).fetchall()
        return [row[0] for row in found]

    @property
    def _unit(self) -> str:
        return f"coalesce({CLUSTER}, input_id)" if CLUSTER in self.types else "input_id"

    def _by_segment(
        self, rule: Rule, chosen: Chosen, frame: pd.DataFrame, selection: Selection
    ) -> None:
        """The aggregate of the rows of each segment; undefined where it fails there."""
        if self.segmentations is None:
            return
        aggregate = self.project.aggregates[rule.name]

        def on_draws(rows: pd.DataFrame, units: Sequence[str], draws: int) -> Resamples | None:
            return resampled(rows, rule.name, aggregate, units, draws)[0]

        seen = (f"{selection[0]}{_seen(rule)}", selection[1])
        for column in self.segmentations.columns:
            found = self.segmentations.aggregates(
                column, self._unit, selection, seen, frame, on_draws
            )
            within = {
                value: replace(each, low=rule.within(each.low), high=rule.within(each.high))
                for value, each in found.items()
            }
            self.segmented += named(chosen.key, column, rule.name, within)

    def _aggregate(
        self, rule: Rule, chosen: Chosen, frame: pd.DataFrame, everyone: list[str]
    ) -> dict[str, float | int | None]:
        aggregate = self.project.aggregates[rule.name]
        drawn, reason = resampled(frame, rule.name, aggregate, everyone, self.draws)
        interval = NO_ITEMS if drawn is None else interval_of(drawn)
        if drawn is not None and isfinite(drawn.estimate):
            self.resampled.append((chosen.key, rule.name, drawn))
        if reason:
            params = {n.removeprefix("params_"): value for n, value in chosen.columns.items()}
            self.uncounted.append(Uncounted(rule.name, reason, 1, label(params)))
        return _columns(rule, interval)

    def _frame(self, aggregate: Rule, where: str, values: list[Any]) -> pd.DataFrame:
        """The rows as AGGREGATES see them: without the harness's own columns, which every resample
        would copy. Scores are what they count as; failed rows are among them where they are
        `given`.
        """
        counted = {rule.name: rule.counted(quoted(rule.name)) for rule in self.scores}
        names = [n for n in self.types if n not in _OWN and not n.startswith("params_")]
        if aggregate.given and FAILED in names:
            raise HarnessError(
                f"{aggregate.name} is given failed rows by a column {FAILED}, and predict returns "
                "one of that name",
                fix=f"let predict call it something else, and not {FAILED}",
            )
        wanted = [f"{counted.get(name, quoted(name))} AS {quoted(name)}" for name in names]
        if aggregate.given:
            wanted.append(f"error IS NOT NULL AS {FAILED}")
        query = f"SELECT {', '.join(wanted)} {where}{_seen(aggregate)} {IN_ORDER}"
        frame = pd.read_sql_query(query, self.connection, params=values).copy()
        if aggregate.given:
            frame[FAILED] = frame[FAILED].astype(bool)
        return frame

    def _doubts(self, query: str, values: list[object]) -> dict[str, int]:
        """How many rows each doubt of the kind is about."""
        found = {}
        for doubt in self.project.kind.doubts:
            if doubt in self.types:
                count = f"SELECT count(*) {query} AND {quoted(doubt)} = 1"
                found[doubt] = self.connection.execute(count, values).fetchone()[0]
        return found


def _seen(aggregate: Rule) -> str:
    """As SQL: which rows an aggregate sees."""
    failed = "" if aggregate.given else " AND error IS NULL"
    return f"{failed} AND cache = ''" if aggregate.fresh else failed


def _mean(rule: Rule, rows: ConfigurationRows) -> Interval:
    counted = rows.values[rule.name]
    keep = np.isfinite(counted)
    clusters = rows.items[keep] if rows.items is not None else None
    return mean_interval(counted[keep], clusters, binary=rule.binary, bounds=rule.bounds)


def _percentiles(
    time: str,
    seconds: npt.NDArray[np.float64],
    executed: npt.NDArray[np.bool_],
    items: npt.NDArray[np.uint64] | None,
    steady: bool = True,
) -> dict[str, float | int | None]:
    """Percentiles of a time: of rows that took it here, not of those from the cache.

    They have no interval where a backlog grows: longer phases would have longer times.
    """
    timed = executed & np.isfinite(seconds)
    clusters = items[timed] if items is not None else None
    wanted = percentile_columns(time)
    found = percentiles(seconds[timed], list(wanted.values()), clusters)
    row: dict[str, float | int | None] = {f"{time}_n": int(timed.sum())}
    for name, share in wanted.items():
        known = found[share] if steady else replace(found[share], low=None, high=None)
        row |= _bounds(name, known)
    return row


def _backlog(
    rows: ConfigurationRows, since: npt.NDArray[np.float64], executed: npt.NDArray[np.bool_]
) -> bool:
    """Whether latencies rise throughout the phases; `since` is when a row was due in its own."""
    kept = executed & np.isfinite(rows.latency) & np.isfinite(since)
    if rows.items is None or not kept.any():
        return False
    _, phases = np.unique(rows.items[kept], return_inverse=True)
    return rises(trend(phases, since[kept], rows.latency[kept]))


def _paid(rows: ConfigurationRows) -> float | None:
    paid = rows.cost[~rows.cached] if rows.cost.size else rows.cost
    return float(np.nansum(paid)) if np.isfinite(paid).any() else None


def _columns(rule: Rule, interval: Interval) -> dict[str, float | int | None]:
    return {**_bounds(rule.name, interval, rule), f"{rule.name}_n": interval.n}


def _bounds(name: str, interval: Interval, rule: Rule | None = None) -> dict[str, float | None]:
    low, high = interval.low, interval.high
    if rule is not None:
        low, high = rule.within(low), rule.within(high)
    return {name: interval.estimate, f"{name}_low": low, f"{name}_high": high}
