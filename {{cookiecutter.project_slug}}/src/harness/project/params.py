"""The person's params: a frozen dataclass, the configurations of its grid, and their columns."""

import contextlib
import dataclasses
import math
import typing
from types import ModuleType

from harness.errors import HarnessError
from harness.project.loading import PACKAGE
from harness.project.values import Params, Row

PARAMS = f"src/{PACKAGE}/params.py"


def params_columns(params: Params, prefix: str = "params") -> Row:
    """A configuration as columns; nested dataclasses become `params_outer_inner`, as in xetrack."""
    columns: Row = {}
    for field in dataclasses.fields(params):
        value = getattr(params, field.name)
        name = f"{prefix}_{field.name}"
        if dataclasses.is_dataclass(value):
            columns[name] = type(value).__qualname__  # two classes may have the same fields
            columns.update(params_columns(value, name))
        else:
            columns[name] = value
    return columns


def params_types(params_type: type, prefix: str = "params") -> dict[str, type]:
    """The annotated type of each params column that has one plain type (`X | None`: X)."""
    hints = _hints(params_type)
    types: dict[str, type] = {}
    for field in dataclasses.fields(params_type):
        hint = hints.get(field.name)
        name = f"{prefix}_{field.name}"
        plain = [a for a in typing.get_args(hint) if a is not type(None)]
        if type(None) in typing.get_args(hint) and len(plain) == 1:
            hint = plain[0]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            types[name] = str
            types.update(params_types(hint, name))
        elif hint in (int, float, str, bool):
            types[name] = hint
    return types


def _hints(params_type: type) -> dict[str, object]:
    """The annotations that mean something at run time, each by itself.

    One that is imported for type checkers alone is left out; the values in GRID say its type.
    """
    found: dict[str, object] = {}
    for base in reversed(params_type.__mro__):
        for name, hint in vars(base).get("__annotations__", {}).items():
            alone = type(name, (), {"__annotations__": {name: hint}, "__module__": base.__module__})
            with contextlib.suppress(Exception):  # it is their code that is evaluated
                found |= typing.get_type_hints(alone)
    return found


def read_grid(module: ModuleType, file: str = PARAMS) -> tuple[type, tuple[Params, ...]]:
    """The dataclass Params and the configurations GRID of a module, which stands in `file`.

    Raises HarnessError where one is missing, where a configuration could change while it runs, or
    where two are the same.
    """
    params_type = getattr(module, "Params", None)
    grid = getattr(module, "GRID", None)
    if not (isinstance(params_type, type) and dataclasses.is_dataclass(params_type)):
        raise HarnessError(f"{file} defines no dataclass Params", fix=f"define it in {file}")
    if not params_type.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise HarnessError(
            "Params is not frozen, so a configuration could change while it runs",
            fix=f"write @dataclass(frozen=True) above Params in {file}",
        )
    try:
        configurations = tuple(grid or ())
    except TypeError:
        configurations = ()
    if not configurations:
        raise HarnessError(
            f"GRID in {file} is missing or empty: there is nothing to compare",
            fix=f"list at least one Params(...) in GRID in {file}",
        )
    names = [field.name for field in dataclasses.fields(params_type)]
    problems = []
    small_names: set[str] = set()
    for name in names:
        if name.lower() in small_names:
            problems.append(f"Params has fields that differ only in case: {name}")
        small_names.add(name.lower())
    seen: set[object] = set()
    for index, params in enumerate(configurations):
        if not isinstance(params, params_type):
            problems.append(f"GRID[{index}] is a {type(params).__name__}, not a Params")
            continue
        problems.extend(f"GRID[{index}].{problem}" for problem in _unfit(params))
        try:
            if params in seen:
                problems.append(f"GRID[{index}] is the same as an earlier configuration: {params}")
            seen.add(params)
        except TypeError:  # not hashable: one of the problems named above
            continue
    if problems:
        raise HarnessError(
            "\n".join(problems),
            fix=f"in {file} use plain, finite, immutable values (tuple instead of list), each once",
        )
    return params_type, configurations


def _unfit(value: object, path: str = "") -> list[str]:
    """Why a params value cannot be part of a key: it could change, or it is not equal to itself."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        if not value.__dataclass_params__.frozen:  # type: ignore[attr-defined]
            return [f"{path} holds a dataclass that is not frozen"]
        problems = []
        for field in dataclasses.fields(value):
            place = f"{path}.{field.name}" if path else field.name
            problems += _unfit(getattr(value, field.name), place)
        return problems
    if isinstance(value, tuple):
        problems = []
        for index, part in enumerate(value):
            problems += _unfit(part, f"{path}[{index}]")
        return problems
    if isinstance(value, float) and not math.isfinite(value):
        return [f"{path} is {value}"]
    if isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
        return [f"{path} holds half of a broken character (a lone surrogate)"]
    if value is None or isinstance(value, (bool, int, float, str)):
        return []
    return [f"{path} is a {type(value).__name__}, which can change or has no fixed form"]
