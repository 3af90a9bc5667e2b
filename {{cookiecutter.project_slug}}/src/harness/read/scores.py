"""The one reader of what items scored: each value counted by its rule, repeats averaged first.

An item's repeats count as one, so that they never stand for items of their own. `read_scores` has
every item, as arrays; `read_segments` has sums, so that the rows of a segment never come into
memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Self

import numpy as np
import numpy.typing as npt
from duckdb import DuckDBPyConnection

from harness.project.declarations import Rule
from harness.read.results import Experiment, rows_of, which
from harness.read.views import ask
from harness.record.columns import quoted
from harness.stats.intervals import Interval, interval_of_sums

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scores:
    """Per item (row) and configuration (column): the mean over repeats, NaN where there is none.

    `items` are 64-bit hashes of the input ids, ascending. `counted` is by the metric's rule. Of a
    failed datapoint, `left_out` has nothing and `worst` the worst value, where that is known.
    """

    items: npt.NDArray[np.uint64]
    counted: dict[str, Numbers]
    left_out: dict[str, Numbers]
    worst: dict[str, Numbers]
    folds: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class Sums:
    """What n values come to: their sum, and their standard deviation (n - 1).

    `spread` is None where there is none, `binary` says that each value is 0 or 1.
    """

    n: int
    total: float | None
    spread: float | None
    binary: bool

    @classmethod
    def of_squares(cls, n: float, total: float | None, squares: float | None, others: int) -> Self:
        """From the sum of squares; `others` counts values that are neither 0 nor 1."""
        if not n or total is None or squares is None:
            return cls(0, None, None, binary=False)
        mean = total / n
        spread = sqrt(max(0.0, squares - n * mean**2) / (n - 1)) if n > 1 else 0.0
        # What rounding leaves of a difference of squares is no spread.
        known = spread > 1e-9 * abs(mean) * sqrt(n)
        return cls(round(n), total, spread if known else None, binary=not others)

    def mean(self) -> Interval:
        """Their mean with its 95% interval."""
        return interval_of_sums(self.n, self.total, self.spread, binary=self.binary)


@dataclass(frozen=True, slots=True)
class Segment:
    """The items of one value of a column under one configuration (its index)."""

    value: str
    configuration: int
    items: int
    scores: dict[str, Sums]


def read_scores(
    con: DuckDBPyConnection,
    experiment: Experiment,
    names: Sequence[str],
    rules: Mapping[str, Rule] | None = None,
) -> Scores:
    """The scores `names` (any numeric column of predictions) of every item and configuration.

    `rules` say how they count, if not the experiment's own: two experiments that are compared must
    count alike.
    """
    ways: dict[str, list[str]] = {}
    for name in names:
        rule = (rules or {}).get(name) or experiment.rule(name)
        worst = rule.failure if rule.worst is None else rule.worst
        ways[name] = [rule.sql(quoted(name), failed) for failed in (rule.failure, None, worst)]
    wanted = list(dict.fromkeys(way for each in ways.values() for way in each))

    fold = "NULL"
    if "fold" in experiment.columns:
        fold = "any_value(fold)" if experiment.repeated else "fold"
    heads = ["hash(input_id) AS item", f"TRY_CAST({fold} AS DOUBLE) AS fold"]
    query, values = _by_item(experiment, heads, wanted)
    found = ask(con, query, [*values, experiment.name]).fetchnumpy()
    hashes = np.asarray(found["item"], dtype=np.uint64)
    items, row_of = np.unique(hashes, return_inverse=True)
    column_of = np.asarray(found["c"], dtype=int)

    tables: dict[str, Numbers] = {}
    for place, way in enumerate(wanted):
        tables[way] = np.full((len(items), len(experiment.configurations)), np.nan)
        tables[way][row_of, column_of] = _numbers(found[f"v{place}"])
    counted, left_out, worst_case = (
        {name: tables[each[index]] for name, each in ways.items()} for index in range(3)
    )
    folds, recorded = None, _numbers(found["fold"])
    if "fold" in experiment.columns and not np.isnan(recorded).all():
        folds = np.full(len(items), np.nan)
        folds[row_of] = recorded
    return Scores(items, counted, left_out, worst_case, folds)


def _numbers(column: object) -> Numbers:
    """A column as DuckDB gives it, masked where it is NULL: NaN there.

    (As a DataFrame it would be that at once, and pandas be loaded.)
    """
    numbers = np.array(column, dtype=np.float64)
    numbers[np.asarray(getattr(column, "mask", False))] = np.nan
    return numbers


def read_segments(con: DuckDBPyConnection, experiment: Experiment, column: str) -> list[Segment]:
    """The experiment's scores by the values of a column and configuration, each item once."""
    rules = [experiment.rule(name) for name in experiment.scores]
    parts = ["segment, c, count(*) AS items"]
    for place in range(len(rules)):
        v = f"v{place}"
        parts.append(
            f"[count({v}), sum({v}), stddev_samp({v}), bool_and({v} IN (0, 1))::INT] AS s{place}"
        )
    # Who raises returns no column, and left out of its segment a failure would flatter it: what the
    # item's other rows agree on holds for the failed one too.
    value = f"CAST({quoted(column)} AS VARCHAR)"
    mine = "FROM predictions WHERE experiment_version = ?"
    known = (
        f"SELECT input_id AS _item, min({value}) AS _known {mine} AND input_id IN "
        f"(SELECT input_id {mine} AND error IS NOT NULL AND {value} IS NULL) "
        f"GROUP BY 1 HAVING min({value}) = max({value})"
    )
    heads = [f"left(coalesce({value}, _known, '(not recorded)'), 200) AS segment", "input_id"]
    query, values = _by_item(
        experiment,
        heads,
        [rule.counted(quoted(rule.name)) for rule in rules],
        f"predictions LEFT JOIN ({known}) ON input_id = _item AND error IS NOT NULL",
    )
    rows = rows_of(
        con,
        f"SELECT {', '.join(parts)} FROM ({query}) GROUP BY segment, c",
        [*values, *[experiment.name] * 3],
    )
    segments = []
    for row in rows:
        scores = {}
        for place, rule in enumerate(rules):
            n, total, spread, shares = row[f"s{place}"]
            scores[rule.name] = Sums(int(n), total, spread, rule.binary and shares != 0)
        segments.append(Segment(row["segment"], row["c"], row["items"], scores))
    return segments


def _by_item(
    experiment: Experiment,
    heads: Sequence[str],
    scores: Sequence[str],
    source: str = "predictions",
) -> tuple[str, list[object]]:
    """SQL with a row per item and configuration, and its values but for those of `source`.

    Its columns are `heads`, the index of the configuration `c`, and the scores `v0`, `v1`, …
    """
    case, values = which(experiment)
    # A row is a datapoint already where nothing is repeated: a million groups cost a gigabyte.
    mean = "avg" if experiment.repeated else ""
    grouped = "GROUP BY ALL" if experiment.repeated else ""
    columns = [*heads, f"{case} AS c"]
    columns += [f"{mean}(CAST({each} AS DOUBLE)) AS v{place}" for place, each in enumerate(scores)]
    query = f"SELECT {', '.join(columns)} FROM {source} WHERE experiment_version = ? {grouped}"
    return query, values
