"""The commands about work in several places: merge, worktrees, layouts, a shared cache."""

from pathlib import Path
from typing import Annotated

import typer

from harness.console import err, out
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
        out.print(f"next: {step}", soft_wrap=True)


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
