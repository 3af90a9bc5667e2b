"""The commands about experiments as versions: which there are, and what becomes of their names."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.console import err, out
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.version.upgrade import Upgraded

app = typer.Typer()


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


@app.command()
def upgrade(
    to: Annotated[str, typer.Option(help="tag, branch or commit of the template")] = "",
    force: Annotated[bool, typer.Option(help="put an edit of the harness aside")] = False,
) -> None:
    """A newer harness from the template; what you wrote stays, results are reused."""
    raise typer.Exit(show_upgrade(Path.cwd(), to, force))


def show_upgrade(root: Path, to: str, force: bool) -> int:
    """Upgrade the repository at `root` and say what is left to do; the exit code."""
    from harness.version.upgrade import planned
    from harness.version.upgrade import upgrade as go

    with planned(root, to) as (plan, template):
        here = plan.after or plan.target[:12]
        if plan.is_done:
            out.print(f"this is {here} already; nothing to do", markup=False)
            return 0
        before = plan.before or "no version"
        out.print(f"{before} -> {here}\n\n{plan.news}\n", markup=False, soft_wrap=True)
        if plan.edits:
            out.print(plan.edits, markup=False, soft_wrap=True)
        done = go(root, plan, template, force)
    return _say_upgraded(here, done)


def _say_upgraded(version: str, done: "Upgraded") -> int:
    """What is left to do; 1 where files need the person."""
    if done.aside:
        note = f"note: the edit of the harness is in {done.aside}; git apply brings it back"
        err.print(note, markup=False, soft_wrap=True)
    commit = f'git commit -m "Upgrade the harness to {version}"'
    if not done.conflicts:
        out.print(f"the files of {version} are staged: look at them (git diff --staged), then")
        out.print(f"  make setup test && {commit}", markup=False, soft_wrap=True)
        return 0
    err.print("both you and the template changed these; nothing of yours is lost:")
    for name in done.conflicts:
        err.print(f"  {name}  ->  {_what_to_do(name)}", markup=False, soft_wrap=True)
    err.print(f"then make setup test && git add -A && {commit}", markup=False, soft_wrap=True)
    err.print("or undo all of it: git reset --hard", markup=False)
    return 1


def _what_to_do(name: str) -> str:
    from harness.version.template_merge import RESOLVES

    then = "; then make lock" if name.removesuffix(".rej") in RESOLVES else ""
    if name.endswith(".rej"):
        return f"do in {name.removesuffix('.rej')} what it says, then rm {name}{then}"
    return f"keep what you want of the lines between <<<<<<< and >>>>>>>, delete the rest{then}"
