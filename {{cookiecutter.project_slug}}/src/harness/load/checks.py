"""Whether the latencies of a load test come from the server or from the generator, by its rows."""

from collections import Counter
from functools import partial

from harness.findings import Finding, unchecked, within
from harness.load.schedule import behind, bottleneck
from harness.read.facts import Facts
from harness.read.results import label

_CHECK = "load_measured"
_FIX = "lower the rate, raise [throughput] processes, or send from another machine; then a new TAG"
_DOWN = "see error_type in its rows; if the server was down, try again under a new TAG"


def load_measured(facts: Facts) -> list[Finding]:
    """Find loads whose rows do not measure the server.

    A request that left late waited for the generator, and its latency blames the server. A load
    without any answer measures nothing, though failures are results. A load that was resumed met a
    server that had a pause.
    """
    if not {"send_lag", "scheduled", "phase_start", "latency"} <= facts.have:
        return []
    # A closed loop has no schedule, so it cannot be late.
    open_loop = "params_mode IS DISTINCT FROM 'closed'" if "params_mode" in facts.have else "true"
    names = ", ".join(facts.params) or "true"
    repeat = (
        "repeat" if "repeat" in facts.have else "CAST(0 AS BIGINT)"
    )  # a bare 0 would count columns in GROUP BY
    rows = facts.ask(
        f"""SELECT {facts.experiment}, count(*),
            count(*) FILTER (send_lag > 0.001 AND send_lag > latency / 10),
            max(scheduled), arg_max(send_lag, scheduled) FILTER ({open_loop}),
            bool_and({facts.failed}), {repeat}, {names}
        FROM predictions WHERE send_lag IS NOT NULL
        GROUP BY {facts.experiment}, {repeat}, {names}, phase_start ORDER BY 1, phase_start"""
    )
    keys = [name[1:-1].removeprefix("params_") for name in facts.params]
    sets = [dict(zip(keys, row[7:], strict=False)) for row in rows]
    varying = []
    for key in keys:
        values = {str(each[key]) for each in sets}
        if len(values) > 1:
            varying.append(key)
    goes: Counter[tuple[str | None, str, int]] = Counter()
    found = []
    for each, (experiment, n, late, due, lag, all_failed, repeat, *_) in zip(
        sets, rows, strict=True
    ):
        named = {key: each[key] for key in varying if each[key] is not None}
        where = within(experiment) + label(named)
        goes[experiment, where, repeat] += 1
        about = partial(Finding, _CHECK, experiment=experiment)
        if all_failed:
            words = f"{where}: none of {n} requests was answered"
            found.append(about("error", words, n, fix=_DOWN))
        if lag is not None and behind(due, lag):
            words = f"{where}: the rate was not generated, the last request left {lag:.2g} s late"
            found.append(about("error", words, late, fix=_FIX))
        elif bottleneck(late, n):
            words = f"{where}: {late} of {n} requests left late, held up by the generator"
            found.append(about("warning", words, late, fix=_FIX))
    for (experiment, where, _), count in goes.items():
        if count > 1:
            words = f"{where}: resumed, a phase in {count} goes: was the server the same in each?"
            found.append(unchecked(_CHECK, words, experiment))
    return found
