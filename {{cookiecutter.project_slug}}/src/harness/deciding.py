"""The looks of a plan: an experiment that ends as soon as every hypothesis is decided.

Between two looks it is a run like any other. A look is taken once, when all that comes until then
has its row; what it found is recorded with the run, and a resumed experiment goes on after it.
"""

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING

from harness.console import out
from harness.errors import HarnessError, explained
from harness.project.contract import Project
from harness.project.hypotheses import Plan, load_plan, plan_text, recorded_plan
from harness.project.interim import ended_words
from harness.project.tasks import Census
from harness.project.values import Row
from harness.record.columns import LOOK, quoted
from harness.record.layout import Place, place_for
from harness.record.store import spent_on, update_run
from harness.run.explain import cost_of_look
from harness.run.loop import RunReport
from harness.run.prepared import Prepared
from harness.version import git

if TYPE_CHECKING:
    from harness.measure.judge import Judged

_METRICS = "src/benchmark/metrics.py"


@dataclass(frozen=True, slots=True)
class Stage:
    """What was carried out up to a look (or to the end): its last run and rows of metrics."""

    report: RunReport
    rows: list[Row]


def until_decided(
    project: Project,
    tag: str,
    ready: Prepared,
    plan: Plan,
    carry_out: Callable[[Census], Stage],
) -> Stage:
    """Carry out an experiment from look to look, and end it where the plan says.

    Raises HarnessError where the plan, or what is scored, is not that of the looks before.
    """
    place = place_for(project.root, project.settings, tag)
    before = _begun(place, tag)
    _refuse_another_plan(project, tag, before)
    if plan.looks is None:
        return carry_out(ready.census)
    taken: list[Row] = [json.loads(run["looked"]) for run in before if run["looked"]]
    # A run that was killed before its tag was made has repeated the last one.
    taken = [*{row["look"]: row for row in taken}.values()]
    ended = next((run["ended_by_plan"] for run in reversed(before) if run["ended_by_plan"]), "")
    ended = ended or _decided(taken)
    stage: Stage | None = None
    count = len(plan.looks.shares)
    while not ended and len(taken) < count:
        look = len(taken) + 1
        if taken and _too_dear(project, tag, ready, place, look):
            ended = "budget"
            break
        stage = carry_out(ready.census.upto(look))
        taken.append(_look(place, tag, ready.census, look, count))
        ended = _decided(taken)
        _keep(place, stage, taken[-1], ended)
        out.print(_words(taken[-1]), markup=False, soft_wrap=True)
    if stage is None:
        stage = carry_out(ready.census.upto(taken[-1]["look"]))
    _keep(place, stage, taken[-1], ended)
    if ended:
        out.print(ended_words(taken[-1], ended), markup=False, soft_wrap=True)
    return stage


def looks_ahead(project: Project, census: Census) -> list[str]:
    """When a run would be looked at, in a line; none where the plan has no looks."""
    looks = load_plan(project.root).looks
    if looks is None:
        return []
    drawn = census.with_looks(looks)
    counts = [f"{drawn.upto(look + 1).items:,}" for look in range(len(looks.shares))]
    return [f"looks at {', '.join(counts)} items; ends once every hypothesis is decided"]


def _decided(taken: Sequence[Row]) -> str:
    """Say "decided" where the last look leaves nothing open, and others were to come."""
    if not taken or taken[-1]["look"] == taken[-1]["of"]:
        return ""
    open_ones = [each for each in taken[-1]["hypotheses"] if each["outcome"] == "undecided"]
    return "" if open_ones else "decided"


def _begun(place: Place, tag: str) -> list[Row]:
    """The runs that the experiment has had, in order."""
    if not place.db.exists():
        return []
    with explained(place.db, "read"), closing(sqlite3.connect(place.db, timeout=10)) as connection:
        connection.row_factory = sqlite3.Row
        table = quoted(place.runs)
        have = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        if not {"looked", "ended_by_plan", "plan", "sequence"} <= have:
            return []
        found = connection.execute(
            f"SELECT looked, ended_by_plan, plan, commit_hash FROM {table} "
            "WHERE experiment_version = ? ORDER BY sequence",
            (tag,),
        )
        return [dict(row) for row in found]


def _refuse_another_plan(project: Project, tag: str, before: Sequence[Row]) -> None:
    """Raise HarnessError where results that were looked at could have changed what is asked."""
    if not before:
        return
    began, now = before[0]["plan"], plan_text(project.root)
    if not any(recorded_plan(text)[0].looks for text in (began, now)):
        return
    commit = before[0]["commit_hash"]
    changed = ["PLAN.toml"] if began != now else []
    if commit and git.asked(project.root, "diff", "--quiet", commit, "--", _METRICS) is None:
        changed.append(_METRICS)
    if changed:
        names = " and ".join(changed)
        raise HarnessError(
            f"{names} changed since {tag} began, and its plan has [looks]: who has seen results "
            "could choose what they are held against",
            fix=f"git checkout {commit[:12]} -- {' '.join(changed)}, commit that, and the same "
            "command goes on; or take a new TAG, which says what had been seen",
            code=1,
        )


def _look(place: Place, tag: str, census: Census, look: int, count: int) -> Row:
    """Hold every hypothesis against what is known at a look."""
    from harness.measure.judge import judge
    from harness.read.results import planned_metrics, read_experiment
    from harness.read.scores import read_scores
    from harness.read.views import connect

    with connect([place.db]) as con:
        experiment = read_experiment(con, tag)
        scores = read_scores(con, experiment, planned_metrics(experiment))
        found = judge(experiment, scores, looks=look)
    known = census.upto(look)
    return {
        "look": look,
        "of": count,
        "items": known.items,
        "of_items": census.items,
        "tasks": known.tasks,
        "of_tasks": census.tasks,
        "hypotheses": [_said(each) for each in found],
    }


def _said(judged: "Judged") -> Row:
    gap = judged.difference
    ends = {"difference": gap.estimate, "low": gap.low, "high": gap.high}
    return {
        "id": judged.hypothesis.id,
        "outcome": judged.outcome,
        "look": judged.look,
        "items": judged.items,
        **{name: end if end is not None and isfinite(end) else None for name, end in ends.items()},
    }


def _keep(place: Place, stage: Stage, look: Row, ended: str) -> None:
    """Record with the run what its look found, and whether that ended the experiment."""
    kept = {"looked": json.dumps(look, sort_keys=True), "ended_by_plan": ended}
    update_run(place, stage.report.track_id, kept)


def _words(look: Row) -> str:
    """`look 2 of 4, 120 of 240 items: H1 supported, H2 undecided`."""
    said = ", ".join(f"{each['id']} {each['outcome']}" for each in look["hypotheses"])
    counts = f"{look['items']:,} of {look['of_items']:,} items"
    return f"look {look['look']} of {look['of']}, {counts}: {said}"


def _too_dear(project: Project, tag: str, ready: Prepared, place: Place, look: int) -> bool:
    """Whether what comes until a look does not fit in what is left of the budget.

    Where some of it is there already, a look before would leave that out: then it goes on.
    """
    most = project.settings.limits.max_cost_usd
    if not most or project.estimate is None or _rows_of(place, tag, look):
        return False
    ahead = replace(ready, census=ready.census.upto(look))
    return spent_on(place, tag) + cost_of_look(project, ahead, look) > most


def _rows_of(place: Place, tag: str, look: int) -> int:
    with explained(place.db, "read"), closing(sqlite3.connect(place.db, timeout=10)) as connection:
        query = f"SELECT count(*) FROM {quoted(place.predictions)} WHERE experiment_version = ?"
        found = connection.execute(f"{query} AND {LOOK} >= ?", (tag, look)).fetchone()
        return int(found[0])
