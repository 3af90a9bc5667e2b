"""The table of results that a person sees at the end of a run."""

from collections.abc import Iterator
from typing import Any

from rich.cells import cell_len
from rich.table import Table

from harness.analysis.results import canned_words
from harness.console import brief
from harness.plan_file import metrics_in
from harness.summarise import COUNTS


def results_tables(title: str, rows: list[dict[str, Any]], width: int) -> Iterator[Table]:
    """The metrics rows for people: what varies, the counts, each metric with its interval.

    As many tables as a terminal of `width` letters needs, so that no number is cut short.
    """
    params = [name for name in rows[0] if name.startswith("params_") and name != "params_key"]
    varying = [name for name in params if len({row[name] for row in rows}) > 1] or params[:1]
    names = {name.removeprefix("params_"): [brief(row[name]) for row in rows] for name in varying}
    figures = {name: [str(row[name]) for row in rows] for name in COUNTS}
    figures |= {name: [_shown(row, name) for row in rows] for name in metrics_in(rows[0])}
    figures["latency p50 (s)"] = [_shown(row, "latency_p50", ".3g") for row in rows]
    if any(row["cost"] is not None for row in rows):
        figures["cost (USD)"] = [_money(row["cost"]) for row in rows]
    pages = list(_pages(figures, width - 1 - sum(map(_width, names.items()))))
    for page in pages:
        table = Table(title=title, title_justify="left", caption_justify="left")
        for name in names:
            table.add_column(name, overflow="fold")
        for name in page:
            table.add_column(name, justify="right", no_wrap=True)
        for cells in zip(*names.values(), *page.values(), strict=True):
            table.add_row(*cells)
        if page is pages[-1]:
            table.caption, table.caption_style = canned_words(rows) or None, "bold yellow"
        yield table


def _pages(figures: dict[str, list[str]], room: int) -> Iterator[dict[str, list[str]]]:
    """The columns parted so that each part is at most `room` letters wide, where that can be."""
    page: dict[str, list[str]] = {}
    for figure in figures.items():
        if page and sum(map(_width, (*page.items(), figure))) > room:
            yield page
            page = {}
        page |= [figure]
    yield page


def _width(column: tuple[str, list[str]]) -> int:
    """Letters that a column takes, with a border and a blank at each side."""
    return 3 + max(cell_len(text) for text in (column[0], *column[1]))


def _shown(row: dict[str, Any], name: str, how: str = ".3f") -> str:
    if row[name] is None:
        return "-"
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    bounds = "no interval" if low is None or high is None else f"{low:{how}}, {high:{how}}"
    return f"{row[name]:{how}} [{bounds}]"


def _money(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
