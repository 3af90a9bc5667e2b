"""Read results: one locked, read-only DuckDB over every database, table and layout.

DuckDB keeps nothing of its own here. It reads the SQLite files through the scanner that a wheel
brings, so that no home folder and no network is needed, and shows three views whatever the layout.
"""

import importlib.util
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, groupby
from operator import itemgetter
from pathlib import Path

import duckdb

from harness.errors import HarnessError, reason_of
from harness.record.columns import quoted
from harness.record.database_file import prepare_to_read

_WHOLE = (
    "metrics",
    "runs",
    "score_declarations",
    "uncounted_scores",
    "aggregate_resamples",
    "segment_aggregates",
    "judgements",
    "judge_labels",
)
VIEWS = {
    "predictions": "predictions(_.*)?",
    **{name: name for name in _WHOLE},
}
PLAIN = "events"  # what xetrack called its one table, before it could have several
# A table with these columns was typed by our store before its first row, so it needs no look
# through all its values before DuckDB may trust the declared types.
TYPED_BY_STORE = {"task_key", "code_key"}

Answer = duckdb.DuckDBPyConnection
_QUOTED_OR_MARK = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\?""")
Source = tuple[str, str]  # the alias of an attached database, and a table in it
Kinds = dict[str, str]  # DuckDB's types of a table's columns
# SQLite gives no result of more than 2,000 columns, and joins no more than 64 tables.
_MOST_COLUMNS, _MOST_TABLES = 1_500, 60


def literal(text: str) -> str:
    """A text as an SQL literal. (DuckDB imports pandas, half a second, to bind a parameter.)"""
    return "'" + text.replace("'", "''") + "'"


def ask(con: duckdb.DuckDBPyConnection, sql: str, values: Sequence[object]) -> Answer:
    """Run a query whose `?` stand for `values`: written into it, so that pandas is not loaded.

    What has no exact literal (a date, a Decimal, bytes) is bound as usual.
    """
    written = [_written(value) for value in values]
    if None in written:
        return con.execute(sql, values)
    rest = iter(filter(None, written))
    return con.execute(_QUOTED_OR_MARK.sub(lambda m: next(rest) if m[0] == "?" else m[0], sql))


def _written(value: object) -> str | None:
    """A value as SQL of the type that DuckDB would bind it with; None where there is none."""
    match value:
        case None:
            return "NULL"
        case bool():
            return str(value).lower()
        case int():
            return f"CAST({value} AS BIGINT)" if abs(value) < 2**63 else None
        case float():
            return f"CAST('{value!r}' AS DOUBLE)"
        case str():
            return None if "\0" in value else f"CAST({literal(value)} AS VARCHAR)"
        case list() if all(type(each) is int for each in value):
            return f"[{', '.join(map(str, value))}]"
    return None


def connect(
    databases: Sequence[Path],
    *,
    table: str | None = None,
    memory_limit: str | None = None,
    careful: bool = False,
    export_to: Path | None = None,
) -> duckdb.DuckDBPyConnection:
    """Open databases for reading, with the views `predictions`, `metrics` and `runs`, and with
    `score_declarations`, `uncounted_scores`, `aggregate_resamples`, `segment_aggregates`,
    `judgements` and `judge_labels` where there are any.

    `table` shows this one table as `predictions`, for databases of another origin. `memory_limit`
    is a DuckDB size such as `200MB`. `careful` looks at every stored value before it trusts a
    declared type; tables that this harness did not type are always looked at. `export_to` is the
    one folder that may be written, by `harness.tell.query` only.

    Raises HarnessError where a database or table is missing or cannot be read. Close the
    connection before the same process opens the file with sqlite3 or xetrack: two SQLite libraries
    on one file in WAL mode corrupt it.
    """
    if not databases:
        raise HarnessError("There are no results yet.", fix="make dev-run")
    con = duckdb.connect(
        config={"autoinstall_known_extensions": False, "allow_unsigned_extensions": True}
    )
    try:
        _load_scanner(con)
        if memory_limit:
            con.execute(f"SET memory_limit = {literal(memory_limit)}")
        found = [pair for i, path in enumerate(databases) for pair in _attach(con, path, f"d{i}")]
        there = ", ".join(sorted({name for _, name in found})) or "none"
        if table is not None and table not in {name for _, name in found}:
            raise HarnessError(
                f"There is no table {table!r} in {_listed(databases)}; there are: {there}",
                fix="name one of them",
            )
        shown = _shown(found, table or _plain_table(con, found))
        if not shown["predictions"]:
            raise HarnessError(
                f"There is no table of predictions in {_listed(databases)}; there are: {there}",
                fix="make dev-run, or name the table that holds them",
            )
        every = dict.fromkeys(source for sources in shown.values() for source in sources)
        kinds = {source: _kinds(con, *source) for source in every}
        doubted = {
            source: each
            for source, each in kinds.items()
            if careful or not each.keys() >= TYPED_BY_STORE
        }
        stored = _stored(con, doubted)
        for view, sources in shown.items():
            parts = [_select(source, kinds[source], stored.get(source)) for source in sources]
            if parts:
                con.execute(f"CREATE VIEW {view} AS " + " UNION ALL BY NAME ".join(parts))
        _lock(con, export_to)
    except (duckdb.Error, sqlite3.Error) as error:
        con.close()
        raise unreadable(_listed(databases), error) from error
    except HarnessError:
        con.close()
        raise
    return con


def _shown(found: Sequence[Source], table: str | None) -> dict[str, list[Source]]:
    """The tables that each view shows; `table` is the only one shown as `predictions`."""
    patterns = VIEWS if table is None else VIEWS | {"predictions": re.escape(table)}
    return {
        view: [source for source in found if re.fullmatch(pattern, source[1])]
        for view, pattern in patterns.items()
    }


def _plain_table(con: duckdb.DuckDBPyConnection, found: Sequence[Source]) -> str | None:
    """The table of xetrack's older releases, where nothing else can be meant: `events`."""
    if any(re.fullmatch(VIEWS["predictions"], name) for _, name in found):
        return None
    events = [source for source in found if source[1] == PLAIN]
    return PLAIN if any("track_id" in _kinds(con, *source) for source in events) else None


def columns(con: duckdb.DuckDBPyConnection, view: str = "predictions") -> dict[str, str]:
    """The columns of a view with their DuckDB types; empty where there is no such view."""
    try:
        return _kinds(con, "memory", view)
    except duckdb.CatalogException:
        return {}


def _kinds(con: duckdb.DuckDBPyConnection, alias: str, table: str) -> Kinds:
    """The columns of a table or view. (To answer for one, duckdb_columns() looks at all.)"""
    description = con.execute(f"FROM {alias}.main.{quoted(table)} LIMIT 0").description
    return {name: str(kind) for name, kind, *_ in description or ()}


def _load_scanner(con: duckdb.DuckDBPyConnection) -> None:
    """Make SQLite files readable.

    To check its signature DuckDB would hash the scanner's 35 MB at every start, which takes longer
    than most questions. Its wheel was checked against the lock when it was installed, as DuckDB's
    own was; so it is loaded without, and after it nothing else may be.
    """
    con.execute(f"LOAD {literal(str(_scanner()))}")
    con.execute("SET allow_unsigned_extensions = false")


def _scanner() -> Path:
    spec = importlib.util.find_spec("duckdb_extension_sqlite_scanner")
    if spec is not None and spec.origin is not None:
        folder = Path(spec.origin).parent / f"extensions/v{duckdb.__version__}"
        if (path := folder / "sqlite_scanner.duckdb_extension").exists():
            return path
    raise HarnessError(
        f"DuckDB {duckdb.__version__} has no SQLite scanner of its own version installed.",
        fix="make setup",
    )


def _attach(con: duckdb.DuckDBPyConnection, path: Path, alias: str) -> list[Source]:
    if not path.is_file():
        raise HarnessError(
            f"There is no database {path}.", fix="make dev-run, or name another file"
        )
    prepare_to_read(path)
    with path.open("rb") as file:
        if file.read(16) != b"SQLite format 3\x00":
            raise HarnessError(f"{path} is not an SQLite database.", fix="name another file")
    con.execute(f"ATTACH {literal(str(path.resolve()))} AS {alias} (TYPE sqlite, READ_ONLY)")
    query = literal("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    rows = con.execute(f"SELECT * FROM sqlite_query('{alias}', {query})").fetchall()
    return [(alias, str(name)) for (name,) in rows]


def _select(source: Source, declared: Kinds, stored: dict[str, set[str]] | None) -> str:
    """The SELECT that reads one table: as declared, or converted where the values disagree.

    `stored` are the storage classes of its values; None where they need no look.
    """
    alias, table = source
    kinds = dict(declared)
    read = {name: quoted(name) for name in kinds}
    if table == VIEWS["runs"] and "experiment_version" in kinds:
        # As runs.order: whoever asks which run came first finds the column, also in old results.
        read["sequence"] = "coalesce(sequence, rowid)" if "sequence" in kinds else "rowid"
    listed = ", ".join(f"{value} AS {quoted(name)}" for name, value in read.items())
    typed = f"SELECT {listed} FROM {alias}.{quoted(table)}"
    if stored is None:
        return typed
    agrees = {"BIGINT": {"integer"}, "DOUBLE": {"real"}, "VARCHAR": {"text"}}
    if all(stored[name] <= agrees.get(kind, set()) for name, kind in kinds.items()):
        return typed
    kinds.setdefault("sequence", "BIGINT")
    stored.setdefault("sequence", {"integer"})
    # The scanner refuses a whole table for one REAL in an INTEGER column, even under TRY_CAST, so
    # SQLite writes each value as text (17 digits keep a double exact) and DuckDB converts it back.
    inner, outer = [], []
    for name, value in read.items():
        column = quoted(name)
        inner.append(
            f"CASE typeof({value}) WHEN 'real' THEN printf('%!.17g', {value}) "
            f"WHEN 'blob' THEN hex({value}) ELSE CAST({value} AS TEXT) END AS {column}"
        )
        kind = _fitting(stored[name], kinds[name])
        outer.append(f"TRY_CAST({column} AS {kind}) AS {column}")
    query = f"SELECT {', '.join(inner)} FROM {quoted(table)}"
    return f"SELECT {', '.join(outer)} FROM sqlite_query('{alias}', {literal(query)})"


def _stored(
    con: duckdb.DuckDBPyConnection, tables: Mapping[Source, Kinds]
) -> dict[Source, dict[str, set[str]]]:
    """The storage classes that occur in each column of tables; NULL left out.

    Many columns are asked for at once, since SQLite opens a file again for each question.
    """
    found: dict[Source, dict[str, set[str]]] = {source: {} for source in tables}
    for alias in dict.fromkeys(alias for alias, _ in tables):
        names = [(t, column) for (a, t), kinds in tables.items() if a == alias for column in kinds]
        for some in _at_once(names):
            query = literal(_classes_of(some))
            rows = con.execute(f"SELECT * FROM sqlite_query('{alias}', {query})").fetchone()
            for (table, column), seen in zip(some, rows or (), strict=True):
                found[alias, table][column] = set((seen or "null").split(",")) - {"null"}
    return found


def _at_once(names: Sequence[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """Tables and columns, as many together as SQLite answers for."""
    some: list[tuple[str, str]] = []
    for table, column in names:
        tables = {each for each, _ in some} | {table}
        if len(some) == _MOST_COLUMNS or len(tables) > _MOST_TABLES:
            yield some
            some = []
        some.append((table, column))
    if some:
        yield some


def _classes_of(names: Sequence[tuple[str, str]]) -> str:
    """SQLite's query for one row: the classes that occur in each column, in their order."""
    parts, place = [], count()
    for table, group in groupby(names, key=itemgetter(0)):
        asked = [
            f"group_concat(DISTINCT typeof({quoted(column)})) AS c{next(place)}"
            for _, column in group
        ]
        parts.append(f"(SELECT {', '.join(asked)} FROM {quoted(table)})")
    return f"SELECT * FROM {', '.join(parts)}"


def _fitting(stored: set[str], declared: str) -> str:
    if stored <= {"integer"} and stored:
        return "BIGINT"
    if stored <= {"integer", "real"} and stored:
        return "DOUBLE"
    return "VARCHAR" if stored or declared not in ("BIGINT", "DOUBLE") else declared


def _lock(con: duckdb.DuckDBPyConnection, export_to: Path | None) -> None:
    """Nothing can be written from here on, except below `export_to`."""
    if export_to is not None:
        con.execute(f"SET temp_directory = {literal(str(export_to))}")
        con.execute(f"SET allowed_directories = [{literal(str(export_to))}]")
    con.execute("SET enable_external_access = false")
    if export_to is None:
        # READ_ONLY and external access do not suffice: DuckDB puts every attached file on its list
        # of allowed paths, and COPY … TO that path (USE_TMP_FILE false) overwrites the database.
        con.execute("SET disabled_filesystems = 'LocalFileSystem'")
    con.execute("SET lock_configuration = true")


def _listed(databases: Sequence[Path]) -> str:
    shown = ", ".join(str(path) for path in databases[:3])
    return shown + (f" and {len(databases) - 3} more" if len(databases) > 3 else "")


def unreadable(what: str, error: duckdb.Error | sqlite3.Error) -> HarnessError:
    """Why databases cannot be read, and what to do about it."""
    reason, fix = reason_of(error, "the database")
    return HarnessError(f"{what} cannot be read: {reason.strip().splitlines()[0]}", fix=fix)


def first_line(error: BaseException) -> str:
    """What went wrong, without DuckDB's excerpt of the statement."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
