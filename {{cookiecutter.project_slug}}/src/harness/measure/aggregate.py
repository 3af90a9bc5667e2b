"""The `metrics` table: a row per configuration and experiment, no number without its interval."""

import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing

from harness.clock import stamp
from harness.measure.calibrate import calibrate
from harness.measure.configuration_rows import (
    Chosen,
    index_by_params,
    recorded_configurations,
    selection,
)
from harness.measure.draws import DRAWS, DRAWS_OF_DEV
from harness.measure.figures import Calculator
from harness.measure.score import score_rows
from harness.measure.segment_aggregates import Segmentations
from harness.project.contract import Project
from harness.project.declarations import Rule, Uncounted, together
from harness.project.grid import Grid
from harness.project.hypotheses import Plan, recorded_plan
from harness.project.values import INTEGER, REAL, TEXT, Row, plain
from harness.record.columns import Schema, holds, quoted
from harness.record.judgements import Judged
from harness.record.labelled import Labelled, has_labelled, record_labelled
from harness.record.layout import DEV, Place
from harness.record.metrics_table import COUNTS, LATENCIES, percentile_columns
from harness.record.resamples_table import create_resamples, record_resamples
from harness.record.runs import of_first_run, of_last_run
from harness.record.score_tables import (
    add_uncounted,
    name_versions,
    recorded_rules,
    recorded_uncounted,
)
from harness.record.segments_table import TRUTH, create_segments, record_segments
from harness.steps import Step

_COLUMNS: dict[str, str | None] = {
    **dict.fromkeys(("experiment_version", "params_key"), TEXT),
    **dict.fromkeys((*COUNTS, "latency_n"), INTEGER),
    **dict.fromkeys((*LATENCIES, "cost"), REAL),
}


def measure(
    project: Project,
    grid: Grid | None,
    place: Place,
    experiment: str,
    track_id: str,
    more: Mapping[str, object] | None = None,
    judged: Judged | None = None,
) -> list[Row]:
    """Score every row of an experiment and fill its metrics; see `score_rows`, `fill_metrics`."""
    with closing(sqlite3.connect(place.db, timeout=10)) as connection:
        plan = plan_of(connection, place, experiment)
    declared, taken = project.scores, [*project.kind.doubts, *project.kind.times]
    aggregates = project.aggregates
    score_rows(place, experiment, project.score, declared, aggregates, plan, taken, judged)
    labelled = calibrate(project, place, experiment, judged)
    return fill_metrics(project, grid, place, experiment, track_id, more, labelled)


def rules_of(place: Place, experiment: str) -> list[Rule]:
    """How the scores of an experiment count, as recorded."""
    with closing(sqlite3.connect(place.db, timeout=10)) as connection:
        return recorded_rules(connection, experiment)


def uncounted_of(place: Place, experiment: str) -> list[Uncounted]:
    """What was returned as a score of an experiment and cannot count."""
    with closing(sqlite3.connect(place.db, timeout=10)) as connection:
        return recorded_uncounted(connection, experiment)


def fill_metrics(
    project: Project,
    grid: Grid | None,
    place: Place,
    experiment: str,
    track_id: str,
    more: Mapping[str, object] | None = None,
    labelled: Sequence[Labelled] | None = None,
) -> list[Row]:
    """Compute and store the metrics of an experiment; returns the rows as written.

    The configurations are those of `grid`; where that is None, those that ran, whatever GRID lists
    today. `more` are columns that stand in each row besides, `labelled` what people said of
    answers (None: what is recorded of that stays). All replaces what there was, at once.
    """
    connection = sqlite3.connect(place.db, isolation_level=None, timeout=10)
    try:
        schema = Schema.prepare(connection, place.metrics, _COLUMNS)
        rules = recorded_rules(connection, experiment)
        if grid is None:
            chosen = recorded_configurations(connection, place, experiment)
        else:
            chosen = [Chosen(each.columns, each.digest.hex()) for each in grid.configurations]
        types = Schema.prepare(connection, place.predictions, {}).types
        calculator = Calculator(
            project,
            connection,
            types,
            _numeric(connection, place, experiment, rules, types),
            [rule for rule in rules if rule.aggregate],
            DRAWS_OF_DEV if experiment == DEV else DRAWS,
            segmentations=_segmentations(connection, place, experiment, types),
        )
        several = len(chosen) > 1
        if several:
            index_by_params(connection, place, experiment)
        rows = []
        words = f"computing the metrics of {experiment}"
        with Step(words, len(chosen), "configurations") as step:
            for each in chosen:
                picked = selection(place, experiment, each, several)
                rows.append(calculator.figures(each, picked))
                step.done(len(rows))
        ready = _stamped(rows, {**(more or {}), "track_id": track_id}, experiment)
        _widen(connection, schema, ready, [*(rule.name for rule in rules), *project.kind.times])
        _replace(connection, place, experiment, ready, calculator, labelled)
        return ready
    finally:
        connection.close()


def _segmentations(
    connection: sqlite3.Connection, place: Place, experiment: str, have: Mapping[str, str]
) -> Segmentations | None:
    """What the plan divides the items by, of the columns that there are."""
    named = plan_of(connection, place, experiment).segmentations
    columns = [each for each in dict.fromkeys(named) if each in have and each != TRUTH]
    if not columns:
        return None
    found = Segmentations(connection, place.predictions, columns)
    found.look_up(experiment)
    return found


def _stamped(rows: list[Row], more: Mapping[str, object], experiment: str) -> list[Row]:
    """The rows as they are stored, each with a time of its own."""
    now = time.time_ns() // 1000
    for index, row in enumerate(rows):
        row |= {**more, "timestamp": stamp(now + index), "experiment_version": experiment}
    return [{name: plain(value) for name, value in row.items()} for row in rows]


def _widen(
    connection: sqlite3.Connection,
    schema: Schema,
    rows: list[Row],
    figures: list[str],
) -> None:
    """Add the columns that the rows need; a figure is REAL from its first row on."""
    names = [*figures, *(column for each in figures for column in percentile_columns(each))]
    real = {f"{name}{end}" for name in names for end in ("", "_low", "_high")}
    added, retyped = schema.changes(
        rows, lambda name: name in real or holds(connection, schema.table, name)
    )
    schema.add(connection, {n: REAL if n in real else kind for n, kind in added.items()})
    for name, kind in retyped.items():
        schema.retype(connection, name, kind)


def _replace(
    connection: sqlite3.Connection,
    place: Place,
    experiment: str,
    rows: list[Row],
    found: Calculator,
    labelled: Sequence[Labelled] | None,
) -> None:
    """Put the rows of an experiment in the place of those there were, at once."""
    table = quoted(place.metrics)
    create_resamples(connection)
    create_segments(connection)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"DELETE FROM {table} WHERE experiment_version = ?", (experiment,))
    for row in rows:
        names = ", ".join(map(quoted, row))
        connection.execute(
            f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})",
            tuple(row.values()),
        )
    add_uncounted(connection, experiment, together(found.uncounted))
    record_resamples(connection, experiment, found.resampled)
    record_segments(connection, experiment, found.segmented)
    if labelled or (labelled is not None and has_labelled(connection)):
        record_labelled(connection, experiment, labelled)
    if experiment != DEV:  # whose tables are dropped, and a view without its table blocks ALTER
        name_versions(connection)
    connection.execute("COMMIT")


def plan_of(connection: sqlite3.Connection, place: Place, experiment: str) -> Plan:
    """The plan as it was when the experiment began."""
    # A dev-run is judged by the plan as it is; an experiment by what was planned at first.
    which = of_last_run if experiment == DEV else of_first_run
    return recorded_plan(which(connection, place.runs, "plan", experiment_version=experiment))[0]


def _numeric(
    connection: sqlite3.Connection,
    place: Place,
    experiment: str,
    rules: list[Rule],
    types: Mapping[str, str],
) -> list[Rule]:
    """The scores that are numbers: the declared ones, and others that some row has."""
    able = [r for r in rules if not r.aggregate and types.get(r.name) in (INTEGER, REAL)]
    if not able:
        return []
    counts = ", ".join(f"count({quoted(rule.name)})" for rule in able)
    query = f"SELECT {counts} FROM {quoted(place.predictions)} WHERE experiment_version = ?"
    found = connection.execute(query, (experiment,)).fetchone()
    return [rule for rule, count in zip(able, found, strict=True) if count or rule.declared]
