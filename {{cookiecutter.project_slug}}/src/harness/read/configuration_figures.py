"""The figures of each configuration of a table of predictions, whoever wrote it: from its tally."""

from dataclasses import dataclass
from typing import TypedDict

from harness.read.facts import Facts
from harness.read.scores import Sums


@dataclass(frozen=True, slots=True)
class ConfigurationFigures:
    """One configuration of one experiment ('' where there are none).

    `counts`: rows, executed, reused, failed. `scores` are in the order of `Facts.scores`; rows
    count as independent. `latency`: p50 and p95 of executed rows without an error, in seconds.
    """

    experiment: str
    configuration: tuple[object, ...]
    counts: tuple[int, int, int, int]
    scores: list[Sums]
    latency: tuple[float | None, float | None]


class CacheHits(TypedDict):
    """What reuse came to in one experiment; `seconds_saved` is None where no row has its time."""

    experiment: str
    rows: int
    executed: int
    reused: int
    failed: int
    seconds_saved: float | None
    from_runs: list[str]


def configuration_figures(facts: Facts) -> list[ConfigurationFigures]:
    """The configurations by experiment; `facts` must have been read with their scores."""
    group = ["e", *facts.configuration]
    listed = ", ".join(group)
    counts = [
        f"coalesce(sum(n) FILTER ({which}), 0)::BIGINT"
        for which in ("true", "NOT reused", "reused", "failed")
    ]
    sums = [
        f"[{', '.join(f'sum(s{i}[{j}])' for j in (1, 2, 3, 4))}]" for i in range(len(facts.scores))
    ]
    same = " AND ".join(f"t.{name} IS NOT DISTINCT FROM l.{name}" for name in group)
    rows = facts.ask(
        f"""SELECT t.*, l.p[1], l.p[2]
        FROM (SELECT {listed}, {", ".join([*counts, *sums])} FROM tally GROUP BY {listed}) AS t
        LEFT JOIN ({_latencies(facts, listed)}) AS l ON {same} ORDER BY ALL"""
    )
    figures = []
    for experiment, *rest in rows:
        names = len(facts.configuration)
        rows_of, executed, reused, failed = rest[names : names + 4]
        *scores, p50, p95 = rest[names + 4 :]
        figures.append(
            ConfigurationFigures(
                experiment or "",
                tuple(rest[:names]),
                (rows_of, executed, reused, failed),
                [Sums.of_squares(*each) for each in scores],
                (p50, p95),
            )
        )
    return figures


def _latencies(facts: Facts, listed: str) -> str:
    """SQL of p50 and p95 (`p`) by the columns `listed`."""
    # Percentiles of parts do not add up: where a configuration has several, the rows are asked.
    if facts.ask(
        f"SELECT 1 FROM tally WHERE timed > 0 GROUP BY {listed} HAVING count(*) > 1 LIMIT 1"
    ):
        names = "".join(f"{name}, " for name in facts.configuration)
        return (
            f"SELECT {facts.experiment} AS e, {names} {facts.percentiles} AS p "
            "FROM predictions GROUP BY ALL"
        )
    return f"SELECT {listed}, any_value(times) AS p FROM tally WHERE timed > 0 GROUP BY {listed}"


def cache_hits(facts: Facts) -> list[CacheHits]:
    """What reuse came to, by experiment."""
    saved, origin = "NULL", ""
    if {"task_key", "function_time", "cache"} <= facts.have:
        # A reused row took no time itself: what it saved stands in the row of its execution.
        saved = f"sum(took) FILTER ({facts.reused})"
        origin = (
            "LEFT JOIN (SELECT task_key, max(function_time) AS took FROM predictions "
            f"WHERE NOT {facts.reused} GROUP BY 1) USING (task_key) "
        )
    elif "latency" in facts.have:
        saved = f"sum(latency) FILTER ({facts.reused})"
    runs = "list(DISTINCT cache ORDER BY cache)" if "cache" in facts.have else "[]"
    rows = facts.ask(
        f"SELECT {facts.experiment} AS e, count(*), count(*) FILTER (NOT {facts.reused}), "
        f"count(*) FILTER ({facts.reused}), count(*) FILTER ({facts.failed}), {saved}, {runs} "
        f"FROM predictions {origin}GROUP BY 1 ORDER BY 1"
    )
    return [
        CacheHits(
            experiment=experiment,
            rows=n,
            executed=executed,
            reused=reused,
            failed=failed,
            seconds_saved=seconds,
            from_runs=[run for run in from_runs if run],
        )
        for experiment, n, executed, reused, failed, seconds, from_runs in rows
    ]
