"""Whether the latencies of a load test are the server's or the generator's, asked of its rows."""

from harness.analysis.facts import Facts
from harness.findings import Finding, within
from harness.load.schedule import behind, bottleneck

_FIX = "lower the rate, raise [throughput] processes, or send from another machine; then a new TAG"
_DOWN = "see error_type in its rows; if the server was down, try again under a new TAG"


def load_measured(facts: Facts) -> list[Finding]:
    """A request that left late waited for the generator, and the server is blamed for it.

    Nor has a load been measured that nobody answered, though failures are results under load.
    """
    if not {"send_lag", "scheduled", "phase_start", "latency"} <= facts.have:
        return []
    # A closed loop has no schedule to fall behind of.
    open_loop = "params_mode IS DISTINCT FROM 'closed'" if "params_mode" in facts.have else "true"
    names = ", ".join(facts.params) or "'the only configuration'"
    rows = facts.ask(
        f"""SELECT {facts.experiment}, concat_ws(' ', {names}), count(*),
            count(*) FILTER (send_lag > 0.001 AND send_lag > latency / 10),
            max(scheduled), arg_max(send_lag, scheduled) FILTER ({open_loop}),
            bool_and({facts.failed})
        FROM predictions WHERE send_lag IS NOT NULL
        GROUP BY {facts.experiment}, {names}, phase_start ORDER BY ALL"""
    )
    found = []
    for experiment, configuration, n, late, due, lag, all_failed in rows:
        where = f"{within(experiment)}{configuration}"
        if all_failed:
            words = f"{where}: none of {n} requests was answered"
            found.append(Finding("load_measured", "error", words, n, fix=_DOWN))
        if lag is not None and behind(due, lag):
            words = f"{where}: the rate was not generated, the last request left {lag:.2g} s late"
            found.append(Finding("load_measured", "error", words, late, fix=_FIX))
        elif bottleneck(late, n):
            words = f"{where}: {late} of {n} requests left late, held up by the generator"
            found.append(Finding("load_measured", "warning", words, late, fix=_FIX))
    return found
