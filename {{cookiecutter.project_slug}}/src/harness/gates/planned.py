"""Gates on items and plan: leaks, fields of the plan, power, the holdout."""

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.errors import explained
from harness.gates.situation import Blocked, Situation, blocked_by
from harness.project.contract import Project
from harness.project.grid import column_types
from harness.project.hypotheses import Hypothesis, configuration_of, matches, plan_text
from harness.project.interim import looks_problem
from harness.project.keys import item_digest
from harness.project.values import Params
from harness.record.columns import ANSWERS, PREDICTIONS, filled, quoted
from harness.record.layout import DEV, Place, databases, place_for
from harness.record.metrics_table import metrics_in
from harness.record.runs import opened_by

if TYPE_CHECKING:
    from harness.measure.forecast import Forecast


def items(now: Situation) -> Blocked | None:
    """No datapoint occurs twice, or in both train and test, or contains its own answer."""
    from harness.gates.dataset_check import check_dataset

    project = now.project
    if not project.items_by_params:
        return blocked_by(check_dataset(project.items(project.grid[0])), "")
    seen: set[bytes] = set()
    for params in project.grid:
        if (content := _content(project, params)) in seen:
            continue
        seen.add(content)
        if blocked := blocked_by(check_dataset(project.items(params)), ""):
            return replace(blocked, message=f"{blocked.message} (in the items of {params})")
    return None


def _content(project: Project, params: Params) -> bytes:
    """What all items of one configuration hold, so that equal ones are checked once."""
    content = hashlib.sha256()
    for item in project.items(params):
        content.update(item_digest(item, project.root))
    return content.digest()


def plan(now: Situation) -> Blocked | None:
    """The dev-run recorded all that the plan needs, so that the report can judge it."""
    from harness.project.hypotheses import load_plan, plan_findings

    wanted = load_plan(now.root)
    metrics = [each.metric for each in wanted.hypotheses]
    if problem := looks_problem(now.project, wanted.looks, metrics):
        return Blocked(f"PLAN.toml: {problem}", "remove [looks] from PLAN.toml", final=True)
    place = place_for(now.root, now.project.settings, DEV)
    if not place.db.exists():
        return None  # the gate dev-run says so already
    with closing(sqlite3.connect(place.db, timeout=10)) as connection:
        rows, failed = _rows(connection, place)
        if not rows:
            return None  # so does it here
        have = filled(connection, place.predictions)
        measured = filled(connection, place.metrics)
        # An interval may be empty: of a constant there is none.
        every = [row[1] for row in connection.execute(f"PRAGMA table_info({place.metrics})")]
        if rows == failed:
            return Blocked(
                "every datapoint of the dev-run failed, so nothing shows what PLAN.toml can name",
                "fix what make inspect shows ; then make dev-run",
            )
        if not measured:
            return Blocked(
                "the dev-run ended before its scores, so nothing shows what PLAN.toml can name",
                "make dev-run, which says why",
            )
    metrics = [name for name in metrics_in(every) if name in measured]
    # What the harness fills itself may be empty in a dev-run: latency where all was cached, say.
    own = {*PREDICTIONS, *column_types(now.project)} - ANSWERS
    grid = now.project.grid
    scores = now.project.scores
    problems = plan_findings(wanted, own.union(have), metrics, grid, scores)
    return Blocked("; ".join(problems), "edit PLAN.toml and commit it") if problems else None


def _rows(connection: sqlite3.Connection, place: Place) -> tuple[int, int]:
    """How many rows there are, and how many of them failed."""
    table = quoted(place.predictions)
    if not connection.execute(f"PRAGMA table_info({table})").fetchall():
        return 0, 0
    rows, failed = connection.execute(f"SELECT count(*), count(error_type) FROM {table}").fetchone()
    return rows, failed


def power(now: Situation) -> Blocked | None:
    """So many items can tell the differences that the plan asks for.

    A dev-run knows the spread only roughly, so this blocks where even its best case is too wide.
    """
    if not place_for(now.root, now.project.settings, DEV).db.exists():
        return None  # the gate dev-run says so already
    short = [each for each in now.forecasts if each.too_few]
    if not short:
        return None
    fix = (
        "more items, or a larger smallest_difference in PLAN.toml; ALLOW=power goes on all the same"
    )
    return Blocked("; ".join(each.words() for each in short), fix)


def power_forecasts(now: Situation) -> "list[Forecast]":
    """What the items of a full run can tell of each hypothesis of the plan."""
    from harness.project.hypotheses import load_plan

    plan = load_plan(now.root)
    if not plan.hypotheses:
        return []
    from harness.measure.forecast import Forecast, Planned, forecasts

    def planned(hypothesis: Hypothesis) -> Planned:
        sides = (hypothesis.better, hypothesis.than)
        passes = [
            now.census.of(index)
            for index, params in enumerate(now.project.grid)
            if any(matches(configuration_of(params), side) for side in sides)
        ]
        seen = min(passes or now.census.passes, key=lambda each: len(each.digests))
        return Planned(len(seen.digests), seen.cluster_sizes)

    found = forecasts(now.root, now.project.settings, plan, planned)
    if now.project.failures_are_results:
        reason = "requests under load depend on each other, so their number says little"
        return [Forecast(each.hypothesis, each.items, reason=reason) for each in found]
    return found


def holdout(now: Situation) -> Blocked | None:
    """What was looked at is no holdout any more: a plan is tried on it once."""
    if not now.project.final:
        return None
    planned = plan_text(now.root)
    for path in databases(now.root, now.project.settings, "experiment"):
        with explained(path, "read"), closing(sqlite3.connect(path, timeout=10)) as connection:
            if earlier := opened_by(connection, now.tag or "", planned):
                return Blocked(
                    f"{earlier} opened the holdout already, under the same plan",
                    "write what you ask now into PLAN.toml and commit it, or report what it found",
                    final=True,
                )
    return None
