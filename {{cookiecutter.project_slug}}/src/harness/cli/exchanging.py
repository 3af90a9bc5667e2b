"""The commands that bring runs of other tools here, and experiments to other tools."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from harness.console import out

app = typer.Typer()
Tag = Annotated[str, typer.Argument(help="an experiment's tag; the newest one, if left out")]


@app.command("import")
def import_(
    files: Annotated[list[Path], typer.Argument(help="logs of one tool, as it wrote them")],
    tag: Annotated[str, typer.Option(help="the experiment that they become")],
    message: Annotated[str, typer.Option(help="what they are about")] = "",
) -> None:
    """Record runs of inspect, lm-evaluation-harness, promptfoo or OpenAI evals as an experiment."""
    from harness.importing import import_logs
    from harness.project.contract import Project

    raise typer.Exit(import_logs(Project.open(), tag, files, message))


@app.command("export-for")
def export_for(
    reader: Annotated[Literal["every-eval-ever", "mlflow"], typer.Argument(help="who reads it")],
    tag: Tag = "",
    target: Annotated[Path, typer.Option("--out", help="a folder")] = Path("exports"),
    organization: Annotated[str, typer.Option(help="who evaluated, in Every Eval Ever")] = "",
) -> None:
    """Write an experiment as Every Eval Ever's JSON, or as runs of MLflow."""
    from harness.cli.reading import newest
    from harness.project.settings import load_settings
    from harness.read.views import connect
    from harness.record.layout import databases

    name = newest(tag)
    root = Path.cwd()
    settings = load_settings(root)
    with connect(databases(root, settings, "experiment")) as con:
        if reader == "mlflow":
            from harness.exchange.mlflow_runs import export_mlflow

            for line in export_mlflow(con, name, target, settings.benchmark.name, root):
                out.print(line, markup=False, soft_wrap=True)
            return
        from harness.exchange.every_eval_ever import export_every_eval_ever

        who = organization or settings.benchmark.name
        for path in export_every_eval_ever(con, name, target, settings.benchmark.name, who):
            out.print(f"wrote {path}", markup=False, soft_wrap=True)
