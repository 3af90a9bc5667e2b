"""Experiments that have begun and have no tag yet: how far they are, and how they go on."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from harness.errors import explained
from harness.project.settings import Settings
from harness.record.columns import quoted
from harness.record.database_file import prepare_to_read
from harness.record.layout import TAG, Place, databases, place_for
from harness.record.runs import order
from harness.version.published import published


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An experiment without its tag. `ended_how` is its last run's, as in `runs`; '' if killed."""

    tag: str
    recorded: int
    planned: int
    ended_how: str

    @property
    def message(self) -> str:
        """How far it is, as a sentence without its end."""
        far = f"{self.recorded:,} of {self.planned:,} datapoints are recorded"
        if self.ended_how == "finished":
            return f"{self.tag} is not finished: it has no tag yet; {far}"
        how = self.ended_how or "was killed, or still goes on"
        return f"{self.tag} is not finished: {far} (its last run: {how})"

    @property
    def fix(self) -> str:
        """The commands that end it one way or the other."""
        return f"make experiment TAG={self.tag} goes on; make discard TAG={self.tag} drops it"


def unfinished(root: Path, settings: Settings) -> list[Unfinished]:
    """What the databases of experiments hold and nothing calls published, as it was begun.

    Raises HarnessError where a database cannot be read.
    """
    found = []
    for path in databases(root, settings, "experiment"):
        prepare_to_read(path)
        uri = f"{path.resolve().as_uri()}?mode=ro"
        with explained(path, "read"), closing(sqlite3.connect(uri, uri=True)) as con:
            for tag in _begun(con):
                found.append(_read(con, place_for(root, settings, tag), tag))
    if not found:
        return []  # as nearly always, and git need not be asked
    known = published(root, settings, ask_remote=False).known
    return [each for each in found if each.tag not in known]


def _begun(con: sqlite3.Connection) -> list[str]:
    if not _columns(con, "runs") >= {"experiment_version", "published"}:
        return []  # of an earlier harness
    query = (
        "SELECT experiment_version FROM runs GROUP BY 1 "
        f"HAVING max(published) IS NULL ORDER BY max({order(con, 'runs')})"
    )
    return [tag for (tag,) in con.execute(query) if TAG.match(str(tag))]


def _read(con: sqlite3.Connection, place: Place, tag: str) -> Unfinished:
    last = f"{order(con, 'runs')} DESC LIMIT 1"
    planned, how = con.execute(
        f"SELECT planned, ended_how FROM runs WHERE experiment_version = ? ORDER BY {last}", (tag,)
    ).fetchone()
    recorded = 0
    if _columns(con, place.predictions):
        query = f"SELECT count(*) FROM {quoted(place.predictions)} WHERE experiment_version = ?"
        recorded = con.execute(query, (tag,)).fetchone()[0]
    return Unfinished(tag, recorded, planned or recorded, how or "")


def _columns(con: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in con.execute(f"PRAGMA table_info({quoted(table)})")}
