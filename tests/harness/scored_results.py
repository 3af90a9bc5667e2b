"""Result databases as an experiment leaves them, written without a run, with planted content.

Tables and declared types are those of the design page; rows are made from lists of scores.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xetrack import Tracker

from harness.project.declarations import settle
from harness.project.hypotheses import recorded_plan
from harness.project.scores import Score
from harness.record.metrics_table import metrics_in
from harness.record.score_tables import record as record_rules

Row = dict[str, Any]
BASE: dict[str, Any] = {
    "function_name": "predict", "cache": "", "repeat": 0, "attempts": 1, "code_key": "c0de",
}  # fmt: skip


def rows_for(
    experiment: str,
    params: Mapping[str, Any],
    scores: Sequence[Mapping[str, Any] | None],
    *,
    raw: Sequence[str] | None = None,
    extra: Sequence[Mapping[str, Any]] | None = None,
    repeats: int = 1,
) -> list[Row]:
    """One row per item (and repeat); a score of None is a datapoint that failed."""
    made = []
    for index, score in enumerate(scores):
        for repeat in range(repeats):
            failed = score is None
            made.append(
                {
                    **BASE,
                    "experiment_version": experiment,
                    "task_key": f"{experiment}-{sorted(params.items())}-{index}-{repeat}",
                    "input_id": f"item{index:06d}",
                    "repeat": repeat,
                    **{f"params_{key}": value for key, value in params.items()},
                    "prediction": None if failed else "yes",
                    "ground_truth": "yes",
                    "raw_response": None if failed else (raw[index] if raw else f"answer {index}"),
                    "error": "ValueError: no answer" if failed else None,
                    "error_type": "ValueError" if failed else None,
                    "latency": 0.01 * (1 + index % 7),
                    "function_time": 0.02,
                    **(score or {}),
                    **(extra[index] if extra else {}),
                }
            )
    return made


def metrics_for(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """The metrics rows that go with `rows`: plain means, and an interval wide enough to be seen."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        params = {key: row[key] for key in row if key.startswith("params_")}
        groups.setdefault(json.dumps([row["experiment_version"], params]), []).append(row)
    made = []
    for key, group in groups.items():
        experiment, params = json.loads(key)
        line: Row = {"experiment_version": experiment, "params_key": str(hash(key)), **params}
        line |= {
            "n": len(group),
            "executed": sum(not row["cache"] for row in group),
            "cached": sum(bool(row["cache"]) for row in group),
            "failed": sum(row["error"] is not None for row in group),
            "latency_n": len(group),
            "latency_p50": sorted(row["latency"] for row in group)[len(group) // 2],
            "latency_p50_low": 0.03,
            "latency_p50_high": 0.05,
            "latency_p95": max(row["latency"] for row in group),
            "latency_p99": max(row["latency"] for row in group),
            "cost": float(sum(row.get("cost") or 0.0 for row in group)),
        }
        for name in names:
            values = [float(row.get(name) or 0.0) for row in group]
            mean = sum(values) / len(values)
            line |= {name: mean, f"{name}_low": mean - 0.05, f"{name}_high": mean + 0.05}
        made.append(line)
    return made


def run_for(experiment: str, plan: Mapping[str, Any] | None = None, **other: Any) -> Row:
    """One finished run; settings, gates, packages, code_parts and plan may be dicts."""
    row: Row = {
        "experiment_version": experiment, "phase": "experiment", "commit_hash": "a" * 40,
        "branch": "feat/leaf", "dirty": "", "code_key": "c0de", "data_version": "d1",
        "code_parts": {"benchmark.predict": "11"}, "lock_hash": "l0c4", "python": "3.11.7",
        "platform": "Linux", "cpu": "cpu", "packages": {"numpy": "1.26.4"},
        "settings": {"run": {"on_error": "continue"}}, "gates": {"branch": "passed"},
        "plan": plan or {}, "grid": [], "items": 0, "planned": 0,
        "started": "2026-01-01 10:00:00.000000",
        "ended": "2026-01-01 10:01:00.000000", "ended_how": "finished", "executed": 0, "cached": 0,
        "failed": 0, "message": "",
    }  # fmt: skip
    return row | other


CORRECT = {"correct": Score("proportion", better="higher")}


def record(
    path: Path,
    rows: Sequence[Row],
    metrics: Sequence[Row],
    runs: Sequence[Row],
    declared: Mapping[str, Score] | None = CORRECT,
) -> Path:
    """Write the tables as an experiment leaves them; every connection is closed afterwards.

    With `declared=None` they are those of an experiment that was recorded before scores were
    declared.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    tables = {"predictions": rows, "metrics": metrics, "runs": runs}
    for table in tables:
        Tracker(db=str(path), engine="sqlite", table=table, log_system_params=False)
    connection = sqlite3.connect(path)
    for table, content in tables.items():
        _fill(connection, table, content)
    connection.commit()
    if declared is not None:
        _declare(connection, rows, metrics, runs, declared)
    connection.close()
    return path


def _declare(
    connection: sqlite3.Connection,
    rows: Sequence[Row],
    metrics: Sequence[Row],
    runs: Sequence[Row],
    declared: Mapping[str, Score],
) -> None:
    names = metrics_in({name for row in metrics for name in row})
    scores = [name for name in names if any(name in row for row in rows)]
    aggregates = [name for name in names if name not in scores]
    known = {name: score for name, score in declared.items() if name in names}
    connection.isolation_level = None
    for experiment in {row["experiment_version"] for row in metrics}:
        plans = [run["plan"] for run in runs if run["experiment_version"] == experiment]
        text = (
            plans[0]
            if plans and isinstance(plans[0], str)
            else json.dumps(plans[0] if plans else {})
        )
        plan, _ = recorded_plan(text)
        record_rules(connection, experiment, settle(plan, known, scores, (), aggregates), [])


def _fill(connection: sqlite3.Connection, table: str, rows: Sequence[Row]) -> None:
    columns: dict[str, str] = {}
    for row in rows:
        for name, value in row.items():
            if name == "timestamp":
                continue
            if value is not None or name not in columns:
                columns[name] = _declared(value)
    for name, declared in columns.items():
        connection.execute(f'ALTER TABLE "{table}" ADD COLUMN "{name}" {declared}')
    names = ["track_id", "timestamp", *columns]
    marks = ",".join("?" * len(names))
    listed = ",".join(f'"{name}"' for name in names)
    connection.executemany(
        f'INSERT INTO "{table}" ({listed}) VALUES ({marks})',
        (
            ["run-1", row.get("timestamp", f"2026-01-01 10:00:00.{index:06d}")]
            + [_stored(row.get(name)) for name in columns]
            for index, row in enumerate(rows)
        ),
    )


def _declared(value: Any) -> str:
    if isinstance(value, bool | int):
        return "INTEGER"
    return "REAL" if isinstance(value, float) else "TEXT"


def _stored(value: Any) -> Any:
    if isinstance(value, dict | list | tuple):
        return json.dumps(value)
    return int(value) if isinstance(value, bool) else value
