"""The one reader of what items scored: each value counted by its rule, repeats averaged first.

An item's repeats count as one, so that they never stand for items of their own. Where models were
fitted for folds, each repeat stays a row, since its model was another one, and the rows of an item
are a cluster. `read_scores` has every item, as arrays; `read_segments` has sums, so that the rows
of a segment never come into memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Self

import numpy as np
import numpy.typing as npt
from duckdb import DuckDBPyConnection

from harness.project.declarations import Rule
from harness.read.results import Experiment, rows_of, which
from harness.read.views import ask
from harness.record.columns import CLUSTER, LOOK, quoted
from harness.stats.intervals import Interval, interval_of_clusters, interval_of_sums
from harness.stats.paired import ALONE, Units

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scores:
    """Per item (row) and configuration (column): the mean over repeats, NaN where there is none.

    `rows` name the rows, ascending: two experiments share those whose names are equal. `items` are
    64-bit hashes of the input ids; one occurs in several rows where each repeat has a fold.
    `counted` is by the metric's rule. Of a failed datapoint, `left_out` has nothing and `worst` the
    worst value, where that is known. `units`: which rows belong together. `ran`: which rows a
    configuration has. `looks`: at which look of the plan each row's item came; None without any.
    """

    rows: npt.NDArray[np.uint64]
    items: npt.NDArray[np.uint64]
    counted: dict[str, Numbers]
    left_out: dict[str, Numbers]
    worst: dict[str, Numbers]
    units: Units = ALONE
    ran: npt.NDArray[np.bool_] = field(default_factory=lambda: np.ones((0, 0), dtype=np.bool_))
    looks: Numbers | None = None

    def upto(self, look: int) -> "Scores":
        """What was known at a look of the plan."""
        if self.looks is None:
            return self
        kept = np.flatnonzero(self.looks <= look)
        return Scores(
            self.rows[kept],
            self.items[kept],
            {name: values[kept] for name, values in self.counted.items()},
            {name: values[kept] for name, values in self.left_out.items()},
            {name: values[kept] for name, values in self.worst.items()},
            self.units.at(kept),
            self.ran[kept],
            self.looks[kept],
        )

    @property
    def n_items(self) -> int:
        """How many items there are."""
        return len(np.unique(self.items))


@dataclass(frozen=True, slots=True)
class Sums:
    """What n values come to: their sum, and their standard deviation (n - 1).

    `spread` is None where there is none, `binary` says that each value is 0 or 1. Values that were
    drawn together have the number of their clusters as `units`, and the standard `error` of their
    mean.
    """

    n: int
    total: float | None
    spread: float | None
    binary: bool
    units: int | None = None
    error: float | None = None

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

    def mean(self, bounds: tuple[float, float] | None = None) -> Interval:
        """Their mean with its 95% interval; `bounds`: the values that are possible, if declared."""
        if self.units is not None:
            return interval_of_clusters(self.n, self.total, self.units, self.error, self.binary)
        return interval_of_sums(self.n, self.total, self.spread, binary=self.binary, bounds=bounds)


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
    by_repeat: bool = False,
) -> Scores:
    """The scores `names` (any numeric column of predictions) of every item and configuration.

    `rules` say how they count, if not the experiment's own: two experiments that are compared must
    count alike. `by_repeat`: each repeat is a row, as it is where rows name a fold or cluster; two
    experiments share rows only where both have them so.
    """
    ways: dict[str, list[str]] = {}
    for name in names:
        rule = (rules or {}).get(name) or experiment.rule(name)
        worst = rule.failure if rule.worst is None else rule.worst
        # Where nothing failed all three are the same, and one is read.
        failures = (rule.failure, None, worst) if experiment.failed else (rule.failure,) * 3
        ways[name] = [rule.sql(quoted(name), failed) for failed in failures]
    wanted = list(dict.fromkeys(way for each in ways.values() for way in each))

    heads = ["hash(input_id) AS row", *_unit_heads(experiment)]
    several = by_repeat or experiment.grouped
    if several:
        heads[0] = "hash(input_id, repeat) AS row, hash(input_id) AS item"
    query, values = _by_item(experiment, heads, wanted)
    found = ask(con, query, [*values, experiment.name]).fetchnumpy()
    # Each column is let go when it was used: of a million items, all together take 100 MB.
    named = np.asarray(found.pop("row"), np.uint64)
    rows = np.unique(named)
    row_of = np.searchsorted(rows, named)  # in a third of the memory that return_inverse takes
    del named
    items = rows
    if several:
        items = np.empty_like(rows)
        items[row_of] = np.asarray(found.pop("item"), np.uint64)
    column_of = np.asarray(found.pop("c"), dtype=int)

    tables: dict[str, Numbers] = {}
    for place, way in enumerate(wanted):
        tables[way] = np.full((len(rows), len(experiment.configurations)), np.nan)
        tables[way][row_of, column_of] = _numbers(found.pop(f"v{place}"))
    counted, left_out, worst_case = (
        {name: tables[each[index]] for name, each in ways.items()} for index in range(3)
    )
    units = _units(found, row_of, len(rows), items)
    ran = np.zeros((len(rows), len(experiment.configurations)), dtype=np.bool_)
    ran[row_of, column_of] = True
    looks = None
    if LOOK in found:
        looks = np.full(len(rows), np.nan)
        looks[row_of] = _numbers(found[LOOK])
        looks = None if np.isnan(looks).all() else looks
    return Scores(rows, items, counted, left_out, worst_case, units, ran, looks)


def _unit_heads(experiment: Experiment) -> list[str]:
    """SQL of what says which rows belong together, or came when; seeds of one row agree on it."""
    parts = {}
    if CLUSTER in experiment.columns:
        parts["cluster"] = f"hash(coalesce({CLUSTER}, input_id))"
    if "fold" in experiment.columns:
        # A fold may be a text, and its hash has a place in any array.
        text = "CAST(fold AS VARCHAR)"
        hashed = f"CAST(hash({text}) AS DOUBLE)"
        parts["fold"] = f"CASE WHEN {text} IS NULL THEN NULL ELSE {hashed} END"
        for name in ("n_train", "n_test"):
            if name in experiment.columns:
                parts[name] = f"TRY_CAST({name} AS DOUBLE)"
    if experiment.plan.looks is not None and LOOK in experiment.columns:
        parts[LOOK] = f"TRY_CAST({LOOK} AS DOUBLE)"
    one = "any_value" if experiment.repeated else ""
    return [f"{one}({part}) AS {name}" for name, part in parts.items()]


def _units(
    columns: Mapping[str, object],
    row_of: npt.NDArray[np.intp],
    rows: int,
    items: npt.NDArray[np.uint64],
) -> Units:
    """The units of the rows, each from whichever configuration names it."""
    found: dict[str, Numbers] = {}
    for name in ("fold", "n_train", "n_test"):
        if name in columns:
            named = _numbers(columns[name])
            known = ~np.isnan(named)
            found[name] = np.full(rows, np.nan)
            found[name][row_of[known]] = named[known]
    labels = items
    if "cluster" in columns:
        labels = np.zeros(rows, np.uint64)
        labels[row_of] = np.asarray(columns["cluster"], dtype=np.uint64)
    count = len(np.unique(labels))
    clusters = labels if count < rows else None
    called = "clusters" if count < min(rows, len(np.unique(items))) else "items"
    return Units(clusters, found.get("fold"), found.get("n_train"), found.get("n_test"), called)


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
    clustered = CLUSTER in experiment.columns
    if clustered:
        heads.append(f"coalesce({CLUSTER}, input_id) AS unit")
    query, values = _by_item(
        experiment,
        heads,
        [rule.counted(quoted(rule.name)) for rule in rules],
        f"predictions LEFT JOIN ({known}) ON input_id = _item AND error IS NOT NULL",
    )
    rows = rows_of(
        con,
        (_clustered_sums if clustered else _sums)(query, len(rules)),
        [*values, *[experiment.name] * 3],
    )
    segments = []
    for row in rows:
        scores = {}
        for place, rule in enumerate(rules):
            n, total, spread, shares, *of_clusters = row[f"s{place}"]
            binary = rule.binary and shares != 0
            scores[rule.name] = Sums(int(n), total, spread, binary, *_error(n, total, *of_clusters))
        segments.append(Segment(row["segment"], row["c"], row["items"], scores))
    return segments


def _sums(query: str, scores: int) -> str:
    """SQL of what items come to by segment and configuration, each score's in a list `s0`, `s1`."""
    parts = ["segment, c, count(*) AS items"]
    for place in range(scores):
        v = f"v{place}"
        parts.append(
            f"[count({v}), sum({v}), stddev_samp({v}), bool_and({v} IN (0, 1))::INT] AS s{place}"
        )
    return f"SELECT {', '.join(parts)} FROM ({query}) GROUP BY segment, c"


def _clustered_sums(query: str, scores: int) -> str:
    """`_sums` of items in clusters, with what `_error` takes at the end of each list."""
    inner, outer = ["segment, c, unit, count(*) AS items"], ["segment, c, sum(items) AS items"]
    for place in range(scores):
        v, total, size = f"v{place}", f"t{place}", f"k{place}"
        inner.append(f"sum({v}) AS {total}, count({v}) AS {size}")
        inner.append(f"bool_and({v} IN (0, 1)) AS b{place}")
        outer.append(
            f"[sum({size}), sum({total}), NULL, bool_and(b{place})::INT, "
            f"count(*) FILTER ({size} > 0), sum({total} * {total}), sum({total} * {size}), "
            f"sum({size} * {size})] AS s{place}"
        )
    by_cluster = f"SELECT {', '.join(inner)} FROM ({query}) GROUP BY segment, c, unit"
    return f"SELECT {', '.join(outer)} FROM ({by_cluster}) GROUP BY segment, c"


def _error(n: float, total: float | None, *sums: float) -> tuple[int | None, float | None]:
    """The clusters, and the standard error of the mean of their values (`ratio_error`).

    `sums`: how many clusters, and over them the sums of total squared, total times size, and size
    squared; none where values stand for themselves.
    """
    if not sums:
        return None, None
    units, squares, products, sizes = int(sums[0]), *sums[1:]
    if units < 2 or not n or total is None:
        return units, None
    mean = total / n
    residual = max(0.0, squares - 2 * mean * products + mean**2 * sizes)
    # What rounding leaves of a difference of squares is no spread.
    known = residual > 1e-12 * squares
    return units, sqrt(units / (units - 1) * residual) / n if known else None


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
