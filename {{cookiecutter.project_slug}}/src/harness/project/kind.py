"""What a kind of benchmark brings, in one place: `KIND = Kind(…)` in `src/benchmark/kind.py`.

A project without that file has no kind and needs none. The file runs at every start, before the
package `benchmark` is imported. It may import from the harness and from installed packages. It
names everything else as "module:name", which is imported when it is needed. So nothing in it is in
a key.
"""

import ast
import importlib
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ConfigDict

from harness.errors import HarnessError, in_words
from harness.project.inputs import brought_by_harness

FILE = "src/benchmark/kind.py"
EXECUTORS = ("serial", "threads", "processes", "async", "dask")  # those of the harness itself
SHARED = {"latency_shared": "latencies are of whole batches, not of single predictions"}
_PERSON = "benchmark"
_REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class Options(BaseModel):
    """A section of benchmark.toml: its keys with types and defaults; any other key is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


@dataclass(frozen=True, slots=True)
class Executor:
    """A way of computing datapoints. Its functions are named as "module:name".

    execute: (project, jobs, limiter, stopped) -> outcomes as they arrive, see `run.executors`.
    check: (project) -> None; raises HarnessError where it cannot run that project. Called first.
    judges: it may run judge.py too, whose predict is `judge`.
    failures_are_results: a failed datapoint is what was measured, and is not tried again.
    phases: what is measured in one repeat of a configuration depends on each other; so the repeat
    counts as one (the column `cluster`), not its items.
    """

    execute: str
    check: str = ""
    judges: bool = False
    failures_are_results: bool = False
    phases: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """What the harness asks a kind for. Functions are named as "module:name".

    settings: sections of benchmark.toml and their keys, read by `Settings.options`.
    executors: by the name that `[run] executor` gives.
    checks, dev_checks: (facts) -> findings, of `make validate` and of `make inspect`.
    clock: the column of seconds since a phase began, by which latencies may rise throughout it.
    sections: (connection, experiment) -> parts of the summary and the report, see `tell.section`.
    constant: columns of `predictions` that may hold one value throughout, or none in some rows.
    times: columns of seconds beside `latency`; each gets its percentiles in the table metrics.
    costs: (row) -> columns, what a stored row costs at today's prices; `make prices` writes them.
    interleaved: whether every item is asked of each configuration before the next item, because
    they wait for different servers; otherwise configuration by configuration.
    doubts: columns that are true where a row's numbers mean little, each with the words that follow
    "All 40" or "3 of 40" wherever the numbers are shown.
    unranked: params and the value with which a configuration is no rival of the others, so that it
    has no rank among them.
    """

    settings: Mapping[str, type[Options]] = field(default_factory=dict)
    executors: Mapping[str, Executor] = field(default_factory=dict)
    checks: tuple[str, ...] = ()
    dev_checks: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    constant: frozenset[str] = frozenset()
    times: tuple[str, ...] = ()
    clock: str = ""
    doubts: Mapping[str, str] = field(default_factory=dict)
    unranked: Mapping[str, object] = field(default_factory=dict)
    interleaved: bool = False
    costs: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "doubts", {**SHARED, **self.doubts})

    def failures_are_results(self, executor: str) -> bool:
        """Whether a failure is what that executor measures."""
        return executor in self.executors and self.executors[executor].failures_are_results

    def in_phases(self, executor: str) -> bool:
        """Whether that executor measures a repeat of a configuration as one phase."""
        return executor in self.executors and self.executors[executor].phases

    def references(self) -> list[str]:
        """Everything that is named and not yet imported."""
        of_executors = [each.execute for each in self.executors.values()]
        of_executors += [each.check for each in self.executors.values() if each.check]
        of_rows = [self.costs] if self.costs else []
        return [*of_executors, *self.checks, *self.dev_checks, *self.sections, *of_rows]


PLAIN = Kind()


def load_kind(root: Path) -> Kind:
    """The kind of the benchmark at `root`.

    Raises HarnessError where kind.py does not run, imports the person's package, or describes a
    kind that cannot be.
    """
    path = root / FILE
    if not path.is_file():
        return PLAIN
    source = str(root / "src")
    if source not in sys.path:
        sys.path.insert(0, source)
    module = ModuleType(f"{_PERSON}.kind")
    module.__file__ = str(path)
    before = set(sys.modules)
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
        _refuse_early_imports(tree)
        exec(compile(tree, str(path), "exec"), module.__dict__)
    except HarnessError:
        raise
    except Exception as error:
        raise HarnessError(f"{FILE} does not run: {in_words(error)}", fix="correct it") from error
    finally:
        brought_by_harness(set(sys.modules) - before)
    kind = getattr(module, "KIND", None)
    if not isinstance(kind, Kind):
        raise HarnessError(
            f"{FILE} defines no KIND", fix="write KIND = Kind(…), with Kind of harness.project.kind"
        )
    if problems := _problems(kind):
        raise HarnessError("\n".join(f"{FILE}: {each}" for each in problems), fix=f"edit {FILE}")
    return kind


def resolve(reference: str) -> Callable[..., Any]:
    """What a kind names as "module:name". Raises HarnessError where there is none."""
    module, _, name = reference.partition(":")
    before = set(sys.modules)
    try:
        found = getattr(importlib.import_module(module), name)
    except HarnessError:
        raise
    except Exception as error:
        raise HarnessError(
            f"{FILE} names {reference}, which cannot be used: {in_words(error)}",
            fix=f"correct {module}, or the name in {FILE}",
        ) from error
    finally:
        # Otherwise the first prediction would seem to have read it.
        brought_by_harness(set(sys.modules) - before)
    if not callable(found):
        raise HarnessError(f"{FILE} names {reference}, which is no function", fix=f"edit {FILE}")
    function: Callable[..., Any] = found
    return function


def _refuse_early_imports(tree: ast.Module) -> None:
    """What predict can reach must be imported by predict, where its reads are noted."""
    for node in tree.body:
        names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [_PERSON if node.level else node.module or ""]
        if any(name.partition(".")[0] == _PERSON for name in names):
            raise HarnessError(
                f"{FILE}, line {node.lineno}: it is run before the package {_PERSON} may be "
                "imported",
                fix=f'name what is meant, as "{_PERSON}.module:function"',
            )


def _problems(kind: Kind) -> list[str]:
    found = [
        f"{name} is an executor of the harness itself; give it another name"
        for name in kind.executors
        if name in EXECUTORS
    ]
    for section, options in kind.settings.items():
        if not (isinstance(options, type) and issubclass(options, Options)):
            found.append(f"the section {section} is not described by a subclass of Options")
    for reference in kind.references():
        if not _REFERENCE.fullmatch(reference):
            found.append(f'{reference!r} is not of the form "module:name"')
    return found
