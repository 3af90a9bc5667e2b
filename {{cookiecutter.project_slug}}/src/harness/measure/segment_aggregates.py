"""Aggregates of the rows of each segment, as the plan's segmentations name them."""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite

import pandas as pd

from harness.measure.configuration_rows import IN_ORDER
from harness.record.columns import quoted
from harness.record.segments_table import SegmentAggregate
from harness.stats.decision import MIN_ITEMS
from harness.stats.intervals import Interval
from harness.stats.resampling import NO_ITEMS, Resamples, interval_of

MOST = 30  # segments of one segmentation, the commonest
DRAWS = 400  # of the items of a segment; of all items there are more

Selection = tuple[str, list[object]]  # SQL from FROM on, and its values
# The aggregate on draws of some rows (a frame), given the names of all units they are of.
Resampler = Callable[[pd.DataFrame, Sequence[str], int], Resamples | None]


@dataclass(frozen=True, slots=True)
class Segmentations:
    """The columns of `table` that the plan names, and what is known of failed rows in them."""

    connection: sqlite3.Connection
    table: str
    columns: Sequence[str]

    def look_up(self, experiment: str) -> None:
        """Note the value on which the other rows of a failed row's item agree.

        Who raises returns no column, and left out of its segment a failure would flatter it.
        """
        con, table = self.connection, quoted(self.table)
        con.execute("DROP TABLE IF EXISTS temp.agreed")
        con.execute("CREATE TEMP TABLE agreed (place INTEGER, item TEXT, value TEXT)")
        mine = f"FROM {table} WHERE experiment_version = ?"
        for place, column in enumerate(self.columns):
            text = _text(column)
            con.execute(
                f"INSERT INTO agreed SELECT ?, input_id, min({text}) {mine} AND input_id IN "
                f"(SELECT input_id {mine} AND error IS NOT NULL AND {text} IS NULL) "
                f"GROUP BY input_id HAVING min({text}) = max({text})",
                (place, experiment, experiment),
            )
        con.execute("CREATE INDEX temp.agreed_on ON agreed (place, item)")

    def aggregates(
        self,
        column: str,
        unit: str,
        everyone: Selection,
        seen: Selection,
        frame: pd.DataFrame,
        resampled: Resampler,
    ) -> dict[str, Interval]:
        """The aggregate of each segment of a configuration, by the value of `column`.

        `everyone` and `seen` select the configuration's rows, all of them and those in `frame`,
        which stand there in the order of `IN_ORDER`. `unit` is the SQL of what is drawn.
        """
        value = self._value(column)
        units: dict[str, set[str]] = defaultdict(set)
        query = f"SELECT {value}, {unit} {everyone[0]}"
        for segment, name in self.connection.execute(query, everyone[1]):
            units[segment].add(name)
        rows: dict[str, list[int]] = defaultdict(list)
        query = f"SELECT {value} {seen[0]} {IN_ORDER}"
        for index, (segment,) in enumerate(self.connection.execute(query, seen[1])):
            rows[segment].append(index)
        found: dict[str, Interval] = {}
        for segment in sorted(rows, key=lambda each: (-len(units[each]), each))[:MOST]:
            found[segment] = _of_one(frame.iloc[rows[segment]], sorted(units[segment]), resampled)
        return found

    def _value(self, column: str) -> str:
        place = self.columns.index(column)
        agreed = f"SELECT value FROM agreed WHERE place = {place} AND item = {quoted(self.table)}"
        known = f"CASE WHEN error IS NOT NULL THEN ({agreed}.input_id) END"
        return f"substr(coalesce({_text(column)}, {known}, '(not recorded)'), 1, 200)"


def _text(column: str) -> str:
    return f"CAST({quoted(column)} AS TEXT)"


def _of_one(rows: pd.DataFrame, units: Sequence[str], resampled: Resampler) -> Interval:
    enough = len(units) >= MIN_ITEMS
    try:
        drawn = resampled(rows, units, DRAWS if enough else 0)
    except Exception:  # a segment may lack a class, say; on all rows that would have been an error
        return NO_ITEMS
    if drawn is None or not isfinite(drawn.estimate):
        return NO_ITEMS
    if not enough:
        return Interval(drawn.estimate, None, None, len(rows), "none", f"below {MIN_ITEMS} items")
    return interval_of(drawn)


def named(
    key: str, segmentation: str, metric: str, found: dict[str, Interval]
) -> list[SegmentAggregate]:
    """The intervals as rows of their table."""
    return [
        SegmentAggregate(
            key, segmentation, value, metric, each.estimate, each.low, each.high, each.n
        )
        for value, each in found.items()
    ]
