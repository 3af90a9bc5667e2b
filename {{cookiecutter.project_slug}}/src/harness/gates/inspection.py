"""After a dev-run: does what was recorded look like what was meant?"""

import re
from pathlib import Path

import duckdb

from harness.console import out, shown
from harness.errors import HarnessError
from harness.findings import Finding, many
from harness.project.kind import PLAIN, Kind, resolve
from harness.read.checks import failures, missing_params, no_raw_output
from harness.read.checks_scores import uncounted_scores, undeclared_scores
from harness.read.facts import DEV, Facts, read_facts, rules_by_experiment
from harness.read.views import columns, connect, literal, unreadable
from harness.record.columns import quoted
from harness.tell.tables import Table, to_grid

_NUMERIC = ("BIGINT", "DOUBLE")
# These may have one value, or none, in every row.
_MAY_BE_CONSTANT = {
    *("track_id", "timestamp", "function_name", "error", "error_type", "cache", "attempts"),
    *("experiment_version", "task_key", "item_key", "code_key", "input_id", "repeat", "fold"),
    *("n_train", "n_test", "fit_asset", "fit_seconds", "latency_shared", "ground_truth", "split"),
    *("cost", "cost_estimate", "cost_lost", "model_version"),
    *("function_time", "latency"),  # 0 and empty where all came from the cache
}
_NO_NUMBERS = {
    *("input_id", "task_key", "item_key", "code_key", "track_id", "cache", "timestamp"),
    *("raw_response", "prediction", "ground_truth", "experiment_version", "fit_asset"),
}
_SHOWN, _FEWEST = 5, 10
_PROBABILITY = r"(^|_)(prob|probs|probability|probabilities|proba|confidence)(_|$)"
_NOT_NEGATIVE = (
    r"(^|_)(latency|duration|seconds|time|ms|cost|price|count|tokens|bytes|attempts)(_|$)"
)


def inspect(database: Path, experiment: str = DEV, *, kind: Kind = PLAIN) -> list[Finding]:
    """Findings about the recorded rows of one experiment (by default the dev phase).

    `kind` says which columns may be constant or empty, and brings checks of its own.

    Raises HarnessError where there is no database, no table or no row.
    """
    for careful in (False, True):
        con = connect([database], careful=careful)
        try:
            if "experiment_version" in columns(con):
                only = f"experiment_version = {literal(experiment)}"
                con.execute(f"CREATE TEMP VIEW predictions AS FROM memory.predictions WHERE {only}")
            facts = read_facts(con)
            return [
                *_absent(facts, kind.constant | _left_out(facts)),
                *missing_params(facts),
                *_numbers_as_text(facts),
                *_out_of_range(facts),
                *no_raw_output(facts),
                *_constant(facts, kind.constant),
                *failures(facts),
                *uncounted_scores(facts),
                *undeclared_scores(facts, experiment),
                *(finding for each in kind.dev_checks for finding in resolve(each)(facts)),
            ]
        except duckdb.TypeMismatchException:
            continue
        except duckdb.Error as error:
            raise unreadable(str(database), error) from error
        finally:
            con.close()
    raise HarnessError(f"{database} holds values of a type that cannot be read.")


def show_samples(database: Path, rows: int = 3) -> None:
    """Print a few rows, the columns downwards, so that long values stay readable."""
    with connect([database], careful=True) as con:
        result = con.execute(
            f"SELECT * FROM predictions USING SAMPLE reservoir({rows} ROWS) REPEATABLE (1)"
        )
        names = [str(column[0]) for column in result.description or ()]
        samples = result.fetchall()
    heads = ["column", *(f"sample {i + 1}" for i in range(len(samples)))]
    cells = [
        [name, *("NULL" if value is None else shown(value, 80) for value in values)]
        for name, *values in zip(names, *samples, strict=True)
    ]
    out.print(to_grid(Table(heads, cells)))


def _absent(facts: Facts, may_be: frozenset[str]) -> list[Finding]:
    """Values that some successful rows have and others lack; those of `may_be` may."""
    names = [
        name for name in columns(facts.con) if not name.startswith("params_")
        and quoted(name) != facts.raw and name not in ("error", "error_type", "cache", *may_be)
    ]  # fmt: skip
    counts = ", ".join(f"count({quoted(name)})" for name in names)
    [(n, *filled)] = facts.ask(
        f"SELECT count(*), {counts} FROM predictions WHERE NOT {facts.failed}"
    )
    return [
        Finding("missing_values", "warning", f"{name} is missing in {many(n - c, 'row')}", n - c)
        for name, c in zip(names, filled, strict=True)
        if 0 < c < n
    ]


def _left_out(facts: Facts) -> frozenset[str]:
    """Scores of which SCORES says that a row may have none."""
    rules = [rule for each in rules_by_experiment(facts.con).values() for rule in each]
    return frozenset(rule.name for rule in rules if rule.missing_said and rule.missing is None)


def _numbers_as_text(facts: Facts) -> list[Finding]:
    """Text sorts 10 before 9 and equals no number."""
    have = columns(facts.con)
    texts = [n for n, kind in have.items() if kind == "VARCHAR" and n not in _NO_NUMBERS]
    # Labels may be digits; where only one side is text, no prediction equals its ground truth.
    if have.get("prediction") != have.get("ground_truth"):
        texts += [n for n in ("prediction", "ground_truth") if have.get(n) == "VARCHAR"]
    found = []
    for name in texts:
        column = quoted(name)
        [(n,)] = facts.ask(
            f"SELECT CASE WHEN count(*) = count(TRY_CAST({column} AS DOUBLE)) THEN count(*) END "
            f"FROM predictions WHERE trim({column}) <> ''"
        )
        if n:
            message = f"{name} holds numbers as text"
            fix = "let predict return int or float, then make dev-clean and make dev-run"
            found.append(Finding("numbers_as_text", "error", message, n, fix=fix))
    return found


def _out_of_range(facts: Facts) -> list[Finding]:
    """Probabilities outside [0, 1]; durations, costs and counts below 0."""
    found = []
    for name, kind in columns(facts.con).items():
        column = quoted(name)
        if re.search(_PROBABILITY, name):
            # A list or dict of probabilities is JSON text.
            values = (
                f"[CAST({column} AS DOUBLE)]" if kind in _NUMERIC else
                f"coalesce(TRY_CAST({column} AS DOUBLE[]), TRY_CAST(json_extract(CASE WHEN "
                f"json_valid({column}) THEN {column} END, '$.*') AS DOUBLE[]))"
            )  # fmt: skip
            wrong = f"len(list_filter({values}, lambda p: p < 0 OR p > 1)) > 0"
            check, said = "probability_range", "outside [0, 1]"
        elif kind in _NUMERIC and re.search(_NOT_NEGATIVE, name):
            wrong, check, said = f"{column} < 0", "negative", "below 0"
        else:
            continue
        rows = facts.ask(
            f"SELECT left(CAST({column} AS VARCHAR), 80), count(*) OVER () FROM predictions "
            f"WHERE {wrong} LIMIT {_SHOWN}"
        )
        if rows:
            message = f"{name} is {said} in {many(rows[0][1], 'row')}"
            examples = tuple(str(value) for value, _ in rows)
            found.append(Finding(check, "error", message, rows[0][1], examples))
    return found


def _constant(facts: Facts, may_be: frozenset[str]) -> list[Finding]:
    """A column that never changes carries no information, or is not what it was meant to be."""
    names = [
        name
        for name in columns(facts.con)
        if name not in _MAY_BE_CONSTANT | may_be and not name.startswith("params_")
    ]
    sets = ", ".join(f"approx_count_distinct({quoted(n)}), min({quoted(n)})" for n in names)
    [(n, *values)] = facts.ask(f"SELECT count(*), {sets} FROM predictions")
    if n < _FEWEST:
        return []
    # What is always empty may be meant for a case that has not come up, such as a retry; and a
    # score that is the same everywhere is a result.
    rules = rules_by_experiment(facts.con).values()
    scores = {rule.name for declared in rules for rule in declared}
    return [
        Finding(
            "constant",
            "note" if value is None or name in scores else "warning",
            f"{name} is {'empty' if value is None else _short(value)} in all {many(n, 'row')}",
            n,
        )
        for name, distinct, value in zip(names, values[::2], values[1::2], strict=True)
        if distinct <= 1 and quoted(name) != facts.raw
    ]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
