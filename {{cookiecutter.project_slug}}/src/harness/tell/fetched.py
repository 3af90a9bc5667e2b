"""What `make get` brings of a past experiment: a file or model, a table of it, or its report."""

import tempfile
from pathlib import Path

from harness.errors import HarnessError
from harness.project.kind import load_kind
from harness.project.settings import Settings
from harness.read.excerpt import past_database, results_of
from harness.read.views import columns, connect, literal
from harness.tell.section import Section, Table
from harness.tell.target import check_place
from harness.version.past import files_at, find, take

TABLES = ("predictions", "metrics", "runs", "judgements")
REPORT = "report"
_FORMS = (".csv", ".json", ".parquet")


def what_there_is(root: Path, tag: str) -> list[Section]:
    """What can be brought of a tag. Raises HarnessError where it is not here."""
    from harness.tell.show import artefacts

    made = [["report", "its report as HTML, made anew from its results"]]
    made += [[name, "this table of it, as .csv, .json or .parquet"] for name in TABLES[:-1]]
    made += [[TABLES[-1], "the same, where a judge was asked"]]
    files = artefacts(tag, files_at(root, tag))
    return [Section("Made of its results", (), [Table(("name", "is"), made)]), files]


def get(root: Path, settings: Settings, tag: str, name: str, target: Path | None) -> Path:
    """Bring one of them to `target` (by default a file beside the project, as a checkout is).

    Raises HarnessError where the tag has no such thing, the target is there already, or what is
    wanted cannot be brought. The target is written whole or not at all.
    """
    # Not in the project: an untracked file there would stop the next experiment.
    beside, start = root.parent, f"{root.name}-{tag}-"
    if name == REPORT or name in TABLES:
        target = target or beside / f"{start}{name}.{'html' if name == REPORT else 'csv'}"
        check_place(root, target)
        if target.exists():
            raise HarnessError(f"{target} is there already", fix="another OUT=, or move it away")
        target.parent.mkdir(parents=True, exist_ok=True)
        make = _report if name == REPORT else _table
        make(root, settings, tag, name, target)
        return target
    held = find(root, tag, name)
    base = Path(name).name
    target = target or beside / f"{start}{base}"
    if target.is_dir():
        target = target / base
    check_place(root, target)
    take(root, held, target.absolute())
    return target


def _report(root: Path, settings: Settings, tag: str, name: str, target: Path) -> None:
    from harness.tell.report import write_report

    with (
        results_of(root, settings, [tag]) as found,
        connect(found) as con,
        tempfile.TemporaryDirectory(dir=target.parent.absolute(), prefix=".get-") as folder,
    ):
        made = Path(folder) / "report.html"
        write_report(con, tag, made, load_kind(root), settings.report.item)
        made.rename(target)


def _table(root: Path, settings: Settings, tag: str, name: str, target: Path) -> None:
    """The rows of one experiment, from the database that its tag has."""
    from harness.tell.query import run_sql

    if target.suffix not in _FORMS:
        raise HarnessError(f"{target} is of no known form", fix="OUT=x.csv, x.json or x.parquet")
    with tempfile.TemporaryDirectory(prefix="bench-table-") as folder:
        database = past_database(root, tag, Path(folder) / "past.db")
        with connect([database]) as con:
            there = columns(con, name)
        if not there:
            fix = f"make get TAG={tag} lists what there can be"
            raise HarnessError(f"{tag} has no table {name}", fix=fix)
        query = f"SELECT * FROM {name} WHERE experiment_version = {literal(tag)}"
        run_sql([database], query, target=target)
