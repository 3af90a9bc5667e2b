"""An experiment as its tables hold it: runs, configurations, plan, and how its scores count.

What its items scored is read by `scores`, what was answered to them by `outputs`.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from duckdb import DuckDBPyConnection

from harness.console import brief
from harness.errors import HarnessError
from harness.project.declarations import Rule, Uncounted, has_figures, legacy_rules, measured_rule
from harness.project.hypotheses import Plan, recorded_plan
from harness.project.scores import MEASURED
from harness.project.values import Row
from harness.project.values import plain as stored
from harness.read.views import ask, columns
from harness.record.columns import CLUSTER, quoted
from harness.record.layout import DEV
from harness.record.metrics_table import COUNTS, metrics_in
from harness.record.resamples_table import RESAMPLED, RESAMPLES_OF, resamples_of
from harness.record.score_tables import DECLARED, RULES_OF, UNCOUNTED, UNCOUNTED_OF, rule_of
from harness.stats.resampling import Resamples

_JSON = (
    *("packages", "settings", "gates", "grid", "grid_files", "code_parts", "harness_edited"),
    "looked",
)


@dataclass(frozen=True, slots=True)
class RecordedConfiguration:
    """One set of params of an experiment, and its row of the table metrics.

    `seeds` is how many runs of it stand for it, each with another seed: their params lack it, and
    their `summary` has means, with the spread over seeds of each metric in `…_spread`.
    """

    params: dict[str, object]
    label: str
    summary: Row
    seeds: int = 0


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment as its tables hold it; `scores` are the metrics that each item has.

    `rules` say how they count, by name and in the order in which they are shown; `uncounted`, what
    was returned and cannot count. `resamples`: aggregates on draws of the items, by name and by the
    index of the configuration. `recorded` is how many datapoints have a row, and `failed` how many
    of them failed. `repeated`: an item may have several; `grouped`: rows name a fold or cluster.
    """

    name: str
    runs: list[Row]
    configurations: list[RecordedConfiguration]
    metrics: list[str]
    scores: list[str]
    columns: frozenset[str]
    plan: Plan
    plan_problem: str
    repeated: bool
    grouped: bool
    seeds: tuple[str, ...]
    rules: dict[str, Rule]
    uncounted: list[Uncounted]
    resamples: dict[str, dict[int, Resamples]]
    recorded: int
    failed: int

    @property
    def measured(self) -> bool:
        """Whether its scores are computed, as they are once all has run."""
        return any(each.summary for each in self.configurations)

    def rule(self, metric: str) -> Rule:
        """How a metric counts; latency and cost are known without a declaration."""
        return self.rules.get(metric) or measured_rule(metric)

    @property
    def shared_params(self) -> dict[str, object]:
        """The params that are the same in every configuration."""
        first, *others = (each.params for each in self.configurations)
        return {
            key: value
            for key, value in first.items()
            if all(key in other and other[key] == value for other in others)
        }

    @property
    def looked(self) -> list[Row]:
        """What the looks of the plan found that were taken, in order; see `deciding`."""
        found = {int(run["looked"]["look"]): run["looked"] for run in self.runs if run["looked"]}
        return [found[look] for look in sorted(found)]

    @property
    def ended_by_plan(self) -> str:
        """Why the plan ended it before all items: "decided", "budget"; "" where it did not."""
        return str(self.runs[-1].get("ended_by_plan") or "") if self.runs else ""

    @property
    def confidence(self) -> float:
        """Of what is said of all configurations together: more than 95% after an early look."""
        if not self.looked or self.plan.looks is None:
            return 0.95
        return self.plan.looks.confidences()[len(self.looked) - 1]

    @property
    def data_version(self) -> str:
        """The data version of its last run ('' where none was recorded)."""
        return str(self.runs[-1].get("data_version") or "") if self.runs else ""


def rows_of(con: DuckDBPyConnection, sql: str, values: Sequence[object]) -> list[Row]:
    """The rows of a query as dicts."""
    found = ask(con, sql, values)
    names = [str(each[0]) for each in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def read_experiment(con: DuckDBPyConnection, name: str) -> Experiment:
    """Read an experiment by its tag (`dev`: the dev phase).

    Raises HarnessError where there are no rows under that name; it lists the names that there are.
    """
    have = columns(con)
    params = [each for each in have if each.startswith("params_")]
    combinations = _combinations(con, have, name, params)
    runs = _runs(con, name)
    summaries = _summaries(con, name, params)
    seeds = seeds_of(runs[-1] if runs else {})
    configurations = _without_seeds(
        _configurations(combinations, params, runs, summaries),
        seeds,
        metrics_in(columns(con, "metrics")),
    )
    plan, problem = recorded_plan(runs[-1 if name == DEV else 0].get("plan") if runs else None)
    rules = _rules(con, name, plan, runs)
    repeated = any(each["repeated"] for each in combinations)
    return Experiment(
        name=name,
        runs=runs,
        configurations=configurations,
        metrics=[each for each, rule in rules.items() if has_figures(rule, summaries.values())],
        scores=[
            each
            for each, rule in rules.items()
            if not rule.aggregate and have.get(each) in ("BIGINT", "DOUBLE")
        ],
        columns=frozenset(have),
        plan=plan,
        plan_problem=problem,
        repeated=repeated or any(each.seeds for each in configurations),
        grouped=any(each["grouped"] for each in combinations),
        seeds=seeds,
        rules=rules,
        uncounted=_uncounted(con, name),
        resamples=_resamples(con, name, configurations),
        recorded=sum(each["recorded"] for each in combinations),
        failed=sum(each["failed"] for each in combinations),
    )


def _combinations(
    con: DuckDBPyConnection, have: Mapping[str, str], name: str, params: Sequence[str]
) -> list[Row]:
    """The params that have rows, how many are `recorded` and `failed`, and whether they are
    `repeated` and `grouped`, see Experiment.

    Raises HarnessError where the tables are not ours, or have no such experiment.
    """
    if not have.keys() >= {"experiment_version", "input_id", "repeat", "error"}:
        raise HarnessError(
            "these results were not recorded by this harness: they have no experiment_version",
            fix="scripts/export_summary.py reads any table of xetrack",
        )
    listed = ", ".join(quoted(each) for each in params) or "1"
    groups = [each for each in ("fold", CLUSTER) if each in have]
    grouped = " + ".join(f"count({each})" for each in groups) or "0"
    combinations = rows_of(
        con,
        f"SELECT {listed}, count(*) AS recorded, count(error) AS failed, "
        f"max(repeat) > 0 AS repeated, {grouped} > 0 AS grouped "
        "FROM predictions WHERE experiment_version = ? GROUP BY ALL ORDER BY ALL",
        [name],
    )
    if not combinations:
        names = con.execute("SELECT DISTINCT experiment_version FROM predictions ORDER BY 1")
        there = ", ".join([str(row[0]) for row in names.fetchall()][-10:]) or "none"
        raise HarnessError(
            f"there is no experiment {name!r} in the results (there: {there})",
            fix="name one of them; make tags lists those with a tag",
        )
    return combinations


def _configurations(
    combinations: Sequence[Row],
    params: Sequence[str],
    runs: Sequence[Row],
    summaries: Mapping[str, Row],
) -> list[RecordedConfiguration]:
    """What ran, in the order of the grid; the label names the params that vary."""
    grid = [each for run in runs for each in run["grid"] or ()]
    sets = [{p.removeprefix("params_"): row[p] for p in params} for row in combinations]
    placed = sorted((_in_grid(each, grid) for each in sets), key=lambda each: each[0])
    own = [given for _, given, _ in placed]
    varying = varying_params(sets[0], own)
    configurations = []
    for _, given, recorded in placed:
        named = {key: given[key] for key in varying or given if key in given}
        summary = summaries.get(_key(recorded), {})
        configurations.append(RecordedConfiguration(given, label(named), summary))
    return configurations


def seeds_of(run: Row) -> tuple[str, ...]:
    """The params that a recorded run declares as seeds ([data] seeds of benchmark.toml)."""
    named = run.get("settings", {}).get("data", {}).get("seeds", ())
    return tuple(str(name).removeprefix("params_") for name in named)


def without(params: Mapping[str, object], names: Collection[str]) -> dict[str, object]:
    """The params but for those of these names."""
    return {name: value for name, value in params.items() if name not in names}


def varying_params(names: Iterable[str], every: Sequence[Mapping[str, object]]) -> list[str]:
    """Those of the params that are not the same in every configuration, or not in every one."""
    return [name for name in names if len({str(each.get(name, _ABSENT)) for each in every}) > 1]


def _without_seeds(
    found: list[RecordedConfiguration], seeds: Sequence[str], metrics: Sequence[str]
) -> list[RecordedConfiguration]:
    """Those that differ in nothing but a seed as one: the luckiest of them is no better."""
    if not seeds:
        return found
    alike: dict[str, list[RecordedConfiguration]] = {}
    for each in found:
        rest = json.dumps(without(each.params, seeds), sort_keys=True, default=str)
        alike.setdefault(rest, []).append(each)
    if len(alike) == len(found):
        return found
    every = [without(of[0].params, seeds) for of in alike.values()]
    varying = varying_params(every[0], every)
    pooled = []
    for params, of in zip(every, alike.values(), strict=True):
        named = label({k: params[k] for k in varying or params if k in params})
        summary = pooled_row([each.summary for each in of], metrics)
        count = f"{len(of)} seed" + ("s" if len(of) > 1 else "")
        pooled.append(RecordedConfiguration(params, f"{named} ({count})", summary, len(of)))
    return pooled


def pooled_rows(rows: Sequence[Row], seeds: Sequence[str], metrics: Sequence[str]) -> list[Row]:
    """Rows of metrics, those that differ in nothing but a seed as one, see `pooled_row`."""
    columns = {f"params_{name}" for name in seeds}
    alike: dict[str, list[Row]] = {}
    for row in rows:
        params = {k: v for k, v in row.items() if k.startswith("params_") and k not in columns}
        params.pop("params_key", None)
        alike.setdefault(json.dumps(params, sort_keys=True, default=str), []).append(row)
    if not seeds or len(alike) == len(rows):
        return list(rows)
    return [
        pooled_row([without(row, columns) for row in of], metrics) | {"params_seeds": len(of)}
        for of in alike.values()
    ]


def pooled_row(rows: Sequence[Row], metrics: Sequence[str]) -> Row:
    """Rows of metrics as one: counts and cost added, figures and bounds averaged.

    The mean of the bounds is no narrower than those of the mean. `metrics` get a `…_spread`, the
    standard deviation over the rows.
    """
    added = {*COUNTS, "cost", "latency_n", *(f"{name}_n" for name in metrics)}
    row: Row = {}
    for name in dict.fromkeys(name for each in rows for name in each):
        values = [each.get(name) for each in rows]
        numbers = [v for v in values if isinstance(v, (int, float)) and v == v]
        if name in added:
            row[name] = sum(numbers) if numbers else None
        elif len(numbers) == len(values):
            row[name] = mean(numbers)
        elif len({str(value) for value in values}) == 1:
            row[name] = values[0]
        if name in metrics and len(numbers) == len(values) > 1:
            row[f"{name}_spread"] = stdev(numbers)
    return row


_ABSENT = "\0"  # no value of a param, not even None


def _in_grid(
    recorded: dict[str, object], grid: Sequence[Mapping[str, object]]
) -> tuple[int, dict[str, object], dict[str, object]]:
    """The place of a configuration in the grid, its params, and all params columns of its rows.

    A column is NULL for a param that is None, and for one that this configuration does not have:
    the grid tells them apart. Where it is not recorded, what is NULL was not there.
    """
    there = {key: value for key, value in recorded.items() if value is not None}
    for place, each in enumerate(grid):
        named = {key.removeprefix("params_"): value for key, value in each.items()}
        given = {key: stored(value) for key, value in named.items() if value is not None}
        if given == there:
            return place, {key: recorded[key] for key in recorded if key in named}, recorded
    return len(grid), there, recorded


def _rules(con: DuckDBPyConnection, name: str, plan: Plan, runs: Sequence[Row]) -> dict[str, Rule]:
    """How the scores of an experiment count, as it recorded that."""
    if columns(con, DECLARED):
        found = [rule_of(row) for row in ask(con, RULES_OF, [name]).fetchall()]
        if found:
            return {rule.name: rule for rule in found}
    have = columns(con)
    metrics = metrics_in(columns(con, "metrics"))
    scores = [each for each in metrics if have.get(each) in ("BIGINT", "DOUBLE")]
    binary = {each: _all_zero_or_one(con, name, each) for each in scores}
    kept = {each: found for each, found in binary.items() if found is not None}
    aggregates = [each for each in metrics if each not in kept]
    skipped = bool(runs) and runs[-1]["settings"].get("run", {}).get("on_error") == "skip"
    return {rule.name: rule for rule in legacy_rules(plan, kept, aggregates, skipped)}


def _all_zero_or_one(con: DuckDBPyConnection, experiment: str, score: str) -> bool | None:
    """Whether every value is 0 or 1, as proportions were recognised once; None: there is none."""
    row = ask(
        con,
        f"SELECT bool_and({quoted(score)} IN (0, 1)) FROM predictions "
        "WHERE experiment_version = ? AND error IS NULL",
        [experiment],
    ).fetchone()
    return row[0] if row else None


def _uncounted(con: DuckDBPyConnection, name: str) -> list[Uncounted]:
    if not columns(con, UNCOUNTED):
        return []
    return [Uncounted(*row) for row in ask(con, UNCOUNTED_OF, [name]).fetchall()]


def _resamples(
    con: DuckDBPyConnection, name: str, configurations: Sequence[RecordedConfiguration]
) -> dict[str, dict[int, Resamples]]:
    if not columns(con, RESAMPLED):
        return {}
    # What stands for several seeds has a mean of their aggregates, of which nothing was drawn.
    places = {
        each.summary.get("params_key"): i for i, each in enumerate(configurations) if not each.seeds
    }
    found: dict[str, dict[int, Resamples]] = {}
    for row in ask(con, RESAMPLES_OF, [name]).fetchall():
        key, metric, resamples = resamples_of(row)
        if key in places:
            found.setdefault(metric, {})[places[key]] = resamples
    return found


def doubt_words(rows: Sequence[Row], doubts: Mapping[str, str]) -> list[str]:
    """What is to be said of metrics rows whose numbers mean little, in the words of the kind."""
    total = sum(row.get("n") or 0 for row in rows)
    said = []
    for column, words in doubts.items():
        count = sum(row.get(column) or 0 for row in rows)
        if count:
            which = "All" if count == total else f"{count:,} of"
            said.append(f"{which} {total:,} {words}")
    return said


def label(params: Mapping[str, object]) -> str:
    """`depth=8, model=forest`, or `the only configuration` where nothing varies."""
    named = [f"{key}={brief(value)}" for key, value in params.items()]
    return ", ".join(named) or "the only configuration"


def where(experiment: Experiment, index: int) -> tuple[str, list[object]]:
    """The SQL condition that a row is of one configuration, and its values."""
    params = sorted({key for each in experiment.configurations for key in each.params})
    tests = [f"{quoted('params_' + key)} IS NOT DISTINCT FROM ?" for key in params]
    have = experiment.configurations[index].params
    return " AND ".join(tests) or "true", [have.get(key) for key in params]


def which(experiment: Experiment) -> tuple[str, list[object]]:
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


def _runs(con: DuckDBPyConnection, name: str) -> list[Row]:
    if "experiment_version" not in columns(con, "runs"):
        return []
    runs = rows_of(con, "SELECT * FROM runs WHERE experiment_version = ? ORDER BY sequence", [name])
    for run in runs:
        for key in _JSON:
            run[key] = _loads(run.get(key))
    return runs


def _summaries(con: DuckDBPyConnection, name: str, params: Sequence[str]) -> dict[str, Row]:
    """The newest metrics row of each configuration."""
    if "experiment_version" not in columns(con, "metrics"):
        return {}
    rows = rows_of(
        con, "SELECT * FROM metrics WHERE experiment_version = ? ORDER BY timestamp", [name]
    )
    return {_key({p.removeprefix("params_"): row.get(p) for p in params}): row for row in rows}


def _key(params: Mapping[str, object]) -> str:
    known = {key: value for key, value in params.items() if value is not None}
    return json.dumps(known, sort_keys=True, default=str)


def _loads(text: object) -> object:
    try:
        return json.loads(text) if isinstance(text, str) and text else {}
    except ValueError:
        return {}
