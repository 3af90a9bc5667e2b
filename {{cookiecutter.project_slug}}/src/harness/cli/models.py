"""The commands about models: `python -m harness model …`, and scripts/model_manager.py."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.console import err, out, runnable
from harness.errors import HarnessError

app = typer.Typer()
model = typer.Typer(help="Keep models, promote one by its verdict, prune the rest.")
app.add_typer(model, name="model")

Named = Annotated[str, typer.Argument(help="an id, `production`, or e0.1.0:depth=8")]
Metric = Annotated[str | None, typer.Option(help="one score, latency or cost")]
Force = Annotated[bool, typer.Option(help="also where no difference is shown; it is recorded")]


def _here() -> tuple[Path, Any]:
    from harness.project.settings import load_settings

    root = Path.cwd()
    return root, load_settings(root)


def _results() -> Any:
    from harness.read.views import connect
    from harness.record.layout import databases

    root, settings = _here()
    return connect(databases(root, settings, "experiment"))


def _tell_next(files: list[str], words: str) -> None:
    names = " ".join(dict.fromkeys(files))
    out.print(f'next: git add -A -- {names} && git commit -m "{words}"', soft_wrap=True)


@model.command("add")
def add(
    of: Annotated[str, typer.Argument(help="what made it: e0.1.0:depth=8")],
    file: Annotated[Path | None, typer.Option(help="its file; else what fit kept")] = None,
    note: Annotated[str, typer.Option(help="what to know about it")] = "",
) -> None:
    """Keep a model as a candidate."""
    import tempfile

    from harness.record.layout import place_for
    from harness.tell.promotion import chosen, fitted_file
    from harness.version import models

    root, settings = _here()
    with _results() as con:  # closed before SQLite opens the same file
        experiment, configuration = chosen(con, of)
    with tempfile.TemporaryDirectory() as folder:
        if file is None:
            place = place_for(root, settings, experiment.name)
            name, content = fitted_file(place, experiment.name, configuration.params)
            file = Path(folder) / f"{name}.pkl"
            file.write_bytes(content)
        made, changed = models.add(root, settings, file, of, note)
    out.print(f"{made.id} is a candidate: {of} ({made.added.stored})", soft_wrap=True)
    _tell_next(changed, f"model {made.id} of {of}")


@model.command("promote")
def promote(name: Named, metric: Metric = None, force: Force = False) -> None:
    """Put a model into production, if its verdict over the present one is better."""
    from harness.tell.promotion import evidence
    from harness.version import models

    root, settings = _here()
    seen = models.events_so_far(root)
    wanted, before = models.find(root, name), models.production(root)
    if wanted.stage != "candidate":
        raise HarnessError(f"{wanted.id} is {wanted.stage}, and no candidate", fix="make models")
    with _results() as con:
        found = evidence(con, wanted, before, metric, force)
    if not found.better and not force:
        raise HarnessError(
            f"{wanted.of} is not shown to be better ({found.words}), so it is not promoted",
            fix="more items or repeats may decide it; FORCE=1 promotes it all the same and says so",
            code=1,
        )
    forced = not found.better
    why = {**found.record, "forced": forced}
    changed = models.record(root, settings, "promote", [wanted], why, seen)
    out.print(f"{wanted.id} is in production: {found.words}", soft_wrap=True)
    if forced:
        err.print("note: forced, though no difference is shown; this is recorded", soft_wrap=True)
    _tell_next(changed, f"promote {wanted.id} ({wanted.of})")


@model.command("demote")
def demote(
    note: Annotated[str, typer.Option(help="why")] = "",
) -> None:
    """Take the model out of production; it stays a candidate."""
    from harness.version import models

    root, settings = _here()
    seen = models.events_so_far(root)
    wanted = models.find(root, "production")
    changed = models.record(root, settings, "demote", [wanted], {"why": note}, seen)
    out.print(f"{wanted.id} is a candidate again", soft_wrap=True)
    _tell_next(changed, f"demote {wanted.id}")


@model.command("prune")
def prune(
    keep: Annotated[int, typer.Argument(help="candidates to keep", min=0)],
    metric: Annotated[str, typer.Option(help="what is best by")],
) -> None:
    """Let go of all candidates but the best; DVC's remote and git's history keep their files."""
    from harness.tell.promotion import ranked
    from harness.version import models

    root, settings = _here()
    seen = models.events_so_far(root)
    candidates = [each for each in models.models(root) if each.stage == "candidate"]
    with _results() as con:
        rest = ranked(con, candidates, metric)[keep:]
    if not rest and not models.left_behind(root):
        out.print(f"there are {len(candidates)} candidates; nothing to prune")
        return
    evidence: dict[str, object] = {"metric": metric, "kept": keep}
    changed = models.record(root, settings, "prune", rest, evidence, seen)
    for each in rest:
        out.print(f"{each.id} is pruned: {each.of}", soft_wrap=True)
    _tell_next(changed, f"prune to the best {keep} by {metric}")


@model.command("get")
def get(
    name: Named,
    target: Annotated[Path | None, typer.Option("--out", help="default: its file's name")] = None,
) -> None:
    """Bring the file of a model here, also of one that was pruned."""
    from harness.tell.target import check_place
    from harness.version import models

    root, _ = _here()
    wanted = models.find(root, name)
    place = target or Path(wanted.added.file)
    check_place(root, place)
    models.get(root, wanted, place)
    out.print(f"{place} is {wanted.id} ({wanted.of})", soft_wrap=True)


@model.command("info")
def info(name: Named, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """What became of a model: who did what, when, on which evidence."""
    from dataclasses import asdict

    from harness.clock import local
    from harness.version import models

    root, _ = _here()
    wanted = models.find(root, name)
    if as_json:
        print(json.dumps(asdict(wanted), indent=2, ensure_ascii=False))
        return
    added = wanted.added
    out.print(f"{wanted.id}  {wanted.stage}  {wanted.of}", soft_wrap=True)
    out.print(f"{added.file}, {added.size:,} bytes, kept as {added.stored}", soft_wrap=True)
    for event in wanted.events:
        why = event.note or event.evidence
        line = f"{local(event.at)}  {event.what}  {event.who}  {event.commit_hash[:12]}  {why}"
        out.print(line.rstrip(), soft_wrap=True)


@model.command("list")
def list_models(
    as_json: Annotated[bool, typer.Option("--json")] = False,
    every: Annotated[bool, typer.Option("--all", help="pruned ones too")] = False,
) -> None:
    """The model in production, and the candidates."""
    from harness.version import models

    root, settings = _here()
    found = [each for each in models.models(root) if every or each.stage != "pruned"]
    found.sort(key=lambda each: each.stage != "production")
    if as_json:
        listed = [{"id": each.id, "stage": each.stage, "of": each.of} for each in found]
        print(json.dumps(listed, indent=2, ensure_ascii=False))
        return
    if not found:
        err.print("no model is kept yet; make model-add TAG=e0.1.0:name=value FILE=model.pkl")
    if settings.store.dvc and models.is_ahead(root):
        name = models.database(root).relative_to(root)
        err.print(
            f"note: {name} is ahead of what DVC has: a command was killed; "
            + runnable(f'dvc add {name} && git add {name}.dvc && git commit -m "models"'),
            soft_wrap=True,
        )
    if other := models.passed_over(root):
        err.print(
            f"note: {other} was promoted too, on another branch, and nobody has held the two "
            f"against each other; make promote NAME={other} does",
            soft_wrap=True,
        )
    for each in found:
        out.print(f"{each.id}  {each.stage}  {each.of}  {each.added.file}", soft_wrap=True)
