"""The newest experiment as DVC's own commands and its extension for VS Code read it.

`dvc params diff`, `dvc metrics diff` and `dvc plots` compare one place between commits, so these
files have the same names in each; dvc.yaml says which is what.
"""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.project.declarations import Rule, has_figures
from harness.read.catalogue import Row, params_of
from harness.read.results import label

FOLDER = "results/latest"
PIPELINE = "dvc.yaml"
_COUNTS = ("n", "failed", "cost", "latency_p50", "latency_p95")


def write_latest(
    root: Path, tag: str, rows: Sequence[Row], rules: Sequence[Rule], data: str
) -> list[str]:
    """Write params, metrics and figures where there is a pipeline; returns what git should keep."""
    if not (root / PIPELINE).is_file():
        return []
    known = [rule for rule in rules if has_figures(rule, rows)]
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "params.json", {"experiment": tag, "data_version": data} | _values(rows))
    _write(folder / "metrics.json", {_name(row): _metrics(row, known) for row in rows})
    with (folder / "figures.csv").open("w", encoding="utf-8", newline="") as file:
        written = csv.writer(file, lineterminator="\n")
        written.writerow(("configuration", "metric", "value", "low", "high"))
        for rule in known:
            for row in rows:
                bounds = [row.get(f"{rule.name}{end}") for end in ("", "_low", "_high")]
                written.writerow((_name(row), rule.called, *bounds))
    lock = ["dvc.lock"] if (root / "dvc.lock").is_file() else []
    return [FOLDER, *lock]


def _name(row: Row) -> str:
    return label(params_of(row))


def _values(rows: Sequence[Row]) -> dict[str, Any]:
    """The values that each param takes, in the order of the grid."""
    found: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in params_of(row).items():
            if value not in found.setdefault(name, []):
                found[name].append(value)
    return found


def _metrics(row: Row, rules: Sequence[Rule]) -> Row:
    names = [f"{rule.name}{end}" for rule in rules for end in ("", "_low", "_high")]
    return {name: row[name] for name in [*names, *_COUNTS] if row.get(name) is not None}


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
