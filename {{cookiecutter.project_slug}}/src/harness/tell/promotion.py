"""Whether a model may take the place of the one in production: a verdict, not a bare number."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from duckdb import DuckDBPyConnection
from sqlitedict import encode_key

from harness.errors import HarnessError, explained
from harness.project.hypotheses import flat, reads_as
from harness.read.results import Experiment, RecordedConfiguration, read_experiment
from harness.record.columns import quoted
from harness.record.fitted_files import file_of, read_file
from harness.record.layout import Place
from harness.tell.compare import compare
from harness.tell.section import number
from harness.version.models import Model


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a model may be promoted, or why not; `record` is what is kept of it."""

    better: bool
    words: str
    record: dict[str, object]


def evidence(
    con: DuckDBPyConnection, model: Model, before: Model | None, metric: str | None, force: bool
) -> Evidence:
    """Hold a model against the one in production, on the items that both were tried on.

    Raises HarnessError where they have no metric in common, or several and none is named.
    """
    experiment, configuration = chosen(con, model.of)
    if before is None:
        names = [metric] if metric else experiment.metrics
        known = {name: configuration.summary.get(name) for name in names}
        return Evidence(True, "it is the first", {"first": True, "metrics": known})
    pairs = compare(con, before.of, model.of, metric, force, flips=False).pairs
    if len(pairs) > 1:
        names = [pair.metric for pair in pairs]
        raise HarnessError(
            f"{model.of} can be judged by several metrics", fix=f"METRIC= one of {', '.join(names)}"
        )
    [pair] = pairs
    kept = {key: value for key, value in asdict(pair).items() if key != "flips"}
    words = f"{pair.metric}: {pair.outcome}"
    if pair.verdict:
        gap = pair.verdict.difference
        words += (
            f", {number(gap.estimate, 3)} [{number(gap.low, 3)}, {number(gap.high, 3)}] over the "
            f"one in production ({before.of})"
        )
    if pair.reason:
        words += f"; {pair.reason}"
    return Evidence(pair.outcome == "better", words, {**kept, "against": before.id})


def chosen(con: DuckDBPyConnection, of: str) -> tuple[Experiment, RecordedConfiguration]:
    """The one configuration that `e0.1.0:depth=8` names.

    Raises HarnessError where it names none, or several.
    """
    name, _, rest = of.partition(":")
    experiment = read_experiment(con, name)
    wanted = dict(part.partition("=")[::2] for part in filter(None, rest.split(",")))
    found = [
        each
        for each in experiment.configurations
        if all(key in flat(each.params) and reads_as(text, flat(each.params)[key])
               for key, text in wanted.items())
    ]  # fmt: skip
    if len(found) != 1:
        there = "; ".join(each.label for each in (found or experiment.configurations)[:8])
        raise HarnessError(
            f"{of} names {len(found) or 'no'} configurations; a model is of one (there: {there})",
            fix=f"name its params: {name}:name=value",
        )
    return experiment, found[0]


def ranked(con: DuckDBPyConnection, models: Sequence[Model], metric: str) -> list[Model]:
    """Models from best to worst by a metric, as its score declares; of equals the older first.

    Raises HarnessError where one has no such metric, or nothing says which way is better.
    """
    found: list[tuple[float, int, Model]] = []
    for place, model in enumerate(models):
        experiment, configuration = chosen(con, model.of)
        value, rule = configuration.summary.get(metric), experiment.rule(metric)
        if value is None:
            there = ", ".join(experiment.metrics) or "none"
            raise HarnessError(f"{model.of} has no {metric!r} (there: {there})", fix="METRIC=…")
        if not rule.ranks:
            raise HarnessError(
                f"nothing says which way {metric} is better",
                fix='better="higher" in SCORES of src/benchmark/metrics.py, then make rescore',
            )
        found.append((float(value) if rule.lower else -float(value), place, model))
    return [model for _, _, model in sorted(found, key=lambda each: each[:2])]


def fitted_file(place: Place, name: str, params: Mapping[str, Any]) -> tuple[str, bytes]:
    """The model that an experiment fitted for these params: its asset's hash, and its pickle.

    Raises HarnessError where it kept none, or several (one a fold).
    """
    where, values = ["experiment_version = ?", "fit_asset IS NOT NULL"], [name]
    for key, value in params.items():
        where.append(f"{quoted('params_' + key)} IS ?")
        values.append(value)
    uri = f"{place.db.resolve().as_uri()}?mode=ro"
    with explained(place.db, "read"), closing(sqlite3.connect(uri, uri=True)) as con:
        rows = con.execute(
            f"SELECT DISTINCT fit_asset FROM {quoted(place.predictions)} "
            f"WHERE {' AND '.join(where)}",
            values,
        ).fetchall()
        if len(rows) != 1:
            kept = f"{len(rows)} fitted models, one a fold" if rows else "no fitted model"
            raise HarnessError(
                f"that configuration of {name} keeps {kept}",
                fix="write the model to a file and name it: FILE=model.pkl",
            )
        [asset] = rows[0]
        query = "SELECT value FROM assets WHERE key = ?"
        row = con.execute(query, (encode_key(asset),)).fetchone()
    if row is None:
        raise HarnessError(f"{place.db.name} has no asset {asset}", fix="dvc checkout", code=1)
    content = bytes(row[0])
    path = file_of(place.db, content)
    return str(asset), content if path is None else read_file(path)
