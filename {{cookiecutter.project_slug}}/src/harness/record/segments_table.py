"""The table of aggregates by the plan's segmentations, which only metrics.py could compute.

A row per experiment, configuration (its `params_key`), segmentation, value of it, and aggregate.
"""

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

SEGMENTED = "segment_aggregates"
# No aggregates by this one: F1, AUC or precision of rows that all have one true answer are not what
# they are of the whole.
TRUTH = "ground_truth"


class SegmentAggregate(NamedTuple):
    """An aggregate of the rows of one segment, with its interval; n counts rows."""

    params_key: str
    segmentation: str
    segment: str
    name: str
    estimate: float | None
    low: float | None
    high: float | None
    n: int


_KINDS = {str: "TEXT", int: "INTEGER"}
_TYPED = ", ".join(
    f"{name} {_KINDS.get(kind, 'REAL')}" for name, kind in SegmentAggregate.__annotations__.items()
)
SEGMENTS_OF = (
    f"SELECT {', '.join(SegmentAggregate._fields)} FROM {SEGMENTED} WHERE experiment_version = ?"
)


def create_segments(connection: sqlite3.Connection) -> None:
    """Make the table where it is not there yet."""
    typed = f"experiment_version TEXT, {_TYPED}"
    connection.execute(f"CREATE TABLE IF NOT EXISTS {SEGMENTED} ({typed})")


def record_segments(
    connection: sqlite3.Connection, experiment: str, found: Iterable[SegmentAggregate]
) -> None:
    """Write them in the place of those there were; the caller commits."""
    connection.execute(f"DELETE FROM {SEGMENTED} WHERE experiment_version = ?", (experiment,))
    marks = ", ".join("?" * (len(SegmentAggregate._fields) + 1))
    rows = [(experiment, *each) for each in found]
    connection.executemany(f"INSERT INTO {SEGMENTED} VALUES ({marks})", rows)
