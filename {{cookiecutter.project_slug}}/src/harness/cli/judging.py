"""The commands of people beside a judge: labels, and how far both agree."""

from pathlib import Path
from typing import Annotated

import typer

from harness.console import out
from harness.errors import HarnessError
from harness.record.layout import DEV, databases

app = typer.Typer()
Tag = Annotated[str, typer.Argument(help="an experiment's tag, or dev; the newest, if left out")]


def _chosen(tag: str) -> str:
    """The tag; else the newest experiment, or the dev phase where there is none."""
    from harness.project.settings import load_settings
    from harness.version.published import published

    root = Path.cwd()
    return tag or published(root, load_settings(root), ask_remote=False).newest or DEV


@app.command()
def label(
    tag: Tag = "",
    number: Annotated[int, typer.Option("--items", help="answers to label", min=1)] = 50,
    page: Annotated[bool, typer.Option("--page", help="in a browser")] = False,
    quiet: Annotated[bool, typer.Option("--no-browser", help="open no browser")] = False,
) -> None:
    """Label answers as judge.py would, blind; the same command goes on where it stopped."""
    from harness.labelling import BACK, SKIP, Labelling, label_in_terminal
    from harness.project.contract import Project
    from harness.tell.label_page import Page, serve

    labelling = Labelling(Project.open(), _chosen(tag), number)
    if not page:
        label_in_terminal(labelling)
        return

    def press(key: str) -> None:
        if key == BACK:
            labelling.back()
        elif key == SKIP:
            labelling.skip()
        else:
            labelling.give(labelling.keys[key])

    def count() -> str:
        return f"{labelling.there + labelling.given} of {labelling.wanted} labelled"

    words = {key: str(each) for key, each in labelling.keys.items()}
    keys = {**words, SKIP: "skip", BACK: "undo"}
    serve(Page(lambda: labelling.now, keys, press, count), open_browser=not quiet)
    out.print(labelling.words_at_end(), soft_wrap=True)


@app.command()
def agreement(tag: Tag = "") -> None:
    """How far judges agree with labels, and means corrected for their errors."""
    from harness.project.settings import load_settings
    from harness.read.results import read_experiment
    from harness.read.views import connect
    from harness.tell.judge_section import judge_sections
    from harness.tell.section import to_console

    root, name = Path.cwd(), _chosen(tag)
    found = databases(root, load_settings(root), DEV if name == DEV else "experiment")
    if not found:
        raise HarnessError("nothing is recorded yet", fix="make dev-run")
    with connect(found) as con:
        experiment = read_experiment(con, name)
        sections = judge_sections(con, experiment, range(len(experiment.configurations)))
    if not sections:
        raise HarnessError(
            f"no label counts in {name} yet",
            fix=f"make label TAG={name}, judged=True in SCORES, then make rescore TAG={name}",
            code=1,
        )
    to_console(sections)
