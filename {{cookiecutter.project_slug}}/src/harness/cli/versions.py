"""The commands about experiments as versions: which there are, and what becomes of their names."""

import json
from pathlib import Path

import typer

from harness.cli.reading import Json
from harness.console import err, out
from harness.errors import HarnessError

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


@app.command("next")
def next_version(as_json: Json = False) -> None:
    """The tag that the next experiment should take, by what changed since the newest, and why."""
    from dataclasses import asdict

    from harness.suggest import suggest

    root = Path.cwd()
    found = suggest(root)
    if as_json:
        print(json.dumps(asdict(found)))
    else:
        out.print(f"{found.version}  {found.level}: {found.why}", markup=False, soft_wrap=True)
