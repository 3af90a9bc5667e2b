"""What must hold before an experiment: each gate says what is wrong and the command that fixes it.

A gate can be overridden by name; the override is recorded in `runs` and printed in every report.
"""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.console import brief, err
from harness.errors import HarnessError, explained
from harness.findings import Finding, many
from harness.gates.tested import run_tests, tests_passed
from harness.project.contract import Project
from harness.project.grid import Grid, column_types
from harness.project.hypotheses import Hypothesis, configuration_of, matches, plan_text
from harness.project.inputs import advice, unkeyed
from harness.project.keys import item_digest
from harness.project.tasks import Census
from harness.project.values import Params, Row, Value
from harness.record.columns import ANSWERS, PREDICTIONS, filled
from harness.record.layout import DEV, TAG, databases, place_for
from harness.record.metrics_table import metrics_in
from harness.record.runs import of_last_run, opened_by
from harness.version import dvc, git, results_state
from harness.version.published import check_tags, published

if TYPE_CHECKING:
    from harness.measure.forecast import Forecast


@dataclass(frozen=True, slots=True)
class Situation:
    """What the gates look at. `tag` is None where only readiness is asked."""

    project: Project
    grid: Grid
    census: Census
    tag: str | None = None

    @property
    def root(self) -> Path:
        """The repository."""
        return self.project.root


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why a gate blocks, and the command that fixes it. A `final` one cannot be overridden."""

    message: str
    fix: str
    final: bool = False


_SKEW_SECONDS = 60  # less is said of nobody's clock
Gate = Callable[[Situation], Blocked | None]


def branch(now: Situation) -> Blocked | None:
    """Experiments belong on a feature branch, so that main holds only what was decided."""
    return branch_problem(now.root, now.project.settings.benchmark.protected_branches)


def branch_problem(root: Path, protected: list[str]) -> Blocked | None:
    """The branch check alone; it also runs before a dev-run and before a commit."""
    if not git.is_repository(root):
        begin = "git init && git add -A && git commit -m start && git switch -c feat/my-experiment"
        return Blocked("this folder is no git repository", begin)
    ref = git.branch_ref(root)
    fix = "git switch -c feat/my-experiment"
    if not ref:
        return Blocked(f"no branch is checked out (HEAD is at {git.names_of_head(root)})", fix)
    if not ref.startswith(git.BRANCHES):
        return Blocked(f"HEAD is {ref}, which is no branch of this repository", fix)
    if git.is_protected(root, ref, protected):
        name = ref.removeprefix(git.BRANCHES)
        listed = "[benchmark] protected_branches in benchmark.toml"
        return Blocked(f"{name} is a protected branch ({listed})", fix)
    return None


def clean(now: Situation) -> Blocked | None:
    """A commit must say what ran."""
    if not git.head(now.root):
        return Blocked("nothing is committed yet", 'git add . && git commit -m "begin"')
    if lost := git.untracked(now.root, list(now.grid.files)):
        names = " ".join(lost)
        return Blocked(
            f"git does not keep {names}, which files in params.py names", f"git add -f {names}"
        )
    changed = git.changed(now.root)
    if not changed:
        return None
    shown = ", ".join(changed[:5]) + (" …" if len(changed) > 5 else "")
    return Blocked(f"uncommitted changes: {shown}", 'git add -A && git commit -m "…"')


def tag(now: Situation) -> Blocked | None:
    """A tag is used once, by one person, and versions only grow.

    The person may override that a tag is older, or taken elsewhere. Two things cannot be
    overridden: a name that is not a tag, since it becomes part of a path, and a tag whose results
    are published.
    """
    if now.tag is None:
        return None
    found = published(now.root, now.project.settings)
    for note in found.notes:
        err.print(f"note: {note}", markup=False, soft_wrap=True)
    if git.is_repository(now.root) and git.is_shallow(now.root):
        note = "this clone is shallow: to merge, to compare with what came earlier, or to rebase,"
        err.print(f"note: {note} first git fetch --unshallow --tags", soft_wrap=True)
    _tell_clock(now.root)
    fix = f"make experiment TAG={found.next_free}"
    if not now.tag:
        return Blocked("no experiment tag is given", fix, final=True)
    if not TAG.match(now.tag):
        return Blocked(f"{now.tag!r} is no experiment tag (e1.2.3)", fix, final=True)
    if now.tag in found.here:
        # After a kill between tag and push, only the push is missing.
        if found.remote_tags.get(now.tag) or not (command := git.push_missing(now.root, now.tag)):
            return Blocked(f"{now.tag} is taken", fix, final=True)
        fix = f"{command}; the next one: {fix}"
        return Blocked(f"{now.tag} is taken but not pushed", fix, final=True)
    if now.tag in found.known:
        return Blocked(
            f"{now.tag} is published already ({found.where(now.tag)})",
            f"git fetch --tags; the next one: {fix}",
            final=now.tag in found.held,
        )
    if other := git.same_but_for_case(now.root, now.tag):
        message = f"the tag {other} is {now.tag} on this disk, where case makes no difference"
        return Blocked(message, f"git tag -d {other}", final=True)
    if git.is_branch(now.root, now.tag):
        return Blocked(
            f"a branch is called {now.tag}; `git checkout {now.tag}` would not give the tag",
            f"git branch -m {now.tag} feat/{now.tag}",
        )
    if found.known and git.version(now.tag) < git.version(found.newest):
        return Blocked(f"{now.tag} is older than {found.newest}", fix)
    return None


def _tell_clock(root: Path) -> None:
    """No order depends on a clock, but what people read does."""
    if not git.is_repository(root) or (behind := git.seconds_behind(root)) < _SKEW_SECONDS:
        return
    err.print(
        f"note: the last commit is {_long(behind)} ahead of this machine's clock, so "
        "one of two clocks is wrong (timedatectl shows this one's); versions keep their order, and "
        "what is recorded now is dated by this one",
        soft_wrap=True,
    )


def _long(seconds: int) -> str:
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            return many(seconds // size, unit)
    return many(seconds, "second")


def results(now: Situation) -> Blocked | None:
    """All results recorded so far are here: the next experiment is added to them."""
    if problem := results_state.problem(now.root, now.project.settings, now.tag):
        return Blocked(problem.message, problem.fix)
    try:
        return _errors(check_tags(now.root, now.project.settings), "make validate")
    except HarnessError as error:
        return Blocked(error.message, error.fix)


def dev_run(now: Situation) -> Blocked | None:
    """The code that is about to run on everything has run on a little without errors."""
    place = place_for(now.root, now.project.settings, DEV)
    good = 0
    failed = 0
    tried: Row = {}
    codes = sorted({each.code_key for each in now.grid.configurations})
    if place.db.exists():
        connection = sqlite3.connect(place.db, timeout=10)
        try:
            marks = ", ".join("?" * len(codes))
            good, failed = connection.execute(
                "SELECT count(DISTINCT code_key) FILTER (WHERE error_type IS NULL), "
                f"count(error_type) FROM predictions WHERE code_key IN ({marks})",
                codes,
            ).fetchone()
            known = {"code_key": now.grid.code.key}
            tried = {
                name: json.loads(of_last_run(connection, place.runs, name, **known) or "null")
                for name in ("grid_files", "grid")
            }
        except sqlite3.Error:
            pass
        finally:
            connection.close()
    if failed:
        return Blocked(f"the last dev-run of this code had {failed} failures", "make dev-run")
    if good < len(codes):
        return Blocked("this code has not been dev-run", "make dev-run")
    before = tried.get("grid_files") or {}
    if fresh := [name for name, sha in now.grid.files.items() if before.get(name) != sha]:
        return Blocked(f"{', '.join(fresh)} has not been dev-run as it is now", "make dev-run")
    if values := _untried(now.grid, tried.get("grid") or []):
        return Blocked(f"{', '.join(values)} has not been dev-run", "make dev-run")
    return None


def _untried(grid: Grid, before: list[Row]) -> list[str]:
    """Values of params that no configuration of the dev-run had, such as a model that never ran."""
    known: set[tuple[str, str]] = set()
    for columns in before:
        known.update((name, repr(value)) for name, value in columns.items())
    fresh: dict[str, None] = {}
    for configuration in grid.configurations:
        for name, value in _as_json(configuration.columns).items():
            if (name, repr(value)) not in known:
                fresh[f"{name} = {brief(value)}"] = None
    return list(fresh)[:5]


def _as_json(columns: Row) -> Row:
    return dict(json.loads(json.dumps(columns)))


def inputs(now: Situation) -> Blocked | None:
    """Everything that predict read in the dev-run is in a key, so that no result can be stale."""
    place = place_for(now.root, now.project.settings, DEV)
    if not place.db.exists():
        return None  # the gate dev-run says so already
    with closing(sqlite3.connect(place.db, timeout=10)) as connection:
        code = now.grid.code.key
        read = json.loads(of_last_run(connection, place.runs, "inputs", code_key=code) or "[]")
    harmless = now.project.settings.key.harmless
    held = {name for each in now.grid.configurations for name in each.holds()}
    left = sorted(unkeyed(read, {}, held, harmless, now.root))
    if not left:
        return None
    return Blocked(
        f"predict reads {', '.join(left)}, which no key holds",
        f"{' ; '.join(map(advice, left))} ; then make dev-run",
    )


def tested(now: Situation) -> Blocked | None:
    """Tests passed for exactly this code."""
    if tests_passed(now.root):
        return None
    return Blocked("the tests have not passed for this code", "make test")


def data(now: Situation) -> Blocked | None:
    """DVC has recorded its data as it is now, and DVC or git keeps every new file."""
    if not now.project.settings.store.dvc:
        return None
    if new := dvc.new_data(now.root):
        return Blocked(f"neither DVC nor git keeps {', '.join(new[:5])}", "make data")
    changed = dvc.changed_data(now.root)
    if not changed:
        return None
    return Blocked(
        f"data differs from what DVC records: {', '.join(changed)}",
        "make data records it as it is here; dvc checkout (or dvc pull) restores what is recorded",
    )


def inspected(now: Situation) -> Blocked | None:
    """What the dev-run recorded makes sense."""
    from harness.gates.inspection import inspect

    database = place_for(now.root, now.project.settings, DEV).db
    if not database.exists():
        return None  # the gate dev-run says so already
    return _errors(inspect(database, kind=now.project.kind), "make inspect")


def schema(now: Situation) -> Blocked | None:
    """The columns are those that earlier experiments recorded."""
    try:
        return _errors(schema_of(now.project, now.grid), "")
    except HarnessError as error:  # a database that cannot be read; the other gates still report
        return Blocked(error.message, error.fix)


def schema_of(project: Project, grid: Grid) -> list[Finding]:
    """Findings of the schema check for a project as it is now."""
    from harness.gates.schema import (
        expected_columns,
        recorded_columns,
        recorded_values,
        schema_findings,
    )

    root = project.root
    settings = project.settings
    results = databases(root, settings, "experiment")
    if not results:
        return []
    values: dict[str, set[Value]] = {}
    for configuration in grid.configurations:
        for name, value in configuration.columns.items():
            values.setdefault(name, set()).add(value)
    with explained(results[-1], "read"):
        return schema_findings(
            recorded_columns(results),
            expected_columns(column_types(project), databases(root, settings, DEV)),
            recorded_values(results),
            values,
        )


def items(now: Situation) -> Blocked | None:
    """No datapoint occurs twice, or in both train and test, or contains its own answer."""
    from harness.gates.dataset_check import check_dataset

    project = now.project
    if not project.items_by_params:
        return _errors(check_dataset(project.items(project.grid[0])), "")
    seen: set[bytes] = set()
    for params in project.grid:
        if (content := _content(project, params)) in seen:
            continue
        seen.add(content)
        if blocked := _errors(check_dataset(project.items(params)), ""):
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
    place = place_for(now.root, now.project.settings, DEV)
    if not place.db.exists():
        return None  # the gate dev-run says so already
    with closing(sqlite3.connect(place.db, timeout=10)) as connection:
        have = filled(connection, place.predictions)
        measured = filled(connection, place.metrics)
        # An interval may be empty: of a constant there is none.
        every = [row[1] for row in connection.execute(f"PRAGMA table_info({place.metrics})")]
    metrics = [name for name in metrics_in(every) if name in measured]
    # What the harness fills itself may be empty in a dev-run: latency where all was cached, say.
    own = {*PREDICTIONS, *column_types(now.project)} - ANSWERS
    grid = now.project.grid
    scores = now.project.scores
    problems = plan_findings(wanted, own.union(have), metrics, grid, scores)
    return Blocked("; ".join(problems), "edit PLAN.toml and commit it") if problems else None


def power(now: Situation) -> Blocked | None:
    """So many items can tell the differences that the plan asks for.

    A dev-run knows the spread only roughly, so this blocks where even its best case is too wide.
    """
    short = [each for each in power_forecasts(now) if each.too_few]
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
    # Without a dev-run nothing is known, and the gate dev-run says so already.
    if not plan.hypotheses or not place_for(now.root, now.project.settings, DEV).db.exists():
        return []
    from harness.measure.forecast import Forecast, forecasts

    def items(hypothesis: Hypothesis) -> int:
        sides = (hypothesis.better, hypothesis.than)
        counts = [
            len(now.census.of(index).digests)
            for index, params in enumerate(now.project.grid)
            if any(matches(configuration_of(params), side) for side in sides)
        ]
        return min(counts, default=now.census.items)

    found = forecasts(now.root, now.project.settings, plan, items)
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


def _errors(findings: Iterable[Finding], look: str) -> Blocked | None:
    """The errors among findings as one verdict; warnings do not block."""
    errors = [finding for finding in findings if finding.severity == "error"]
    if not errors:
        return None
    fixes = " ; ".join(dict.fromkeys(f.fix for f in errors if f.fix))
    return Blocked("; ".join(f.message for f in errors), fixes or look)


# In the order in which a person fixes them: DVC gets the data before everything else is committed,
# and the experiment starts last.
GATES: dict[str, Gate] = {
    "branch": branch,
    "data": data,
    "clean": clean,
    "results": results,
    "dev-run": dev_run,
    "inputs": inputs,
    "tests": tested,
    "inspect": inspected,
    "schema": schema,
    "items": items,
    "plan": plan,
    "power": power,
    "holdout": holdout,
    "tag": tag,
}
# These block only after the run; they are here so that they can be overridden in the same way.
AFTER = ("failures", "validation")


def look(now: Situation) -> dict[str, Blocked | None]:
    """Every gate's verdict, in order."""
    return {name: gate(now) for name, gate in GATES.items()}


def known_gates(names: Iterable[str]) -> set[str]:
    """Check the names of gates to override. Raises HarnessError for an unknown one."""
    parts = ",".join(names).split(",")
    wanted = {part.strip() for part in parts if part.strip()}
    unknown = sorted(wanted - set(GATES) - set(AFTER))
    if unknown:
        raise HarnessError(
            f"there is no gate {', '.join(unknown)}",
            fix=f"gates: {', '.join([*GATES, *AFTER])}",
        )
    return wanted


def pass_gates(now: Situation, allow: set[str]) -> dict[str, str]:
    """Every gate's name with passed or overridden.

    Raises HarnessError naming all gates that block. Code 2 where the command itself was wrong.
    """
    verdicts = look(now)
    # Tests take the longest, so they run only where no other gate blocks.
    others = [
        name
        for name, blocked in verdicts.items()
        if blocked and name != "tests" and (blocked.final or name not in allow)
    ]
    if verdicts["tests"] is not None and "tests" not in allow and not others:
        run_tests(now.root, [])
        verdicts["tests"] = tested(now)
    blocking = {
        name: blocked
        for name, blocked in verdicts.items()
        if blocked is not None and (blocked.final or name not in allow)
    }
    if blocking:
        lines = [f"gate {name}: {blocked.message}" for name, blocked in blocking.items()]
        fixes = list(dict.fromkeys(blocked.fix for blocked in blocking.values()))
        wrong_use = not blocking.keys().isdisjoint({"branch", "tag"})
        raise HarnessError("\n".join(lines), fix=" ; ".join(fixes), code=2 if wrong_use else 1)
    return {
        name: "passed" if blocked is None else "overridden" for name, blocked in verdicts.items()
    }
