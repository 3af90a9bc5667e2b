"""All experiments over time as one HTML page: `make history`.

A family is a set of params that several experiments ran: its main metric is a line in a chart, with
the interval of each point. Families of one experiment alone are points. Data of another version
break a line, since a difference may then come from the data alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes

from harness.clock import local
from harness.console import ABSENT, brief, shown
from harness.findings import many
from harness.project.declarations import Rule
from harness.read.catalogue import Known, Row, params_of
from harness.read.results import label
from harness.tell.charts import MUTED, SERIES, chart
from harness.tell.listing import figure, found_words, main_words, said
from harness.tell.page import render
from harness.tell.section import Section, Table

LINES = len(SERIES)  # families in one chart
CHARTS = 8  # metrics drawn
_TICKS = 8  # tags named below a chart
DENSE = 30  # experiments, from here on intervals are drawn as bands


@dataclass(frozen=True, slots=True)
class Point:
    """A family's figure in one experiment: its place in time and its row of metrics."""

    place: int
    known: Known
    row: Row


def write_history(
    listed: Sequence[Known], path: Path, name: str, notes: Sequence[str] = ()
) -> None:
    """Write the page; experiments stand in the order of their versions, whatever clocks said.

    `notes` are what is to be said of those clocks.
    """
    ordered = list(listed)
    sections = [
        _glance(ordered, notes),
        *_metrics(ordered),
        _families(ordered),
        _all(ordered, path),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    page = render("Experiments so far", sections, name)
    written = path.with_name(f".{path.name}.part")
    written.write_text(page, encoding="utf-8")
    written.replace(path)


def _glance(ordered: Sequence[Known], notes: Sequence[str]) -> Section:
    people = {each.tagged.who for each in ordered if each.tagged}
    data = {each.data for each in ordered if each.data}
    first, last = ordered[0], ordered[-1]
    days = f", of {_day(first)} ({first.tag})"
    if len(ordered) > 1:
        days = f" from {_day(first)} ({first.tag}) to {_day(last)} ({last.tag})"
    who = "1 person" if len(people) == 1 else f"{len(people)} people"
    text = f"{many(len(ordered), 'experiment')}{days}, by {who}, on "
    text += f"{many(len(data), 'version')} of the data."
    note = "Intervals are 95%. Points side by side are no comparison: make compare A=… B=… pairs "
    note += "items, and says whether there is a difference."
    return Section("At a glance", [text, note, *(f"{each}." for each in notes)])


def _day(known: Known) -> str:
    return local(known.when)[:10] if known.when else "an unknown day"


def families(ordered: Sequence[Known], rule: Rule) -> dict[str, list[Point]]:
    """The points of a metric by configuration family, those with most points first."""
    found: dict[str, list[Point]] = {}
    for place, known in enumerate(ordered):
        for row in known.rows:
            if row.get(rule.name) is not None:
                found.setdefault(label(params_of(row)), []).append(Point(place, known, row))
    return dict(sorted(found.items(), key=lambda each: -len(each[1])))


def _main_rules(ordered: Sequence[Known]) -> dict[str, Rule]:
    """The main metrics of the experiments, that of most of them first."""
    found = [each.main for each in ordered if each.main]
    counts = {rule.name: sum(other.name == rule.name for other in found) for rule in found}
    newest = {rule.name: rule for rule in found}
    return {name: newest[name] for name in sorted(counts, key=lambda name: -counts[name])}


def _metrics(ordered: Sequence[Known]) -> list[Section]:
    sections = []
    for rule in list(_main_rules(ordered).values())[:CHARTS]:
        found = families(ordered, rule)
        drawn = dict(list(found.items())[:LINES])
        way = f", {rule.better} is better" if rule.ranks else ""
        text = [f"{rule.called} over time{way}: a line for each configuration family."]
        if len(found) > len(drawn):
            text.append(f"Drawn are the {len(drawn)} with most experiments, of {len(found)}.")
        shared = _shared(drawn)
        short = {name: _short(points, shared) for name, points in drawn.items()}
        picture = _chart(ordered, rule, drawn, short)
        legend = [[f"{n}", short[name], f"{len(drawn[name])}"] for n, name in enumerate(drawn, 1)]
        table = Table(("line", "family", "experiments"), legend)
        if shared:
            text.append(f"The same in all: {label(shared)}.")
        sections.append(Section(f"{rule.called} over time", text, [table], [picture]))
    return sections


def _shared(drawn: dict[str, list[Point]]) -> Row:
    every = [params_of(points[0].row) for points in drawn.values()]
    if len(every) < 2:
        return {}
    return {
        key: value
        for key, value in every[0].items()
        if all(key in other and other[key] == value for other in every)
    }


def _short(points: Sequence[Point], shared: Row) -> str:
    params = params_of(points[0].row)
    return label({key: value for key, value in params.items() if key not in shared} or params)


def _chart(
    ordered: Sequence[Known], rule: Rule, drawn: dict[str, list[Point]], short: dict[str, str]
) -> str:
    def draw(axes: Axes) -> None:
        for index, points in enumerate(drawn.values()):
            # Side by side, or intervals of one experiment would hide each other.
            shift = 0.5 * (index - (len(drawn) - 1) / 2) / max(1, len(drawn))
            shift = 0.0 if len(ordered) > DENSE else shift
            _line(axes, rule, points, SERIES[index], shift, str(index + 1), len(ordered) > DENSE)
        for place in _new_data(ordered):
            axes.axvline(place - 0.5, color=MUTED, linewidth=1, linestyle=":")
        step = max(1, -(-len(ordered) // _TICKS))
        places = range(0, len(ordered), step)
        axes.set_xticks(list(places), [ordered[place].tag for place in places])
        axes.set_xlim(-0.6, len(ordered) - 0.4)
        axes.set_title(f"{shown(rule.called, 40)}, each with its 95% interval")
        axes.set_xlabel("experiments in the order of their versions; dotted: other data")

    words = "; ".join(
        f"{short[name]}: {points[-1].row[rule.name]:.4g} in {points[-1].known.tag}"
        for name, points in drawn.items()
    )
    return chart(draw, f"{rule.called} over {len(ordered)} experiments. Newest: {words}", 3.2)


def _line(
    axes: Axes,
    rule: Rule,
    points: Sequence[Point],
    colour: str,
    shift: float,
    name: str,
    dense: bool,
) -> None:
    xs = [point.place + shift for point in points]
    ys = [float(point.row[rule.name]) for point in points]
    for start, end in _same_data(points):
        axes.plot(xs[start:end], ys[start:end], color=colour, linewidth=1)
    lows, highs = (
        np.array([point.row.get(f"{rule.name}_{end}") for point in points], dtype=float)
        for end in ("low", "high")
    )
    if dense:
        # Strokes would stand so close that they hide the lines and each other.
        for start, end in _same_data(points):
            part = slice(start, end)
            axes.fill_between(xs[part], lows[part], highs[part], color=colour, alpha=0.18, lw=0)
    else:
        axes.vlines(xs, lows, highs, colors=colour, linewidth=1.2)
    axes.plot(xs, ys, "o", color=colour, markersize=1.5 if dense else 3.5)
    axes.annotate(name, (xs[-1], ys[-1]), textcoords="offset points", xytext=(5, 3), fontsize=9)


def _same_data(points: Sequence[Point]) -> Iterable[tuple[int, int]]:
    """The stretches of points whose data are the same."""
    start = 0
    for index in range(1, len(points) + 1):
        if index == len(points) or points[index].known.data != points[start].known.data:
            yield start, index
            start = index


def _new_data(ordered: Sequence[Known]) -> list[int]:
    return [
        place
        for place in range(1, len(ordered))
        if ordered[place].data and ordered[place].data != ordered[place - 1].data
    ]


def _families(ordered: Sequence[Known]) -> Section:
    """Each family's newest figure of its main metric, and where it stood first."""
    rows = []
    for rule in list(_main_rules(ordered).values())[:CHARTS]:
        for points in list(families(ordered, rule).values())[:40]:
            first, last = points[0], points[-1]
            rows.append(
                [
                    label({key: brief(value) for key, value in params_of(last.row).items()}),
                    rule.called, f"{len(points)}",
                    f"{figure(first.row, rule)} in {first.known.tag}",
                    f"{figure(last.row, rule)} in {last.known.tag}",
                ]
            )  # fmt: skip
    heads = ("family", "metric", "experiments", "first", "newest")
    return Section("Configuration families", (), [Table(heads, rows)] if rows else [])


def _all(ordered: Sequence[Known], path: Path) -> Section:
    """Each experiment with its plan's verdicts, linked to its report."""
    rows: list[list[str]] = []
    for each in reversed(ordered):
        verdicts = (each.tagged.hypotheses if each.tagged else "") or ABSENT
        target = _target(each.tag, path)
        rows.append(
            [
                _link(each.tag, target), _when(each), each.tagged.who if each.tagged else ABSENT,
                main_words(each), found_words(each), _link(verdicts, target),
                each.data or ABSENT, said(each),
            ]
        )  # fmt: skip
    heads = ("experiment", "when", "who", "main metric", "found", "hypotheses", "data", "message")
    text = "The newest first. A tag and its verdicts lead to its report where that has been made "
    text += "(make report TAG=…), else to the summary that was committed with it."
    return Section("Experiments", [text], [Table(heads, rows)])


def _when(known: Known) -> str:
    return local(known.when) if known.when else ABSENT


def _target(tag: str, path: Path) -> str:
    """Where the report of a tag is, seen from the page; '' where there is none at all."""
    if (path.parent / f"{tag}.html").exists():
        return f"{tag}.html"
    return f"../{tag}.md" if (path.parent.parent / f"{tag}.md").exists() else ""


def _link(text: str, target: str) -> str:
    return Markup('<a href="{}">{}</a>').format(target, shown(text)) if target else text
