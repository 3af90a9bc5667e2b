"""The results of a few experiments, apart from all others and from whichever version has them.

What this checkout's databases hold is taken from there. An experiment that lies in another branch
is taken from the database that its tag has; what else is in that one must not be counted twice.
"""

import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from harness.errors import HarnessError, explained
from harness.project.settings import Settings
from harness.read.catalogue import Known, recorded_in
from harness.record.columns import quoted
from harness.record.database_file import prepare_to_read
from harness.record.layout import TAG, databases
from harness.version import git
from harness.version.past import files_at, take

LARGE = 2_000_000_000  # bytes of a database from which on nothing is copied out of it


@contextmanager
def results_of(root: Path, settings: Settings, tags: Sequence[str]) -> Iterator[list[Path]]:
    """Databases that together hold these experiments and, unless they are large, no others.

    Raises HarnessError where an experiment is known neither here nor by its tag, or where what its
    tag has cannot be brought.
    """
    wanted = list(dict.fromkeys(tags))
    for tag in wanted:
        if not TAG.match(tag):
            raise HarnessError(f"{tag!r} is no experiment tag (e1.2.3)", fix="make tags")
    here = databases(root, settings, "experiment")
    sources = {path: [tag for tag in wanted if tag in experiments_in(path)] for path in here}
    found = {tag for held in sources.values() for tag in held}
    if found.issuperset(wanted) and any(path.stat().st_size > LARGE for path in here):
        yield [path for path, held in sources.items() if held]
        return
    with tempfile.TemporaryDirectory(prefix="bench-results-") as folder:
        for index, tag in enumerate(tag for tag in wanted if tag not in found):
            sources[past_database(root, tag, Path(folder) / f"past{index}.db")] = [tag]
        made = []
        for index, (path, held) in enumerate(sources.items()):
            if held:
                made.append(_excerpt(path, held, Path(folder) / f"{index}.db"))
        yield made


def experiments_in(path: Path) -> set[str]:
    """The experiments of a database, by its table runs."""
    prepare_to_read(path)
    with explained(path, "read"), closing(_open(path)) as con:
        if not con.execute("SELECT 1 FROM sqlite_master WHERE name = 'runs'").fetchone():
            return set()
        rows = con.execute("SELECT DISTINCT experiment_version FROM runs").fetchall()
        return {str(tag) for (tag,) in rows}


def past_database(root: Path, tag: str, target: Path) -> Path:
    """Write the database that a tag has of its experiment to `target`.

    Raises HarnessError where there is no such tag, or it has no results.
    """
    if not git.is_repository(root):
        raise HarnessError(f"there is no experiment {tag!r} here", fix="make tags")
    names = (f"results/{tag}.db", "results/benchmark.db")
    files = {held.name: held for held in files_at(root, tag)}
    for name in names:
        if name in files:
            take(root, files[name], target)
            return target
    raise HarnessError(
        f"{tag} has no results: neither {' nor '.join(names)} is in it",
        fix=f"make get TAG={tag} lists what it has",
    )


def recorded_of(root: Path, known: Known) -> Known:
    """The same experiment as the database of its tag has it, where that can be brought at all."""
    with tempfile.TemporaryDirectory(prefix="bench-past-") as folder:
        try:
            path = past_database(root, known.tag, Path(folder) / "past.db")
        except HarnessError:
            return known
        found = {each.tag: each for each in recorded_in(path)}
    if known.tag not in found:
        return known
    return replace(found[known.tag], tagged=known.tagged, where=known.where)


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


def _new(path: Path) -> sqlite3.Connection:
    # As a URI, so that what is attached to it may be one that is only read.
    return sqlite3.connect(path.resolve().as_uri(), uri=True, isolation_level=None)


def _excerpt(source: Path, tags: Sequence[str], target: Path) -> Path:
    """Copy the rows of some experiments into a database of their own, in their order."""
    marks = ", ".join("?" * len(tags))
    with explained(source, "read"), closing(_new(target)) as con:
        con.execute("PRAGMA journal_mode = off")
        con.execute("PRAGMA synchronous = off")
        con.execute("ATTACH ? AS source", (f"{source.resolve().as_uri()}?mode=ro",))
        tables = con.execute(
            "SELECT name, sql FROM source.sqlite_master WHERE type = 'table'"
        ).fetchall()
        con.execute("BEGIN")
        for name, sql in tables:
            table = f"source.{quoted(name)}"
            columns = {row[1] for row in con.execute(f"PRAGMA source.table_info({quoted(name)})")}
            if "experiment_version" not in columns:
                continue
            con.execute(sql)
            # The numbers first: an index finds them, and sorting whole rows takes twice as long.
            wanted = f"SELECT rowid FROM {table} WHERE experiment_version IN ({marks})"
            con.execute(
                f"INSERT INTO main.{quoted(name)} SELECT * FROM {table} "
                f"WHERE rowid IN ({wanted}) ORDER BY rowid",
                tags,
            )
        con.execute("COMMIT")
    return target
