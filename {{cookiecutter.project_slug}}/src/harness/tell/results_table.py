"""The table of results that a person sees at the end of a run."""

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType

from rich.cells import cell_len
from rich.table import Table as Grid

from harness.console import brief
from harness.project.declarations import Rule, has_figures
from harness.project.values import Row
from harness.read.results import doubt_words
from harness.record.metrics_table import COUNTS, metrics_in
from harness.tell.section import bounded
from harness.tell.tables import Table, to_grid


def results_tables(
    title: str,
    rows: list[Row],
    width: int,
    rules: Collection[Rule] = (),
    doubts: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Grid]:
    """The metrics rows for people: what varies, the counts, each metric with its interval.

    As many tables as a terminal of `width` letters needs, so that no number is cut short. A
    metric's own n stands beside it where it is not that of the rows; `doubts` are the kind's.
    """
    every = dict.fromkeys(name for row in rows for name in row)
    params = [name for name in every if name.startswith("params_") and name != "params_key"]
    varying = [name for name in params if len({row.get(name, _NONE) for row in rows}) > 1]
    varying += [name for name in params if name == SEEDS and name not in varying]
    names = {
        name.removeprefix("params_"): [_param(row, name) for row in rows]
        for name in varying or params[:1]
    }
    figures = {name: [str(row[name]) for row in rows] for name in COUNTS}
    for rule in rules or map(Rule, metrics_in(every)):
        if not has_figures(rule, rows):
            continue
        # A label may be what another column is called: "n", or a score that declares nothing.
        heading = rule.called if rule.called not in figures else f"{rule.called} ({rule.name})"
        figures[heading] = [_metric(row, rule) for row in rows]
    figures["latency p50 (s)"] = [_latency(row) for row in rows]
    if any(row["cost"] is not None for row in rows):
        figures["cost (USD)"] = [_money(row["cost"]) for row in rows]
    pages = list(_pages(figures, width - 1 - sum(map(_width, names.items()))))
    for page in pages:
        # A param may be called what a figure is, so columns go by their place.
        heads = [*names, *page]
        cells = list(zip(*names.values(), *page.values(), strict=True))
        last = page is pages[-1]
        yield to_grid(
            Table(heads, cells),
            title=title,
            caption="\n".join(doubt_words(rows, doubts)) if last else "",
            figures=range(len(names), len(heads)),
        )


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


SEEDS = "params_seeds"  # how many seeds a row stands for
_NONE = object()  # a param that a configuration does not have, which is not a param that is None


def _param(row: Row, name: str) -> str:
    return brief(row[name]) if name in row else "-"


def _metric(row: Row, rule: Rule) -> str:
    own, n = row.get(f"{rule.name}_n"), row["n"]
    if rule.fresh and not own and row["cached"]:
        return "cached"
    text = _shown(row, rule.name)
    if (spread := row.get(f"{rule.name}_spread")) is not None:
        text += f" seeds ±{spread:.2g}"
    return text if own in (None, n) else f"{text} n {own:,}"


def _latency(row: Row) -> str:
    if not row.get("latency_n", 1) and row["cached"]:
        return "cached"
    return _shown(row, "latency_p50", ".3g")


def _shown(row: Row, name: str, how: str = ".3f") -> str:
    if row.get(name) is None:
        return "-"
    return bounded(row[name], row[f"{name}_low"], row[f"{name}_high"], how)


def _money(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
