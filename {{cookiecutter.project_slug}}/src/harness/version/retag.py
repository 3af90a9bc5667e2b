"""Another tag for what is recorded under one that somebody else has taken.

Two people, or two worktrees, may begin the same tag; the second to finish is refused. What is
recorded is sound and was paid for: only its name is not free. The rows get another one, here and
nowhere else, and `make experiment` then tags them without running anything.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from harness.errors import HarnessError, explained
from harness.project.settings import Settings
from harness.record.columns import drop_once_index, quoted
from harness.record.database_file import begin_writing
from harness.record.layout import Place, place_for
from harness.record.lock import one_at_a_time
from harness.version import git
from harness.version.index import PLACE, drop_line
from harness.version.published import Published, published, runs_of, strangers
from harness.version.results_state import note_origins


def retag(root: Path, settings: Settings, old: str, new: str) -> int:
    """Rename the experiment `old` to `new` in the database; returns how many predictions it has.

    Files that git holds under the old name are taken out by a commit; a tag here that the remote
    has otherwise is deleted. Raises HarnessError where `new` is not free, where there are no rows,
    and where the rows are those of the published `old`. The rows come last, so that the same
    command goes on where it was stopped.
    """
    place, target = place_for(root, settings, old), place_for(root, settings, new)
    found = published(root, settings)
    db = place.db if place.db.exists() else target.db
    recorded = runs_of(db) if db.exists() else {}
    runs = recorded.get(old, {})
    if not runs:
        raise HarnessError(f"no rows of {old} are recorded here", fix="make tags")
    if new in found.known or new in recorded or (db != target.db and target.db.exists()):
        raise HarnessError(f"{new} is taken", fix=f"make retag TAG={old} TO={found.next_free}")
    _refuse_published(root, found, old, runs)
    with one_at_a_time(place.db.parent, f"a retag of {old}"):
        note_origins(root)
        begin_writing(db, new)
        if db != target.db:
            db.rename(target.db)
        _forget(root, old, with_database=place.db != target.db)
        if old in found.here and found.remote_tags.get(old) not in (None, _object(root, old)):
            git.git(root, "tag", "-d", old)  # git fetch --tags can now bring the other one
        return _rename(target, place.predictions, old, new)


def _refuse_published(root: Path, found: Published, tag: str, runs: dict[str, str]) -> None:
    if found.notes:
        raise HarnessError(
            f"cannot find out who published {tag}: {'; '.join(found.notes)}",
            fix=f"see that it can be reached, then again; or git fetch --tags to look at {tag}",
            code=1,
        )
    if tag not in found.known:
        return
    if theirs := found.remote_tags.get(tag):
        git.git(root, "fetch", "-q", "--no-tags", found.remote, git.TAGS + tag)
    elif tag in found.here:
        theirs = _object(root, tag)
    else:
        raise HarnessError(
            f"{tag} is published ({found.where(tag)}), and its tag is not here to compare with",
            fix="git fetch --tags",
        )
    other = strangers(root, theirs, runs)
    if not other:
        raise HarnessError(f"the rows here are those of the published {tag}, which keeps its name")
    if len(other) < len(runs):
        raise HarnessError(
            f"some rows here are of the published {tag}, and some are not: runs {' '.join(other)}",
            fix="restore the database with dvc checkout or git checkout",
        )


def _object(root: Path, tag: str) -> str:
    return git.git(root, "rev-parse", "--verify", git.TAGS + tag)


def _rename(place: Place, predictions: str, old: str, new: str) -> int:
    """Rows of `old`, and their table `predictions`, become those of `new`, all at once."""
    with explained(place.db), closing(sqlite3.connect(place.db, isolation_level=None)) as con:
        con.execute("BEGIN EXCLUSIVE")
        for table in _tables_with_experiments(con):
            con.execute(
                f"UPDATE {quoted(table)} SET experiment_version = ? WHERE experiment_version = ?",
                (new, old),
            )
        con.execute("UPDATE runs SET published = NULL WHERE experiment_version = ?", (new,))
        if predictions != place.predictions:
            _rename_table(con, predictions, place.predictions)
        query = f"SELECT count(*) FROM {quoted(place.predictions)} WHERE experiment_version = ?"
        count = int(con.execute(query, (new,)).fetchone()[0])
        con.execute("COMMIT")
        return count


def _tables_with_experiments(con: sqlite3.Connection) -> Iterator[str]:
    names = con.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (name,) in names:
        columns = {row[1] for row in con.execute(f"PRAGMA table_info({quoted(name)})")}
        if "experiment_version" in columns:
            yield name


def _rename_table(con: sqlite3.Connection, old: str, new: str) -> None:
    con.execute(f"ALTER TABLE {quoted(old)} RENAME TO {quoted(new)}")
    drop_once_index(con, old)  # the next run makes the new one
    if con.execute("SELECT 1 FROM sqlite_master WHERE name = 'scores'").fetchone():
        con.execute("UPDATE scores SET predictions = ? WHERE predictions = ?", (new, old))


def _forget(root: Path, tag: str, with_database: bool) -> None:
    """Take out what the finished experiment left in results/ under its old name."""
    names = [f"results/{tag}.json", f"results/{tag}.md"]
    if with_database:
        names += [f"results/{tag}.db", f"results/{tag}.db.dvc"]
    for name in names:
        (root / name).unlink(missing_ok=True)
    drop_line(root, tag)
    names.append(PLACE)
    listed = git.git(root, "ls-files", "-z", "--", *names)
    if held := [name for name in listed.split("\0") if name]:
        git.commit(root, held, f"experiment {tag}: recorded under another tag")
