"""What labels say of a judge: how far it agrees with people, and what its means come to."""

from dataclasses import dataclass, replace

import numpy as np
from duckdb import DuckDBPyConnection

from harness.project.declarations import Rule
from harness.read.results import Experiment, rows_of, which
from harness.read.scores import Numbers
from harness.read.views import columns
from harness.record.columns import CLUSTER, quoted
from harness.record.judgements import COLUMN, PAIR, PREFERRED
from harness.record.labelled import LABELLED
from harness.record.layout import JUDGEMENTS
from harness.stats.agreement import (
    NEEDS,
    errors_shared,
    kappa,
    prediction_powered,
    rogan_gladen,
    sensitivity,
    specificity,
)
from harness.stats.intervals import Interval, wilson


@dataclass(frozen=True, slots=True)
class JudgeOf:
    """A judge of an experiment: its version, its params, and what it was asked.

    `asked` of the `judgements` were made for this experiment, the others reused; they cost `cost`
    USD, None where that is not known.
    """

    version: str
    params: dict[str, object]
    judgements: int
    asked: int
    failed: int
    cost: float | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """A judge ("" for all together) and people, by one score; a share has the last two."""

    score: str
    judge: str
    rubric: str
    labels: int
    elsewhere: int
    kappa: Interval
    sensitivity: Interval | None
    specificity: Interval | None


@dataclass(frozen=True, slots=True)
class Corrected:
    """A configuration's mean by the judge, and what it comes to without the judge's errors.

    `own`: how many answers of the configuration itself are labelled.
    """

    score: str
    configuration: int
    judged: float
    mean: Interval
    own: int


@dataclass(frozen=True, slots=True)
class Positions:
    """Pairs that a judge saw in both orders: where it named one answer, and where one place."""

    judge: str
    pairs: int
    same_answer: Interval
    first_twice: int
    second_twice: int


def judges_of(con: DuckDBPyConnection, experiment: Experiment) -> list[JudgeOf]:
    """Who judged the answers of an experiment; none where no judge did."""
    have = columns(con, JUDGEMENTS)
    if not have:
        return []
    params = [name for name in have if name.startswith("params_")]
    paid = "sum(cost) FILTER (cache = '')" if "cost" in have else "NULL"
    rows = rows_of(
        con,
        f"SELECT {', '.join([COLUMN, *map(quoted, params)])}, count(*) AS judgements, "
        f"count(*) FILTER (cache = '') AS asked, count(error_type) AS failed, {paid} AS paid "
        f"FROM {JUDGEMENTS} WHERE experiment_version = ? GROUP BY ALL ORDER BY ALL",
        [experiment.name],
    )
    return [
        JudgeOf(
            row[COLUMN],
            {n.removeprefix("params_"): row[n] for n in params if row[n] is not None},
            row["judgements"], row["asked"], row["failed"], row["paid"],
        )
        for row in rows
    ]  # fmt: skip


def positions(con: DuckDBPyConnection, experiment: Experiment) -> list[Positions]:
    """How far each judge of pairs goes by the place of an answer; none where nothing is paired."""
    if not columns(con, JUDGEMENTS).keys() >= {PAIR, PREFERRED}:
        return []
    rows = rows_of(
        con,
        f"WITH paired AS (SELECT {COLUMN} AS judge, min({PREFERRED}) AS least, "
        f"max({PREFERRED}) AS most FROM {JUDGEMENTS} WHERE experiment_version = ? "
        f"AND error_type IS NULL AND {PAIR} IS NOT NULL GROUP BY judge, {PAIR} "
        "HAVING count(*) = 2) "
        "SELECT judge, count(*) AS pairs, "
        "count(*) FILTER (least = most AND least = 'first') AS first_twice, "
        "count(*) FILTER (least = most AND least = 'second') AS second_twice, "
        "count(*) FILTER (least = 'first' AND most = 'second' OR most = least AND least = 'tie') "
        "AS same FROM paired GROUP BY judge ORDER BY judge",
        [experiment.name],
    )
    return [
        Positions(
            row["judge"], row["pairs"], wilson(row["same"], row["pairs"]),
            row["first_twice"], row["second_twice"],
        )
        for row in rows
    ]  # fmt: skip


def agreements(con: DuckDBPyConnection, experiment: Experiment) -> list[Agreement]:
    """Each score and judge with what labels say of them; none where there are no labels."""
    if not columns(con, LABELLED):
        return []
    rows = rows_of(
        con,
        f"SELECT score, judge, rubric, answer, min(by_judge) AS by_judge, "
        f"min(by_person) AS by_person, bool_or(task_key IS NOT NULL) AS own FROM {LABELLED} "
        "WHERE experiment_version = ? GROUP BY ALL ORDER BY score, judge, rubric, answer",
        [experiment.name],
    )
    groups: dict[tuple[str, str, str], list[tuple[float, float, bool]]] = {}
    for row in rows:
        key = (row["score"], row["judge"], row["rubric"])
        groups.setdefault(key, []).append((row["by_person"], row["by_judge"], row["own"]))
    found = []
    for (score, judge, rubric), pairs in groups.items():
        person, said, own = (np.array(each, dtype=float) for each in zip(*pairs, strict=True))
        binary = experiment.rule(score).binary
        found.append(
            Agreement(
                score, judge, rubric, len(pairs), int((own == 0).sum()),
                kappa(person, said, ordered=not binary),
                sensitivity(person, said) if binary else None,
                specificity(person, said) if binary else None,
            )
        )  # fmt: skip
    return found


def corrected(con: DuckDBPyConnection, experiment: Experiment, score: str) -> list[Corrected]:
    """Each configuration's mean of a judged score, corrected; none where there are no labels.

    By the labels of its own answers where there are enough of them; else by the judge's errors on
    all labelled answers, as if it erred alike everywhere.
    """
    every = rows_of(
        con,
        f"SELECT answer, min(by_person) AS person, min(by_judge) AS judge FROM {LABELLED} "
        "WHERE experiment_version = ? AND score = ? AND judge = '' GROUP BY answer ORDER BY answer",
        [experiment.name, score],
    )
    if not every:
        return []
    person = np.array([row["person"] for row in every])
    judge = np.array([row["judge"] for row in every])
    rule = experiment.rule(score)
    found = []
    for index, units in _units(con, experiment, rule).items():
        mean = _mean(rule, units, person, judge)
        found.append(Corrected(score, index, units.judged_mean, mean, int(units.labelled.sum())))
    return found


@dataclass(frozen=True, slots=True)
class _Units:
    """The items (or clusters) of a configuration: the judge's means, and those with a label.

    `failed` datapoints have no answer that could be judged: `failure` is what each counts as.
    """

    judged: Numbers
    person: Numbers
    judge: Numbers
    labelled: "np.typing.NDArray[np.bool_]"
    failed: int
    answered: int
    failure: float | None

    @property
    def judged_mean(self) -> float:
        """The mean as it is without a correction."""
        return self.mixed(float(self.judged.mean())) if self.judged.size else float("nan")

    def mixed(self, value: float) -> float:
        """A mean of answers as one of all datapoints."""
        if self.failure is None or not self.failed:
            return value
        total = self.answered + self.failed
        return (value * self.answered + self.failure * self.failed) / total


def _mean(rule: Rule, units: _Units, person: Numbers, judge: Numbers) -> Interval:
    if not units.judged.size:
        return Interval(None, None, None, 0, "none", "no answers")
    mine = units.labelled
    if int(mine.sum()) >= NEEDS:
        rest = units.judged[~mine]
        binary = rule.binary and not set(units.person[mine]) - {0.0, 1.0}
        made = prediction_powered(units.person[mine], units.judge[mine], rest, binary=binary)
    elif rule.binary:
        made = rogan_gladen(float(units.judged.mean()), units.judged.size, person, judge)
    else:
        made = errors_shared(person, judge, units.judged)
    ends = [
        None if each is None else rule.within(units.mixed(each))
        for each in (made.estimate, made.low, made.high)
    ]
    return replace(made, estimate=ends[0], low=ends[1], high=ends[2])


def _units(con: DuckDBPyConnection, experiment: Experiment, rule: Rule) -> dict[int, _Units]:
    place, values = which(experiment)
    unit = f"coalesce({CLUSTER}, input_id)" if CLUSTER in experiment.columns else "input_id"
    value = rule.sql(quoted(rule.name), None)
    rows = rows_of(
        con,
        f"WITH said AS (SELECT task_key, min(by_person) AS person, min(by_judge) AS judge "
        f"FROM {LABELLED} WHERE experiment_version = ? AND score = ? AND judge = '' "
        "AND task_key IS NOT NULL GROUP BY task_key), "
        f"every AS (SELECT {place} AS configuration, {unit} AS unit, {value} AS judged, "
        "p.error IS NOT NULL AS failed, said.person AS person, said.judge AS judge "
        "FROM predictions p LEFT JOIN said ON said.task_key = p.task_key "
        "WHERE p.experiment_version = ?) "
        "SELECT configuration, unit, avg(judged) AS judged, avg(person) AS person, "
        "avg(judge) AS judge, sum(failed::INT) AS failed, count(judged) AS answered "
        "FROM every GROUP BY configuration, unit ORDER BY configuration, unit",
        [experiment.name, rule.name, *values, experiment.name],
    )
    found: dict[int, list[dict[str, object]]] = {}
    for row in rows:
        if row["configuration"] is not None:
            found.setdefault(int(row["configuration"]), []).append(row)
    return {index: _as_units(each, rule) for index, each in found.items()}


def _as_units(rows: list[dict[str, object]], rule: Rule) -> _Units:
    judged, person, judge = (
        np.array([np.nan if row[name] is None else row[name] for row in rows], dtype=float)
        for name in ("judged", "person", "judge")
    )
    known = np.isfinite(judged)
    failed = sum(int(str(row["failed"] or 0)) for row in rows)
    answered = sum(int(str(row["answered"])) for row in rows)
    labelled = np.isfinite(person[known])
    return _Units(
        judged[known], person[known], judge[known], labelled, failed, answered, rule.failure
    )
