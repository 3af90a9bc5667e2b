"""`python -m harness COMMAND`: every command of the Makefile, where make is not at hand."""

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from harness.cli import reading
from harness.console import err, out, show_error, styled
from harness.errors import HarnessError, is_of_database, reason_of

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # a wrong option is told in one sentence, not in a box
    help="Run a benchmark: one row for each datapoint, and nothing good is computed again.",
)
app.registered_commands += reading.app.registered_commands
app.registered_groups += reading.app.registered_groups


def _project() -> Any:
    from harness.project.contract import Project

    return Project.open()


def _leave(code: int) -> None:
    raise typer.Exit(code)


def _check_branch() -> None:
    from harness.gates.gates import branch_problem
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
) -> None:
    """Run a few items of each configuration, apart from every experiment."""
    from harness.experiment import dev_run as run_dev

    _check_branch()
    _leave(run_dev(_project(), items))


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
    out.print("deleted .dev/" if existed else "nothing to delete")


@app.command()
def experiment(
    tag: str,
    message: Annotated[str, typer.Option(help="what this experiment is about")] = "",
    allow: Annotated[list[str] | None, typer.Option(help="override a gate by name")] = None,
) -> None:
    """Gates, every datapoint, metrics, commit, tag. The same command resumes."""
    from harness.experiment import experiment as run_experiment
    from harness.gates.gates import known_gates

    # In a locale of ASCII alone Python hands over each byte of an accent as half a character.
    message = os.fsencode(message).decode("utf-8", "replace")
    _leave(run_experiment(_project(), tag, message, known_gates(allow or [])))


@app.command()
def ready() -> None:
    """What still stands between you and an experiment."""
    from harness.gates.gates import Situation, look
    from harness.run.prepared import prepare

    project = _project()
    prepared = prepare(project, None)
    shut = 0
    for name, blocked in look(Situation(project, prepared.grid, prepared.census)).items():
        if blocked is None:
            out.print(styled(("ok  ", "green"), f" {name}"))
            continue
        shut += 1
        said = f" {name}: {blocked.message}  ->  {blocked.fix}"
        out.print(styled(("no  ", "red"), said), soft_wrap=True)
    _leave(1 if shut else 0)


@app.command("dry-run")
def dry_run() -> None:
    """How many datapoints are new or cached, and what the new ones would cost."""
    from harness.run.explain import preview

    for line in preview(_project()):
        out.print(line, markup=False, soft_wrap=True)


@app.command("spot-check")
def spot_check(
    number: Annotated[int, typer.Option("--items", help="datapoints to run again", min=1)] = 20,
) -> None:
    """Run a sample of reused datapoints again: do they still come out as recorded?"""
    from harness.run.spot_check import spot_check as check

    found = check(_project(), number)
    for name in found.agree | found.differ:
        agree, differ = found.agree.get(name, 0), found.differ.get(name, 0)
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
def explain(
    keys: Annotated[list[str] | None, typer.Argument(help="task keys or input ids")] = None,
) -> None:
    """Say why tasks were computed and not reused."""
    from harness.run.explain import explain as explain_keys

    if not keys:
        raise HarnessError("no item or task key is given", fix="make explain KEY=ITEM")
    for line in explain_keys(_project(), keys):
        out.print(line, markup=False, soft_wrap=True)


@app.command()
def discard(tag: str) -> None:
    """Delete the rows of an experiment that is not published; its results stay in the cache."""
    from harness.project.settings import load_settings
    from harness.record.layout import place_for
    from harness.record.lock import one_at_a_time
    from harness.record.store import clear_rows
    from harness.version.published import published
    from harness.version.results_state import note_origins

    root = Path.cwd()
    settings = load_settings(root)
    place = place_for(root, settings, tag)
    found = published(root, settings)
    _tell_notes(found.notes)
    if tag in found.here:
        raise HarnessError(f"{tag} is tagged: what was published is not deleted", fix="make tags")
    if tag in found.known:
        rename = f"make retag TAG={tag} TO={found.next_free}"
        raise HarnessError(
            f"{tag} is published ({found.where(tag)}): what was published is not deleted",
            fix=f"git fetch --tags; where the rows here are another experiment: {rename}",
        )
    with one_at_a_time(place.db.parent, f"discard of {tag}"):
        note_origins(root)
        deleted = clear_rows(place, tag)
    out.print(f"deleted {deleted} rows of {tag}")


@app.command()
def tags() -> None:
    """The experiments so far."""
    from harness.project.settings import load_settings
    from harness.version import git
    from harness.version.published import published

    root = Path.cwd()
    found = published(root, load_settings(root))
    _tell_notes(found.notes)
    if not found.known:
        err.print("no experiment yet; make experiment TAG=e0.0.1")
    for tag in found.known:
        if tag in found.here:
            words = git.subject(root, tag)
        else:
            words = f"its tag is not here ({found.where(tag)}); git fetch --tags"
        out.print(f"{tag}  {words}", markup=False, soft_wrap=True)


def _tell_notes(notes: list[str]) -> None:
    for note in notes:
        err.print(f"note: {note}", markup=False, soft_wrap=True)


@app.command()
def retag(tag: str, to: str) -> None:
    """Give rows that were recorded under a taken tag a free one; nothing is run again."""
    from harness.project.settings import load_settings
    from harness.version.retag import retag as rename

    root = Path.cwd()
    count = rename(root, load_settings(root), tag, to)
    out.print(f"{count} rows of {tag} are {to} now; make experiment TAG={to} tags them")


@app.command("test")
def run_the_tests(arguments: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Run the tests; passing opens the gate `tests`."""
    from harness.gates.tested import run_tests

    _leave(run_tests(Path.cwd(), arguments or []))


@app.command()
def data() -> None:
    """Hand new and changed files in data/ to DVC (or git)."""
    from harness.project.settings import load_settings
    from harness.version import dvc

    root = Path.cwd()
    staged = dvc.track_data(root, load_settings(root).store.dvc)
    for path in staged:
        out.print(f"staged {path}", markup=False)
    out.print('commit it: git commit -m "data"' if staged else "nothing new in data/")


def main() -> None:
    """Run a command; what goes wrong becomes a sentence, its fix and an exit code."""
    try:
        # Not standalone: typer would print what was typed as it is, escape sequences and all.
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
        sys.exit(code if sys.argv[1:] else 2)
    except HarnessError as error:
        show_error(error)
        sys.exit(error.code)
    except TyperException as error:
        _say_usage(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        err.print("stopped; what is recorded stays, the same command goes on")
        sys.exit(130)
    except Exception as error:
        if is_of_database(error):
            reason, fix = reason_of(error, "the database")
            show_error(HarnessError(f"a results database cannot be used: {reason}", fix=fix))
        else:
            # Nobody foresaw this one. Its text may be anybody's, so it takes the same way.
            err.print(traceback.format_exc().rstrip(), soft_wrap=True)
        sys.exit(1)


def _say_usage(error: TyperException) -> None:
    """What is wrong with a command line, and where its usage stands."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "python -m harness"
    show_error(HarnessError(error.format_message(), fix=f"{command} --help"))


if __name__ == "__main__":
    main()
