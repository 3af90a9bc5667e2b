"""Whether reused results and their figures can be trusted; one question a check."""

from harness.findings import Finding, Severity, many, unchecked, within
from harness.read.facts import DEV, Facts, Rows
from harness.read.views import columns

_SHOWN = 5


def reused_failure(facts: Facts) -> list[Finding]:
    """xetrack's own cache keeps a returned error as a result, which is then never tried again."""
    rows = facts.ask(
        "SELECT e, sum(n)::BIGINT FROM tally WHERE reused AND failed GROUP BY 1 ORDER BY 1"
    )
    fix = "delete these entries (xt cache delete), then run again"
    return [
        Finding(
            "reused_failure",
            "error",
            f"{within(e)}{many(n, 'row')} took a failure from the cache",
            n,
            fix=fix,
            experiment=e,
        )
        for e, n in rows
    ]


def stale_reuse(facts: Facts) -> list[Finding]:
    """A reused result must have been computed by the code that the row claims."""
    if not facts.code or not {"cache", "track_id"} <= facts.have:
        return []
    if not facts.ask("SELECT 1 FROM tally WHERE reused"):
        return []
    executed = facts.ask(
        f"SELECT track_id, mode({facts.code}), count(DISTINCT {facts.code}) > 1 FROM predictions "
        f"WHERE NOT {facts.reused} GROUP BY 1"
    )
    codes = {run: code for run, code, _ in executed}
    if _fingerprinted(facts) and "code_key" in columns(facts.con, "runs"):
        codes = {**dict(facts.ask("SELECT track_id, code_key FROM runs")), **codes}
    # A run has one code nearly always; where it has not, its rows are compared one by one.
    one_by_one = any(several for _, _, several in executed)
    found = []
    for experiment, run, claimed, of_row, n in _reused_by_origin(facts, one_by_one):
        origin = of_row or codes.get(run)
        if origin != claimed:
            found.append(_stale(facts, experiment, run, claimed, origin, n))
    return found


def _fingerprinted(facts: Facts) -> bool:
    """Whether the version of the code is a fingerprint of it, and not a commit."""
    return facts.code == '"code_key"'


def _reused_by_origin(facts: Facts, one_by_one: bool) -> Rows:
    """Experiment, run of origin, code that is claimed, code of the row of origin, number of rows.

    The code of the row of origin is None but where rows are compared `one_by_one`.
    """
    exact, join = "NULL", ""
    if one_by_one:
        task = "task_key" if "task_key" in facts.have else facts.item or "NULL"
        exact = "o.code"
        join = (
            f"LEFT JOIN (SELECT track_id, {task} AS task, {facts.code} AS code FROM predictions "
            f"WHERE NOT {facts.reused}) AS o ON o.track_id = p.cache AND o.task = p.{task}"
        )
    return facts.ask(
        f"SELECT {facts.experiment} AS e, p.cache, p.{facts.code}, {exact}, count(*) "
        f"FROM predictions AS p {join} WHERE {facts.reused} GROUP BY ALL ORDER BY ALL"
    )


def _stale(
    facts: Facts, experiment: str | None, run: str, claimed: str, origin: str | None, n: int
) -> Finding:
    where = f"{within(experiment)}{many(n, 'cached row')}"
    if origin is None:
        lost = f"{where} came from run {run}, which is not recorded here"
        return Finding("stale_reuse", "note", lost, n, experiment=experiment)
    return Finding(
        "stale_reuse",
        # Another commit may well hold the same code; another fingerprint never does.
        "error" if _fingerprinted(facts) else "warning",
        f"{where} claim code {str(claimed)[:12]} but come from run {run} of {origin[:12]}",
        n,
        fix="run the experiment again under a new TAG; delete the cache before if in doubt",
        experiment=experiment,
    )


def mixed_code(facts: Facts) -> list[Finding]:
    """One experiment is one version of the code; otherwise its mean is of two different things."""
    if not facts.code:
        return [unchecked("mixed_code", "no column names the version of the code")]
    # A configuration has code of its own where params.py names modules.
    of_one = ", ".join(("e", *facts.params)) if facts.ours else "e"
    rows = facts.ask(
        "SELECT e, count(*), list(left(code, 12) || ': ' || n || ' rows' ORDER BY n DESC) FROM ("
        "SELECT e, code, sum(n)::BIGINT AS n FROM tally WHERE code IS NOT NULL GROUP BY ALL) "
        f"WHERE e <> '{DEV}' AND e IN (SELECT e FROM tally WHERE code IS NOT NULL "
        f"GROUP BY {of_one} HAVING count(DISTINCT code) > 1) GROUP BY e ORDER BY e"
    )
    severity: Severity = "error" if "experiment_version" in facts.have else "warning"
    return [
        Finding(
            "mixed_code",
            severity,
            f"{within(e)}rows of {n} code versions",
            n,
            tuple(codes[:_SHOWN]),
            "run it again under a new TAG, from one commit",
            e,
        )
        for e, n, codes in rows
    ]


def cached_latency(facts: Facts) -> list[Finding]:
    """A row from the cache took no time of its own, so no latency may count it."""
    metrics = columns(facts.con, "metrics")
    needed = {"experiment_version", "latency_n", "latency_p50"}
    if not needed <= set(metrics) or not {"experiment_version", "latency"} <= facts.have:
        return []
    shared = [name for name in facts.params if name.strip('"') in metrics]
    return [
        Finding(
            "cached_latency",
            "error",
            f"{e}: the latency of {configuration or 'its configuration'} is over {stated} rows, "
            f"{many(n, 'row')} were executed" + ("" if stated > n else f" (p50 {p50:.4g} s)"),
            max(int(stated or 0) - n, 1),
            fix="make rescore recomputes metrics from executed rows only",
            experiment=e,
        )
        for e, configuration, stated, n, p50 in _over_other_rows(facts, shared)
    ]


def _over_other_rows(facts: Facts, shared: list[str]) -> Rows:
    """Experiment, configuration, n and p50 as stated, and rows executed, where they disagree.

    `shared` are the params that the table metrics has as well.
    """
    same = "".join(f" AND m.{name} IS NOT DISTINCT FROM t.{name}" for name in shared)
    group = ", ".join(("e", *shared))
    return facts.ask(
        f"""WITH t AS (
            SELECT t.*, middle, middle_of_all
            FROM (SELECT {group}, sum(timed)::BIGINT AS fresh FROM tally GROUP BY ALL) AS t
            JOIN ({_middles(facts, shared)}) AS m ON m.e = t.e {same}
        )
        SELECT m.experiment_version, concat_ws(' ', {", ".join(f"m.{n}" for n in shared) or "''"}),
            latency_n, coalesce(fresh, 0), latency_p50
        FROM metrics AS m LEFT JOIN t ON m.experiment_version = t.e {same}
        WHERE latency_n > coalesce(fresh, 0) OR (coalesce(fresh, 0) = 0 AND latency_p50 IS NOT NULL)
            OR (latency_p50 = middle_of_all AND latency_p50 <> middle) ORDER BY ALL"""
    )


def _middles(facts: Facts, shared: list[str]) -> str:
    """SQL of the median latency of each configuration: of rows that took time, and of all."""
    group = ", ".join(("e", *shared))
    # Only where some rows took time and others did not can a percentile be of the wrong ones.
    [(mixed,)] = facts.ask(
        "SELECT count(*) FROM (SELECT 1 FROM tally "
        f"GROUP BY {group} HAVING bool_or(reused) AND bool_or(NOT reused))"
    )
    if not mixed:
        return f"SELECT {group}, NULL AS middle, NULL AS middle_of_all FROM tally GROUP BY ALL"
    return (
        f"SELECT {facts.experiment} AS e, {''.join(f'{name}, ' for name in shared)}"
        f"median(latency) FILTER (NOT {facts.reused} AND NOT {facts.failed}) AS middle, "
        "median(latency) AS middle_of_all FROM predictions GROUP BY ALL"
    )
