"""Tables of text, one way: on the console by rich, and as GitHub-flavoured Markdown.

Whatever a cell holds is text: on the console `harness.console` sees to that, in Markdown `inline`.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rich.box import HEAVY_HEAD, SIMPLE_HEAD
from rich.table import Table as Grid

from harness.console import LONGEST, shown, styled


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of plain text under their headings."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def to_grid(
    table: Table,
    *,
    title: str = "",
    caption: str = "",
    figures: Collection[int] = (),
    framed: bool = True,
) -> Grid:
    """The table for a console; a cell that is too wide goes on in the next line.

    `figures`: places of the columns of numbers, on the right and never broken. `caption` is a
    warning below the table.
    """
    grid = Grid(
        title=styled(title) if title else None,
        title_justify="left",
        caption=styled(caption) if caption else None,
        caption_justify="left",
        caption_style="bold yellow",
        box=HEAVY_HEAD if framed else SIMPLE_HEAD,
        pad_edge=framed,
    )
    for place, name in enumerate(table.columns):
        if place in figures:
            grid.add_column(styled(name), justify="right", no_wrap=True)
        else:
            grid.add_column(styled(name), overflow="fold")
    for row in table.rows:
        grid.add_row(*map(styled, row))
    return grid


def to_markdown_table(table: Table, figures: Collection[int] = ()) -> str:
    """The table as Markdown; cells in the columns of `figures` are numbers of our own."""
    lines = [list(map(inline, table.columns)), ["---"] * len(table.columns)]
    for row in table.rows:
        cells = enumerate(row)
        lines.append([cell if place in figures else inline(cell) for place, cell in cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# What a forge makes of plain words: a mention that calls somebody, a reference that another
# issue shows, a link. It looks at what is shown, so that a backslash does not help.
_CALLS = re.compile(r"(?<!\w)@(?=\w)|\\#(?=\w)|\bGH(?=-\d)|:(?=//)|\bwww(?=\.)")


def inline(text: str) -> str:
    """Text on one line that Markdown shows as it is: no markup, HTML, link, mention or border."""
    text = shown(" ".join(text.split()), LONGEST)
    for character in "\\`*_[]<>|#&~":
        text = text.replace(character, "\\" + character)
    return _CALLS.sub(lambda found: f"{found[0]}&#8203;", text)  # a space of no width
