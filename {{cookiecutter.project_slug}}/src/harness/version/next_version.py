"""The next version of an experiment, from what changed since the one before, and why.

A patch is a rerun, a minor version other params or prompts, a major one other data or code.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["major", "minor", "patch"]
_CHANGES: tuple[tuple[str, str, Level], ...] = (
    ("data_version", "the data", "major"),
    ("code_parts", "the code", "major"),
    ("environment", "the environment that keys hold", "major"),
    ("grid", "the params", "minor"),
    ("grid_files", "the prompts", "minor"),
)


@dataclass(frozen=True, slots=True)
class Next:
    """The version to take, the level by which it is raised, and the sentence that says why."""

    version: str
    level: Level
    why: str


def first_version(prefix: str = "e") -> Next:
    """That of a repository without an experiment."""
    return Next(f"{prefix}0.0.1", "patch", "there is no experiment yet")


def next_version(
    newest: tuple[int, ...],
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    of: str,
    prefix: str = "e",
) -> Next:
    """What follows `newest`, from the columns of `runs` of the experiment `of` and as they are now.

    A column that `before` does not have says nothing; the reason then names it.
    """
    words: list[str] = []
    levels: list[Level] = []
    unknown: list[str] = []
    for column, called, level in _CHANGES:
        old, new = _plain(before.get(column)), _plain(now.get(column))
        if old is None or new is None:
            unknown.append(called)
        elif old != new:
            levels.append(level)
            words.append(f"{called} changed{_which(old, new)}")
    raised: Level = "major" if "major" in levels else "minor" if levels else "patch"
    why = "; ".join(words) + f" since {of}" if words else f"nothing changed since {of}: a rerun"
    if len(unknown) == len(_CHANGES):
        why = f"nothing is recorded that says what changed since {of}"
    elif unknown:
        why += f" (of {', '.join(unknown)} nothing is recorded)"
    return Next(prefix + ".".join(map(str, _raised(newest, raised))), raised, why)


def _raised(version: tuple[int, ...], level: Level) -> tuple[int, int, int]:
    major, minor, patch = version
    if level == "major":
        return major + 1, 0, 0
    return (major, minor + 1, 0) if level == "minor" else (major, minor, patch + 1)


def _plain(value: Any) -> Any:
    """A column of `runs`, read from its JSON where it is such."""
    if value in (None, ""):
        return None
    if isinstance(value, str) and value[:1] in "[{":
        value = json.loads(value)
    if isinstance(value, list):  # the order of a grid says nothing
        return sorted(json.dumps(each, sort_keys=True) for each in value)
    return value


def _which(old: Any, new: Any) -> str:
    """` (src/benchmark/predict.py)`: which of several parts."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return ""
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f" ({', '.join(names[:3])}{more})"
