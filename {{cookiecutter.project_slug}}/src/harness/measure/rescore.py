"""Scores computed again from stored rows, after metrics.py changed; predict never runs.

What was there before is kept: its scores in `scores_history`, its metrics in `metrics_history`, how
they were counted in `declarations_history` and `uncounted_history`, aggregates on draws of the
items in `resamples_history`, each row with the version of
metrics.py that made it. `metrics.score_version` is the one in force;
it is `unfinished` from before the first score changes until all are there.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from harness.errors import HarnessError
from harness.measure.aggregate import measure
from harness.project.contract import Project
from harness.project.fingerprint import reachable_code
from harness.project.values import Row
from harness.record.columns import quoted, score_names
from harness.record.database_file import begin_writing
from harness.record.judgements import Judged
from harness.record.layout import DEV, UNFINISHED, Place, place_for
from harness.record.lock import one_at_a_time
from harness.record.resamples_table import RESAMPLED, create_resamples
from harness.record.runs import new_track_id
from harness.record.score_tables import DECLARED, UNCOUNTED, create_tables
from harness.record.segments_table import SEGMENTED, create_segments
from harness.version.results_state import note_origins

VERSION = "score_version"
_AS_RUN = "as run"
_OF = "WHERE experiment_version = ?"
_NAMES = ("experiment_version", "task_key")


def rescore(project: Project, experiment: str, judged: Judged | None = None) -> list[Row]:
    """Score every row of an experiment (a tag, or `dev`) with today's metrics.py.

    Returns the new metrics rows. Where score() or an aggregate fails, the earlier scores are put
    back and the error is raised. Raises HarnessError too where the experiment has no metrics yet.
    """
    place = place_for(project.root, project.settings, experiment)
    version = f"metrics.py {reachable_code(project.root, 'benchmark.metrics').key[:12]}"
    track_id = new_track_id()
    if not place.db.exists():
        raise _nothing(experiment)
    with one_at_a_time(place.db.parent, f"a rescore of {experiment}"):
        note_origins(project.root)
        begin_writing(place.db)
        earlier = _archive(place, experiment)
        try:
            more = {VERSION: version}
            return measure(project, None, place, experiment, track_id, more, judged)
        except BaseException:
            _put_back(place, experiment, earlier)
            raise


def scores_as_before(project: Project, experiment: str) -> bool:
    """Whether the last rescore of an experiment gave every row the scores that it had."""
    place = place_for(project.root, project.settings, experiment)
    with _writing(place) as con:
        newest = f"SELECT {VERSION} FROM metrics_history {_OF} ORDER BY rowid DESC LIMIT 1"
        version = con.execute(newest, (experiment,)).fetchone()[0]
        now = score_names(con, place.predictions)
        before = [n for n in _types(con, "scores_history") if n not in (VERSION, *_NAMES)]
        names = [name for name in now if name in before]
        # A score that is new, or gone, has no values on the other side.
        for name in {*now} ^ {*before}:
            table = quoted(place.predictions) if name in now else "scores_history"
            of = _OF if name in now else f"{_OF} AND {VERSION} = ?"
            given = (experiment,) if name in now else (experiment, version)
            query = f"SELECT 1 FROM {table} {of} AND {quoted(name)} IS NOT NULL LIMIT 1"
            if con.execute(query, given).fetchone():
                return False
        listed = ", ".join(map(quoted, ("task_key", *names)))
        other = con.execute(
            f"SELECT {listed} FROM {quoted(place.predictions)} {_OF} EXCEPT "
            f"SELECT {listed} FROM scores_history {_OF} AND {VERSION} = ? LIMIT 1",
            (experiment, experiment, version),
        ).fetchone()
        return other is None


def _nothing(experiment: str) -> HarnessError:
    command = "make dev-run" if experiment == DEV else f"make experiment TAG={experiment}"
    return HarnessError(f"there are no metrics of {experiment} yet", fix=command)


def _archive(place: Place, experiment: str) -> str:
    """Move the scores in force to the history, copy the metrics there; returns their version.

    Where a rescore was killed, they are there already, and what it left behind is thrown away.
    """
    with _writing(place) as con:
        create_tables(con)
        create_resamples(con)
        create_segments(con)
        have = _types(con, place.metrics)
        if have and VERSION not in have:
            con.execute(f"ALTER TABLE {quoted(place.metrics)} ADD COLUMN {VERSION} TEXT")
        query = f"SELECT {VERSION} FROM {quoted(place.metrics)} {_OF}"
        found = con.execute(query, (experiment,)).fetchone() if have else None
        if found is None:
            raise _nothing(experiment)
        version = found[0] or _AS_RUN
        if version == UNFINISHED:
            newest = f"SELECT {VERSION} FROM metrics_history {_OF} ORDER BY rowid DESC LIMIT 1"
            version = con.execute(newest, (experiment,)).fetchone()[0]
            histories = []
        else:
            histories = _histories(con, place)
        for history, source, names in histories:
            con.execute(f"CREATE TABLE IF NOT EXISTS {history} ({VERSION} TEXT)")
            types, there = _types(con, source), _types(con, history)
            for name in names:
                if name not in there:
                    column = f"{quoted(name)} {types[name]}"
                    con.execute(f"ALTER TABLE {history} ADD COLUMN {column}")
            # A version that was in force twice is kept once, as it was the last time.
            con.execute(f"DELETE FROM {history} {_OF} AND {VERSION} = ?", (experiment, version))
            listed = ", ".join(map(quoted, names))
            con.execute(
                f"INSERT INTO {history} ({VERSION}, {listed}) "
                f"SELECT ?, {listed} FROM {quoted(source)} {_OF}",
                (version, experiment),
            )
        # A score that metrics.py computes no more must not stand there as if it did.
        _set(con, place, experiment, {n: "NULL" for n in score_names(con, place.predictions)})
        begun = f"UPDATE {quoted(place.metrics)} SET {VERSION} = ? {_OF}"
        con.execute(begun, (UNFINISHED, experiment))
        return str(version)


def _put_back(place: Place, experiment: str, version: str) -> None:
    with _writing(place) as con:
        (scores, _, kept), *others = _histories(con, place)
        con.execute(f"CREATE TEMP TABLE earlier AS SELECT * FROM {scores} {_OF} AND {VERSION} = ?",
                    (experiment, version))  # fmt: skip
        con.execute("CREATE INDEX temp.by_task ON earlier (task_key)")
        have = _types(con, scores)
        _set(con, place, experiment, {
            name: f"(SELECT {quoted(name)} FROM earlier AS e "
            f"WHERE e.task_key = {quoted(place.predictions)}.task_key)"
            if name in have else "NULL"
            for name in kept if name not in _NAMES
        })  # fmt: skip
        for history, source, names in others:
            there = _types(con, history)
            if not there:
                continue  # a rescore of an earlier harness was killed, which kept no such history
            con.execute(f"DELETE FROM {quoted(source)} {_OF}", (experiment,))
            listed = ", ".join(quoted(name) for name in names if name in there)
            con.execute(
                f"INSERT INTO {quoted(source)} ({listed}) "
                f"SELECT {listed} FROM {history} {_OF} AND {VERSION} = ?",
                (experiment, version),
            )
        con.execute(
            f"UPDATE {quoted(place.metrics)} SET {VERSION} = nullif(?, '{_AS_RUN}') {_OF}",
            (version, experiment),
        )


def _set(con: sqlite3.Connection, place: Place, experiment: str, values: dict[str, str]) -> None:
    if values:
        assigned = ", ".join(f"{quoted(name)} = {value}" for name, value in values.items())
        con.execute(f"UPDATE {quoted(place.predictions)} SET {assigned} {_OF}", (experiment,))


def _histories(con: sqlite3.Connection, place: Place) -> list[tuple[str, str, list[str]]]:
    """(history, where its rows come from, which columns): of scores first, then of the rest."""
    scores = [*_NAMES, *score_names(con, place.predictions)]
    metrics = [name for name in _types(con, place.metrics) if name != VERSION]
    return [
        ("scores_history", place.predictions, scores),
        ("metrics_history", place.metrics, metrics),
        ("declarations_history", DECLARED, list(_types(con, DECLARED))),
        ("uncounted_history", UNCOUNTED, list(_types(con, UNCOUNTED))),
        ("resamples_history", RESAMPLED, list(_types(con, RESAMPLED))),
        ("segments_history", SEGMENTED, list(_types(con, SEGMENTED))),
    ]


def _types(con: sqlite3.Connection, table: str) -> dict[str, str]:
    return {str(row[1]): str(row[2]) for row in con.execute(f"PRAGMA table_info({quoted(table)})")}


@contextmanager
def _writing(place: Place) -> Iterator[sqlite3.Connection]:
    """One transaction: all of it is kept, or none."""
    con = sqlite3.connect(place.db, isolation_level=None, timeout=10)
    try:
        con.execute("BEGIN IMMEDIATE")
        yield con
        con.execute("COMMIT")
    finally:
        con.close()
