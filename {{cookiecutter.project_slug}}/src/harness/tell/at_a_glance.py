"""A table of predictions in a few lines, whoever wrote it: when, what was tried, time, errors."""

from collections.abc import Iterator

from harness.console import brief
from harness.read.facts import Facts
from harness.read.scores import Sums
from harness.record.columns import quoted
from harness.tell.section import number

_VALUES, _ERRORS = 8, 3  # how many are named


def at_a_glance(facts: Facts) -> Iterator[str]:
    """One line each, of what the table has columns for."""
    if "timestamp" in facts.have:
        [(first, last)] = facts.ask("SELECT min(timestamp), max(timestamp) FROM predictions")
        yield f"Recorded from {first} to {last}."
    for name in facts.configuration:
        [(n, values)] = facts.ask(
            f"SELECT count(DISTINCT {name}), min(DISTINCT {name}, {_VALUES}) FROM tally"
        )
        shown = ", ".join(map(brief, values or ()))
        more = f" and {n - _VALUES} more" if n > _VALUES else ""
        yield f"Tried {_plain(name)}: {shown or 'nothing'}{more}."
    yield from _latency(facts)
    yield from _errors(facts)
    yield from _agreement(facts)


def _plain(name: str) -> str:
    return name.strip('"').removeprefix("params_")


def _latency(facts: Facts) -> Iterator[str]:
    if not {"latency", "function_time"} & facts.have:
        return
    [(n, *figures)] = facts.ask(
        f"SELECT count(t), avg(t), min(t), max(t), stddev_samp(t) FROM "
        f"(SELECT CAST({facts.time} AS DOUBLE) AS t FROM predictions WHERE {facts.fresh}) "
        "WHERE isfinite(t) AND abs(t) < 1e9"
    )
    if n:
        mean, least, most, spread = (number(each) for each in figures)
        of = f"mean {mean}, from {least} to {most}, sd {spread}"
        yield f"Latency of {n:,} executed rows (s): {of}."


def _errors(facts: Facts) -> Iterator[str]:
    rows = facts.ask(
        "SELECT kind, sum(n)::BIGINT AS n FROM tally WHERE failed GROUP BY 1 "
        f"ORDER BY n DESC, 1 LIMIT {_ERRORS}"
    )
    if rows:
        yield "Most frequent errors: " + ", ".join(f"{brief(k)} ({n:,})" for k, n in rows) + "."


def _agreement(facts: Facts) -> Iterator[str]:
    """How often the prediction is the truth, as text, where no score says so."""
    if not {"prediction", "ground_truth"} <= facts.have or facts.ours:
        return
    same = f"CAST({quoted('prediction')} AS VARCHAR) = CAST({quoted('ground_truth')} AS VARCHAR)"
    [(n, right)] = facts.ask(
        f"SELECT count({same}), count(*) FILTER ({same}) FROM predictions WHERE NOT {facts.failed}"
    )
    if n:
        mean = Sums(n, float(right), None, binary=True).mean()
        low, high = number(mean.low, 3), number(mean.high, 3)
        yield f"prediction is ground_truth in {number(mean.estimate, 3)} [{low}, {high}], n {n:,}."
