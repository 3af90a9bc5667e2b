"""What had been seen of an experiment's items before: by whom, under which plan, how often.

A hypothesis is exploratory where both of its sides had run on some of these items before a plan
named it: whoever wrote it could have seen how it would come out.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from duckdb import DuckDBPyConnection

from harness.project.hypotheses import Hypothesis, matches, recorded_plan
from harness.project.values import Row
from harness.read.results import Experiment, rows_of
from harness.read.views import columns
from harness.record.columns import quoted
from harness.record.layout import DEV


@dataclass(frozen=True, slots=True)
class Looks:
    """How often the items of an experiment had been looked at when it was judged.

    `before`: experiments on the same data that began earlier. `hypotheses`: different ones that
    were judged on it, those of this experiment among them. `plans`: different plans. `rescored`:
    experiments whose scores were made anew. `seen`: by the id of a hypothesis of this experiment,
    the first experiment that had shown both of its sides, and on how many of the items.
    """

    before: list[str]
    plans: int
    hypotheses: int
    rescored: int
    seen: dict[str, tuple[str, int]]

    def exploratory(self, hypothesis: Hypothesis) -> str:
        """Why a hypothesis is no prediction, in words; "" where it is one."""
        if hypothesis.id not in self.seen:
            return ""
        name, items = self.seen[hypothesis.id]
        return f"both sides ran on {items:,} of these items in {name}, before a plan said this"


def read_looks(con: DuckDBPyConnection, experiment: Experiment) -> Looks:
    """What is recorded of earlier looks; nothing of a dev-run, whose file is another one."""
    known = columns(con, "runs").keys() >= {"plan", "data_version", "timestamp"}
    if experiment.name == DEV or not experiment.runs or not known:
        return Looks([], 0, 0, 0, {})
    runs = rows_of(
        con,
        "SELECT experiment_version AS name, min(timestamp) AS began, "
        "arg_min(plan, timestamp) AS plan, arg_min(data_version, timestamp) AS data "
        "FROM runs GROUP BY 1 ORDER BY began",
        [],
    )
    mine = next(row for row in runs if row["name"] == experiment.name)
    earlier = [row for row in runs if row["began"] < mine["began"]]
    same = [row for row in earlier if row["data"] == mine["data"]]
    plans = [recorded_plan(row["plan"])[0] for row in (*same, mine)]
    return Looks(
        [str(row["name"]) for row in same],
        len({plan.model_dump_json() for plan in plans}),
        len({claim_of(each) for plan in plans for each in plan.hypotheses}),
        _rescored(con, [str(row["name"]) for row in (*same, mine)]),
        _seen(con, experiment, earlier),
    )


def claim_of(hypothesis: Hypothesis) -> str:
    """What a hypothesis claims, whatever its words and its id."""
    return json.dumps(hypothesis.model_dump(exclude={"id", "claim"}), sort_keys=True)


def _rescored(con: DuckDBPyConnection, names: Sequence[str]) -> int:
    if "score_version" not in columns(con, "metrics"):
        return 0
    query = "SELECT DISTINCT experiment_version AS name FROM metrics WHERE score_version <> ''"
    return sum(row["name"] in names for row in rows_of(con, query, []))


def _seen(
    con: DuckDBPyConnection, experiment: Experiment, earlier: Sequence[Row]
) -> dict[str, tuple[str, int]]:
    """For each hypothesis that an earlier experiment had shown without asking it: which did."""
    found: dict[str, tuple[str, int]] = {}
    if not earlier or not experiment.plan.hypotheses:
        return found
    params = [name for name in columns(con) if name.startswith("params_")]
    listed = ", ".join(map(quoted, ["experiment_version", *params]))
    ran = rows_of(con, f"SELECT DISTINCT {listed} FROM predictions", [])
    for row in earlier:
        name, plan = str(row["name"]), recorded_plan(row["plan"])[0]
        asked = set(map(claim_of, plan.hypotheses))
        configurations = [each for each in ran if each["experiment_version"] == name]
        for each in experiment.plan.hypotheses:
            if each.id in found or claim_of(each) in asked:
                continue
            sides = [_of_side(configurations, side) for side in (each.better, each.than)]
            if all(sides) and (items := _shared(con, experiment.name, name, sides)):
                found[each.id] = (name, items)
    return found


def _of_side(configurations: Sequence[Row], wanted: Mapping[str, object]) -> list[Row]:
    """The params columns of the configurations that a side of a hypothesis names."""
    chosen = []
    for each in configurations:
        columns_of = {name: value for name, value in each.items() if name.startswith("params_")}
        params = {name.removeprefix("params_"): value for name, value in columns_of.items()}
        if matches(params, wanted):
            chosen.append(columns_of)
    return chosen


def _shared(con: DuckDBPyConnection, now: str, before: str, sides: Sequence[list[Row]]) -> int:
    """How many items of an experiment another one had under both sides, by their content."""
    item = "item_key" if "item_key" in columns(con) else "input_id"
    of = f"SELECT {item} FROM predictions WHERE experiment_version = ?"
    parts, values = [of], [now]
    for side in sides:
        tests = [
            "(" + " AND ".join(f"{quoted(name)} IS NOT DISTINCT FROM ?" for name in row) + ")"
            for row in side
        ]
        parts.append(f"{of} AND error IS NULL AND ({' OR '.join(tests)})")
        values += [before, *(value for row in side for value in row.values())]
    query = f"SELECT count(*) AS n FROM ({' INTERSECT '.join(parts)})"
    return int(rows_of(con, query, values)[0]["n"])
