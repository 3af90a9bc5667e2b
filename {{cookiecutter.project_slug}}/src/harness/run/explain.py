"""What a run would do, and why a datapoint was computed and not reused."""

import itertools
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from harness.console import brief, shown
from harness.project.contract import Project
from harness.project.grid import Configuration, Grid
from harness.project.tasks import Task, tasks
from harness.project.values import Row, plain
from harness.record.cache import ResultCache
from harness.record.columns import quoted
from harness.record.database_file import set_strangers_aside
from harness.record.known import Knowledge, reading_file
from harness.record.layout import DEV, databases, place_for
from harness.run.budget import forecast
from harness.run.prepared import Prepared, prepare

_SHOWN = 20
_AT_ONCE = 256


def preview(project: Project, ready: Prepared) -> list[str]:
    """One line a configuration: new and cached datapoints, and what the new ones cost.

    Without an `estimate` in predict.py the lines say nothing about cost.
    """
    names = _short_names(ready.grid)
    states = (
        (names[task.configuration.digest], state, price)
        for task, state, price in _states(project, ready)
    )
    found = forecast(states, project.estimate is not None, names.values())
    return found.lines(project.settings.limits.max_cost_usd)


def cost_of_look(project: Project, ready: Prepared, look: int) -> float:
    """What the new datapoints of a look of the plan may cost in USD, as far as prices are known."""
    found = _states(project, ready)
    return sum(price or 0.0 for task, _, price in found if task.look == look)


def _states(project: Project, ready: Prepared) -> Iterator[tuple[Task, str, float | None]]:
    """Each task, whether it is "new" or "cached", and the price of a new one."""
    settings = project.settings
    place = place_for(project.root, settings, "e0.0.0")
    cache = ResultCache(place.cache) if settings.run.cache else None
    recorded = databases(project.root, settings, "experiment") if cache else []
    known = Knowledge(cache, [reading_file(path) for path in recorded])
    try:
        stream = tasks(project, ready.grid, ready.census, None)
        while chunk := list(itertools.islice(stream, _AT_ONCE)):
            found = known.among([task.key for task in chunk])
            for task in chunk:
                if task.key in found:
                    yield task, "cached", None
                else:
                    price = project.estimate
                    yield task, "new", price and price(task.item, task.configuration.params)
    finally:
        if cache is not None:
            cache.close()


def _short_names(grid: Grid) -> dict[bytes, str]:
    """A short name for each configuration: the params in which they differ."""
    rows = [each.columns for each in grid.configurations]
    varying = []
    for name in rows[0]:
        values = {str(each.get(name)) for each in rows}
        if len(values) > 1:
            varying.append(name)
    return {
        each.digest: " ".join(_named(each, varying)) or "the only one"
        for each in grid.configurations
    }


def _named(configuration: Configuration, varying: list[str]) -> list[str]:
    return [f"{n.removeprefix('params_')}={brief(configuration.columns.get(n))}" for n in varying]


def explain(project: Project, keys: list[str]) -> list[str]:
    """For each task (key prefix or input id): its row, and what is different now."""
    ready = prepare(project, None)
    grid = ready.grid.configurations
    lines: list[str] = []
    for wanted in keys:
        every = tasks(project, ready.grid, ready.census, None)
        found = [task for task in every if _names(task, wanted)][:_SHOWN]
        rows = _rows(project, {task.input_id for task in found}, wanted)
        recorded = [row for row in rows if _is_prefix(wanted, row["task_key"])]
        if not found and not recorded:
            lines.append(
                f"{wanted}: no task of this project and no recorded row has that key or id"
            )
        for task in found:
            lines += [
                f"{task.key[:16]}  id {task.input_id}  {shown(task.configuration.params, 300)}"
            ]
            lines += [f"  {line}" for line in _why(task, rows)]
        for row in recorded:
            if all(row["task_key"] != task.key for task in found):
                lines.append(f"{row['task_key'][:16]}  id {row['input_id']}  {_origin(row)}")
                now = next((c for c in grid if _is_under(row, c)), grid[0])
                lines += [f"  {line}" for line in _differences(row, now, row["item_key"])]
    return lines


def _names(task: Task, wanted: str) -> bool:
    return task.input_id == wanted or _is_prefix(wanted, task.key)


def _is_prefix(wanted: str, key: str) -> bool:
    return len(wanted) >= 6 and key.startswith(wanted)


def _why(task: Task, rows: list[Row]) -> list[str]:
    same_key = [row for row in rows if row["task_key"] == task.key and row["error_type"] is None]
    if same_key:
        return [f"known: {_origin(same_key[-1])}"]
    failed = [row for row in rows if row["task_key"] == task.key]
    if failed:
        return [f"failed before and tried again: {failed[-1]['error_type']}, {_origin(failed[-1])}"]
    before = [
        row for row in rows if row["input_id"] == task.input_id and row["repeat"] == task.repeat
    ]
    alike = [row for row in before if _is_under(row, task.configuration)]
    if alike:
        reasons = _differences(alike[-1], task.configuration, task.item_key)
        return [f"not reused from {_origin(alike[-1])}:", *reasons]
    if before:
        return ["new: this item never ran under these params"]
    return ["new: an item with this id never ran"]


def _is_under(row: Row, configuration: Configuration) -> bool:
    return all(row.get(name) == plain(value) for name, value in configuration.columns.items())


def _origin(row: Row) -> str:
    return f"{row['experiment_version']}, run {row['cache'] or row['track_id']}"


def _differences(row: Row, now: Configuration, item_key: str) -> list[str]:
    before = row["made_by"]
    reasons = [
        f"{name} changed" if name in before["files"] else f"{name} was not among the files then"
        for name, sha in now.files.items()
        if before["files"].get(name) != sha
    ]
    if row["item_key"] != item_key:
        reasons.append("the item's content changed (or a file that it points to)")
    code = now.context.code.parts
    environment = now.context.environment
    reasons += [f"code changed: {name}" for name in _changed(before["code"], code)]
    for name in _changed(before["environment"], environment):
        old = before["environment"].get(name)
        new = environment.get(name)
        reasons.append(f"{name} changed: {_short(old)} -> {_short(new)}")
    return reasons or ["nothing differs now"]


def _changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))


def _short(value: str | None) -> str:
    return "absent" if value is None else value[:16]


def _rows(project: Project, ids: set[str], prefix: str) -> list[Row]:
    """The key parts of rows with one of these ids or a key that begins so, oldest first, with what
    made their runs."""
    found: list[Row] = []
    for phase in (DEV, "experiment"):
        for path in databases(project.root, project.settings, phase):
            found += _read(path, ids, prefix)
    return sorted(found, key=lambda row: str(row["timestamp"]))


def _read(path: Path, ids: set[str], prefix: str) -> list[Row]:
    among = ", ".join("?" * len(ids))
    where = f"input_id IN ({among}) OR substr(task_key, 1, ?) = ?"
    set_strangers_aside(path)
    with closing(sqlite3.connect(path, timeout=10)) as connection:
        connection.row_factory = sqlite3.Row
        names = [
            r[0] for r in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        runs = {
            row["track_id"]: {
                "code": json.loads(row["code_parts"] or "{}"),
                "environment": json.loads(row["environment"] or "{}"),
                "files": json.loads(dict(row).get("grid_files") or "{}"),
            }
            for row in (connection.execute("SELECT * FROM runs") if "runs" in names else [])
        }
        rows: list[Row] = []
        for table in (n for n in names if n == "predictions" or n.startswith("predictions_")):
            have = [r[1] for r in connection.execute(f"PRAGMA table_info({quoted(table)})")]
            wanted = [n for n in have if n in _PARTS or n.startswith("params_")]
            query = f"SELECT {', '.join(map(quoted, wanted))} FROM {quoted(table)} WHERE {where}"
            for row in connection.execute(query, (*ids, len(prefix), prefix)):
                made = runs.get(row["track_id"], _UNKNOWN)
                rows.append({**dict(row), "made_by": made})
        return rows


_UNKNOWN: Row = {"code": {}, "environment": {}, "files": {}}
_PARTS = frozenset(
    {"track_id", "timestamp", "experiment_version", "task_key", "item_key", "input_id", "repeat"}
    | {"cache", "error_type"}
)
