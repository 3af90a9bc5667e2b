"""The person's four files, loaded and checked against their contracts before anything runs."""

import dataclasses
import inspect
import itertools
import random
import sys
import time
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
from harness.project.loading import (
    PACKAGE,
    fresh_stamps,
    import_own,
    own_function,
    refuse_written,
)
from harness.project.modules import Modules, repository_top
from harness.project.params import read_grid
from harness.project.scores import Score, declared_in
from harness.project.settings import Settings, load_settings
from harness.project.values import Params, Row
from harness.project.watch import Stamp, stamp
from harness.system import collect_as_usual

Item: TypeAlias = dict[str, Any]


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
        before = fresh_stamps(root)
        # From here on, what is read and which modules are loaded is noted.
        begin(root, repository_top(root))
        loaded = set(sys.modules)
        begun = time.time_ns()
        with noted() as reads:
            params = import_own(root, "params")
            predict = import_own(root, "predict")
        modules = getattr(params, "modules", None)
        own = loaded_since(loaded)
        code = reachable_code(root, also=sorted(own), any_name=modules is None)
        stamps = {name: stamp(path) for name, path in code.files.items()}
        refuse_written(before, stamps, begun)
        dataset = import_own(root, "dataset")
        metrics = import_own(root, "metrics")
        judge = import_own(root, "judge") if (root / JUDGE).is_file() else None
        all_loaded()
        collect_as_usual()
        params_type, grid = read_grid(params)
        _check_seeds(settings, params_type)
        function, batch = _predictor(predict)
        load, fit = getattr(predict, "load", None), getattr(predict, "fit", None)
        scores, aggregates = declared_in(metrics)
        return cls(
            root=root,
            kind=kind,
            settings=settings,
            params_type=params_type,
            grid=grid,
            files=getattr(params, "files", None),
            load_items=own_function(dataset, "load"),
            predict=function,
            predict_batch=batch,
            load=load,
            fit=fit,
            estimate=getattr(predict, "estimate", None),
            score=own_function(metrics, "score"),
            scores=scores,
            aggregates=aggregates,
            takes_resource=_takes_resource(predict),
            takes_repeat="repeat" in inspect.signature(function).parameters,
            fit_takes_train=callable(fit) and len(_positional(fit)) == 3,
            modules=modules,
            code=code,
            stamps=stamps,
            reads=frozenset(reads - {f"module {name}" for name in code.modules}),
            judge=None if judge is None else read_judge(root, judge, *read_grid(judge, JUDGE)),
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


def _check_seeds(settings: Settings, params_type: type) -> None:
    fields = {field.name for field in dataclasses.fields(params_type)}
    if unknown := [name for name in settings.data.seeds if name not in fields]:
        raise HarnessError(
            f"[data] seeds names {unknown[0]}, and Params has no such field",
            fix="name fields of Params in src/benchmark/params.py, or none, in benchmark.toml",
        )


def _takes_resource(predict: ModuleType) -> bool:
    return bool(getattr(predict, "load", None) or getattr(predict, "fit", None))


def _predictor(
    predict: ModuleType,
) -> tuple[Callable[..., Row], Callable[..., list[Row]] | None]:
    """predict and predict_batch of predict.py, all that stands beside them checked as well."""
    batch = getattr(predict, "predict_batch", None)
    fit = getattr(predict, "fit", None)
    if getattr(predict, "load", None) and fit:
        raise HarnessError(
            "predict.py defines both load and fit",
            fix="keep one: load for a client or a model in memory, fit for what is kept",
        )
    takes_resource = _takes_resource(predict)
    if batch is not None and not hasattr(predict, "predict"):
        function = _alone(batch)
    else:
        function = own_function(predict, "predict")
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
    return function, batch


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
