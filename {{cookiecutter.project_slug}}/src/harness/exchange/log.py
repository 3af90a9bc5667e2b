"""What the log of another tool comes to: samples of one or several configurations, with scores."""

import json
import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.project.scores import Score
from harness.project.values import Row, Value

Json = dict[str, Any]
_UNSAID = re.compile(r"\W+")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer. `row` are columns of `predictions`; `error` is why there is none."""

    params: tuple[tuple[str, Value], ...]
    input_id: str
    repeat: int
    row: Row
    scores: dict[str, float | bool | None]
    error: str = ""


@dataclass(slots=True)
class Log:
    """A run of another tool. `scores` says of each score what the log itself says of it."""

    tool: str
    version: str
    task: str
    samples: list[Sample] = field(default_factory=list)
    scores: dict[str, Score] = field(default_factory=dict)

    def add(self, other: "Log") -> None:
        """Take another log of the same tool in: its samples are another configuration's."""
        self.samples += other.samples
        for name, score in other.scores.items():
            self.scores[name] = widest(self.scores.get(name, score), score)


def widest(one: Score, other: Score) -> Score:
    """What holds the values of both, whichever comes first."""
    if one == other:
        return one
    shares = all((each.low, each.high) == (0, 1) for each in (one, other))
    if shares and one.better == other.better:
        return Score("mean", better=one.better, low=0, high=1)
    return Score("mean", better=one.better if one.better == other.better else None)


def unreadable(path: Path, why: str, fix: str = "") -> HarnessError:
    """The error for a log that is cut, or none of the known ones."""
    return HarnessError(
        f"{path} cannot be imported: {why}",
        fix=fix or "give the file as the tool wrote it, whole",
        code=1,
    )


def loaded(path: Path, text: bytes) -> Any:
    """JSON, whole. Raises HarnessError where it is cut."""
    try:
        return _parsed(text)
    except ValueError as error:
        raise unreadable(path, f"it is no whole JSON ({error})") from None


def json_lines(path: Path) -> Iterator[Json]:
    """The objects of a file of lines. Raises HarnessError where one is cut, with its number."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                found = _parsed(line)
            except ValueError:
                raise unreadable(path, f"line {number} is no whole JSON") from None
            if not isinstance(found, dict):
                raise unreadable(path, f"line {number} is no JSON object")
            yield found


def _parsed(text: bytes) -> Any:
    """JSON, in which half a character (a lone surrogate, which nothing can store) becomes a ?."""
    found = json.loads(text)
    if not _SURROGATE.search(text):
        return found
    return json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))


def named(*parts: object) -> str:
    """A name of a column made of what a log calls something."""
    name = _UNSAID.sub("_", "_".join(str(part) for part in parts if part)).strip("_").lower()
    return name if name[:1].isalpha() and not keyword.iskeyword(name) else f"x_{name}"


def text_of(value: object) -> str | None:
    """A value as text: as it is, or as JSON."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def number_of(value: object) -> float | None:
    """A number, None for anything else."""
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if known else None  # type: ignore[arg-type]
