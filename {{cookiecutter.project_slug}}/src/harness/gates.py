"""What must hold before an experiment: each gate says what is wrong and the command that mends it.

A gate can be overridden by name; the override is recorded in `runs` and printed in every report.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import dvc, git
from harness.errors import HarnessError, explained
from harness.findings import Finding
from harness.keys import Context
from harness.layout import DEV, databases, place_for
from harness.plan import Census, column_types, configurations, grid_files
from harness.project import Project
from harness.tested import run_tests, tests_passed


@dataclass(frozen=True, slots=True)
class Situation:
    """What the gates look at. `tag` is None where only readiness is asked."""

    project: Project
    context: Context
    census: Census
    tag: str | None = None

    @property
    def root(self) -> Path:
        """The repository."""
        return self.project.root


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why a gate is shut, and what opens it."""

    message: str
    fix: str


Gate = Callable[[Situation], Blocked | None]


def branch(now: Situation) -> Blocked | None:
    """Experiments belong on a feature branch, so that main holds only what was decided."""
    return branch_problem(now.root, now.project.settings.benchmark.protected_branches)


def branch_problem(root: Path, protected: list[str]) -> Blocked | None:
    """The branch check alone; it also runs before a dev-run and before a commit."""
    if not git.is_repository(root):
        begin = "git init && git add -A && git commit -m start && git switch -c feat/my-experiment"
        return Blocked("this folder is no git repository", begin)
    name = git.branch(root)
    if not name:
        return Blocked("no branch is checked out", "git switch -c feat/my-experiment")
    if name in protected:
        return Blocked(f"{name} is a protected branch", "git switch -c feat/my-experiment")
    return None


def clean(now: Situation) -> Blocked | None:
    """A commit must say what ran."""
    if not git.head(now.root):
        return Blocked("nothing is committed yet", 'git add . && git commit -m "begin"')
    if lost := git.unkept(now.root, list(grid_files(now.project))):
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
    """A tag is used once and versions only grow."""
    if now.tag is None:
        return None
    free = git.next_tag(now.root)
    mend = f"make experiment TAG={free}"
    if not now.tag:
        return Blocked("no experiment tag is given", mend)
    if not git.TAG.match(now.tag):
        return Blocked(f"{now.tag!r} is no experiment tag (e1.2.3)", mend)
    known = git.tags(now.root)
    if now.tag in known:
        # A kill after the tag and before its push leaves nothing else to be done.
        if command := git.push_missing(now.root, now.tag):
            return Blocked(f"{now.tag} is taken but not pushed", f"{command}; the next one: {mend}")
        return Blocked(f"{now.tag} is taken", mend)
    if known and git.version(now.tag) < git.version(known[-1]):
        return Blocked(f"{now.tag} is older than {known[-1]}", mend)
    return None


def dev_run(now: Situation) -> Blocked | None:
    """The code that is about to run on everything has run on a little without errors."""
    place = place_for(now.root, now.project.settings, DEV)
    good = failed = 0
    tried: dict[str, str] = {}
    if place.db.exists():
        connection = sqlite3.connect(place.db, timeout=10)
        try:
            good, failed = connection.execute(
                "SELECT coalesce(sum(error_type IS NULL), 0), coalesce(sum(error_type IS NOT NULL),"
                " 0) FROM predictions WHERE code_key = ?",
                (now.context.code.key,),
            ).fetchone()
            row = connection.execute(
                "SELECT grid_files FROM runs WHERE code_key = ? ORDER BY timestamp DESC",
                (now.context.code.key,),
            ).fetchone()
            tried = json.loads(row[0] or "{}") if row else {}
        except sqlite3.Error:
            pass
        finally:
            connection.close()
    if failed:
        return Blocked(f"the last dev-run of this code had {failed} failures", "make dev-run")
    if not good:
        return Blocked("this code has not been dev-run", "make dev-run")
    if fresh := [n for n, sha in grid_files(now.project).items() if tried.get(n) != sha]:
        return Blocked(f"{', '.join(fresh)} has not been dev-run as it is now", "make dev-run")
    return None


def tested(now: Situation) -> Blocked | None:
    """Tests passed for exactly this code."""
    if tests_passed(now.root):
        return None
    return Blocked("the tests have not passed for this code", "make test")


def data(now: Situation) -> Blocked | None:
    """Data that DVC keeps is recorded as it is now, and new data is somebody's."""
    if not now.project.settings.store.dvc:
        return None
    if new := dvc.new_data(now.root):
        return Blocked(f"neither DVC nor git keeps {', '.join(new[:5])}", "make data")
    changed = dvc.changed_data(now.root)
    if not changed:
        return None
    return Blocked(f"data differs from what DVC recorded: {', '.join(changed)}", "make data")


def inspected(now: Situation) -> Blocked | None:
    """What the dev-run recorded makes sense."""
    from harness.inspect_data import inspect

    database = place_for(now.root, now.project.settings, DEV).db
    if not database.exists():
        return None  # the gate dev-run says so already
    return _errors(inspect(database), "make inspect")


def schema(now: Situation) -> Blocked | None:
    """The columns are those that earlier experiments recorded."""
    return _errors(schema_of(now.project), "")


def schema_of(project: Project) -> list[Finding]:
    """Findings of the schema check for a project as it is now."""
    from harness.schema import (
        expected_columns,
        recorded_columns,
        recorded_values,
        schema_findings,
    )

    root, settings = project.root, project.settings
    results = databases(root, settings, "experiment")
    if not results:
        return []
    values: dict[str, set[Any]] = {}
    for configuration in configurations(project):
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
    """No datapoint stands twice, or in train and test, or gives its answer away."""
    from harness.dataset_check import check_dataset

    return _errors(check_dataset(now.project.items(now.project.grid[0])), "")


def plan(now: Situation) -> Blocked | None:
    """The plan asks for what the dev-run recorded, so that the report can judge it."""
    from harness.plan_file import load_plan, metrics_in, plan_findings

    wanted = load_plan(now.root)
    place = place_for(now.root, now.project.settings, DEV)
    if not place.db.exists():
        return None  # the gate dev-run says so already
    with closing(sqlite3.connect(place.db, timeout=10)) as connection:
        have = [r[1] for r in connection.execute(f"PRAGMA table_info({place.predictions})")]
        measured = [r[1] for r in connection.execute(f"PRAGMA table_info({place.metrics})")]
    grid, scores = now.project.grid, now.project.scores
    problems = plan_findings(wanted, have, metrics_in(measured), grid, scores)
    return Blocked("; ".join(problems), "edit PLAN.toml and commit it") if problems else None


def _errors(findings: Iterable[Finding], look: str) -> Blocked | None:
    """The errors among findings as one verdict; warnings do not shut a gate."""
    errors = [finding for finding in findings if finding.severity == "error"]
    if not errors:
        return None
    fixes = " ; ".join(dict.fromkeys(f.fix for f in errors if f.fix))
    return Blocked("; ".join(f.message for f in errors), fixes or look)


# In the order in which a person mends them: data is handed to DVC before the rest is committed,
# and the experiment starts last.
GATES: dict[str, Gate] = {
    "branch": branch,
    "data": data,
    "clean": clean,
    "dev-run": dev_run,
    "tests": tested,
    "inspect": inspected,
    "schema": schema,
    "items": items,
    "plan": plan,
    "tag": tag,
}
# Shut only after the run; named here so that they can be overridden in the same way.
AFTER = ("failures", "validation")


def look(now: Situation) -> dict[str, Blocked | None]:
    """Every gate's verdict, in order."""
    return {name: gate(now) for name, gate in GATES.items()}


def known_gates(names: Iterable[str]) -> set[str]:
    """Check names given to override. Raises HarnessError for one that there is not."""
    wanted = {part.strip() for name in names for part in name.split(",") if part.strip()}
    unknown = sorted(wanted - set(GATES) - set(AFTER))
    if unknown:
        raise HarnessError(
            f"there is no gate {', '.join(unknown)}",
            fix=f"gates: {', '.join([*GATES, *AFTER])}",
        )
    return wanted


def pass_gates(now: Situation, allow: set[str]) -> dict[str, str]:
    """Every gate's name with passed or overridden.

    Raises HarnessError naming all gates that are shut. Code 2 where the command itself was wrong.
    """
    verdicts = look(now)
    # Tests take the longest, so they are run only where nothing else is in the way.
    others = [n for n, blocked in verdicts.items() if blocked and n != "tests" and n not in allow]
    if verdicts["tests"] is not None and "tests" not in allow and not others:
        run_tests(now.root, [])
        verdicts["tests"] = tested(now)
    shut = {name: b for name, b in verdicts.items() if b is not None and name not in allow}
    if shut:
        lines = [f"gate {name}: {blocked.message}" for name, blocked in shut.items()]
        mends = list(dict.fromkeys(blocked.fix for blocked in shut.values()))
        raise HarnessError(
            "\n".join(lines), fix=" ; ".join(mends), code=2 if {"branch", "tag"} & set(shut) else 1
        )
    return {
        name: "passed" if blocked is None else "overridden" for name, blocked in verdicts.items()
    }
