"""benchmark.toml as typed values. A wrong file is explained key by key, with its line."""

import os
import re
import tomllib
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from harness.errors import HarnessError
from harness.project.kind import EXECUTORS, Kind, Options, load_kind
from harness.project.kind import FILE as KIND_FILE

FILE = "benchmark.toml"
_UNKNOWN = "Extra inputs are not permitted"  # as pydantic says it
Section = TypeVar("Section", bound=Options)


class Benchmark(Options):
    """What the benchmark is called and where experiments may not run."""

    name: str = "benchmark"
    kind: str = ""
    protected_branches: list[str] = Field(default_factory=lambda: ["main", "master"])


DEV_REPEATS = 2
Layout = Literal["append-only", "table-per-experiment", "database-per-experiment"]
LAYOUTS: tuple[str, ...] = get_args(Layout)


class Store(Options):
    """How results are written and laid out on disk.

    `model_kb`: up to which size a fitted model is kept in the database; a larger one is a file in
    results/fitted/.
    """

    engine: Literal["sqlite", "duckdb"] = "sqlite"
    layout: Layout = "append-only"
    dvc: bool = True
    model_kb: int = Field(default=100, ge=0)


Order = Literal["", "configurations", "interleaved", "phases"]


class Run(Options):
    """How datapoints are computed. Times are in seconds; 0 switches a limit off.

    `batch_size` is for predict_batch: 0 finds it by time, 1 makes no batches. `scheduler` and
    `resources` are for Dask: an address (empty: a cluster on this machine), and what a task needs.
    `sample`: look at CPU, memory, GPU and energy once a second, into `runs.sampled`.
    """

    executor: str = "serial"
    workers: int = Field(default=4, ge=1, le=1024)
    repeats: int = Field(default=1, ge=1)
    dev_items: int = Field(default=20, ge=1)
    order: Order = ""
    timeout_seconds: float = Field(default=0.0, ge=0, strict=False)
    fit_seconds: float = Field(default=0.0, ge=0, strict=False)
    memory_mb: int = Field(default=0, ge=0)
    batch_size: int = Field(default=0, ge=0)
    scheduler: str = ""
    resources: dict[str, float] = Field(default_factory=dict)
    on_error: Literal["continue", "stop"] = "continue"
    max_errors: int = Field(default=100, ge=0)
    max_permanent_errors: int = Field(default=3, ge=1)
    cache: bool = True
    sample: bool = False

    @field_validator("on_error", mode="before")
    @classmethod
    def _is_not_about_scores(cls, value: object) -> object:
        if value == "skip":
            raise ValueError(
                'it is "continue" or "stop"; what a failure counts as is declared for each score: '
                'Score(…, failure="left out") in SCORES of src/benchmark/metrics.py'
            )
        return value

    @field_validator("memory_mb")
    @classmethod
    def _can_be_ended(cls, value: int, about: ValidationInfo) -> int:
        executor = about.data.get("executor")
        if value and executor in ("serial", "threads", "async"):
            raise ValueError(
                f'a limit for each worker needs executor = "processes"; those of {executor!r} '
                "share one process with the run itself"
            )
        return value

    @field_validator("executor")
    @classmethod
    def _is_there(cls, value: str, about: ValidationInfo) -> str:
        known = (about.context or {}).get("executors", EXECUTORS)
        if value not in known:
            raise ValueError(f"it is {' or '.join(map(repr, known))}, not {value!r}")
        return value


class Data(Options):
    """How the items were drawn, and which params only draw at random.

    `cluster` names the key of an item that says what it was drawn with (a patient, a passage);
    `seeds` are params that make replicates of a configuration, not rivals. `holdout` is the share
    of items that only a final experiment sees.
    """

    cluster: str = ""
    seeds: list[str] = Field(default_factory=list)
    holdout: float = Field(default=0.0, ge=0, lt=1, strict=False)


class Retry(Options):
    """When a failed attempt is tried again; the wait doubles each time, with jitter."""

    attempts: int = Field(default=3, ge=1)
    wait_seconds: float = Field(default=0.5, ge=0, strict=False)
    max_wait_seconds: float = Field(default=30.0, ge=0, strict=False)
    errors: list[str] = Field(default_factory=lambda: ["ConnectionError", "TimeoutError"])


class Key(Options):
    """What else a result depends on: files (globs), installed packages, environment variables.

    `harmless` are files and variables that predict reads and that cannot change a result.
    """

    files: list[str] = Field(default_factory=list)
    packages: list[str] = Field(default_factory=list)
    variables: list[str] = Field(default_factory=list)
    harmless: list[str] = Field(default_factory=list)


class Limits(Options):
    """Bounds on what an experiment may use. 0 means none."""

    requests_per_minute: float = Field(default=0.0, ge=0, strict=False)
    max_cost_usd: float = Field(default=0.0, ge=0, strict=False)


class Report(Options):
    """What a report shows besides the figures.

    `item` are columns of predictions that say what an item is, such as its text.
    """

    item: list[str] = Field(default_factory=list)


class Settings(Options):
    """The whole of benchmark.toml; `extra` holds the sections of the kind, as they were written."""

    benchmark: Benchmark = Benchmark()
    store: Store = Store()
    run: Run = Run()
    data: Data = Data()
    retry: Retry = Retry()
    key: Key = Key()
    limits: Limits = Limits()
    report: Report = Report()
    extra: dict[str, dict[str, Any]] = Field(default_factory=dict)

    def options(self, section: str, form: type[Section]) -> Section:
        """A section of the kind with its defaults, as the Options that kind.py gives for it."""
        return form.model_validate(self.extra.get(section, {}))

    def for_dev(self, fitted: bool) -> "Settings":
        """The same for a dev-run, which is for a look: at most two repeats.

        Where models are `fitted`, one: each repeat may have folds, and so models, of its own.
        """
        most = 1 if fitted else DEV_REPEATS
        run = self.run.model_copy(update={"repeats": min(self.run.repeats, most)})
        return self.model_copy(update={"run": run})

    def with_layout(self, layout: str) -> "Settings":
        """The same settings for results in another layout."""
        store = Store.model_validate({**self.store.model_dump(), "layout": layout})
        return self.model_copy(update={"store": store})


def layout_of(root: Path) -> str:
    """The layout of the results of another checkout; nothing that is written there runs.

    Raises HarnessError where its benchmark.toml cannot be read.
    """
    try:
        data = tomllib.loads((root / FILE).read_text(encoding="utf-8"))
        return Store.model_validate({"layout": data["store"]["layout"]}).layout
    except KeyError:
        return Store().layout
    except (OSError, ValueError, TypeError) as error:
        raise HarnessError(
            f"{root / FILE} does not say its layout: {error}", fix=f"correct [store] of {FILE}"
        ) from None


def load_settings(root: Path, kind: Kind | None = None) -> Settings:
    """Read `root/benchmark.toml`, for a kind or the one that kind.py there describes.

    Raises HarnessError naming every wrong key and its line.
    """
    kind = load_kind(root) if kind is None else kind
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
            f"{FILE} is not valid TOML: {error}", fix=f"correct that place in {FILE}"
        ) from None
    if taken := sorted(kind.settings.keys() & Settings.model_fields.keys()):
        raise HarnessError(
            f"{KIND_FILE}: [{taken[0]}] is a section of every benchmark",
            fix="give the section of the kind another name",
        )
    problems = []
    extra = {name: data.pop(name) for name in kind.settings if name in data}
    for section, values in extra.items():
        try:
            kind.settings[section].model_validate(values)
        except ValidationError as error:
            for each in error.errors():
                problems.append(_explain(text, (section, *each["loc"]), each["msg"]))
    if data.pop("extra", None) is not None:  # a field of Settings, and no section
        problems.append(_explain(text, ("extra",), _UNKNOWN))
    for name in ("executor", "scheduler"):
        if value := os.environ.get(f"BENCH_{name.upper()}"):
            data.setdefault("run", {})[name] = value  # of this command: EXECUTOR=dask
    context = {"executors": (*EXECUTORS, *kind.executors)}
    try:
        settings = Settings.model_validate(data, context=context)
    except ValidationError as error:
        problems = [_explain(text, each["loc"], each["msg"]) for each in error.errors()] + problems
    if problems:
        raise HarnessError(
            "\n".join(problems), fix=f"edit {FILE}; each key's comment says what it takes"
        )
    return settings.model_copy(update={"extra": extra})


def _explain(text: str, location: tuple[int | str, ...], message: str) -> str:
    names = [str(part) for part in location]
    message = message.removeprefix("Value error, ")
    if message == _UNKNOWN:
        message = "no such setting"
        if len(names) == 1:
            message += f" (the sections of a kind are declared in {KIND_FILE})"
    return f"{FILE}, line {_line_of(text, names)}: {'.'.join(names)}: {message}"


def _line_of(text: str, names: list[str]) -> int:
    """The line of `[section]` or of `key =` inside it; 1 where it is written in another form."""
    section = ""
    here = 1
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
