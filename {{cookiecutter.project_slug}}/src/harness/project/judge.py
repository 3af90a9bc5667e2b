"""judge.py, the optional fifth file: who judges recorded answers, and what they are shown.

    READS = ("question", "prediction", "ground_truth")  # columns of a row: all that a judge sees
    GRID = [Params("helpful")]                          # judges, each with a rubric and a model

    LABELS = {"verdict": ("yes", "no")}                 # what a person may say in its place
    def judge(answer, params[, resource]) -> dict       # as predict; load, files, estimate as there

A judgement depends on these columns, on the judge's params, files and code, and on nothing else. So
a new rubric asks the judge alone, and two equal answers to one question are judged once.

With AGAINST, a judge sees two answers to one item, and says which it prefers:

    READS = ("question",)                               # what both have
    COMPARES = ("prediction",)                          # shown as first_prediction, second_…
    AGAINST = {"model": "what we have"}                 # params of the one configuration to beat
    def judge(pair, params) -> {"preferred": "first"}   # or "second", or "tie"

Each pair is judged in both orders, since judges prefer a position too.

LABELS is optional: the column of a judgement that a person can give, and its values. It makes
`make label` possible, and with it the judge's errors known.
"""

import hashlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from harness.errors import HarnessError
from harness.project.fingerprint import Code, reachable_code
from harness.project.values import Params, Row, Value
from harness.project.watch import Stamp, stamp

FILE = "src/benchmark/judge.py"
MODULE = "benchmark.judge"
ID = "id"
Label = str | int | float


@dataclass(frozen=True, slots=True)
class View:
    """What a judge is shown of an answer; of two where there is a configuration to compare with."""

    reads: tuple[str, ...]
    compares: tuple[str, ...] = ()
    against: Mapping[str, Value] = field(default_factory=dict)

    def of(self, row: Row, other: Row | None = None) -> list[Row]:
        """What is shown of a row: one dict, or two with `other`, the row's answer first in one."""
        shown = {name: row.get(name) for name in self.reads}
        if not self.compares:
            return [shown]
        if other is None:
            return []
        return [shown | _ordered(self.compares, a, b) for a, b in ((row, other), (other, row))]

    def turned(self, shown: Row) -> Row:
        """The same two answers in the other order."""
        names = {f"{a}_{name}": f"{b}_{name}" for name in self.compares for a, b in _SWAPS}
        return {names.get(name, name): value for name, value in shown.items()}


_SWAPS = (("first", "second"), ("second", "first"))


def _ordered(names: tuple[str, ...], first: Row, second: Row) -> Row:
    shown: Row = {}
    for name in names:
        shown[f"first_{name}"] = first.get(name)
        shown[f"second_{name}"] = second.get(name)
    return shown


@dataclass(frozen=True, slots=True)
class Judge:
    """judge.py, loaded. `code` is what `judge` can reach, `stamps` when it was written.

    `labelled` is the column that a person can give, "" for none, and `labels` its values.
    """

    view: View
    params_type: type
    grid: tuple[Params, ...]
    function: Callable[..., Row]
    load: Callable[[Params], object] | None
    files: Callable[[Params], Iterable[Path]] | None
    estimate: Callable[[Row, Params], float] | None
    code: Code
    stamps: dict[str, Stamp]
    labelled: str = ""
    labels: tuple[Label, ...] = ()

    def rubric(self, params: Params) -> str:
        """The version of what people are asked under these params: labels are of one rubric.

        It is what the files of the rubric say, or the judge's code where there are none; and what
        may be answered. Another model that judges by the same files has the same rubric.
        """
        said = hashlib.sha256(repr((self.labelled, self.labels)).encode())
        paths = self.rubric_files(params)
        for path in paths:
            said.update(path.read_bytes())
        if not paths:
            said.update(f"{self.code.key} {params!r}".encode())
        return said.hexdigest()[:16]

    def rubric_files(self, params: Params) -> list[Path]:
        """The files that a judge is told by, under these params."""
        return sorted(map(Path, self.files(params))) if self.files else []


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
    labelled, labels = _labels(module)
    code = reachable_code(root, MODULE)
    return Judge(
        _view(module, tuple(reads)),
        params_type,
        grid,
        function,
        resource,
        getattr(module, "files", None),
        getattr(module, "estimate", None),
        code,
        {name: stamp(path) for name, path in code.files.items()},
        labelled,
        labels,
    )


def _view(module: ModuleType, reads: tuple[str, ...]) -> View:
    compares, against = getattr(module, "COMPARES", ()), getattr(module, "AGAINST", {})
    if not compares and not against:
        return View(reads)
    good = isinstance(compares, (list, tuple)) and compares and all(map(_is_column, compares))
    if not good or not isinstance(against, dict) or not against:
        raise HarnessError(
            f"{FILE} does not say which two answers are compared",
            fix='write COMPARES = ("prediction",), columns that are shown of both, and AGAINST = '
            '{"model": "…"}, params of the configuration that the others are compared with',
        )
    return View(reads, tuple(compares), dict(against))


def _labels(module: ModuleType) -> tuple[str, tuple[Label, ...]]:
    """The column that a person can give and its values; ("", ()) where there is none."""
    found = getattr(module, "LABELS", None)
    if found is None:
        return "", ()
    wrong = HarnessError(
        f"LABELS in {FILE} is {found!r:.80}",
        fix='write LABELS = {"verdict": ("yes", "no")}: a column that judge returns, and two to '
        "nine different values of it, words or numbers",
    )
    if not isinstance(found, dict) or len(found) != 1:
        raise wrong
    [(column, values)] = found.items()
    if not _is_column(column) or not isinstance(values, (list, tuple)):
        raise wrong
    if not 2 <= len(values) <= 9 or len(set(values)) < len(values):
        raise wrong
    if not all(isinstance(each, (str, int, float)) and str(each).strip() for each in values):
        raise wrong
    return str(column), tuple(values)


def _is_column(name: object) -> bool:
    return isinstance(name, str) and name.isidentifier() and name != ID


def _arguments(function: Callable[..., Row]) -> int:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in kinds for p in inspect.signature(function).parameters.values())
