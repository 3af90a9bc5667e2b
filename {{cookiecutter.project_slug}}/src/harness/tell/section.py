"""The parts of a summary or report, and how they become Markdown.

A project or a kind adds parts of its own: a function

    def sections(con: DuckDBPyConnection, experiment: str) -> list[Section]

in `src/benchmark/report.py`, or wherever `sections` of the kind names it (project.kind). `con` has
the views `predictions`, `metrics` and `runs`, read-only; `experiment` is the tag, or `dev`. Text is
shown as text, whatever it holds. A chart is what `charts.chart` returned, no other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import floor, isfinite, log10
from statistics import median
from typing import TYPE_CHECKING

from harness.console import ABSENT, RAW, out, shown, styled
from harness.tell.tables import Table, inline, to_grid, to_markdown_table

if TYPE_CHECKING:
    from harness.tell.flipped import Flips

__all__ = [
    "LARGE",
    "Section",
    "Table",
    "bounded",
    "inline",
    "interval",
    "number",
    "time_unit",
    "to_console",
    "to_markdown",
    "with_own_n",
]

LARGE = 1e15  # from here on a number is written with its power of ten


@dataclass(frozen=True, slots=True)
class Section:
    """One part: paragraphs, then charts (SVG) and flipped items (both in the HTML report only),
    then tables.
    """

    title: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    charts: Sequence[str] = ()
    warning: bool = False
    flips: "Sequence[Flips]" = ()


def number(value: object, digits: int = 4) -> str:
    """A number to `digits` significant digits; a dash where there is none."""
    if value is None or isinstance(value, str) or value != value:
        return ABSENT
    written = f"{value:.{digits}g}"
    return f"{value:,.0f}" if "e+" in written and abs(float(written)) < LARGE else written


def interval(
    estimate: float | None, low: float | None, high: float | None, *, signed: bool = False
) -> str:
    """`0.900 [0.842, 0.938]`: all three to the same decimals; `signed`: with + where above 0."""
    if estimate is None or estimate != estimate:
        return ABSENT
    if low is None or high is None:
        return f"{number(estimate)} [no interval]"
    form = f"{'+' if signed else ''},.{_decimals(estimate, low, high)}f"
    if any(isfinite(each) and abs(each) >= LARGE for each in (estimate, low, high)):
        form = f"{'+' if signed else ''}.4g"
    return bounded(estimate, low, high, form)


def bounded(estimate: float, low: float | None, high: float | None, form: str) -> str:
    """`0.900 [0.842, 0.938]`, all three in one form of numbers, such as `.3f`."""
    bounds = "no interval" if low is None or high is None else f"{low:{form}}, {high:{form}}"
    return f"{estimate:{form}} [{bounds}]"


def with_own_n(text: str, own: int | None, rows: int | None) -> str:
    """A figure with its own n, where that is not the n of the rows beside it."""
    return text if own is None or own == rows else f"{text}, n {own:,}"


def counted(n: int, unit: str) -> str:
    """How many there are, in a column of items: named where they are something else."""
    return f"{n:,}" if unit == "items" else f"{n:,} {unit}"


def _decimals(*values: float) -> int:
    """Three, fewer from 10 on, and as many more as two digits of what lies between them need."""
    known = [value for value in values if isfinite(value)] or [0.0]
    largest, between = max(map(abs, known)), max(known) - min(known)
    whole = floor(log10(largest)) if largest >= 1 else 0
    fine = between or largest
    return max(0, 3 - whole, 1 - floor(log10(fine)) if fine else 0)


def time_unit(seconds: Iterable[float | None]) -> tuple[str, float]:
    """The unit that suits the median of some times, and how many of it are in a second."""
    known = [each for each in seconds if each is not None and each == each]
    middle = median(known) if known else 1.0
    units = (("s", 1.0), ("ms", 1e3), ("µs", 1e6))
    return next((unit for unit in units if middle * unit[1] >= 1), units[-1])


def to_markdown(heading: str, sections: Sequence[Section]) -> str:
    """The sections as GitHub-flavoured Markdown; charts are left to the HTML report."""
    parts = [f"# {inline(heading)}"]
    for section in sections:
        mark = "⚠ " if section.warning else ""
        parts.append(f"## {mark}{inline(section.title)}")
        parts += [inline(text) for text in section.text]
        if section.charts:
            parts.append("(Drawn in the HTML report: make report.)")
        parts += map(to_markdown_table, section.tables)
    return "\n\n".join(parts) + "\n"


def to_console(sections: Sequence[Section]) -> None:
    """Print the sections on standard output."""
    for section in sections:
        style = "bold yellow" if section.warning else "bold"
        out.print(styled((f"\n{shown(section.title)}", style)))
        for text in section.text:
            out.print(shown(text, RAW))
        for table in section.tables:
            rows = [list(map(shown, row)) for row in table.rows]
            out.print(to_grid(Table(list(map(shown, table.columns)), rows), framed=False))


def as_data(sections: Sequence[Section]) -> list[dict[str, object]]:
    """The sections as values for json.dumps; charts are left out."""
    return [
        {
            "title": section.title,
            "text": list(section.text),
            "tables": [
                {"columns": list(table.columns), "rows": [list(row) for row in table.rows]}
                for table in section.tables
            ],
        }
        for section in sections
    ]
