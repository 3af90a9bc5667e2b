"""The table of aggregates on draws of the items, so that two of them can be compared, paired.

A row per experiment, configuration (its `params_key`) and aggregate. `drawn` and `without` are JSON
lists of numbers, null where the aggregate is undefined; see `stats.resampling`.
"""

import json
import sqlite3
from collections.abc import Iterable
from typing import Any

import numpy as np

from harness.stats.intervals import Floats
from harness.stats.resampling import Resamples

RESAMPLED = "aggregate_resamples"
_COLUMNS = {
    "params_key": "TEXT",
    "name": "TEXT",
    "estimate": "REAL",
    "n": "INTEGER",
    "units": "INTEGER",
    "items": "TEXT",
    "drawn": "TEXT",
    "without": "TEXT",
}
Named = tuple[str, str, Resamples]  # params_key, name of the aggregate


def create_resamples(connection: sqlite3.Connection) -> None:
    """Make the table where it is not there yet."""
    typed = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
    connection.execute(f"CREATE TABLE IF NOT EXISTS {RESAMPLED} (experiment_version TEXT, {typed})")


def record_resamples(
    connection: sqlite3.Connection, experiment: str, found: Iterable[Named]
) -> None:
    """Write them in the place of those there were; the caller commits."""
    connection.execute(f"DELETE FROM {RESAMPLED} WHERE experiment_version = ?", (experiment,))
    marks = ", ".join("?" * (len(_COLUMNS) + 1))
    for key, name, each in found:
        drawn, without = _text(each.drawn), _text(each.without)
        row = (experiment, key, name, each.estimate, each.n, each.units, each.items, drawn, without)
        connection.execute(f"INSERT INTO {RESAMPLED} VALUES ({marks})", row)


RESAMPLES_OF = f"SELECT {', '.join(_COLUMNS)} FROM {RESAMPLED} WHERE experiment_version = ?"


def resamples_of(row: Iterable[Any]) -> Named:
    """A row of `RESAMPLES_OF`, whichever library read it."""
    key, name, estimate, n, units, items, drawn, without = row
    return key, name, Resamples(estimate, n, units, items, _numbers(drawn), _numbers(without))


def _text(values: Floats) -> str:
    # Nine digits are more than any difference of them that could matter.
    known = [float(f"{each:.9g}") if np.isfinite(each) else None for each in values.tolist()]
    return json.dumps(known, separators=(",", ":"))


def _numbers(text: str) -> Floats:
    return np.array(json.loads(text), dtype=np.float64)
