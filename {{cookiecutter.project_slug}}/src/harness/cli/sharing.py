"""The commands about work in several places: merge, worktrees, layouts, a shared cache."""

from pathlib import Path
from typing import Annotated

import typer

from harness.console import err, out, runnable
from harness.errors import HarnessError

app = typer.Typer()

Allow = Annotated[list[str] | None, typer.Option(help="what may differ: data, schema, types, …")]
Origin = Annotated[str, typer.Argument(help="a folder, a database, a branch, a tag")]


@app.command()
def merge(origin: Origin = "", allow: Allow = None) -> None:
    """Add the results of another checkout, database, branch or tag to those here."""
    _merge(origin, allow, rebase=False)


@app.command()
def rebase(origin: Origin = "", allow: Allow = None) -> None:
    """The same, and take experiments that differ from there, after a backup."""
    _merge(origin, allow, rebase=True)


def _merge(origin: str, allow: list[str] | None, rebase: bool) -> None:
    from harness.findings import many, show
    from harness.project.settings import load_settings
    from harness.version.merging.results import known_differences, merge_results

    root = Path.cwd()
    if not origin:
        return _resolve(root, rebase)
    allowed = known_differences(allow or [])
    merged = merge_results(root, load_settings(root), origin, allowed, rebase)
    if merged.findings:
        raise typer.Exit(show(merged.findings, f"nothing was merged from {origin}"))
    for words in dict.fromkeys(each.words for each in merged.differences):
        err.print(f"note: {words}", soft_wrap=True)
    for name, rows in merged.rows.items():
        out.print(f"results/{name}: {many(rows, 'row')} merged from {origin}", soft_wrap=True)
    if not merged.rows:
        out.print(f"nothing new in {origin}", soft_wrap=True)
    for backup in merged.backups:
        out.print(f"what was here before is {backup.relative_to(root)}", soft_wrap=True)
    _tell_next(merged.next_steps)


def _resolve(root: Path, rebase: bool) -> None:
    from harness.findings import show
    from harness.version.merging.driver import resolve

    done, findings = resolve(root, rebase)
    for name in done:
        out.print(f"{name} is merged and staged", soft_wrap=True)
    if findings:
        raise typer.Exit(show(findings, "not merged"))
    _tell_next(["git commit", *(f"dvc checkout {name}" for name in done if name.endswith(".dvc"))])


def _tell_next(steps: list[str]) -> None:
    for step in steps:
        out.print(f"next: {runnable(step)}", soft_wrap=True)


@app.command("merge-driver", hidden=True)
def merge_driver(base: Path, ours: Path, theirs: Path, name: str) -> None:
    """As git calls it for a results database (see .gitattributes)."""
    from harness.console import show_error, styled
    from harness.version.merging.driver import drive, root_of

    root = root_of(Path.cwd(), name)
    try:
        findings = drive(root, base, ours, theirs, f"results/{Path(name).name}")
    except HarnessError as error:
        show_error(error)
        raise typer.Exit(1) from None
    for finding in findings:
        err.print(styled(("error:", "bold red"), f" {name}: {finding.message}"), soft_wrap=True)
        for example in finding.examples:
            err.print(f"        {example}", soft_wrap=True)
        err.print(styled(("  fix:", "bold green"), f" {finding.fix}"), soft_wrap=True)
    raise typer.Exit(int(bool(findings)))


# -- worktrees


@app.command()
def worktree(name: Annotated[str, typer.Argument(help="such as transformer")] = "") -> None:
    """A checkout beside this one, on its own branch, for other code or data."""
    from harness.version import git
    from harness.version.worktrees import add, check_out_data

    root = Path.cwd()
    changed = git.changed(root) if git.is_repository(root) else []
    made = add(root, name)
    out.print(f"{made.top} is on the branch {made.branch}", soft_wrap=True)
    if changed:
        words = f"note: it begins at the last commit, without {', '.join(changed[:5])}"
        err.print(words, soft_wrap=True)
    if missing := check_out_data(made.root):
        err.print(f"note: {missing}", soft_wrap=True)
    # Its git hooks run what that sets up, so a commit before it would be stopped by them.
    _tell_next([f"cd {made.root} && make dev-run (which sets it up; only then can you commit)"])


@app.command("worktrees")
def list_worktrees() -> None:
    """The checkouts of this repository, and what each has alone."""
    from harness.version.worktree_state import left_in
    from harness.version.worktrees import worktrees

    root = Path.cwd()
    for number, tree in enumerate(worktrees(root)):
        # The main one stays, so its branch need not be anywhere else.
        left = [
            each
            for each in left_in(root, tree, ask_remote=False)
            if number or each.kind != "unmerged"
        ]
        state = "; ".join(f"{each.kind}: {each.words}" for each in left) or "nothing of its own"
        if tree.problem:
            state = f"{tree.problem}; {state}"
        out.print(f"{tree.top}  {tree.branch or 'no branch'}  {state}", soft_wrap=True)


@app.command("worktree-remove")
def remove_worktree(
    name: str,
    force: Annotated[bool, typer.Option(help="though its branch is unmerged; it is kept")] = False,
) -> None:
    """Take a worktree away, unless something in it is nowhere else."""
    from harness.version.worktree_state import left_in
    from harness.version.worktrees import find, remove

    root = Path.cwd()
    tree = find(root, name)
    left = left_in(root, tree)
    unmerged = any(each.kind == "unmerged" for each in left)
    in_the_way = [each for each in left if not (force and each.kind == "unmerged")]
    if in_the_way:
        raise HarnessError(
            "\n".join(f"{each.kind}: {each.words}" for each in in_the_way),
            fix=" ; ".join(dict.fromkeys(each.fix for each in in_the_way)),
            code=1,
        )
    remove(root, tree, keep_branch=unmerged)
    kept = f"; its branch {tree.branch} stays" if unmerged else ""
    out.print(f"{tree.top} is removed{kept}", soft_wrap=True)


# -- where results lie


@app.command()
def layout(to: Annotated[str, typer.Argument(help="append-only, table-per-experiment, …")]) -> None:
    """Move the results from one layout to another; no row is lost, no command changes."""
    from harness.project.settings import load_settings
    from harness.version.relayout import change_layout

    root = Path.cwd()
    steps = change_layout(root, load_settings(root), to)
    out.print(f"the results are {to}" if steps else f"the results are {to} already")
    _tell_next(steps)


@app.command("shared-cache")
def shared_cache(
    folder: Annotated[Path, typer.Argument(help="for a group on this machine")],
) -> None:
    """Let DVC keep its files in one folder for a group, and link to them."""
    from harness.version.shared_cache import share

    for line in share(Path.cwd(), folder):
        out.print(line, soft_wrap=True)
