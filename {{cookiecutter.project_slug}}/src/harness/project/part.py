"""A part of the grid, for a dev-run or a preview: some configurations of many."""

import dataclasses
import random
from collections.abc import Sequence

from harness.console import brief
from harness.errors import HarnessError
from harness.project.contract import Project
from harness.project.params import params_columns
from harness.project.values import Params, Row

_SHOWN = 8


def part_of(project: Project, where: Sequence[str] = (), configs: int | None = None) -> Project:
    """The project with the configurations that have all values of `where`, at most `configs`.

    `where` are `NAME=VALUE` of params, as the table shows them. More than `configs` are sampled,
    the same ones each time. Raises HarnessError where a name is none, or nothing is left.
    """
    left = list(project.grid)
    for condition in _conditions(where):
        left = _matching(left, *condition)
    if configs is not None and len(left) > configs:
        chosen = sorted(random.Random(0).sample(range(len(left)), configs))
        left = [left[index] for index in chosen]
    return dataclasses.replace(project, grid=tuple(left))


def _conditions(where: Sequence[str]) -> list[tuple[str, str]]:
    found = []
    for text in where:
        parts = text.split(",")
        if not all("=" in part for part in parts):
            parts = [text]  # a comma within a value
        for part in parts:
            name, equals, value = part.partition("=")
            if not equals:
                raise HarnessError(f"WHERE={part} gives no value", fix=f'WHERE="{part}=VALUE"')
            found.append((name.strip().removeprefix("params_"), value.strip()))
    return found


def _matching(grid: list[Params], name: str, wanted: str) -> list[Params]:
    rows = [_named(params) for params in grid]
    if not any(name in row for row in rows):
        names = ", ".join(dict.fromkeys(each for row in rows for each in row))
        raise HarnessError(f"params have no {name}, only {names}", fix="correct WHERE")
    left = [
        params
        for params, row in zip(grid, rows, strict=True)
        if name in row and _is_meant(row[name], wanted)
    ]
    if not left:
        values = list(dict.fromkeys(brief(row[name]) for row in rows if name in row))
        more = ", …" if len(values) > _SHOWN else ""
        raise HarnessError(
            f"no configuration has {name}={wanted}; there are {', '.join(values[:_SHOWN])}{more}",
            fix="correct WHERE",
        )
    return left


def _named(params: Params) -> Row:
    columns = params_columns(params)
    return {name.removeprefix("params_"): value for name, value in columns.items()}


def _is_meant(value: object, wanted: str) -> bool:
    if str(value) == wanted:
        return True
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return float(wanted) == value  # 0.10 is 0.1
    except ValueError:
        return False
