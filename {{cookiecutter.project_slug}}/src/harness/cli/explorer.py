"""The commands that look at past experiments. None of them touches the working tree."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.reading import Json, newest
from harness.console import err, out
from harness.errors import HarnessError
from harness.project.settings import Settings, load_settings

if TYPE_CHECKING:
    from harness.read.catalogue import Known

app = typer.Typer()
Sort = Annotated[str, typer.Option(help="a column, metric or param; -NAME turns it round")]


def here() -> tuple[Path, Settings]:
    """This folder, which is a benchmark's, and its settings."""
    return Path.cwd(), load_settings(Path.cwd())


def listed(ask_remote: bool = False) -> "list[Known]":
    """Every experiment that is known; what could not be asked is said."""
    from harness.read.catalogue import catalogue
    from harness.version.published import published

    root, settings = here()
    found = published(root, settings, ask_remote)
    _print_notes(found.notes)
    return catalogue(root, settings, found)


def _print_notes(notes: list[str]) -> None:
    for note in notes:
        err.print(f"note: {note}", markup=False, soft_wrap=True)


@app.command()
def tags(sort: Sort = "", as_json: Json = False) -> None:
    """The experiments so far: main metric with its interval, verdicts, data, who and when."""
    from harness.tell.listing import as_json as for_programs
    from harness.tell.listing import clock_notes, distant_notes, tags_section
    from harness.tell.section import to_console

    known = listed(ask_remote=True)
    _print_notes([*distant_notes(known), *clock_notes(here()[0], known)])
    if as_json:
        print(json.dumps(for_programs(known, sort), indent=2))
    elif known:
        to_console([tags_section(known, sort)])
    else:
        err.print("no experiment yet; make experiment TAG=e0.0.1")


@app.command("list")
def list_configurations(
    metric: Annotated[list[str] | None, typer.Option(help="show this one; may be repeated")] = None,
    where: Annotated[list[str] | None, typer.Option(help="NAME=VALUE of a param or metric")] = None,
    sort: Sort = "",
    limit: int = 0,
    as_json: Json = False,
) -> None:
    """Every configuration of every experiment, by any metric or param."""
    from harness.tell.listing import as_json as for_programs
    from harness.tell.listing import configurations_section, distant_notes
    from harness.tell.section import to_console

    if wrong := [pair for pair in where or [] if "=" not in pair]:
        raise HarnessError(f"--where {wrong[0]} gives no value", fix=f"--where {wrong[0]}=VALUE")
    known = listed()
    if not known:
        raise HarnessError("there is no experiment yet", fix="make experiment TAG=e0.0.1", code=1)
    _print_notes(distant_notes(known))
    section = configurations_section(known, metric or (), where or (), sort, limit)
    if as_json:
        print(json.dumps(for_programs(known), indent=2))
    else:
        to_console([section])


@app.command()
def show(tag: Annotated[str, typer.Argument()] = "", as_json: Json = False) -> None:
    """One experiment: plan and verdicts, params, metrics, provenance, artefacts, size on disk."""
    from harness.read.excerpt import recorded_of
    from harness.tell.section import as_data, to_console
    from harness.tell.show import show_sections
    from harness.version.past import files_at

    root = here()[0]
    name = newest(tag)
    known = _known(name)
    files = files_at(root, name) if known.tagged else []
    sections = show_sections(known if known.runs else recorded_of(root, known), files)
    print(json.dumps(as_data(sections), indent=2)) if as_json else to_console(sections)


def _known(tag: str) -> "Known":
    for each in listed():
        if each.tag == tag:
            return each
    raise HarnessError(f"there is no experiment {tag!r}", fix="make tags lists them")


@app.command()
def diff(a: str, b: str, as_json: Json = False) -> None:
    """Two experiments: metrics with paired verdicts, params, code, data, environment, prompts."""
    from harness.read.catalogue import recorded_in
    from harness.read.excerpt import results_of
    from harness.read.views import connect
    from harness.tell.side_by_side import difference, print_difference
    from harness.version.past import commit_of

    root, settings = here()
    if not (a and b):
        raise HarnessError("give two experiments", fix="make diff A=e0.0.1 B=e0.0.2; make tags")
    for tag in (a, b):
        commit_of(root, tag)
    with results_of(root, settings, [a, b]) as found:
        known = {each.tag: each for path in found for each in recorded_in(path)}
        if bare := [tag for tag in (a, b) if tag not in known]:
            raise HarnessError(f"{bare[0]} has no figures", fix=f"make experiment TAG={bare[0]}")
        with connect(found) as con:
            between = difference(con, root, known[a], known[b], flips=as_json)
    if as_json:
        print(json.dumps(between.as_json(), indent=2))
    else:
        print_difference(a, b, between)


@app.command()
def get(
    tag: str,
    name: Annotated[str, typer.Argument(help="a file, a table, or `report`; a list without")] = "",
    target: Annotated[Path | None, typer.Option("--out", help="where to; default: here")] = None,
) -> None:
    """Bring one file, model, table or report of a past experiment; without a name, list them."""
    from harness.tell.fetched import get as bring
    from harness.tell.fetched import what_there_is
    from harness.tell.section import to_console

    root, settings = here()
    if not name:
        to_console(what_there_is(root, tag))
        return
    path = bring(root, settings, tag, name, target)
    out.print(f"wrote {path}", markup=False, soft_wrap=True)


@app.command()
def checkout(tag: str) -> None:
    """Put a whole past experiment into a read-only folder beside this one."""
    from harness.version.checkouts import checkout as make

    path = make(here()[0], tag)
    out.print(f"{tag} is in {path}, to look at; make cleanup TAG={tag} removes it", soft_wrap=True)


@app.command()
def cleanup(tag: Annotated[str, typer.Argument()] = "") -> None:
    """Remove the folder of a past experiment, or all that `checkout` made."""
    from harness.version.checkouts import clean_up

    removed = clean_up(here()[0], tag)
    for path in removed:
        out.print(f"removed {path}", markup=False, soft_wrap=True)
    if not removed:
        err.print("there is no checkout of a past experiment")


@app.command()
def history(
    target: Annotated[Path | None, typer.Option("--out", help="default: results/reports")] = None,
    force: Annotated[bool, typer.Option(help="replace a file outside this repository")] = False,
) -> None:
    """All experiments over time as one HTML page that opens without network."""
    from harness.tell.history import write_history
    from harness.tell.listing import clock_notes

    root, settings = here()
    known = listed()
    if not known:
        raise HarnessError("there is no experiment yet", fix="make experiment TAG=e0.0.1", code=1)
    if target is not None:
        from harness.tell.target import check_place

        check_place(root, target, force)
    path = target or root / "results" / "reports" / "history.html"
    write_history(known, path, settings.benchmark.name, clock_notes(root, known))
    out.print(f"wrote {path}", markup=False, soft_wrap=True)
