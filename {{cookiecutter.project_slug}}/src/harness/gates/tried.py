"""Gates on what the dev-run showed: that it ran, what it read, tests, schema."""

import json
import sqlite3
from contextlib import closing

from harness.console import brief
from harness.errors import HarnessError, explained
from harness.findings import Finding
from harness.gates.situation import Blocked, Situation, blocked_by
from harness.gates.tested import tests_passed
from harness.project.contract import Project
from harness.project.grid import Grid, column_types
from harness.project.inputs import advice, unkeyed
from harness.project.values import Row, Value
from harness.record.layout import DEV, databases, place_for
from harness.record.runs import of_last_run


def dev_run(now: Situation) -> Blocked | None:
    """The code that is about to run on everything has run on a little without errors."""
    place = place_for(now.root, now.project.settings, DEV)
    good = 0
    failed = 0
    tried: Row = {}
    codes = sorted({each.code_key for each in now.grid.configurations})
    if place.db.exists():
        connection = sqlite3.connect(place.db, timeout=10)
        try:
            marks = ", ".join("?" * len(codes))
            good, failed = connection.execute(
                "SELECT count(DISTINCT code_key) FILTER (WHERE error_type IS NULL), "
                f"count(error_type) FROM predictions WHERE code_key IN ({marks})",
                codes,
            ).fetchone()
            known = {"code_key": now.grid.code.key}
            tried = {
                name: json.loads(of_last_run(connection, place.runs, name, **known) or "null")
                for name in ("grid_files", "grid")
            }
        except sqlite3.Error:
            pass
        finally:
            connection.close()
    if failed:
        return Blocked(f"the last dev-run of this code had {failed} failures", "make dev-run")
    if good < len(codes):
        return Blocked("this code has not been dev-run", "make dev-run")
    before = tried.get("grid_files") or {}
    if fresh := [name for name, sha in now.grid.files.items() if before.get(name) != sha]:
        return Blocked(f"{', '.join(fresh)} has not been dev-run as it is now", "make dev-run")
    if values := _untried(now.grid, tried.get("grid") or []):
        return Blocked(f"{', '.join(values)} has not been dev-run", "make dev-run")
    return None


def _untried(grid: Grid, before: list[Row]) -> list[str]:
    """Values of params that no configuration of the dev-run had, such as a model that never ran."""
    known: set[tuple[str, str]] = set()
    for columns in before:
        known.update((name, repr(value)) for name, value in columns.items())
    fresh: dict[str, None] = {}
    for configuration in grid.configurations:
        for name, value in _as_json(configuration.columns).items():
            if (name, repr(value)) not in known:
                fresh[f"{name} = {brief(value)}"] = None
    return list(fresh)[:5]


def _as_json(columns: Row) -> Row:
    return dict(json.loads(json.dumps(columns)))


def inputs(now: Situation) -> Blocked | None:
    """Everything that predict read in the dev-run is in a key, so that no result can be stale."""
    place = place_for(now.root, now.project.settings, DEV)
    if not place.db.exists():
        return None  # the gate dev-run says so already
    with closing(sqlite3.connect(place.db, timeout=10)) as connection:
        code = now.grid.code.key
        read = json.loads(of_last_run(connection, place.runs, "inputs", code_key=code) or "[]")
    harmless = now.project.settings.key.harmless
    held = {name for each in now.grid.configurations for name in each.holds()}
    left = sorted(unkeyed(read, {}, held, harmless, now.root))
    if not left:
        return None
    return Blocked(
        f"predict reads {', '.join(left)}, which no key holds",
        f"{' ; '.join(map(advice, left))} ; then make dev-run",
    )


def tested(now: Situation) -> Blocked | None:
    """Tests passed for exactly this code."""
    passed = tests_passed(now.root)
    if passed:
        return None
    if passed is None:
        said = "not run yet for this code; make experiment runs them before anything else"
        return Blocked(said, "make test", later=True)
    return Blocked("they fail for this code", "make test")


def inspected(now: Situation) -> Blocked | None:
    """What the dev-run recorded makes sense."""
    from harness.gates.inspection import inspect

    database = place_for(now.root, now.project.settings, DEV).db
    if not database.exists():
        return None  # the gate dev-run says so already
    try:
        return blocked_by(inspect(database, kind=now.project.kind), "make inspect")
    except HarnessError as error:  # a dev-run that was stopped at once; the others still report
        return Blocked(error.message, error.fix)


def schema(now: Situation) -> Blocked | None:
    """The columns are those that earlier experiments recorded."""
    try:
        return blocked_by(schema_of(now.project, now.grid), "")
    except HarnessError as error:  # a database that cannot be read; the other gates still report
        return Blocked(error.message, error.fix)


def schema_of(project: Project, grid: Grid) -> list[Finding]:
    """Findings of the schema check for a project as it is now."""
    from harness.gates.schema import (
        expected_columns,
        recorded_columns,
        recorded_values,
        schema_findings,
    )

    root = project.root
    settings = project.settings
    results = databases(root, settings, "experiment")
    if not results:
        return []
    values: dict[str, set[Value]] = {}
    for configuration in grid.configurations:
        for name, value in configuration.columns.items():
            values.setdefault(name, set()).add(value)
    with explained(results[-1], "read"):
        return schema_findings(
            recorded_columns(results),
            expected_columns(column_types(project), databases(root, settings, DEV)),
            recorded_values(results),
            values,
        )
