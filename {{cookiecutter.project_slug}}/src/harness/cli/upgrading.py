"""The command that brings a newer harness, and what it leaves for the person to do."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.console import err, out

if TYPE_CHECKING:
    from harness.version.upgrade import Upgraded

app = typer.Typer()


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
