"""Scores: `score(row)` of metrics.py over stored rows. It sees only what is recorded, so it can be
done again at any time (rescore) without running predict."""

import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping

from harness.errors import HarnessError
from harness.measure.score_values import ScoreValues
from harness.project.declarations import settle
from harness.project.hypotheses import Plan
from harness.project.scores import Score
from harness.project.values import REAL, TEXT, Row
from harness.record.columns import PREDICTIONS, SCORES, Schema, holds, quoted, score_names
from harness.record.judgements import Judged
from harness.record.layout import Place
from harness.record.metrics_table import COUNTS, ENDS, LATENCIES
from harness.record.score_tables import record
from harness.steps import Step

_BATCH = 2000
# Columns of the table metrics that no score may be called by.
_TAKEN = frozenset(
    {"track_id", "timestamp", "experiment_version", "params_key", "score_version"}
    | {*COUNTS, "latency_n", "cost", "rowid", "oid", "_rowid_"}
    | {f"{name}{end}" for name in LATENCIES for end in ("", "_low", "_high")}
)


def score_rows(
    place: Place,
    experiment: str,
    score: Callable[[Row], Row],
    declared: Mapping[str, Score] | None = None,
    aggregates: Collection[str] = (),
    plan: Plan | None = None,
    taken: Collection[str] = (),
    judged: Judged | None = None,
) -> list[str]:
    """Compute and store the scores of every good row of an experiment; returns their names.

    `taken` are names that no score may have: the kind's columns. Where answers are `judged`, each
    row has its `judgements`.
    A failed row has NULL scores, and so has one whose value cannot count (see `score_values`).
    How each score counts is recorded with them (see `declarations`). Raises HarnessError where
    score raises, returns no dict, or names a column that is not its own; the rows scored before
    that keep their scores.
    """
    values_read = ScoreValues(declared or {})
    connection = sqlite3.connect(place.db, isolation_level=None, timeout=10)
    connection.row_factory = sqlite3.Row
    table = quoted(place.predictions)

    try:
        connection.execute(SCORES)
        schema = Schema.prepare(connection, place.predictions, {})
        own = set(score_names(connection, place.predictions))
        columns_of_run = (set(schema.types) | set(PREDICTIONS) | set(taken)) - own
        foreign = {name.lower() for name in columns_of_run}
        names: set[str] = set()
        allowed: set[tuple[str, ...]] = set()
        for batch in _shown(_batches(connection, place, experiment), f"scoring {experiment}"):
            if judged is not None:
                judged.attach(connection, place.predictions, batch, experiment)
            scored = [(row, _scored(score, row, values_read)) for row in batch]
            for row, values in scored:
                values_read.without_text(row["input_id"], values)
            for given in {tuple(values) for _, values in scored} - allowed:
                _check_names(given, foreign, own)
                allowed.add(given)
            added, retyped = schema.changes(
                (values for _, values in scored),
                lambda column: holds(connection, place.predictions, column),
            )
            names.update(name for _, values in scored for name in values)
            for name in names:
                _type_of_declared(name, values_read, schema, connection, added, retyped)
            # Both or none: a column that a kill left without its note would be taken for a result.
            connection.execute("BEGIN IMMEDIATE")
            _remember(connection, place.predictions, names - own)
            schema.add(connection, added)
            connection.execute("COMMIT")
            for name, kind in retyped.items():
                schema.retype(connection, name, kind)
            own |= names
            _check_types(schema, scored)
            _write(connection, table, sorted(names), scored)
        # What an earlier metrics.py computed before a resume must not stand there as if this did.
        _clear(connection, table, experiment, sorted(own - names))
        rules = settle(plan or Plan(), declared or {}, names, values_read.boolean, aggregates)
        record(connection, experiment, rules, values_read.uncounted)
        return sorted(names)
    finally:
        connection.close()


def _shown(batches: Iterator[list[Row]], words: str) -> Iterator[list[Row]]:
    """The batches; while they are worked on, how many rows of them are done is shown."""
    count = 0
    with Step(words) as step:
        for batch in batches:
            yield batch
            count += len(batch)
            step.done(count)


def _check_types(schema: Schema, scored: list[tuple[Row, Row]]) -> None:
    """Raise HarnessError where a score is of another type than its column."""
    for row, values in scored:
        for name in schema.misfit(values):
            raise HarnessError(
                f"metrics.score returned {name} = {values[name]!r:.80} on input_id "
                f"{row['input_id']!r}, but {name} is {schema.types[name]} so far",
                fix=f"return one type, or give {name} another name in metrics.py",
                code=1,
            )


def _write(
    connection: sqlite3.Connection, table: str, names: list[str], scored: list[tuple[Row, Row]]
) -> None:
    """Store the scores of a batch of rows at once."""
    if not names:
        return
    assigned = ", ".join(f"{quoted(name)} = ?" for name in names)
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(
        f"UPDATE {table} SET {assigned} WHERE rowid = ?",
        [(*map(values.get, names), row["rowid"]) for row, values in scored],
    )
    connection.execute("COMMIT")


def _clear(connection: sqlite3.Connection, table: str, experiment: str, names: list[str]) -> None:
    """Take scores that are no longer computed out of the rows of an experiment."""
    if not names:
        return
    nothing = ", ".join(f"{quoted(name)} = NULL" for name in names)
    some = " OR ".join(f"{quoted(name)} IS NOT NULL" for name in names)
    connection.execute(
        f"UPDATE {table} SET {nothing} WHERE experiment_version = ? AND ({some})", (experiment,)
    )


def _type_of_declared(
    name: str,
    values: ScoreValues,
    schema: Schema,
    connection: sqlite3.Connection,
    added: dict[str, str],
    retyped: dict[str, str],
) -> None:
    """A declared score is a number from the start, also where its first values are None."""
    kind = values.column_type(name)
    if kind is None:
        return
    if name in added:
        added[name] = REAL if REAL in (kind, added[name]) else kind
    elif schema.types.get(name) == TEXT and not holds(connection, schema.table, name):
        retyped[name] = kind


def _batches(connection: sqlite3.Connection, place: Place, experiment: str) -> Iterator[list[Row]]:
    last = -1
    while True:
        # By rowid: with the index of keys SQLite would sort the whole experiment for each batch.
        rows = connection.execute(
            f"SELECT rowid AS rowid, * FROM {quoted(place.predictions)} NOT INDEXED "
            "WHERE experiment_version = ? AND error_type IS NULL AND rowid > ? "
            "ORDER BY rowid LIMIT ?",
            (experiment, last, _BATCH),
        ).fetchall()
        if not rows:
            return
        last = rows[-1]["rowid"]
        yield [dict(row) for row in rows]


def _scored(score: Callable[[Row], Row], row: Row, reading: ScoreValues) -> Row:
    try:
        values = score(row)
    except Exception as error:
        raise HarnessError(
            f"metrics.score failed on input_id {row['input_id']!r}: "
            f"{type(error).__name__}: {error}",
            fix="correct src/benchmark/metrics.py and run the same command; the results are kept",
            code=1,
        ) from error
    if not isinstance(values, dict):
        raise HarnessError(
            f"metrics.score returned {type(values).__name__}, expected a dict",
            fix="return {name: number} from score in src/benchmark/metrics.py",
        )
    return reading.read(row["input_id"], values)


def _check_names(names: tuple[str, ...], foreign: set[str], own: set[str]) -> None:
    spelled = {name.lower(): name for name in own}
    taken = [n for n in names if n.lower() in foreign or spelled.get(n.lower(), n) != n]
    if taken:
        raise HarnessError(
            f"metrics.score returned {', '.join(taken)}, which is a column of the run itself",
            fix="give the score another name in src/benchmark/metrics.py",
        )
    if odd := unfit_names(names):
        raise HarnessError(
            f"metrics.score returned {odd}, a name that the table metrics has for something else",
            fix="give the score another name in src/benchmark/metrics.py",
        )


def _remember(connection: sqlite3.Connection, table: str, names: set[str]) -> None:
    connection.executemany(
        "INSERT OR IGNORE INTO scores VALUES (?, ?)", [(table, name) for name in sorted(names)]
    )


def unfit_names(names: tuple[str, ...]) -> str:
    """Which names of scores or aggregates cannot stand in the table metrics; '' where all can."""
    small = [name.lower() for name in names]
    odd = [
        name
        for name, low in zip(names, small, strict=True)
        if not name
        or low in _TAKEN
        or low.startswith("params_")
        or small.count(low) > 1
        or any(low.endswith(end) and low.removesuffix(end) in small for end in ENDS)
    ]
    return ", ".join(map(repr, odd))
