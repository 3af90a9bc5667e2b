"""A results database as the harness records it, with whatever fault a test plants in it."""

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

TYPES = {int: "INTEGER", float: "REAL", str: "TEXT", bytes: "BLOB", bool: "INTEGER"}
GRID: tuple[dict[str, Any], ...] = (
    {"model": "small", "depth": 2, "prompt": None},
    {"model": "large", "depth": 4, "prompt": None},
)


def write(db: Path, table: str, rows: Iterable[dict[str, Any]], once: bool = False) -> Path:
    """Append rows; a column is typed by its first value that is not None."""
    rows = list(rows)
    kinds: dict[str, str] = {}
    for row in rows:
        for name, value in row.items():
            if kinds.get(name, "TEXT?") == "TEXT?":
                kinds[name] = "TEXT?" if value is None else TYPES[type(value)]
    declared = ", ".join(f'"{n}" {k.rstrip("?")}' for n, k in kinds.items())
    con = sqlite3.connect(db)
    con.execute(f'CREATE TABLE IF NOT EXISTS "{table}" ({declared})')
    if once:
        con.execute(
            f'CREATE UNIQUE INDEX "once_{table}" ON "{table}" (experiment_version, task_key)'
        )
    marks = ", ".join("?" * len(kinds))
    con.executemany(
        f'INSERT INTO "{table}" ({", ".join(kinds)}) VALUES ({marks})',
        [[row.get(name) for name in kinds] for row in rows],
    )
    con.commit()
    con.close()
    return db


def change(db: Path, *statements: str) -> None:
    """Plant a fault."""
    con = sqlite3.connect(db)
    for statement in statements:
        con.execute(statement)
    con.commit()
    con.close()


def prediction(experiment: str, item: int, config: int, **other: Any) -> dict[str, Any]:
    """One row of a task that was executed and succeeded."""
    params = {f"params_{k}": v for k, v in GRID[config].items()}
    right = (item * 7 + config) % 5 != 0
    return {
        "track_id": f"run-{experiment}",
        "timestamp": f"2026-11-23 10:00:{item % 60:02d}.{config:06d}",
        "function_name": "predict",
        "function_time": 0.010 + item / 1e5,
        "error": None,
        "cache": "",
        "experiment_version": experiment,
        "task_key": f"key-{item}-{config}",
        "item_key": f"item-{item}",
        "code_key": "code-1",
        "input_id": f"i{item}",
        "repeat": 0,
        **params,
        "prediction": "yes" if right else "no",
        "ground_truth": "yes",
        "raw_response": json.dumps({"p": 0.5 + item / 1000}),
        "error_type": None,
        "attempts": 1,
        "latency": 0.010 + item / 1e5,
        "confidence": 0.5 + item / 1000,
        "correct": int(right),
        **other,
    }


def run(experiment: str, planned: int, **other: Any) -> dict[str, Any]:
    """The row of a run that finished."""
    return {
        "track_id": f"run-{experiment}",
        "timestamp": "2026-11-23 10:00:00.000000",
        "experiment_version": experiment,
        "phase": "experiment",
        "code_key": "code-1",
        "grid": json.dumps([{f"params_{k}": v for k, v in each.items()} for each in GRID]),
        "items": planned // len(GRID),
        "planned": planned,
        "ended_how": "finished",
        **other,
    }


def summary(experiment: str, config: int, n: int, **other: Any) -> dict[str, Any]:
    """The row of `metrics` for one configuration, all of it executed."""
    latencies = sorted(0.010 + item / 1e5 for item in range(n))
    middle = (latencies[(n - 1) // 2] + latencies[n // 2]) / 2
    return {
        "track_id": f"run-{experiment}",
        "experiment_version": experiment,
        "params_key": f"p{config}",
        **{f"params_{k}": v for k, v in GRID[config].items()},
        "n": n,
        "executed": n,
        "cached": 0,
        "failed": 0,
        "correct": 0.8,
        "correct_low": 0.7,
        "correct_high": 0.9,
        "latency_n": n,
        "latency_p50": middle,
        **other,
    }


def clean(db: Path, items: int = 50) -> Path:
    """e0.0.1, all executed, then e0.0.2, all from the cache of e0.0.1."""
    configs = range(len(GRID))
    first = [prediction("e0.0.1", i, c) for i in range(items) for c in configs]
    again = {"experiment_version": "e0.0.2", "track_id": "run-e0.0.2", "cache": "run-e0.0.1"}
    write(db, "predictions", [*first, *({**row, **again} for row in first)], once=True)
    planned = items * len(GRID)
    write(db, "runs", [run("e0.0.1", planned), run("e0.0.2", planned)])
    cached = {"executed": 0, "cached": items, "latency_n": 0, "latency_p50": None}
    write(
        db,
        "metrics",
        [summary("e0.0.1", c, items) for c in configs]
        + [summary("e0.0.2", c, items, **cached) for c in configs],
    )
    return db
