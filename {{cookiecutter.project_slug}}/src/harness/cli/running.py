"""The commands that run something: the dev phase, an experiment, its gates, the tests."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.console import err, out, runnable, styled
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.project.contract import Project

app = typer.Typer()
Where = Annotated[list[str] | None, typer.Option(help="NAME=VALUE of a param")]
Configs = Annotated[int | None, typer.Option(help="at most so many configurations", min=1)]


def _project() -> "Project":
    from harness.project.contract import Project

    return Project.open()


def _leave(code: int) -> None:
    raise typer.Exit(code)


def _check_branch() -> None:
    from harness.gates.repository import branch_problem
    from harness.project.settings import load_settings

    root = Path.cwd()
    blocked = branch_problem(root, load_settings(root).benchmark.protected_branches)
    if blocked:
        raise HarnessError(blocked.message, fix=blocked.fix)


@app.command("branch-check")
def branch_check() -> None:
    """Refuse protected branches (also a pre-commit hook)."""
    _check_branch()


@app.command("dev-run")
def dev_run(
    items: Annotated[int | None, typer.Option(help="items of each configuration", min=1)] = None,
    where: Where = None,
    configs: Configs = None,
) -> None:
    """Run a few items of each configuration, separate from every experiment.

    With --where and --configs those of a part of the grid.
    """
    from harness.experiment import dev_run as run_dev
    from harness.project.part import part_of

    _check_branch()
    _leave(run_dev(part_of(_project(), where or [], configs), items))


@app.command("dev-clean")
def dev_clean() -> None:
    """Delete what the dev phase recorded, its cache too."""
    import shutil

    from harness.record.lock import one_at_a_time

    folder = Path.cwd() / ".dev"
    existed = folder.exists()
    if existed:
        with one_at_a_time(folder, "dev-clean"):
            shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        # Not followed where it is a link: what it leads to is somebody else's.
        raise HarnessError(f"{folder} could not be deleted", fix=f"ls -ld {folder}", code=1)
    out.print("deleted .dev/" if existed else "nothing to delete")


@app.command()
def experiment(
    tag: str,
    message: Annotated[str, typer.Option(help="what this experiment is about")] = "",
    allow: Annotated[list[str] | None, typer.Option(help="override a gate by name")] = None,
    final: Annotated[bool, typer.Option("--final", help="on the holdout, once a plan")] = False,
) -> None:
    """Gates, every datapoint, metrics, commit, tag. The same command resumes.

    The tag `next` stands for the one that `python -m harness next` names.
    """
    from harness.experiment import experiment as run_experiment
    from harness.gates.gates import known_gates

    if tag == "next":
        from harness.suggest import suggest

        found = suggest(Path.cwd())
        tag = found.version
        err.print(f"{tag}: {found.why}", soft_wrap=True)
    _leave(run_experiment(_project(), tag, message, known_gates(allow or []), final))


@app.command()
def ready() -> None:
    """What still blocks an experiment."""
    from harness.gates.gates import look
    from harness.gates.situation import Situation
    from harness.read.unfinished import unfinished
    from harness.run.prepared import prepare

    project = _project()
    prepared = prepare(project, None)
    now = Situation(project, prepared.grid, prepared.census)
    blocking = 0
    for name, blocked in look(now).items():
        if blocked is None:
            out.print(styled(("ok  ", "green"), f" {name}"))
            continue
        said = f" {name}: {blocked.message}  ->  {runnable(blocked.fix)}"
        if blocked.later:
            out.print(styled(("then", "yellow"), said), soft_wrap=True)
            continue
        blocking += 1
        out.print(styled(("no  ", "red"), said), soft_wrap=True)
    for each in now.forecasts:
        out.print(each.words(), markup=False, soft_wrap=True)
    for begun in unfinished(now.root, project.settings):
        said = f" {begun.message}  ->  {begun.fix}"
        out.print(styled(("note", "yellow"), said), soft_wrap=True)
    _leave(1 if blocking else 0)


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="for another program")] = False,
    online: Annotated[bool, typer.Option(help="ask the remote and the cluster too")] = False,
) -> None:
    """Look at all that the benchmark stands on: environment, git, DVC, database, disk and more."""
    from harness import doctor as parts

    verdicts = list(parts.examine(Path.cwd(), online))
    if as_json:
        print(parts.as_json(verdicts))
    else:
        styles = {"ok": "green", "note": "yellow", "bad": "red"}
        for each in verdicts:
            fix = f"  ->  {runnable(each.fix)}" if each.fix else ""
            said = f" {each.part}: {each.message}{fix}"
            out.print(styled((f"{each.state:4}", styles[each.state]), said), soft_wrap=True)
    _leave(int(any(each.state == "bad" for each in verdicts)))


@app.command("dry-run")
def dry_run(where: Where = None, configs: Configs = None) -> None:
    """How many datapoints are new or cached, what the new ones would cost, what they can tell."""
    from harness.deciding import looks_ahead
    from harness.gates.situation import Situation
    from harness.judging import forecast_lines
    from harness.project.part import part_of
    from harness.run.explain import preview
    from harness.run.prepared import prepare

    project = part_of(_project(), where or [], configs)
    prepared = prepare(project, None)
    lines = [*preview(project, prepared), *looks_ahead(project, prepared.census)]
    for line in [*lines, *forecast_lines(project, prepared.census.tasks)]:
        out.print(line, markup=False, soft_wrap=True)
    for each in Situation(project, prepared.grid, prepared.census).forecasts:
        out.print(each.words(), markup=False, soft_wrap=True)


@app.command("spot-check")
def spot_check(
    number: Annotated[int, typer.Option("--items", help="datapoints to run again", min=1)] = 20,
) -> None:
    """Run a sample of reused datapoints again: do they still come out as recorded?"""
    from harness.run.spot_check import spot_check as check

    found = check(_project(), number)
    for name in found.agree | found.differ:
        agree = found.agree.get(name, 0)
        differ = found.differ.get(name, 0)
        line = f"{name}: {agree} of {agree + differ} as recorded"
        if differ:
            line += f"; {found.examples[name]}"
        out.print(line, markup=False, soft_wrap=True)
    if found.failed:
        err.print(
            "a result depends on something that no key holds; name it in [key] of benchmark.toml "
            "(where answers vary by themselves, as a model's may, this is no surprise)",
            markup=False,
            soft_wrap=True,
        )
    _leave(int(found.failed))


@app.command()
def gate(
    base: str,
    target: Annotated[Path | None, typer.Option("--out", help="Markdown, to this file")] = None,
    force: Annotated[bool, typer.Option(help="replace a file outside this repository")] = False,
) -> None:
    """May this branch be merged? 0: no worse than BASE, 1: worse, 3: cannot tell."""
    from harness.cli.reading import check_targets
    from harness.pull_request import gate as check
    from harness.tell.section import to_console, to_markdown

    check_targets(target, [], force)
    found = check(_project(), base)
    to_console(found.sections)
    text = to_markdown(f"Benchmark against {found.base}", found.sections)
    if target is not None:
        target.write_text(text, encoding="utf-8")
    # GitHub shows on the page of a run what is appended to this file.
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(text)
    _leave(found.exit_code)


@app.command()
def explain(
    keys: Annotated[list[str] | None, typer.Argument(help="task keys or input ids")] = None,
) -> None:
    """Say why tasks were computed and not reused."""
    from harness.run.explain import explain as explain_keys

    if not keys:
        raise HarnessError("no item or task key is given", fix="make explain KEY=ITEM")
    for line in explain_keys(_project(), keys):
        out.print(line, markup=False, soft_wrap=True)


@app.command("test")
def run_the_tests(arguments: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Run the tests; where they pass, the gate `tests` passes."""
    from harness.gates.tested import run_tests

    _leave(run_tests(Path.cwd(), arguments or []))


@app.command()
def trust() -> None:
    """Let this checkout load the models and results of others that are here now."""
    from harness.project.settings import load_settings
    from harness.record.trusting import trust_all

    root = Path.cwd()
    found = trust_all(root, load_settings(root))
    for path, names in found.items():
        said = ", ".join(f"{name} ({count})" for name, count in sorted(names.items()))
        out.print(f"{path.relative_to(root)} is trusted; its pickles name {said}", soft_wrap=True)
    if not found:
        out.print("nothing here would run code when it is loaded")


@app.command()
def lint() -> None:
    """Run ruff and mypy over your files, as `make lint` does."""
    import subprocess
    import sys

    for command in (("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",)):
        done = subprocess.run([sys.executable, "-m", *command], check=False)
        if done.returncode:
            _leave(1)


def _by_the_script() -> None:
    # __main__ runs the script before anything of this is imported; here they are for --help.
    raise HarnessError("that is run by python -m harness", fix="python -m harness setup")


@app.command()
def setup() -> None:
    """Build the environment from requirements.lock; --help lists its options."""
    _by_the_script()


@app.command()
def lock() -> None:
    """Resolve the .in files into requirements.lock."""
    _by_the_script()


@app.command()
def data() -> None:
    """Add new and changed files in data/ to DVC (or git)."""
    from harness.project.settings import load_settings
    from harness.version import dvc

    root = Path.cwd()
    staged = dvc.track_data(root, load_settings(root).store.dvc)
    for path in staged:
        out.print(f"staged {path}", markup=False)
    out.print('commit it: git commit -m "data"' if staged else "nothing new in data/")
