"""Charts as SVG that follows the page: its colours, its font, light or dark, without a script.

matplotlib draws with the placeholder colours below, which become CSS variables afterwards.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from io import StringIO
from math import hypot
from textwrap import wrap
from typing import Any
from xml.sax.saxutils import quoteattr

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from harness.console import shown

LABEL, LINES = 30, 4  # characters beside a chart in a line, and lines
WIDE = 50  # times the smallest: from here on values are drawn on a logarithmic axis
INK, MUTED, PAPER = "#010203", "#040506", "#070809"
SERIES = ("#0a0b01", "#0a0b02", "#0a0b03", "#0a0b04", "#0a0b05", "#0a0b06")
_VARIABLES = {INK: "--ink", MUTED: "--muted", PAPER: "--paper"} | {
    colour: f"--series-{index}" for index, colour in enumerate(SERIES, start=1)
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "text.parse_math": False, "font.size": 10, "text.color": INK,
    "axes.edgecolor": MUTED, "axes.labelcolor": INK, "axes.facecolor": "none",
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": MUTED, "grid.alpha": 0.25, "xtick.color": MUTED, "ytick.color": MUTED,
    "xtick.labelcolor": INK, "ytick.labelcolor": INK, "legend.frameon": False,
    "axes.titlelocation": "left", "axes.titlesize": 10, "axes.titlecolor": INK,
}  # fmt: skip


def chart(draw: Callable[[Axes], None], description: str, height: float = 2.8) -> str:
    """SVG of what `draw` puts on the axes; `description` is what a screen reader says.

    Colours for `draw`: SERIES in order, INK and MUTED. height: inches, at a width of 5. Draw at
    most some thousand points: each is markup in the page.
    """
    with rc_context({**_STYLE, "svg.hashsalt": shown(description, 400)}):
        figure = Figure(figsize=(5, height), layout="constrained")
        figure.patch.set_visible(False)
        axes = figure.subplots()
        draw(axes)
        written = StringIO()
        nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(written, format="svg", metadata=nothing)
    svg = written.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # The page has a style of its own; the `*` in this one would reach all of it.
    svg = re.sub(r"<defs>\s*<style.*?</defs>", "", svg, flags=re.DOTALL)
    # Within tags only: a label may read like any of what is taken out.
    svg = re.sub(r"<[^>]+>", _own_tag, svg)
    attributes = f'<svg class="chart" role="img" aria-label={quoteattr(shown(description, 400))}'
    svg = re.sub(r'^<svg|(?<= )(width|height)="[0-9.]+pt" ', _first(attributes), svg, count=3)
    return re.sub(r"\n\s*", "\n", svg)


def _own_tag(found: re.Match[str]) -> str:
    """A tag without names, fonts and colours of its own."""
    # Group names repeat from chart to chart, and an id may stand only once in a page. Markers and
    # clip paths are named by a hash, salted with the description.
    tag = re.sub(r' id="(?![mp][0-9a-f]{10}")[^"]*"', "", found[0])
    tag = re.sub(r'font-family: [^;"]*;?', "", tag)
    for colour, variable in _VARIABLES.items():
        tag = tag.replace(colour, f"var({variable})")
    return tag


def _first(attributes: str) -> Callable[[re.Match[str]], str]:
    return lambda found: attributes if found[0] == "<svg" else ""


def _folded(label: str) -> str:
    """A label on as many lines as it needs; only one that nobody would read is cut."""
    lines = wrap(shown(label[: LABEL * LINES * 2]), LABEL) or [""]
    return "\n".join(lines if len(lines) <= LINES else [*lines[:LINES], "…"])


def _scale(axes: Axes, letter: str, values: Sequence[float | None]) -> None:
    """A logarithmic axis with plain numbers, where the largest value is many times the smallest."""
    known = [each for each in values if each is not None]
    if not known or min(known) <= 0 or max(known) <= WIDE * min(known):
        return
    axes.set(**{f"{letter}scale": "log"})
    axis = axes.xaxis if letter == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def forest(
    labels: Sequence[str],
    intervals: Sequence[tuple[float, float | None, float | None]],
    metric: str,
    unit: str = "",
) -> str:
    """One line per configuration: estimate and interval, first on top; `unit` is theirs."""
    folded = [_folded(label) for label in labels]
    heights = [1 + 0.6 * label.count("\n") for label in folded]
    places = [sum(heights[:row]) + heights[row] / 2 for row in range(len(labels))]
    measured = f"{shown(metric, 40)} ({unit})" if unit else shown(metric, 40)

    def draw(axes: Axes) -> None:
        for row, (estimate, low, high) in zip(places, intervals, strict=True):
            if low is not None and high is not None:
                axes.plot([low, high], [row, row], color=SERIES[0], linewidth=2)
            axes.plot([estimate], [row], "o", color=SERIES[0])
        axes.set_yticks(places, folded)
        axes.set_ylim(sum(heights), 0)
        _scale(axes, "x", [each for bounds in intervals for each in bounds])
        axes.set_xlabel(measured)
        axes.set_title(f"{shown(metric, 40)} and its 95% interval")

    words = "; ".join(
        f"{label}: {estimate:.4g}" for label, (estimate, *_) in zip(labels, intervals, strict=True)
    )
    return chart(draw, f"{metric} with 95% intervals. {words}", 1.1 + 0.24 * sum(heights))


def pareto_front(points: Sequence[tuple[float, float]], lower_is_better: bool = False) -> list[int]:
    """Indices of the points (price, quality) that no other beats in both, cheapest first."""
    sign = -1.0 if lower_is_better else 1.0
    front: list[int] = []
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], -sign * points[i][1])):
        if not front or sign * points[index][1] > sign * points[front[-1]][1]:
            front.append(index)
    return front


def tradeoff(
    points: Sequence[tuple[float, float]],
    names: Sequence[str],
    price: str,
    quality: str,
    lower_is_better: bool = False,
) -> str:
    """Quality against price: the Pareto front filled and joined, the other points left open."""
    front = pareto_front(points, lower_is_better)

    def draw(axes: Axes) -> None:
        axes.plot(
            [points[i][0] for i in front],
            [points[i][1] for i in front],
            color=SERIES[0],
            linewidth=1,
            linestyle="--",
        )
        for index, (x, y) in enumerate(points):
            on_front = index in front
            axes.plot([x], [y], "o", color=SERIES[0], markerfacecolor=None if on_front else "none")
        axes.margins(0.12)
        _scale(axes, "x", [x for x, _ in points])
        _scale(axes, "y", [y for _, y in points])
        for name, point, (across, up) in zip(names, points, _corners(axes, points), strict=True):
            axes.annotate(
                _folded(name),
                point,
                textcoords="offset points",
                xytext=(across, up),
                ha="left" if across > 0 else "right",
                va="center",
                fontsize=9,
            )
        axes.set_title(f"{shown(quality, 40)} against {shown(price, 40)}")
        axes.set_xlabel(shown(price, 40))
        axes.set_ylabel(shown(quality, 40))

    best = ", ".join(names[i] for i in front)
    return chart(draw, f"{quality} against {price}. Pareto front: {best}", 3)


def _corners(axes: Axes, points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Where each label goes, in points beside its own: the corner farthest from what is drawn."""
    axes.autoscale_view()  # else the limits are known only when it is drawn
    spots = [(float(x), float(y)) for x, y in axes.transData.transform(list(points))]
    taken, chosen = list(spots), []
    scale = axes.figure.dpi / 72

    def room(spot: tuple[float, float], corner: tuple[float, float]) -> float:
        x, y = spot[0] + 1.4 * corner[0] * scale, spot[1] + corner[1] * scale
        return min(hypot(x - other[0], y - other[1]) for other in taken)

    for spot in spots:
        best = max(((6.0, 8.0), (-6.0, 8.0), (6.0, -8.0), (-6.0, -8.0)), key=partial(room, spot))
        chosen.append(best)
        taken.append((spot[0] + 1.4 * best[0] * scale, spot[1] + best[1] * scale))
    return chosen
