"""Sections as a whole HTML page: one file that opens without network, in light and dark."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.console import ABSENT, LONGEST, shown
from harness.tell.section import Section, Table

_FIGURE = re.compile(r"[-+]?[0-9,.]+(e[-+]?[0-9]+)?|" + ABSENT)


def render(title: str, sections: Iterable[Section], about: str = "") -> str:
    """The sections as a whole HTML page; `about` is the line above its title."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_fit_to_show,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("report.html")
    return template.render(title=title, about=about, sections=list(sections), figures=_figures)


def _figures(table: Table) -> list[bool]:
    """Of each column, whether it holds nothing but numbers."""
    columns = zip(*table.rows, strict=False)
    return [
        all(map(_FIGURE.fullmatch, map(str, each))) and any(cell != ABSENT for cell in each)
        for each in columns
    ]


def _fit_to_show(value: Any) -> Any:
    return value if isinstance(value, Markup) else shown(value, LONGEST)
