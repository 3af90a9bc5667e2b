"""What an experiment recorded, read for comparison, summary and report.

Scores are read once, as arrays over items and configurations: the mean of an item's repeats, so
that repeats of one item never count as items of their own.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from duckdb import DuckDBPyConnection

from harness.analysis.views import columns, identifier
from harness.console import brief, shown
from harness.errors import HarnessError
from harness.layout import DEV
from harness.plan_file import MEASURED, Plan, metrics_in, recorded_plan

Values = npt.NDArray[np.float64]
OUTPUTS = ("ground_truth", "prediction", "raw_response", "error")
_JSON = ("packages", "settings", "gates", "grid", "grid_files", "code_parts")


@dataclass(frozen=True, slots=True)
class Configuration:
    """One set of params of an experiment, and its row of the table metrics."""

    params: dict[str, Any]
    label: str
    summary: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment as its three tables tell it; `scores` are the metrics that each item has."""

    name: str
    runs: list[dict[str, Any]]
    configurations: list[Configuration]
    metrics: list[str]
    scores: list[str]
    columns: frozenset[str]
    plan: Plan
    plan_problem: str
    failed_is_wrong: bool
    repeated: bool

    @property
    def shared_params(self) -> dict[str, Any]:
        """The params that are the same in every configuration."""
        first, *others = (each.params for each in self.configurations)
        return {
            key: value
            for key, value in first.items()
            if all(key in other and other[key] == value for other in others)
        }

    @property
    def data_version(self) -> str:
        """The data version of its last run ('' where none was recorded)."""
        return str(self.runs[-1].get("data_version") or "") if self.runs else ""

    def lower_is_better(self, metric: str) -> bool:
        """As the plan says of the metric."""
        return self.plan.lower_is_better(metric)


@dataclass(frozen=True, slots=True)
class Scores:
    """Per item (row) and configuration (column): the mean over repeats, NaN where there is none.

    `items` are 64-bit hashes of the input ids, ascending. `wrong` counts a failed datapoint as 0,
    or as 1 where the plan wants the metric low; `left_out` leaves it out. They differ only where
    the metric is a proportion.
    """

    items: npt.NDArray[np.uint64]
    wrong: dict[str, Values]
    left_out: dict[str, Values]
    proportions: frozenset[str]
    folds: npt.NDArray[np.float64] | None = None

    def of(self, experiment: Experiment, metric: str) -> Values:
        """The values under the experiment's own policy for failures."""
        return (self.wrong if experiment.failed_is_wrong else self.left_out)[metric]


def rows_of(con: DuckDBPyConnection, sql: str, values: Sequence[Any]) -> list[dict[str, Any]]:
    """The rows of a query as dicts."""
    found = con.execute(sql, values)
    names = [str(each[0]) for each in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def read_experiment(con: DuckDBPyConnection, name: str) -> Experiment:
    """Read an experiment by its tag (`dev`: the dev phase).

    Raises HarnessError where there are no rows under that name; it lists the names that there are.
    """
    have = columns(con)
    if not have.keys() >= {"experiment_version", "input_id", "repeat", "error"}:
        raise HarnessError(
            "these results were not recorded by this harness: they have no experiment_version",
            fix="scripts/export_summary.py reads any table of xetrack",
        )
    names = con.execute("SELECT DISTINCT experiment_version FROM predictions ORDER BY 1")
    known = [str(row[0]) for row in names.fetchall()]
    if name not in known:
        there = ", ".join(known[-10:]) or "none"
        raise HarnessError(
            f"there is no experiment {name!r} in the results (there: {there})",
            fix="name one of them; make tags lists those with a tag",
        )
    runs = _runs(con, name)
    params = [each for each in have if each.startswith("params_")]
    summaries = _summaries(con, name, params)
    listed = ", ".join(identifier(each) for each in params) or "1"
    combinations = rows_of(
        con,
        f"SELECT {listed} FROM predictions WHERE experiment_version = ? GROUP BY ALL ORDER BY ALL",
        [name],
    )
    sets = [{p.removeprefix("params_"): row[p] for p in params} for row in combinations]
    varying = [key for key in sets[0] if len({str(each[key]) for each in sets}) > 1]
    metrics = [
        each
        for each in metrics_in(columns(con, "metrics"))
        if any(summary.get(each) is not None for summary in summaries.values())
    ]
    numeric = [each for each in metrics if have.get(each) in ("BIGINT", "DOUBLE")]
    settings = runs[-1]["settings"] if runs else {}
    plan, problem = recorded_plan(runs[-1 if name == DEV else 0].get("plan") if runs else None)
    return Experiment(
        name=name,
        runs=runs,
        configurations=[
            Configuration(
                params={key: value for key, value in each.items() if value is not None},
                label=label({key: each[key] for key in varying or list(each)}),
                summary=summaries.get(_key(each), {}),
            )
            for each in sets
        ],
        metrics=metrics,
        scores=numeric,
        columns=frozenset(have),
        plan=plan,
        plan_problem=problem,
        repeated=con.execute(
            "SELECT max(repeat) > 0 FROM predictions WHERE experiment_version = ?", [name]
        ).fetchone()
        == (True,),
        failed_is_wrong=settings.get("run", {}).get("on_error", "continue") != "skip",
    )


def canned_words(rows: Sequence[Mapping[str, Any]]) -> str:
    """What is to be said of metrics rows whose answers no model gave; "" where a model gave all."""
    count, canned = (sum(row.get(name) or 0 for row in rows) for name in ("n", "canned"))
    if not canned:
        return ""
    which = "All" if canned == count else f"{canned:,} of"
    return (
        f"{which} {count:,} answers are canned: a rule gave them and no model was asked, so these "
        "numbers show that the pipeline works, and nothing else."
    )


def label(params: Mapping[str, Any]) -> str:
    """`depth=8, model=forest`, or `the only configuration` where nothing varies."""
    named = [f"{key}={brief(value)}" for key, value in params.items() if value is not None]
    return ", ".join(named) or "the only configuration"


def where(experiment: Experiment, index: int) -> tuple[str, list[Any]]:
    """The SQL condition that a row is of one configuration, and its values."""
    params = sorted({key for each in experiment.configurations for key in each.params})
    tests = [f"{identifier('params_' + key)} IS NOT DISTINCT FROM ?" for key in params]
    have = experiment.configurations[index].params
    return " AND ".join(tests) or "true", [have.get(key) for key in params]


def which(experiment: Experiment) -> tuple[str, list[Any]]:
    """The SQL expression that gives a row's configuration as its index, and its values."""
    cases, bound = [], []
    for index in range(len(experiment.configurations)):
        condition, values = where(experiment, index)
        cases.append(f"WHEN {condition} THEN {index}")
        bound += values
    return f"CASE {' '.join(cases)} END", bound


def planned_metrics(experiment: Experiment) -> list[str]:
    """The scores, and latency or cost where the plan names it."""
    named = {each.metric for each in experiment.plan.hypotheses} & MEASURED & experiment.columns
    return experiment.scores + sorted(named - set(experiment.scores))


def read_outputs(
    con: DuckDBPyConnection, experiment: Experiment, index: int, items: Sequence[int], limit: int
) -> dict[int, dict[str, str]]:
    """What one configuration answered to `items` (hashes of ids): the first repeat, fit to show."""
    condition, values = where(experiment, index)
    parts = ["hash(input_id) AS item", "CAST(input_id AS VARCHAR) AS input_id"]
    for name in OUTPUTS:
        text = f"CAST({identifier(name)} AS VARCHAR)" if name in experiment.columns else "NULL"
        parts.append(f"left({text}, {limit}) AS {name}, length({text}) AS {name}_length")
    rows = rows_of(
        con,
        f"SELECT {', '.join(parts)} FROM predictions WHERE experiment_version = ? AND {condition} "
        f"AND list_contains(?::UBIGINT[], hash(input_id)) ORDER BY repeat DESC",
        [experiment.name, *values, [int(each) for each in items]],
    )
    return {
        row["item"]: {"item": shown(row["input_id"])}
        | {name: shown(row[name], limit, row[f"{name}_length"]) for name in OUTPUTS}
        for row in rows
    }


def read_scores(
    con: DuckDBPyConnection, experiment: Experiment, names: Sequence[str], plan: Plan | None = None
) -> Scores:
    """The scores `names` (any numeric column of predictions) of every item and configuration.

    `plan` says which metrics are better low, if not the experiment's own: two experiments that are
    compared must count failures alike.
    """
    plan = plan or experiment.plan
    case, values = which(experiment)
    # A row is a datapoint already where nothing is repeated: a million groups cost a gigabyte.
    grouped = experiment.repeated
    mean, every, some = ("avg", "bool_and", "any_value") if grouped else ("", "", "")
    fold = f"{some}(fold)" if "fold" in experiment.columns else "NULL"
    wanted = []
    for name in names:
        column = identifier(name)
        # A cached row was not measured in this experiment, so it has no latency of its own.
        fit = "error IS NULL AND cache = ''" if name == "latency" else "error IS NULL"
        good = f"CASE WHEN {fit} THEN CAST({column} AS DOUBLE) END"
        worst = int(plan.lower_is_better(name))
        wanted.append(
            f"{mean}(CASE WHEN error IS NOT NULL THEN {worst} ELSE {column} END), {mean}({good})"
        )
        wanted.append(f"{every}(error IS NOT NULL OR {column} IS NULL OR {column} IN (0, 1))")
    found = con.execute(
        f"SELECT hash(input_id), {case} AS c, TRY_CAST({fold} AS DOUBLE), "
        f"{', '.join(wanted) or '1'} FROM predictions WHERE experiment_version = ? "
        f"{'GROUP BY 1, 2' if grouped else ''}",
        [*values, experiment.name],
    ).df()
    arrays = [found[name].to_numpy() for name in found]
    items, row_of = np.unique(arrays[0].astype(np.uint64), return_inverse=True)
    column_of = arrays[1].astype(int)

    def table(flat: Values) -> Values:
        wide = np.full((len(items), len(experiment.configurations)), np.nan)
        wide[row_of, column_of] = flat
        return wide

    left_out = {name: table(arrays[4 + 3 * i]) for i, name in enumerate(names)}
    proportions = frozenset(
        name
        for i, name in enumerate(names)
        if name not in MEASURED and np.nanmin(arrays[5 + 3 * i], initial=1) == 1
    )
    wrong = {
        name: table(arrays[3 + 3 * i]) if name in proportions else left_out[name]
        for i, name in enumerate(names)
    }
    folds = None
    if "fold" in experiment.columns and not np.isnan(arrays[2]).all():
        folds = np.full(len(items), np.nan)
        folds[row_of] = arrays[2]
    return Scores(items, wrong, left_out, proportions, folds)


def _runs(con: DuckDBPyConnection, name: str) -> list[dict[str, Any]]:
    if "experiment_version" not in columns(con, "runs"):
        return []
    runs = rows_of(con, "SELECT * FROM runs WHERE experiment_version = ? ORDER BY sequence", [name])
    for run in runs:
        for key in _JSON:
            run[key] = _loads(run.get(key))
    return runs


def _summaries(
    con: DuckDBPyConnection, name: str, params: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """The newest metrics row of each configuration."""
    if "experiment_version" not in columns(con, "metrics"):
        return {}
    rows = rows_of(
        con, "SELECT * FROM metrics WHERE experiment_version = ? ORDER BY timestamp", [name]
    )
    return {_key({p.removeprefix("params_"): row.get(p) for p in params}): row for row in rows}


def _key(params: Mapping[str, Any]) -> str:
    known = {key: value for key, value in params.items() if value is not None}
    return json.dumps(known, sort_keys=True, default=str)


def _loads(text: Any) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) and text else {}
    except ValueError:
        return {}
