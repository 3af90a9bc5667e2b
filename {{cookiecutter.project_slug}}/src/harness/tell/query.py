"""Run a person's SQL over the results: read-only, and streamed to a file where it is long."""

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import duckdb

from harness.console import SafeConsole, err, out, shown, visible
from harness.errors import HarnessError, is_of_the_file
from harness.project.declarations import Rule, in_order_of_rank
from harness.project.scores import MEASURED
from harness.read.facts import rules_by_experiment
from harness.read.views import columns, connect, first_line, literal, unreadable
from harness.record.columns import quoted
from harness.record.metrics_table import metrics_in
from harness.tell.tables import Table, to_grid

# "spreadsheet" is CSV in which no cell is a formula to a program that opens it.
Format = Literal["table", "csv", "json", "parquet", "spreadsheet"]
_COPY_OPTIONS = {
    "csv": "FORMAT csv, HEADER",
    "spreadsheet": "FORMAT csv, HEADER",
    "json": "FORMAT json, ARRAY",
    "parquet": "FORMAT parquet",
}
# Functions that open a file by its name, or run text as SQL, which may do so.
_OPENERS = frozenset(
    {"sqlite_scan", "sqlite_attach", "sqlite_query", "query"}
    | {"arrow_scan", "arrow_scan_dumb", "pandas_scan"}  # these take addresses in memory
)
_FORMULA = r"^\s*[-=+@\t\r]"
_SHOWN_ROWS, _SHOWN_CHARACTERS = 100, 200


def run_sql(
    databases: Sequence[Path],
    sql: str,
    fmt: Format = "table",
    target: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> None:
    """Print the result of `sql`, or write it to `target`, without holding it all in memory.

    `sql` is one SELECT (or FROM, WITH, DESCRIBE, SUMMARIZE), with SET VARIABLE statements before
    it if need be. `variables` are read by `getvariable('name')`; `metric` is by default the score
    that the newest experiment is ranked by, and `better` which way it is better, as declared there.
    The name of `target` says its format where `fmt` does not. Raises HarnessError where the SQL
    fails or does anything but read.
    """
    if fmt not in get_args(Format):
        raise HarnessError(
            f"There is no format {fmt!r}.", fix=f"one of {', '.join(get_args(Format))}"
        )
    if target is None and fmt == "parquet":
        raise HarnessError("Parquet is binary and needs a file.", fix="add --out result.parquet")
    if target is not None:
        check_target(target, databases)
        fmt = _format_of(target) if fmt == "table" else fmt
    statements = _reading_only(sql)
    for careful in (False, True):
        # The folder lies beside the target so that the finished file can take its place at once.
        with tempfile.TemporaryDirectory(
            prefix=".query-", dir=target.parent if target else None
        ) as folder:
            exported = None if fmt == "table" else Path(folder)
            con = connect(databases, careful=careful, export_to=exported)
            try:
                _prepare(con, statements[:-1], variables or {})
                if exported is None:
                    _print_table(con, statements[-1])
                else:
                    _export(con, statements[-1], fmt, exported / f"result.{fmt}", target)
                return
            except duckdb.TypeMismatchException:
                if careful:
                    raise
            except duckdb.Error as error:
                raise _explained(con, error) from error
            finally:
                con.close()


def check_target(target: Path, databases: Sequence[Path]) -> None:
    """Raise HarnessError where a file cannot be written to `target`, or would replace results."""
    if not target.parent.is_dir():
        raise HarnessError(f"There is no folder {target.parent}.", fix=f"mkdir -p {target.parent}")
    if target.is_dir():
        raise HarnessError(f"{target} is a folder.", fix="name a file")
    if target.resolve() in [path.resolve() for path in databases] or target.suffix == ".db":
        raise HarnessError(
            f"{target} is a database; a result cannot replace it.", fix="name another with OUT="
        )


def _format_of(target: Path) -> Format:
    named: dict[str, Format] = {".json": "json", ".parquet": "parquet"}
    return named.get(target.suffix.lower(), "csv")


def _reading_only(sql: str) -> list[duckdb.Statement]:
    kinds = duckdb.StatementType
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise HarnessError(f"The SQL cannot be read: {first_line(error)}", fix="edit it") from error
    if not statements:
        raise HarnessError("There is no SQL to run.", fix='--query "SELECT * FROM predictions"')
    *settings, last = statements
    for statement in statements:
        allowed = statement.type == kinds.SELECT or (
            statement.type == kinds.SET and statement is not last
        )
        if not allowed:
            raise HarnessError(
                f"Analysis only reads, and this would not: {statement.type.name} …",
                fix="write one SELECT; results change through runs, rescore and schema rename only",
            )
    if any(statement.type != kinds.SET for statement in settings):
        raise HarnessError("There is more than one query.", fix="run one SELECT at a time")
    for statement in statements:
        _refuse_other_files(statement.query)
    return statements


def _refuse_other_files(sql: str) -> None:
    """The SQLite extension opens any file by itself, although external access is off."""
    if not any(name in sql.lower() for name in _OPENERS):
        return
    # What SET VARIABLE assigns is an expression, and only a SELECT shows its parts.
    query = re.sub(r"(?is)\A\s*SET\s+VARIABLE\s+.*?(=|\sTO\s)", "SELECT ", sql, count=1)
    with duckdb.connect() as con:
        con.execute("SET enable_external_access = false")
        [tree] = con.execute(f"SELECT json_serialize_sql({literal(query)})").fetchall()[0]
    parsed = json.loads(tree)
    called = _functions(parsed) if not parsed["error"] else set(_OPENERS)
    if opened := sorted(called.intersection(_OPENERS)):
        raise HarnessError(
            f"{opened[0]} reads files beside the results, or SQL that nobody has seen.",
            fix="read from predictions, metrics and runs; another database: scripts/ --help",
        )


def _functions(node: object) -> set[str]:
    """The functions that a parsed statement calls, in lower case."""
    if isinstance(node, list):
        return set().union(*map(_functions, node))
    if not isinstance(node, dict):
        return set()
    name = node.get("function_name")
    own = {name.lower()} if isinstance(name, str) else set()
    return own.union(*map(_functions, node.values()))


def _prepare(
    con: duckdb.DuckDBPyConnection,
    settings: Sequence[duckdb.Statement],
    variables: Mapping[str, str],
) -> None:
    metric = variables.get("metric") or default_metric(con)
    chosen = {"metric": metric, "better": metric and direction(con, metric)}
    known = {name: value for name, value in chosen.items() if value}
    for name, value in {**known, **variables}.items():
        con.execute(f"SET VARIABLE {quoted(name)} = {literal(value)}")
    for statement in settings:
        con.execute(statement)


def default_metric(con: duckdb.DuckDBPyConnection) -> str | None:
    """The score that the newest experiment is ranked by, else the only one that there is."""
    recorded, summarised = columns(con), columns(con, "metrics")
    rules = [rule for rule in newest_rules(con) if rule.name in recorded and not rule.aggregate]
    for rule in in_order_of_rank(rules):
        return rule.name
    names = [rule.name for rule in rules] or [
        name for name in metrics_in(summarised) if name in recorded
    ]
    return names[0] if len(names) == 1 else None


def direction(con: duckdb.DuckDBPyConnection, metric: str) -> str | None:
    """Which way a metric is better, as the newest experiment declares it; None: it does not.

    Where nothing here was recorded with declarations, more is better, as it was taken then.
    """
    if metric in MEASURED:
        return "lower"
    rules = newest_rules(con)
    if not rules:
        return "higher"
    return next((rule.better for rule in rules if rule.name == metric and rule.ranks), None)


def newest_rules(con: duckdb.DuckDBPyConnection) -> list[Rule]:
    """How the scores of the newest experiment count, of those that declared it."""
    found = rules_by_experiment(con)
    return found[max(found, key=_version)] if found else []


def _version(experiment: str) -> list[int]:
    """`e1.10.0` comes after `e1.9.0`."""
    return [int(digits) for digits in re.findall(r"\d+", experiment)]


def _print_table(con: duckdb.DuckDBPyConnection, statement: duckdb.Statement) -> None:
    result = con.execute(statement)
    heads = [str(column[0]) for column in result.description or ()]
    rows = [list(map(_cell, row)) for row in result.fetchmany(_SHOWN_ROWS)]
    # Piped into a file or a pager there is no width to keep to.
    console = out if out.is_terminal else SafeConsole(width=1000)
    console.print(to_grid(Table(heads, rows)))
    if result.fetchone() is not None:
        err.print(f"The first {_SHOWN_ROWS} rows; --format csv --out FILE writes all of them.")


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else shown(value, _SHOWN_CHARACTERS)


def _export(
    con: duckdb.DuckDBPyConnection,
    statement: duckdb.Statement,
    fmt: Format,
    made: Path,
    target: Path | None,
) -> None:
    query = statement.query.strip().rstrip(";")
    if fmt == "spreadsheet":
        query = _without_formulas(con, query)
    con.execute(f"COPY ({query}\n) TO {literal(str(made))} ({_COPY_OPTIONS[fmt]})")
    if target is not None:
        made.replace(target)
        return
    if sys.stdout.isatty():
        with made.open(encoding="utf-8", errors="replace") as text:
            sys.stdout.writelines(map(visible, text))
        return
    sys.stdout.flush()
    with made.open("rb") as file:
        shutil.copyfileobj(file, sys.stdout.buffer)


def _without_formulas(con: duckdb.DuckDBPyConnection, query: str) -> str:
    """The same rows, with a quote before each text that a spreadsheet would compute."""
    described = con.execute(f"DESCRIBE ({query}\n)").fetchall()
    cells = []
    for name, kind, *_ in described:
        column = quoted(str(name))
        if str(kind) == "VARCHAR":
            computed = f"regexp_matches({column}, {literal(_FORMULA)})"
            cells.append(f"if({computed}, chr(39) || {column}, {column}) AS {column}")
        else:
            cells.append(column)
    return f"SELECT {', '.join(cells)} FROM ({query}\n)"


def _explained(con: duckdb.DuckDBPyConnection, error: duckdb.Error) -> HarnessError:
    if is_of_the_file(error):
        return unreadable("The results", error)
    there = [view for view in ("predictions", "metrics", "runs") if columns(con, view)]
    hint = f"the tables are {', '.join(there)}; DESCRIBE predictions lists the columns"
    if "getvariable" in str(error) and default_metric(con) is None:
        hint = "name the column of the score: --set metric=COLUMN"
    if "--set better" in str(error):
        hint = "declare it in SCORES of src/benchmark/metrics.py, or --set better=higher (or lower)"
    if "params_" in str(error) and not any(name.startswith("params_") for name in columns(con)):
        hint = "these rows have no params: take COLUMNS('params_.*') out of a copy of the recipe"
    return HarnessError(f"The SQL failed: {first_line(error)}", fix=hint)
