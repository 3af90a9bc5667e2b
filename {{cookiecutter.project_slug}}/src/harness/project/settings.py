"""benchmark.toml as typed values. A wrong file is explained key by key, with its line."""

import re
import tomllib
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from harness.errors import HarnessError

FILE = "benchmark.toml"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Benchmark(_Section):
    """What the benchmark is called and where experiments may not run."""

    name: str = "benchmark"
    kind: str = "minimal"
    protected_branches: list[str] = ["main", "master"]


Layout = Literal["append-only", "table-per-experiment", "database-per-experiment"]
LAYOUTS: tuple[str, ...] = get_args(Layout)


class Store(_Section):
    """How results are written and laid out on disk."""

    engine: Literal["sqlite", "duckdb"] = "sqlite"
    layout: Layout = "append-only"
    dvc: bool = True


class Run(_Section):
    """How datapoints are computed. Times are in seconds; 0 switches a limit off."""

    executor: Literal["serial", "threads", "processes", "load"] = "serial"
    workers: int = Field(default=4, ge=1, le=1024)
    repeats: int = Field(default=1, ge=1)
    dev_items: int = Field(default=20, ge=1)
    timeout_seconds: float = Field(default=0.0, ge=0, strict=False)
    on_error: Literal["continue", "stop"] = "continue"
    max_errors: int = Field(default=100, ge=0)
    max_permanent_errors: int = Field(default=3, ge=1)
    cache: bool = True

    @field_validator("on_error", mode="before")
    @classmethod
    def _says_nothing_of_scores(cls, value: object) -> object:
        if value == "skip":
            raise ValueError(
                'it is "continue" or "stop"; what a failure counts as is said of each score: '
                'Score(…, failure="left out") in SCORES of src/benchmark/metrics.py'
            )
        return value

    @property
    def failures_are_results(self) -> bool:
        """Under load a failed request is what was measured; asked again alone, it would hide it."""
        return self.executor == "load"


class Retry(_Section):
    """When a failed attempt is tried again; the wait doubles each time, with jitter."""

    attempts: int = Field(default=3, ge=1)
    wait_seconds: float = Field(default=0.5, ge=0, strict=False)
    max_wait_seconds: float = Field(default=30.0, ge=0, strict=False)
    errors: list[str] = ["ConnectionError", "TimeoutError"]


class Key(_Section):
    """What else a result depends on: files (globs), installed packages, environment variables.

    `harmless` are files and variables that predict reads and that cannot change a result.
    """

    files: list[str] = []
    packages: list[str] = []
    variables: list[str] = []
    harmless: list[str] = []


class Limits(_Section):
    """Bounds on what an experiment may use. 0 means none."""

    requests_per_minute: float = Field(default=0.0, ge=0, strict=False)
    max_cost_usd: float = Field(default=0.0, ge=0, strict=False)


class Settings(_Section):
    """The whole of benchmark.toml; `extra` holds the sections that belong to a kind."""

    benchmark: Benchmark = Benchmark()
    store: Store = Store()
    run: Run = Run()
    retry: Retry = Retry()
    key: Key = Key()
    limits: Limits = Limits()
    extra: dict[str, dict[str, Any]] = {}

    def with_layout(self, layout: str) -> "Settings":
        """The same settings for results in another layout."""
        store = Store.model_validate({**self.store.model_dump(), "layout": layout})
        return self.model_copy(update={"store": store})


_KIND_SECTIONS = ("llm", "throughput", "minimal", "sklearn")


def load_settings(root: Path) -> Settings:
    """Read `root/benchmark.toml`.

    Raises HarnessError naming every wrong key and its line.
    """
    path = root / FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise HarnessError(
            f"there is no {FILE} in {root}", fix="run the command in the benchmark's own folder"
        ) from None
    except UnicodeDecodeError as error:
        raise HarnessError(
            f"{FILE} is not UTF-8 text: {error}", fix=f"save {FILE} as UTF-8"
        ) from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise HarnessError(
            f"{FILE} is not valid TOML: {error}", fix=f"mend that place in {FILE}"
        ) from None
    extra = {name: data.pop(name) for name in _KIND_SECTIONS if isinstance(data.get(name), dict)}
    try:
        return Settings.model_validate({**data, "extra": extra})
    except ValidationError as error:
        problems = [_explain(text, problem["loc"], problem["msg"]) for problem in error.errors()]
        raise HarnessError(
            "\n".join(problems), fix=f"edit {FILE}; each key's comment says what it takes"
        ) from None


def _explain(text: str, location: tuple[int | str, ...], message: str) -> str:
    names = [str(part) for part in location]
    message = message.removeprefix("Value error, ")
    if message == "Extra inputs are not permitted":
        message = "no such setting"
    return f"{FILE}, line {_line_of(text, names)}: {'.'.join(names)}: {message}"


def _line_of(text: str, names: list[str]) -> int:
    """The line of `[section]` or of `key =` inside it; 1 where it is written in another form."""
    section, here = "", 1
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line)
        if header:
            section = header[1].strip("\"'")
            if section == names[0]:
                here = number
        key = re.match(r"\s*[\"']?([\w-]+)[\"']?\s*=", line)
        if key and (
            (len(names) > 1 and section == names[0] and key[1] == names[1])
            or (not section and key[1] == names[0])
        ):
            return number
    return here
