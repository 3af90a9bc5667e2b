"""What the report shows of a load: figures by configuration, over time, by rate, and their spread.

`make report` calls `sections`. Delete this file, and the report is what every benchmark has.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from duckdb import DuckDBPyConnection
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray

from harness.load.schedule import bottleneck, sent_late
from harness.read.results import RecordedConfiguration, label, read_experiment, which
from harness.stats.intervals import Interval, percentiles
from harness.stats.phases import keeps_up, rises, trend
from harness.tell.charts import MUTED, SERIES, chart
from harness.tell.section import Section, Table, number

LOAD = {"requests", "mode", "rate", "users"}  # params that `Load.name` tells apart
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}
SUSTAINED, ERRORS = 0.95, 0.01  # of a rate that is answered at least, of requests that fail at most
POINTS = 150  # of a line in a chart
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Load:
    """One configuration's requests, by when they were due; times in seconds.

    `due` counts from its first phase, with the pauses between phases (a run that was resumed) left
    out; `seams` are where a phase ended, `seconds` the time until the last good answer of each.
    `due` and `latency` are those of good answers; `late` counts requests that the generator held
    up. `also` says what varies beside the load. `phase` numbers the phase of each good answer,
    `resumed` counts phases that were measured in more than one go. `rising` is by how many seconds
    latencies rise in a second of load.
    """

    configuration: RecordedConfiguration
    also: str
    due: Numbers
    latency: Numbers
    failed: int
    lag: Numbers
    late: int
    used: dict[str, Numbers]
    seconds: float
    seams: tuple[float, ...]
    runs: int
    phase: NDArray[np.intp]
    resumed: int
    rising: Interval

    @property
    def n(self) -> int:
        return self.failed + len(self.latency)

    @property
    def rate(self) -> float | None:
        """Requests per second that were asked for; None in a closed loop."""
        params = self.configuration.params
        return None if params.get("mode") == "closed" else float(str(params["rate"]))

    @property
    def name(self) -> str:
        """What a legend says: `80/s`, `4 users`, or `80/s, model=large`."""
        rate, users = self.rate, self.configuration.params.get("users")
        load = f"{users} users" if rate is None else f"{rate:g}/s"
        return f"{load}, {self.also}" if self.also else load

    @property
    def achieved(self) -> float:
        """Good answers per second, until the last one."""
        return len(self.latency) / self.seconds if self.seconds else 0.0

    @property
    def state(self) -> str:
        """`sustained`, `saturated`, or `unclear` where the phases cannot tell.

        Answers per second say it late: at 1.04 times what a server can do, 96 of 100 are answered.
        """
        kept = self.n / max(float(self.due.max(initial=0.0)), 1e-9)
        lost = self.achieved < SUSTAINED * kept or self.failed > ERRORS * self.n
        if lost or rises(self.rising):
            return "saturated"
        return "sustained" if keeps_up(self.rising) else "unclear"


def sections(con: DuckDBPyConnection, experiment: str) -> list[Section]:
    """The parts that are about load; the report adds them before its last one."""
    loads = read_loads(con, experiment)
    if not loads:
        return []
    text = [*saturation(loads), *seams(loads), *held_up(loads)]
    parts = [Section("Load", text, [_figures(loads), _percentiles(loads), _used(loads)])]
    some = [load for load in loads if len(load.latency) > 1]
    by_rate = [group for group in _alike(some) if len(group) > 1]
    if by_rate:
        parts.append(Section("Latency by rate", charts=[_by_rate(group) for group in by_rate]))
    groups = [some[first : first + len(SERIES)] for first in range(0, len(some), len(SERIES))]
    if groups:
        text = ["Counted from when a request was due. Solid: the slowest, dotted: the median."]
        parts.append(Section("Latency over time", text, charts=[_over_time(g) for g in groups]))
        text = ["The share of requests that took longer: 0.01 is the p99."]
        parts.append(Section("How latencies are spread", text, charts=[_spread(g) for g in groups]))
    return parts


def _alike(loads: Sequence[Load]) -> list[list[Load]]:
    """Open loops in groups between which something beside the rate varies, each by rate."""
    groups: dict[str, list[Load]] = {}
    for load in loads:
        if load.rate is not None:
            groups.setdefault(load.also, []).append(load)
    return list(groups.values())


def read_loads(con: DuckDBPyConnection, experiment: str) -> list[Load]:
    """The requests of every configuration: by rate, closed loops at the end."""
    found = read_experiment(con, experiment)
    if not {"phase_start", "scheduled", "done", "send_lag"} <= found.columns:
        return []
    case, values = which(found)
    used = [f"{who}_{what}" for who in ("server", "generator") for what in ("cpu", "mib")]
    used.append("machine_cpu")
    numbers = ", ".join(f"CAST({name} AS DOUBLE)" for name in used)
    rows = con.execute(
        f"SELECT {case}, phase_start, scheduled, done, latency, send_lag, error IS NOT NULL, "
        f"dense_rank() OVER (ORDER BY track_id), repeat, {numbers} FROM predictions "
        "WHERE experiment_version = ? AND phase_start IS NOT NULL ORDER BY phase_start, scheduled",
        [*values, experiment],
    ).fetchnumpy()
    table = [np.ma.filled(np.ma.asarray(column).astype(float), np.nan) for column in rows.values()]
    loads, same = [], found.shared_params.keys() | LOAD
    for index, configuration in enumerate(found.configurations):
        mine = [column[table[0] == index] for column in table]
        if len(mine[0]):
            also = {name: v for name, v in configuration.params.items() if name not in same}
            loads.append(_load(configuration, label(also) if also else "", mine, used))
    return sorted(loads, key=lambda load: load.rate or np.inf)


def _load(
    configuration: RecordedConfiguration, also: str, table: list[Numbers], used: list[str]
) -> Load:
    _, phase, since, done, latency, lag, failed, run, repeat, *samples = table
    ends: list[float] = []
    due, good, seconds = since.copy(), failed == 0, 0.0
    _, number_of = np.unique(repeat, return_inverse=True)
    goes = {(each, start) for each, start in zip(repeat, phase, strict=True)}
    for start in np.unique(phase):
        mine = phase == start
        due[mine] += sum(ends)
        ends.append(float(done[mine].max()))
        seconds += float(done[mine & good].max(initial=0.0))
    late = sum(map(sent_late, lag.tolist(), latency.tolist()))
    return Load(
        configuration, also, due[good], latency[good], int((~good).sum()), lag, late,
        dict(zip(used, samples, strict=True)), seconds,
        tuple(np.cumsum(ends)[:-1].tolist()), len(np.unique(run)),
        number_of[good], len(goes) - len(np.unique(repeat)),
        trend(number_of[good], since[good], latency[good]),
    )  # fmt: skip


def saturation(loads: Sequence[Load]) -> list[str]:
    """Between which rates the server stopped to keep up, in a sentence."""
    return [_saturation(group) for group in _alike(loads)]


def _saturation(tried: Sequence[Load]) -> str:
    of = f"{tried[0].also}: " if tried[0].also else ""
    lost = next((load for load in tried if load.state == "saturated"), None)
    below = [load for load in tried if lost is None or (load.rate or 0) < (lost.rate or 0)]
    kept = [load for load in below if load.state == "sustained"]
    words = ""
    if lost is not None:
        words = f"at {lost.rate:g} requests per second {lost.achieved:.4g} were answered"
        if rises(lost.rising):
            words += f", and latencies rose by {lost.rising.estimate:.2g} s each second"
    if below and not kept:
        unclear = "Longer phases are needed to say that a rate is sustained"
        return f"{of}{unclear}; {words}." if words else f"{of}{unclear}."
    if lost is None:
        rate = f"{kept[-1].rate:g} requests per second"
        return f"{of}Saturation was not reached: {rate} were sustained."
    if not kept:
        return f"{of}Saturated at the lowest rate tried: {words}."
    return f"{of}Saturation lies between {kept[-1].rate:g} and {lost.rate:g}: {words}."


def seams(loads: Sequence[Load]) -> list[str]:
    """Which configurations were measured in more than one go."""
    return [
        f"{load.configuration.label}: resumed, {load.resumed} of its phases came in more than one "
        f"go, of {load.runs} runs; the server was idle between them."
        for load in loads
        if load.resumed
    ]


def held_up(loads: Sequence[Load]) -> list[str]:
    """Whose latencies are partly the generator's."""
    return [
        f"{load.configuration.label}: {load.late} of {load.n} requests left late, held up by the "
        "generator: part of these latencies is not the server's."
        for load in loads
        if bottleneck(load.late, load.n)
    ]


def _figures(loads: Sequence[Load]) -> Table:
    rows = []
    for load in loads:
        rate = "when a user is free" if load.rate is None else number(load.rate)
        share = f"{load.failed} ({load.failed / load.n:.2%})" if load.failed else "0"
        rows.append([load.configuration.label, f"{load.n:,}", share, rate, number(load.achieved)])
    heads = ["requests", "failed", "asked (per second)", "answered (per second)"]
    return Table(["configuration", *heads], rows)


def _percentiles(loads: Sequence[Load]) -> Table:
    rows = []
    for load in loads:
        found = percentiles(load.latency, list(PERCENTILES.values()), load.phase)
        rows.append([load.name, *(_percentile(each, load) for each in found.values())])
    return Table(["load", *(f"{name} (ms)" for name in PERCENTILES)], rows)


def _percentile(found: Interval, load: Load) -> str:
    if found.estimate is None or found.low is None or found.high is None:
        return found.note.replace("clusters", "phases")
    if rises(load.rising):
        return f"{_ms(found.estimate)} [no interval: latencies rise]"
    return f"{_ms(found.estimate)} [{_ms(found.low)}, {_ms(found.high)}]"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:,.0f}" if seconds >= 1 else f"{1000 * seconds:.3g}"


def _used(loads: Sequence[Load]) -> Table:
    def top(values: Numbers) -> str:
        known = values[np.isfinite(values)]
        return number(float(known.max()), 3) if len(known) else number(None)

    rows = []
    for load in loads:
        found = percentiles(1000 * load.lag, [0.99])[0.99]
        rows.append(
            [
                load.name,
                number(found.estimate, 3) if found.estimate is not None else found.note,
                *(top(values) for values in load.used.values()),
            ]
        )
    heads = [f"{who} {what}" for who in ("server", "generator") for what in ("CPU (%)", "MiB")]
    heads = [f"{head}, most" for head in [*heads, "machine CPU (%)"]]
    return Table(["load", "left late by, p99 (ms)", *heads], rows)


def _over_time(loads: Sequence[Load]) -> str:
    def draw(axes: Axes) -> None:
        for colour, load in zip(SERIES, loads, strict=False):
            edges = np.linspace(0, load.due.max() + 1e-9, min(POINTS, len(load.due)) + 1)
            bucket = np.digitize(load.due, edges)
            # Between two phases nothing was due: no line joins them, and a lone point is a dot.
            line = partial(axes.plot, color=colour, linewidth=1, marker=".", markersize=2)
            for style, pick in (("-", np.max), ("dotted", np.median)):
                values = np.full(len(edges) - 1, np.nan)
                for each in np.unique(bucket):
                    values[each - 1] = pick(load.latency[bucket == each])
                label = load.name if style == "-" else None
                line(edges[:-1], values, linestyle=style, label=label)
            for seam in load.seams:
                axes.axvline(seam, color=MUTED, linestyle="--", linewidth=1)
        axes.set_xlabel("due, seconds from the start")
        axes.set_ylabel("latency (s)")
        _finish(axes, "y")

    return _chart(draw, "Latency over time", loads)


def _by_rate(loads: Sequence[Load]) -> str:
    def draw(axes: Axes) -> None:
        for colour, (name, q) in zip(SERIES, PERCENTILES.items(), strict=False):
            known = [(load.rate, percentiles(load.latency, [q])[q].estimate) for load in loads]
            points = [(rate, value) for rate, value in known if value is not None]
            if points:
                axes.plot(*zip(*points, strict=True), "o-", color=colour, linewidth=1, label=name)
        axes.set_xlabel(", ".join(filter(None, ["requests per second", loads[0].also])))
        axes.set_ylabel("latency (s)")
        _finish(axes, "y")

    also = loads[0].also
    return _chart(draw, f"Latency by rate, {also}" if also else "Latency by rate", loads)


def _spread(loads: Sequence[Load]) -> str:
    def draw(axes: Axes) -> None:
        for colour, load in zip(SERIES, loads, strict=False):
            slower = np.geomspace(1.0, 1 / len(load.latency), POINTS)
            values = np.quantile(load.latency, 1 - slower)
            axes.plot(values, slower, color=colour, linewidth=1, label=load.name)
        axes.set_xlabel("latency (s)")
        axes.set_ylabel("share that took longer")
        _finish(axes, "xy")

    return _chart(draw, "Share of requests that took longer, by latency", loads)


def _finish(axes: Axes, logarithmic: str) -> None:
    """Logarithmic axes with plain numbers at their powers of ten, and the legend beside them."""
    for letter in logarithmic:
        axes.set(**{f"{letter}scale": "log"})
        axis = axes.xaxis if letter == "x" else axes.yaxis
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))


def _chart(draw: Callable[[Axes], None], title: str, loads: Sequence[Load]) -> str:
    medians = "; ".join(
        f"{load.name}: median {np.median(load.latency):.3g} s, slowest {load.latency.max():.3g} s"
        for load in loads
    )
    return chart(draw, f"{title}. {medians}")
