"""judge.py, the optional fifth file: who judges recorded answers, and what they are shown.

    READS = ("question", "prediction", "ground_truth")  # columns of a row: all that a judge sees
    GRID = [Params("helpful")]                          # judges, each with a rubric and a model

    def judge(answer, params[, resource]) -> dict       # as predict; load, files, estimate as there

A judgement depends on these columns, on the judge's params, files and code, and on nothing else. So
a new rubric asks the judge alone, and two equal answers to one question are judged once.
"""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from harness.errors import HarnessError
from harness.project.fingerprint import Code, reachable_code
from harness.project.values import Params, Row
from harness.project.watch import Stamp, stamp

FILE = "src/benchmark/judge.py"
MODULE = "benchmark.judge"
ID = "id"


@dataclass(frozen=True, slots=True)
class Judge:
    """judge.py, loaded. `code` is what `judge` can reach, `stamps` when it was written."""

    reads: tuple[str, ...]
    params_type: type
    grid: tuple[Params, ...]
    function: Callable[..., Row]
    load: Callable[[Params], object] | None
    files: Callable[[Params], Iterable[Path]] | None
    estimate: Callable[[Row, Params], float] | None
    code: Code
    stamps: dict[str, Stamp]


def read_judge(
    root: Path, module: ModuleType, params_type: type, grid: tuple[Params, ...]
) -> Judge:
    """The judge of a benchmark. Raises HarnessError where judge.py breaks its contract."""
    reads = getattr(module, "READS", None)
    if not isinstance(reads, (list, tuple)) or not reads or not all(map(_is_column, reads)):
        raise HarnessError(
            f"{FILE} does not say what a judge is shown",
            fix='write READS = ("prediction", "ground_truth", …): names of columns; "id" is taken',
        )
    function = getattr(module, "judge", None)
    resource = getattr(module, "load", None)
    wanted = "answer, params, resource" if resource else "answer, params"
    if not callable(function) or _arguments(function) != wanted.count(",") + 1:
        raise HarnessError(
            f"{FILE} defines no function judge({wanted})", fix=f"write def judge({wanted}): in it"
        )
    code = reachable_code(root, MODULE)
    return Judge(
        tuple(reads),
        params_type,
        grid,
        function,
        resource,
        getattr(module, "files", None),
        getattr(module, "estimate", None),
        code,
        {name: stamp(path) for name, path in code.files.items()},
    )


def _is_column(name: object) -> bool:
    return isinstance(name, str) and name.isidentifier() and name != ID


def _arguments(function: Callable[..., Row]) -> int:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in kinds for p in inspect.signature(function).parameters.values())
