"""The person's four files, loaded and checked against their contracts before anything runs."""

import contextlib
import dataclasses
import importlib
import importlib.util
import inspect
import itertools
import math
import os
import random
import sys
import time
import typing
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from harness.errors import HarnessError, in_words
from harness.project.fingerprint import Code, reachable_code
from harness.project.inputs import all_loaded, begin, loaded_since, noted
from harness.project.judge import FILE as JUDGE
from harness.project.judge import Judge, read_judge
from harness.project.kind import Kind, load_kind
from harness.project.modules import Modules, repository_top
from harness.project.scores import Score, declared_in
from harness.project.settings import Settings, load_settings
from harness.project.values import Params, Row
from harness.project.watch import Stamp, stamp

PACKAGE = "benchmark"
PARAMS = f"src/{PACKAGE}/params.py"
Item: TypeAlias = dict[str, Any]
_COARSE_NS = 20_000_000  # a file's times move in steps of the system's clock


@dataclass(frozen=True, slots=True)
class Project:
    """A benchmark repository, opened; `takes_resource` where predict has a third argument.

    `predict` may be an async function; `predict_batch`, where there is one, takes many items.
    `takes_repeat` where predict has an argument of that name, `fit_takes_train` where fit has a
    third one, `final` where its items are those of the holdout.

    `code` is what predict can reach under every configuration, and `stamps` say when each file of
    it was last written, by place. `reads` is what importing it read (see inputs).
    """

    root: Path
    kind: Kind
    settings: Settings
    params_type: type
    grid: tuple[Params, ...]
    files: Callable[[Params], Iterable[Path]] | None
    load_items: Callable[..., Iterable[Item]]
    predict: Callable[..., Row]
    predict_batch: Callable[..., list[Row]] | None
    load: Callable[[Params], object] | None
    fit: Callable[..., object] | None
    estimate: Callable[[Item, Params], float] | None
    score: Callable[[Row], Row]
    scores: dict[str, Score]
    aggregates: dict[str, Callable[..., float]]
    takes_resource: bool
    takes_repeat: bool
    fit_takes_train: bool
    modules: Callable[[Params], Iterable[str]] | None
    code: Code
    stamps: dict[str, Stamp]
    reads: frozenset[str]
    final: bool = False
    judge: Judge | None = None
    # The module whose code counts, where that is not predict's.
    entry: tuple[str, ...] = ()
    # Whether a log of another tool stands in the place of predict: `code` is its files.
    imported: bool = False

    @classmethod
    def open(cls, root: Path | None = None) -> "Project":
        """Load the repository at `root` (default: the working folder).

        Raises HarnessError where a file is missing, does not import, or breaks its contract.
        """
        root = (root or Path.cwd()).resolve()
        kind = load_kind(root)
        settings = load_settings(root, kind)
        source = str(root / "src")
        if source not in sys.path:
            sys.path.insert(0, source)
        before = _stamps(root)
        # From here on, what is read and which modules are loaded is noted.
        begin(root, repository_top(root))
        loaded = set(sys.modules)
        begun = time.time_ns()
        with noted() as reads:
            params = _import(root, "params")
            predict = _import(root, "predict")
        modules = getattr(params, "modules", None)
        own = loaded_since(loaded)
        code = reachable_code(root, also=sorted(own), any_name=modules is None)
        stamps = {name: stamp(path) for name, path in code.files.items()}
        _refuse_written(before, stamps, begun)
        dataset = _import(root, "dataset")
        metrics = _import(root, "metrics")
        judge = _import(root, "judge") if (root / JUDGE).is_file() else None
        all_loaded()
        params_type, grid = _grid(params)
        fields = {field.name for field in dataclasses.fields(params_type)}
        if unknown := [name for name in settings.data.seeds if name not in fields]:
            raise HarnessError(
                f"[data] seeds names {unknown[0]}, and Params has no such field",
                fix="name fields of Params in src/benchmark/params.py, or none, in benchmark.toml",
            )
        batch = getattr(predict, "predict_batch", None)
        if batch is not None and not hasattr(predict, "predict"):
            function = _alone(batch)
        else:
            function = _function(predict, "predict")
        load = getattr(predict, "load", None)
        fit = getattr(predict, "fit", None)
        if load and fit:
            raise HarnessError(
                "predict.py defines both load and fit",
                fix="keep one: load for a client or a model in memory, fit for what is kept",
            )
        takes_resource = bool(load or fit)
        if hasattr(predict, "predict"):
            _check_arguments(function, "predict", "item", takes_resource)
        if batch is not None:
            _check_arguments(batch, "predict_batch", "items", takes_resource)
            if inspect.iscoroutinefunction(batch):
                raise HarnessError(
                    "predict_batch is an async function; batches are made by plain functions",
                    fix=f"write `def predict_batch(...)` in src/{PACKAGE}/predict.py",
                )
        if callable(fit) and len(_positional(fit)) not in (2, 3):
            raise HarnessError(
                f"fit takes {len(_positional(fit))} arguments, expected (params, fold, train)",
                fix=f"write `def fit(params, fold, train):` in src/{PACKAGE}/predict.py",
            )
        scores, aggregates = declared_in(metrics)
        return cls(
            root=root,
            kind=kind,
            settings=settings,
            params_type=params_type,
            grid=grid,
            files=getattr(params, "files", None),
            load_items=_function(dataset, "load"),
            predict=function,
            predict_batch=batch,
            load=load,
            fit=fit,
            estimate=getattr(predict, "estimate", None),
            score=_function(metrics, "score"),
            scores=scores,
            aggregates=aggregates,
            takes_resource=takes_resource,
            takes_repeat="repeat" in inspect.signature(function).parameters,
            fit_takes_train=callable(fit) and len(_positional(fit)) == 3,
            modules=modules,
            code=code,
            stamps=stamps,
            reads=frozenset(reads - {f"module {name}" for name in code.modules}),
            judge=None if judge is None else read_judge(root, judge, *_grid(judge, JUDGE)),
        )

    @property
    def failures_are_results(self) -> bool:
        """Whether a failure is what is measured: tried again alone, it would hide what it met."""
        return self.kind.failures_are_results(self.settings.run.executor)

    @property
    def order(self) -> str:
        """In which order tasks come: as [run] order says, else as suits the kind."""
        own = "interleaved" if self.kind.interleaved else "configurations"
        return self.settings.run.order or own

    @property
    def items_by_params(self) -> bool:
        """Whether dataset.load takes `params`, so that each configuration has items of its own."""
        return "params" in inspect.signature(self.load_items).parameters

    def files_of(self, params: Params) -> list[Path]:
        """The files that predict reads under a configuration, as `files` of params.py names them.

        Raises HarnessError where it returns no list of paths, or a path that is not a file of this
        repository.
        """
        if self.files is None:
            return []
        try:
            named = self.files(params)
            if isinstance(named, (str, bytes, Path)):
                raise TypeError(f"it returned the single {named!r}, not a list")
            paths = [self.root / path for path in named]
        except HarnessError:
            raise
        except Exception as error:
            raise HarnessError(
                f"files in params.py gave no list of paths: {in_words(error)}",
                fix=f"return [Path(...), ...] from files in src/{PACKAGE}/params.py",
            ) from error
        for path in paths:
            inside = path.resolve().is_relative_to(self.root)
            if not inside or not path.is_file():
                what = "is no file" if inside else "lies outside the repository"
                raise HarnessError(
                    f"{path} {what}; files in params.py names it for {params}",
                    fix=f"put it there, or correct files in src/{PACKAGE}/params.py",
                )
        return paths

    def again(self) -> "Project":
        """The same project with its code as it is on the disk now."""
        if self.imported:
            return self
        code = reachable_code(
            self.root,
            *self.entry,
            also=sorted(self.code.modules),
            any_name=self.modules is None,
        )
        return dataclasses.replace(self, code=code)

    def code_of(self, params: Params) -> Code:
        """The code that predict can reach under a configuration.

        That is `code`, and where params.py has `modules(params)`, the modules that it names.
        Raises HarnessError where it returns no list of names, or names a missing module.
        """
        if self.modules is None:
            return self.code
        try:
            named = self.modules(params)
            if isinstance(named, (str, bytes)):
                raise TypeError(f"it returned the single {named!r}, not a list")
            names = [str(name) for name in named]
        except Exception as error:
            raise HarnessError(
                f"modules in params.py gave no list of names: {in_words(error)}",
                fix=f'return ["{PACKAGE}.…", ...] from modules in src/{PACKAGE}/params.py',
            ) from error
        finder = Modules(self.root)
        if missing := [name for name in names if finder.find(name) is None]:
            raise HarnessError(
                f"there is no module {missing[0]}; modules in params.py names it for {params}",
                fix=f"write it, or correct modules in src/{PACKAGE}/params.py",
            )
        return self.code | reachable_code(self.root, *names, any_name=False) if names else self.code

    def items(self, params: Params, limit: int | None = None) -> Iterator[Item]:
        """The items of one configuration, at most `limit` of them.

        A limited run takes a seeded sample spread over the whole where the length is known
        (data sorted by class would otherwise show one class only), else the first ones. The holdout
        is left out, or all there is where the project is `final`.
        """
        from harness.project.holdout import part  # here, because keys.py needs what is above

        data = self.settings.data
        try:
            items = self.load_items(params) if self.items_by_params else self.load_items()
            if data.holdout:
                chosen_part = part(items, data, self.final, self.root)
                items = list(chosen_part) if isinstance(items, Sized) else chosen_part
            if limit is None:
                yield from items
            elif isinstance(items, Sized) and len(items) > limit:
                chosen = set(random.Random(0).sample(range(len(items)), limit))
                yield from (item for index, item in enumerate(items) if index in chosen)
            else:
                yield from itertools.islice(items, limit)
        except HarnessError:
            raise
        except Exception as error:
            raise HarnessError(
                f"dataset.py could not load the items: {in_words(error)}",
                fix=f"edit src/{PACKAGE}/dataset.py; lost data: `git restore data` or `make pull`",
            ) from error


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


def _stamps(root: Path) -> dict[str, Stamp]:
    """When each file that predict reaches was last written, by place; stale bytecode is deleted."""
    try:
        files = reachable_code(root).files
    except HarnessError:
        return {}  # importing it will say what is wrong
    for path in files.values():
        _forget_stale_bytecode(path)
    return {name: stamp(path) for name, path in files.items()}


def _forget_stale_bytecode(source: Path) -> None:
    """Python takes a .pyc for current by size and whole seconds: an edit within one second would
    run the old code under the new code's key."""
    with contextlib.suppress(OSError, NotImplementedError):
        compiled = Path(importlib.util.cache_from_source(str(source)))
        if compiled.stat().st_mtime_ns <= source.stat().st_ctime_ns + _COARSE_NS:
            compiled.unlink(missing_ok=True)


def _refuse_written(before: dict[str, Stamp], now: dict[str, Stamp], begun: int) -> None:
    """Refuse files that changed between fingerprint and import; a file found late is judged by its
    time."""
    for name, found in now.items():
        late = name not in before and found and found[-1] > begun
        if late or before.get(name, found) != found:
            raise HarnessError(
                f"{name} was written while it was loaded", fix="run the same command again", code=1
            )


def _import(root: Path, name: str) -> ModuleType:
    path = root / "src" / PACKAGE / f"{name}.py"
    if not path.exists():
        raise HarnessError(f"there is no {path.relative_to(root)}", fix=f"write {path.name}")
    try:
        return importlib.import_module(f"{PACKAGE}.{name}")
    except HarnessError:
        raise
    except Exception as error:
        fix = "correct that line"
        if isinstance(error, ModuleNotFoundError):
            fix = _how_to_find(str(error.name or "").partition(".")[0], root)
        raise HarnessError(
            f"src/{PACKAGE}/{name}.py does not import: {in_words(error)}", fix=fix
        ) from error


def _how_to_find(package: str, root: Path) -> str:
    """What makes a missing package importable. A stranger may own its name on a package index, so
    where a folder here is called like it, that one is meant."""
    if package == PACKAGE:
        return "correct that line"
    nearby = [
        base
        for base in (repository_top(root) / "src", repository_top(root))
        if (base / package).is_dir()
    ]
    if nearby and not (root / "src" / package).is_dir():
        folder = os.path.relpath(repository_top(root), root).replace(os.sep, "/")
        return (
            f"{package} lies in {os.path.relpath(nearby[0] / package, root)}: add the line "
            f"`-e {folder}` to requirements-benchmark.in, then make lock setup"
        )
    return (
        f"if {package} is your own code, add `-e FOLDER` to requirements-benchmark.in; if it is a "
        "published package, add the name under which you know it; then make lock setup"
    )


def _function(module: ModuleType, name: str) -> Callable[..., Any]:
    function = getattr(module, name, None)
    if not callable(function):
        file = f"src/{PACKAGE}/{module.__name__.rpartition('.')[2]}.py"
        raise HarnessError(f"{file} defines no function {name}", fix=f"define {name} in {file}")
    return typing.cast(Callable[..., Any], function)


def _alone(batch: Callable[..., list[Row]]) -> Callable[..., Row]:
    """predict, where predict.py has predict_batch alone: a batch of one."""

    def predict(item: Item, *more: object) -> Row:
        (result,) = batch([item], *more)
        return result

    return predict


def _check_arguments(
    function: Callable[..., Any], name: str, first: str, takes_resource: bool
) -> None:
    positional = [each for each in _positional(function) if each != "repeat"]
    wanted = f"{first}, params, resource" if takes_resource else f"{first}, params"
    if len(positional) != 2 + takes_resource:
        raise HarnessError(
            f"{name} takes {len(positional)} arguments, expected ({wanted})",
            fix=f"write `def {name}({wanted}):` in src/{PACKAGE}/predict.py",
        )


def _positional(function: Callable[..., object]) -> list[str]:
    """The parameters that may be given by place."""
    return [
        name
        for name, p in inspect.signature(function).parameters.items()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]


def _grid(module: ModuleType, file: str = PARAMS) -> tuple[type, tuple[Params, ...]]:
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
