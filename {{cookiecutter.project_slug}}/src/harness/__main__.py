"""`python -m harness COMMAND`: every command of the Makefile, where make is not at hand."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from harness import reading
from harness.console import err, out, show_error
from harness.errors import HarnessError, is_of_database

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # a wrong option is told in one sentence, not in a box
    help="Run a benchmark, each datapoint exactly once, and keep what came out.",
)
app.registered_commands += reading.app.registered_commands
app.registered_groups += reading.app.registered_groups


def _project() -> Any:
    from harness.project import Project

    return Project.open()


def _leave(code: int) -> None:
    raise typer.Exit(code)


def _check_branch() -> None:
    from harness.gates import branch_problem
    from harness.settings import load_settings

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

    folder = Path.cwd() / ".dev"
    existed = folder.exists()
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
    from harness.gates import known_gates

    _leave(run_experiment(_project(), tag, message, known_gates(allow or [])))


@app.command()
def ready() -> None:
    """What still stands between you and an experiment."""
    from harness.experiment import prepare
    from harness.gates import Situation, look

    project = _project()
    prepared = prepare(project, None)
    shut = 0
    for name, blocked in look(Situation(project, prepared.context, prepared.census)).items():
        if blocked is None:
            out.print(f"[green]ok  [/] {name}")
            continue
        shut += 1
        out.print(f"[red]no  [/] {name}: ", end="")
        out.print(f"{blocked.message}  ->  {blocked.fix}", markup=False, soft_wrap=True)
    _leave(1 if shut else 0)


@app.command("dry-run")
def dry_run() -> None:
    """How many datapoints are new or cached, and what the new ones would cost."""
    from harness.explain import preview

    for line in preview(_project()):
        out.print(line, markup=False, soft_wrap=True)


@app.command()
def explain(
    keys: Annotated[list[str] | None, typer.Argument(help="task keys or input ids")] = None,
) -> None:
    """Say why tasks were computed and not reused."""
    from harness.explain import explain as explain_keys

    if not keys:
        raise HarnessError("no item or task key is given", fix="make explain KEY=ITEM")
    for line in explain_keys(_project(), keys):
        out.print(line, markup=False, soft_wrap=True)


@app.command()
def discard(tag: str) -> None:
    """Delete the rows of an experiment that is not published; its results stay in the cache."""
    from harness.layout import place_for
    from harness.published import published
    from harness.results_state import note_origins
    from harness.settings import load_settings
    from harness.store import clear_rows

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
    note_origins(root)
    out.print(f"deleted {clear_rows(place, tag)} rows of {tag}")


@app.command()
def tags() -> None:
    """The experiments so far."""
    from harness import git
    from harness.published import published
    from harness.settings import load_settings

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
    from harness.retag import retag as rename
    from harness.settings import load_settings

    root = Path.cwd()
    count = rename(root, load_settings(root), tag, to)
    out.print(f"{count} rows of {tag} are {to} now; make experiment TAG={to} tags them")


@app.command("test")
def run_the_tests(arguments: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Run the tests; passing opens the gate `tests`."""
    from harness.tested import run_tests

    _leave(run_tests(Path.cwd(), arguments or []))


@app.command()
def data() -> None:
    """Hand new and changed files in data/ to DVC (or git)."""
    from harness import dvc
    from harness.settings import load_settings

    root = Path.cwd()
    staged = dvc.track_data(root, load_settings(root).store.dvc)
    for path in staged:
        out.print(f"staged {path}", markup=False)
    out.print('commit it: git commit -m "data"' if staged else "nothing new in data/")


def main() -> None:
    """Run a command; a HarnessError becomes a sentence, its fix and an exit code."""
    try:
        app()
    except HarnessError as error:
        show_error(error)
        sys.exit(error.code)
    except Exception as error:
        if not is_of_database(error):
            raise
        fix = "wait for what is using it, or restore it with `dvc checkout` or `git checkout`"
        words = str(error).strip().partition("\n")[0]
        show_error(HarnessError(f"a results database cannot be used: {words}", fix=fix))
        sys.exit(1)
    except KeyboardInterrupt:
        err.print("stopped; what is recorded stays, the same command goes on")
        sys.exit(130)


if __name__ == "__main__":
    main()
