"""Whether recorded results can be trusted: each check asks one question and returns what it found.

A check that lacks the columns it needs returns a note at most, so that a table of any origin can
be checked as far as it goes. That one item is there under two configurations is the design of a
benchmark, and no check calls it a leak.
"""

import json
from itertools import groupby

from harness.findings import Finding, many, unchecked, within
from harness.project.interim import ended_words
from harness.read.facts import DEV, Facts
from harness.read.views import columns
from harness.seal import modified_words

_SHOWN = 5


def executed_twice(facts: Facts) -> list[Finding]:
    """A task that counts twice weighs twice in every mean, and paid twice for its answer."""
    if not facts.task:
        return [unchecked("executed_twice", "no column names the item; name the task with --key")]
    # In a foreign table a repeated row from the cache is a rerun, and a failed one a retry.
    counted = "true" if facts.ours else f"NOT {facts.reused} AND NOT {facts.failed}"
    # The dev phase keeps rows of earlier code, so there a task is its key.
    dev = f"CASE WHEN {facts.experiment} = '{DEV}' THEN task_key END, " if facts.ours else ""
    task = f"{facts.experiment}, {dev}{', '.join(facts.task)}"
    # Hashes first: a million keys of 64 characters would not fit into the memory promised.
    doubled = (
        f"SELECT hash({task}) AS h FROM predictions WHERE {counted} GROUP BY h HAVING count(*) > 1"
    )
    if not facts.ask(f"{doubled} LIMIT 1"):
        return []
    rows = facts.ask(
        f"SELECT {facts.experiment} AS e, {facts.task[0]} AS item, count(*) AS times, "
        "count(*) OVER (PARTITION BY e) "
        f"FROM predictions WHERE {counted} AND hash({task}) IN ({doubled}) "
        f"GROUP BY {task} HAVING count(*) > 1 "
        f"QUALIFY row_number() OVER (PARTITION BY e ORDER BY times DESC, item) <= {_SHOWN} "
        "ORDER BY e, times DESC, item"
    )
    found = []
    for experiment, group in groupby(rows, key=lambda row: row[0]):
        examples = [(item, times, n) for _, item, times, n in group]
        n = examples[0][2]
        found.append(
            Finding(
                "executed_twice",
                "error",
                f"{within(experiment)}{many(n, 'task')} stand{'s' * (n == 1)} in more than one row",
                n,
                tuple(f"{within(experiment)}item {item}: {k} rows" for item, k, _ in examples),
                "keep one row of each task, or run the experiment again under a new TAG",
                experiment,
            )
        )
    return found


def modified_harness(facts: Facts) -> list[Finding]:
    """What an edited harness recorded is not what its version stands for."""
    if not {"experiment_version", "harness_edited"} <= set(columns(facts.con, "runs")):
        return []
    rows = facts.ask(
        "SELECT experiment_version, harness_edited FROM runs "
        f"WHERE experiment_version <> '{DEV}' AND harness_edited <> '[]' ORDER BY sequence"
    )
    edited: dict[str, set[str]] = {}
    for experiment, names in rows:
        edited.setdefault(experiment, set()).update(json.loads(names))
    return [
        Finding(
            "modified_harness",
            "warning",
            f"{within(experiment)}recorded by a {modified_words(sorted(names))}",
            len(names),
            fix="make upgrade puts the edit aside; then a new TAG",
            experiment=experiment,
        )
        for experiment, names in edited.items()
    ]


def row_count(facts: Facts) -> list[Finding]:
    """Rows that are missing or too many mean that the figures are not of the benchmark planned."""
    if not {"experiment_version", "planned"} <= set(columns(facts.con, "runs")):
        return _unbalanced(facts)
    ended = "ended_how" if "ended_how" in columns(facts.con, "runs") else "'finished'"
    join = "LEFT JOIN" if facts.whole else "JOIN"
    rows = facts.ask(
        f"""WITH plan AS (
            SELECT experiment_version AS e, arg_max(planned, sequence) AS planned,
                arg_max(coalesce({ended}, 'killed'), sequence) AS ended
            FROM runs GROUP BY 1
        ), recorded AS (SELECT e, sum(n)::BIGINT AS n FROM tally GROUP BY 1)
        SELECT e, planned, coalesce(n, 0) AS n, ended FROM plan {join} recorded USING (e)
        WHERE planned IS NOT NULL AND (n IS DISTINCT FROM planned) ORDER BY e"""
    )
    found = []
    for experiment, planned, n, ended in rows:
        if experiment == DEV and n >= planned:
            continue
        finished = ended == "finished"
        found.append(
            Finding(
                "row_count",
                "error" if finished or n > planned else "warning",
                f"{experiment}: {n} rows of {planned} planned (last run: {ended})",
                abs(planned - n),
                fix="" if finished else "the same command resumes an unfinished experiment",
                experiment=experiment,
            )
        )
    return found


def ended_by_plan(facts: Facts) -> list[Finding]:
    """Items that a plan with looks did not need are no rows that are missing."""
    if not {"experiment_version", "looked", "ended_by_plan"} <= set(columns(facts.con, "runs")):
        return []
    rows = facts.ask(
        "SELECT experiment_version, arg_max(looked, sequence), arg_max(ended_by_plan, sequence) "
        "FROM runs WHERE ended_by_plan <> '' GROUP BY 1 ORDER BY 1"
    )
    return [
        Finding(
            "ended_by_plan",
            "note",
            f"{experiment}: {ended_words(json.loads(looked), ended)}",
            experiment=experiment,
        )
        for experiment, looked, ended in rows
    ]


def _unbalanced(facts: Facts) -> list[Finding]:
    """Without a plan: every configuration should have been tried on the same items."""
    if not facts.task or not facts.configuration:
        return [unchecked("row_count", "no plan is recorded beside this table")]
    names = ", ".join(facts.configuration)
    rows = facts.ask(
        f"""WITH counts AS (SELECT concat_ws(' ', {names}) AS configuration,
            count(DISTINCT hash({facts.item})) AS n FROM predictions GROUP BY {names})
        SELECT configuration, n, max(n) OVER () AS most FROM counts
        QUALIFY n < most ORDER BY n LIMIT 100"""
    )
    if not rows:
        return []
    message = f"{many(len(rows), 'configuration')} lack items that others have"
    shown = tuple(f"{name or '(none)'}: {n} items of {most}" for name, n, most in rows[:_SHOWN])
    return [Finding("row_count", "warning", message, len(rows), shown)]


def missing_params(facts: Facts) -> list[Finding]:
    """A row without its params drops out of every figure per configuration, without a word."""
    if not facts.params:
        return []
    allowed = _may_be_none(facts)
    nothing = " AND ".join(f"{name} IS NULL" for name in facts.params)
    wanted = ("true", nothing, f"reused AND {nothing}", *(f"{p} IS NOT NULL" for p in facts.params))
    counts = ", ".join(f"coalesce(sum(n) FILTER ({what}), 0)::BIGINT" for what in wanted)
    rows = facts.ask(f"SELECT e, {counts} FROM tally GROUP BY 1 ORDER BY 1")
    anywhere = any(any(filled) for _, _, _, _, *filled in rows)
    found = []
    for experiment, n, empty, reused, *filled in rows:
        there, may_be_none = allowed.get(experiment, (set(), set()))
        # An experiment of other params may have none of these; what was reused had some once.
        bare = 0 if there else empty if any(filled) else reused if anywhere else 0
        holes = {}
        for name, count in zip(facts.params, filled, strict=True):
            plain = name.strip('"')
            # Where no grid says what may be None, a column that is wholly so was not a param then.
            legitimate = plain in may_be_none or plain not in there if there else count == 0
            if count < n and not legitimate:
                holes[name] = n - count
        if lost := max([bare, *holes.values()]):
            found.append(
                Finding(
                    "missing_params",
                    "error",
                    f"{within(experiment)}{many(lost, 'row')} without params",
                    lost,
                    tuple(f"{name} is NULL in {many(c, 'row')}" for name, c in holes.items()),
                    "rows from xetrack's own cache lose them; run these again",
                    experiment,
                )
            )
    return found


def _may_be_none(facts: Facts) -> dict[str, tuple[set[str], set[str]]]:
    """Per experiment, from the grids of its runs: the params columns, and those that may be NULL.

    These are None in some configuration, or are there for some others only, as the fields of a
    dataclass that is one of several.
    """
    if not {"experiment_version", "grid"} <= set(columns(facts.con, "runs")):
        return {}
    names: dict[str, tuple[set[str], set[str]]] = {}
    # An experiment has rows of all its runs, the dev phase only of the last one.
    grids = facts.ask(
        f"SELECT DISTINCT experiment_version, grid FROM runs WHERE experiment_version <> '{DEV}' "
        f"UNION ALL SELECT '{DEV}', arg_max(coalesce(grid, ''), sequence) FROM runs "
        f"WHERE experiment_version = '{DEV}'"
    )
    for experiment, text in grids:
        there, empty = names.setdefault(experiment, (set(), set()))
        grid = json.loads(text or "[]")
        every = {name for configuration in grid for name in configuration}
        there.update(every)
        for configuration in grid:
            empty.update(name for name in every if configuration.get(name) is None)
    return names


def failures(facts: Facts) -> list[Finding]:
    """Failures are rows: their number and kind belong beside every score."""
    rows = facts.ask(
        "SELECT e, kind, sum(n)::BIGINT AS count, any_value(example) FROM tally WHERE failed "
        "GROUP BY 1, 2 ORDER BY 1, count DESC, 2"
    )
    return [
        Finding(
            "failures",
            "warning",
            f"{within(e)}{many(n, 'row')} failed: {kind}",
            n,
            (text,),
            experiment=e,
        )
        for e, kind, n, text in rows
    ]


def no_raw_output(facts: Facts) -> list[Finding]:
    """Without the raw output a score can never be checked or computed again."""
    if not facts.raw and not facts.succeeded:
        return []
    if not facts.raw:
        return [unchecked("no_raw_output", "no column holds raw output (raw_response)")]
    if not facts.ask("SELECT 1 FROM tally WHERE empty > 0"):
        return []
    item = f"CAST({facts.item or 'NULL'} AS VARCHAR)"
    rows = facts.ask(
        f"SELECT {facts.experiment} AS e, count(*), min(DISTINCT {item}, {_SHOWN}) "
        f"FROM predictions WHERE {facts.empty} GROUP BY 1 ORDER BY 1"
    )
    return [
        Finding(
            "no_raw_output",
            "warning",
            f"{within(e)}{many(n, 'successful row')} without raw output",
            n,
            tuple(f"item {name}" for name in ids or ()),
            'let predict return "raw_response"',
            e,
        )
        for e, n, ids in rows
    ]
