"""The commands that read what is recorded: before an experiment, after one, across several."""

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from harness.console import err, out, runnable
from harness.errors import HarnessError
from harness.project.kind import load_kind
from harness.project.settings import Settings, load_settings
from harness.record.layout import DEV, databases, place_for
from harness.seal import HERE

if TYPE_CHECKING:
    from harness.project.contract import Project
    from harness.project.values import Row

app = typer.Typer()
_FORMATS = "table, csv, spreadsheet (csv without formulas), json or parquet"
Phase = Literal["dev", "experiment"]
Json = Annotated[bool, typer.Option("--json", help="for programs, on standard output")]
Database = Annotated[Path | None, typer.Argument(help="any that xetrack wrote; default: yours")]
Table = Annotated[str, typer.Argument(help="default: all tables of predictions")]
Force = Annotated[bool, typer.Option("--force", help="replace a file outside this repository")]
Tag = Annotated[str, typer.Argument(help="an experiment's tag; the newest one, if left out")]


def _here() -> tuple[Path, Settings]:
    return Path.cwd(), load_settings(Path.cwd())


def _recorded(phase: str) -> list[Path]:
    root, settings = _here()
    found = databases(root, settings, phase)
    if not found:
        from harness.version.results_state import problem_of, records

        for record in records(root) if phase != DEV else []:
            if elsewhere := problem_of(root, record):  # as in a clone that has not pulled
                raise HarnessError(elsewhere.message, fix=elsewhere.fix)
        command = "make dev-run" if phase == DEV else "make experiment TAG=e0.0.1"
        raise HarnessError("nothing is recorded yet", fix=command)
    return found


def check_targets(target: Path | None, found_in: list[Path], force: bool) -> None:
    from harness.tell.query import check_target
    from harness.tell.target import check_place

    if target is not None:
        check_target(target, found_in)
        check_place(Path.cwd(), target, force)


def newest(tag: str) -> str:
    """The tag, or the newest experiment's where none is given."""
    from harness.version.published import published

    if tag:
        return tag
    # Only what is here can be read, so no remote is asked.
    if not (found := published(*_here(), ask_remote=False)).newest:
        from harness.read.unfinished import unfinished

        if begun := unfinished(*_here()):
            raise HarnessError(begun[-1].message, fix=begun[-1].fix, code=1)
        raise HarnessError("there is no experiment yet", fix="make experiment TAG=e0.0.1")
    return found.newest


@app.command()
def inspect(as_json: Json = False) -> None:
    """Look at what the dev-run recorded; findings set the exit code."""
    from harness.findings import show
    from harness.gates.inspection import inspect as look
    from harness.gates.inspection import show_samples

    database = _recorded(DEV)[0]
    if not as_json:
        show_samples(database)
    found = look(database, kind=load_kind(Path.cwd()))
    raise typer.Exit(show(found, "the dev-run", as_json=as_json))


@app.command()
def validate(
    database: Database = None,
    table: Table = "",
    key: Annotated[str, typer.Option(help="columns that name a task: input_id,model")] = "",
    as_json: Json = False,
) -> None:
    """Can the recorded rows be trusted?"""
    from harness.findings import show
    from harness.read.validate import validate as check
    from harness.version.published import check_tags

    if database is not None:
        names = [name for name in key.split(",") if name]
        given = check([database], table or None, names, load_kind(HERE.parents[1]))
        raise typer.Exit(show(given, f"{database} {table}".strip(), as_json=as_json))
    found = check(_recorded("experiment"), kind=load_kind(Path.cwd())) + check_tags(*_here())
    raise typer.Exit(show(found, "the experiments", as_json=as_json))


@app.command("cache-hits")
def cache_hits(database: Database = None, table: Table = "", as_json: Json = False) -> None:
    """What was reused, from which run, and what that saved."""
    from harness.read.configuration_figures import cache_hits as count
    from harness.read.validate import examine
    from harness.tell.overview import show_cache_hits

    found_in = _recorded("experiment") if database is None else [database]
    hits = examine(found_in, table or None, count)
    print(json.dumps(hits, indent=2)) if as_json else show_cache_hits(hits)


@app.command()
def export(
    database: Annotated[Path, typer.Argument(help="any that xetrack wrote")],
    table: Table = "",
    target: Annotated[Path | None, typer.Option("--out", help="default: standard output")] = None,
    force: Force = False,
) -> None:
    """Figures of any database of xetrack as Markdown, with what validation found in it."""
    from harness.read.validate import check, examine
    from harness.tell.overview import overview_markdown

    check_targets(target, [database], force)
    kind = load_kind(HERE.parents[1])
    title = f"Results of {database.name}"
    text = examine(
        [database],
        table or None,
        lambda facts: overview_markdown(facts, title, check(facts, kind)),
        with_scores=True,
    )
    if target is None:
        print(text, end="")
    else:
        target.write_text(text, encoding="utf-8")


@app.command()
def summary(
    tag: Tag = "",
    target: Annotated[Path | None, typer.Option("--out")] = None,
    force: Force = False,
) -> None:
    """Results with their intervals, as Markdown."""
    from harness.read.views import connect
    from harness.tell.section import to_markdown
    from harness.tell.summary import summarise_experiment

    name = newest(tag)
    found_in = _recorded(DEV if name == DEV else "experiment")
    check_targets(target, found_in, force)
    with connect(found_in) as con:
        found = summarise_experiment(con, name, load_kind(Path.cwd()), Path.cwd())
    text = to_markdown(f"Results of {name}", found.sections)
    if target is None:
        print(text, end="")
    else:
        target.write_text(text, encoding="utf-8")
        out.print(f"wrote {target}", markup=False)
    raise typer.Exit(found.exit_code)


@app.command()
def report(
    tag: Tag = "",
    target: Annotated[Path | None, typer.Option("--out")] = None,
    force: Force = False,
) -> None:
    """The same and more as one HTML file that opens without network."""
    from harness.read.views import connect
    from harness.tell.report import write_report
    from harness.tell.table_files import write_tables

    root = Path.cwd()
    name = newest(tag)
    path = target or root / "results" / "reports" / f"{name}.html"
    found_in = _recorded(DEV if name == DEV else "experiment")
    check_targets(target, found_in, force)
    with connect(found_in) as con:
        kind, columns = load_kind(root), load_settings(root).report.item
        found = write_report(con, name, path, kind, columns, root)
    out.print(f"wrote {path}", markup=False, soft_wrap=True)
    if target is None:
        folder = write_tables(path.with_name(f"{name}-tables"), found.sections)
        out.print(f"its tables as CSV and LaTeX are in {folder}", markup=False, soft_wrap=True)
    raise typer.Exit(found.exit_code)


@app.command()
def compare(
    a: str,
    b: Annotated[str, typer.Argument()] = "",
    metric: Annotated[str | None, typer.Option(help="one score, latency or cost")] = None,
    force: Annotated[bool, typer.Option(help="also where the data differ")] = False,
    as_json: Json = False,
) -> None:
    """What changed, which items flipped, and whether it is a difference."""
    from harness.read.views import connect
    from harness.tell.compare import compare as between
    from harness.tell.compare_text import sections
    from harness.tell.section import to_console
    from harness.version.looks_log import note_comparison

    phase = DEV if a.partition(":")[0] == DEV else "experiment"
    with connect(_recorded(phase)) as con:
        found = between(con, a, b, metric, force)
    note_comparison(Path.cwd(), a, b or a, metric, found.data)
    if as_json:
        print(json.dumps(found.as_json(), indent=2))
    else:
        to_console(sections(found))
    raise typer.Exit(found.exit_code)


@app.command()
def rescore(tag: Tag = "") -> None:
    """Score stored rows again with today's metrics.py; predict does not run."""
    from harness.judging import judged
    from harness.measure.rescore import rescore as score_again
    from harness.measure.rescore import scores_as_before
    from harness.project.contract import Project

    name = newest(tag)
    project = Project.open()
    rows = score_again(project, name, judged(project))
    same = scores_as_before(project, name)
    _show_renewed(project, name, rows, f"{name}, scored again", same)


def _show_renewed(
    project: "Project", name: str, rows: "list[Row]", title: str, same: bool = False
) -> None:
    """Show new metrics of an experiment, renew what git keeps of it, and say what is left to do."""
    from harness.measure.aggregate import rules_of
    from harness.tell.committed import renew
    from harness.tell.results_table import results_tables
    from harness.version.results_state import after_rescore

    place = place_for(project.root, project.settings, name)
    rules = rules_of(place, name)
    for table in results_tables(title, rows, out.width, rules, project.kind.doubts):
        out.print(table)
    beside = renew(project, place, name, rows)
    for line in after_rescore(*_here(), name, beside, same):
        err.print(runnable(line), markup=False, soft_wrap=True)


@app.command()
def judge(tag: Tag = "") -> None:
    """Ask judge.py about stored answers, where a judgement is missing; predict does not run."""
    from harness.experiment import show_run
    from harness.judging import judge_answers, refuse_unjudged
    from harness.project.contract import Project
    from harness.record.lock import one_at_a_time
    from harness.version.results_state import note_origins

    name = newest(tag)
    project = Project.open()
    if project.judge is None:
        raise HarnessError("there is no judge", fix="write src/benchmark/judge.py")
    place = place_for(project.root, project.settings, name)
    with one_at_a_time(place.db.parent, f"the judging of {name}"):
        note_origins(project.root)
        report = judge_answers(project, name)
    if report is None:
        raise HarnessError(f"there are no answers of {name} yet", fix="make tags")
    show_run(report)
    refuse_unjudged(report, f"make judge TAG={name}")
    rescore(name)


@app.command()
def prices(tag: Tag = "") -> None:
    """Cost stored rows again at today's prices; predict does not run."""
    from harness.measure.recost import recost
    from harness.project.contract import Project

    name = newest(tag)
    project = Project.open()
    done, rows = recost(project, name)
    line = f"{done.changed} of {done.rows} rows have another cost than before"
    if done.unknown:
        line += f"; of {done.unknown} the cost is not known"
    err.print(line, markup=False, soft_wrap=True)
    if done.changed:
        _show_renewed(project, name, rows, f"{name}, new costs")


@app.command()
def sql(
    query: Annotated[str | None, typer.Option(help="one SELECT")] = None,
    file: Annotated[Path | None, typer.Option(help="a recipe, such as sql/overview.sql")] = None,
    fmt: Annotated[str, typer.Option("--format", help=_FORMATS)] = "table",
    target: Annotated[Path | None, typer.Option("--out", help="write to this file")] = None,
    variables: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE")] = None,
    phase: Phase = "experiment",
    force: Force = False,
) -> None:
    """Query the results with DuckDB; reading only."""
    from typing import cast

    from harness.tell.query import Format, run_sql

    if (query is None) == (file is None):
        raise HarnessError("give one query", fix='make sql Q="SELECT …" or FILE=sql/overview.sql')
    if file is not None and not file.is_file():
        raise HarnessError(f"there is no file {file}", fix="ls sql/")
    if wrong := [pair for pair in variables or [] if not pair.partition("=")[1]]:
        raise HarnessError(f"--set {wrong[0]} gives no value", fix=f"--set {wrong[0]}=VALUE")
    given = dict(pair.partition("=")[::2] for pair in variables or [])
    try:
        text = query if file is None else file.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError) as error:
        raise HarnessError(f"{file} cannot be read as text: {error}", fix="ls sql/") from None
    found_in = _recorded(phase)
    check_targets(target, found_in, force)
    run_sql(found_in, text or "", cast(Format, fmt), target, given)
    if target is not None:
        err.print(f"wrote {target}", markup=False, soft_wrap=True)


@app.command()
def browse(phase: Phase = "experiment") -> None:
    """Look at the results in a browser (Datasette, reading only)."""
    from harness.tell.browse import browse as serve

    raise typer.Exit(serve(_recorded(phase)))


schema = typer.Typer(invoke_without_command=True, help="Does the code agree with the columns?")
app.add_typer(schema, name="schema")


@schema.callback()
def schema_check(context: typer.Context, as_json: Json = False) -> None:
    """Compare the columns that the code would record with those that are recorded."""
    from harness.findings import show
    from harness.gates.tried import schema_of
    from harness.project.contract import Project
    from harness.project.grid import resolve_grid

    if context.invoked_subcommand is None:
        project = Project.open()
        found = schema_of(project, resolve_grid(project))
        raise typer.Exit(show(found, "the schema", as_json=as_json))


@schema.command("rename")
def rename(old: str, new: str) -> None:
    """Rename a parameter in every table and database; backups are made first."""
    from harness.gates.schema import rename_column
    from harness.record.lock import one_at_a_time
    from harness.version.results_state import note_origins

    root, settings = _here()
    note_origins(root)
    every = [p for phase in (DEV, "experiment") for p in databases(root, settings, phase)]
    with contextlib.ExitStack() as locks:
        for folder in sorted({path.parent for path in every}):
            locks.enter_context(one_at_a_time(folder, "a rename"))
        backups = rename_column(every, old, new)
    for backup in backups:
        out.print(f"kept the old one as {backup}", markup=False, soft_wrap=True)
    out.print(f"{old} is now {new}", markup=False)
