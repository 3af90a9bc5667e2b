"""`python -m harness import`: runs of another tool become an experiment of their own.

The log takes the place of predict: its samples are the items, what it varied the params, and its
scores those of metrics.py. All else is the way of an experiment, so that compare, verdicts and
reports know no difference; the run says that it was imported, from which file of which tool.
"""

import dataclasses
import json
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.exchange.inspect_log import is_inspect, read_inspect
from harness.exchange.lm_eval_log import is_lm_eval, read_lm_eval
from harness.exchange.log import Log, unreadable
from harness.exchange.openai_evals_log import is_openai_evals, read_openai_evals
from harness.exchange.promptfoo_log import is_promptfoo, read_promptfoo
from harness.experiment import finish, show_run
from harness.gates.gates import GATES
from harness.gates.situation import Situation
from harness.measure.aggregate import measure
from harness.measure.score import unfit_names
from harness.project.contract import Project
from harness.project.fingerprint import Code
from harness.project.keys import file_digest
from harness.project.values import Params, Row, Value
from harness.record.layout import place_for
from harness.record.lock import one_at_a_time
from harness.run.loop import run
from harness.run.prepared import prepare
from harness.run.provenance import provenance
from harness.version import results_state
from harness.version.merging.columns import OWN

_TOOLS = (
    (is_inspect, read_inspect),
    (is_lm_eval, read_lm_eval),
    (is_openai_evals, read_openai_evals),
    (is_promptfoo, read_promptfoo),
)
# What must hold as before any experiment; the others are about predict and its items.
_GATES = ("branch", "clean", "results", "tag")
# What is raised by text that no tool writes: values of other types, numbers beyond every type,
# lists in lists without end, parts of a zip that are damaged or encrypted.
_NOT_AS_WRITTEN = (
    LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RuntimeError,
    zipfile.BadZipFile, zlib.error, struct.error, EOFError,
)  # fmt: skip
# Of a table that is still read with ease; and of tasks, where most have no sample.
_COLUMNS, _TASKS = 500, 1_000_000


class NotAnswered(Exception):
    """The log has no answer to a sample: the tool failed there, or never came to it."""


def read_logs(paths: Sequence[Path]) -> Log:
    """All files as one log. Raises HarnessError where one is cut, unknown or of another tool."""
    logs = [_read(path) for path in paths]
    first, *others = logs
    for other in others:
        if other.tool != first.tool:
            raise HarnessError(
                f"{first.tool} and {other.tool} in one experiment", fix="import each with a TAG"
            )
        first.add(other)
    _name_apart(first)
    _refuse_twice(first)
    _refuse_beyond_measure(first)
    return first


def _read(path: Path) -> Log:
    if not path.is_file():
        raise HarnessError(f"there is no file {path}", fix="name the log as the tool wrote it")
    for is_it, read in _TOOLS:
        if is_it(path):
            try:
                return read(path)
            except _NOT_AS_WRITTEN as error:
                why = f"it is not as its tool writes it ({type(error).__name__}: {error})"
                raise unreadable(path, why) from None
    raise unreadable(
        path,
        "no tool that is known writes such a file",
        "known: inspect (.eval, .json), lm-evaluation-harness (samples_*.jsonl), promptfoo (.json) "
        "and OpenAI evals (.jsonl)",
    )


def _refuse_twice(log: Log) -> None:
    seen = set()
    for each in log.samples:
        key = (each.params, each.input_id, each.repeat)
        if key in seen:
            raise HarnessError(
                f"sample {each.input_id} of {dict(each.params)} is there twice",
                fix="give each log once; runs that differ in nothing are experiments of their own",
            )
        seen.add(key)


def _name_apart(log: Log) -> None:
    """Scores that a log calls as a column is called already, such as cost, become score_cost."""
    columns = {*OWN, "scored"}
    columns.update(name for each in log.samples for name in each.row)
    names = {name for each in log.samples for name in each.scores} | log.scores.keys()
    new = {name: f"score_{name}" for name in names if name in columns or unfit_names((name,))}
    if not new:
        return
    log.scores = {new.get(name, name): score for name, score in log.scores.items()}
    log.samples = [
        replace(each, scores={new.get(name, name): value for name, value in each.scores.items()})
        for each in log.samples
    ]


def _refuse_beyond_measure(log: Log) -> None:
    """A file of some bytes can ask for a table of any width, and for tasks without number."""
    columns = {name for each in log.samples for name, _ in each.params} | log.scores.keys()
    if len(columns) > _COLUMNS:
        raise HarnessError(
            f"{len(columns):,} params and scores are more than a table has columns ({_COLUMNS})",
            fix="leave out of the log what was not varied",
        )
    grid = len({each.params for each in log.samples})
    items = len({each.input_id for each in log.samples})
    repeats = 1 + max(each.repeat for each in log.samples)
    if (tasks := grid * items * repeats) > max(_TASKS, 2 * len(log.samples)):
        raise HarnessError(
            f"{len(log.samples):,} samples come to {tasks:,} tasks: {items:,} items in {grid:,} "
            f"configurations, each {repeats:,} times; most would have no answer",
            fix="import with a TAG of its own what has no items in common with the rest",
        )


def import_logs(project: Project, tag: str, paths: Sequence[Path], message: str) -> int:
    """Record, measure, commit and tag them as the experiment `tag`; returns the exit code."""
    log = read_logs(paths)
    digests = {name: file_digest(path) for name, path in zip(_names(paths), paths, strict=True)}
    imported = _as_project(project, log, digests)
    with one_at_a_time(project.root / "results", f"the import of {tag}"):
        ready = prepare(imported, None)
        now = Situation(imported, ready.grid, ready.census, tag)
        for name in _GATES:
            if blocked := GATES[name](now):
                raise HarnessError(f"gate {name}: {blocked.message}", fix=blocked.fix, code=1)
        place = place_for(project.root, project.settings, tag)
        results_state.note_origins(project.root)
        about = {"tool": log.tool, "version": log.version, "task": log.task, "files": digests}
        made_by = provenance(imported, ready.grid, ready.census, "import", {})
        made_by |= {"message": message, "imported": json.dumps(about, sort_keys=True)}
        report = run(imported, tag, ready.grid, ready.census, made_by)
        show_run(report)
        rows = measure(imported, ready.grid, place, tag, report.track_id)
        finish(imported, place, tag, report.track_id, message, rows, ready.census)
    return 0


def _names(paths: Sequence[Path]) -> list[str]:
    """A name of each file: as many of its last parts as tell it from the others.

    Tools write `log.json` into a folder for each run, and where a folder lies is nobody's business.
    """
    places = [path.absolute().parts for path in paths]
    names = []
    for place in places:
        ends = range(1, len(place) + 1)
        alone = (n for n in ends if sum(each[-n:] == place[-n:] for each in places) == 1)
        names.append("/".join(place[-next(alone, len(place)) :]))
    return names


def _as_project(project: Project, log: Log, digests: dict[str, str]) -> Project:
    names = list(dict.fromkeys(name for each in log.samples for name, _ in each.params))
    params_type = _params_type(names, log)
    grid = list(dict.fromkeys(each.params for each in log.samples))
    made = {params: params_type(**dict(params)) for params in grid}
    found = {(made[s.params], s.input_id, s.repeat): s for s in log.samples}
    items = list(dict.fromkeys(each.input_id for each in log.samples))
    clash = {"id", "input_id", "error"}

    def predict(item: Row, params: Params, repeat: int = 0) -> Row:
        sample = found.get((params, str(item["id"]), repeat))
        if sample is None or sample.error:
            raise NotAnswered(sample.error if sample else f"{log.tool} has no sample of it")
        row = {name: value for name, value in sample.row.items() if name not in clash}
        latency = row.pop("latency", None)
        # A time that nobody measured is none, and not that of looking it up here.
        return {**row, "scored": json.dumps(sample.scores), "latency": _or_nan(latency)}

    def score(row: Row) -> Row:
        scores: Row = json.loads(str(row["scored"]))
        return scores

    settings = project.settings
    calm = settings.run.model_copy(
        update={
            "executor": "serial", "cache": False, "max_errors": 0, "timeout_seconds": 0,
            "on_error": "continue", "repeats": 1 + max(each.repeat for each in log.samples),
        }
    )  # fmt: skip
    settings = settings.model_copy(
        update={
            "run": calm,
            "retry": settings.retry.model_copy(update={"attempts": 1}),
            "limits": settings.limits.model_copy(update={"max_cost_usd": 0}),
            "data": settings.data.model_copy(update={"holdout": 0, "seeds": [], "cluster": ""}),
        }
    )
    return replace(
        project,
        settings=settings, params_type=params_type, grid=tuple(made.values()), files=None,
        load_items=lambda: [{"id": name} for name in items], predict=predict, predict_batch=None,
        load=None, fit=None, estimate=None, score=score, scores=dict(log.scores), aggregates={},
        takes_resource=False, takes_repeat=True, fit_takes_train=False, modules=None,
        code=Code(digests, frozenset()), stamps={}, reads=frozenset(), judge=None, imported=True,
    )  # fmt: skip


def _or_nan(value: object) -> object:
    return float("nan") if value is None else value


def _params_type(names: Sequence[str], log: Log) -> type[Any]:
    """A frozen dataclass with what was varied; None for what a configuration does not have."""
    kinds: dict[str, type] = {}
    for each in log.samples:
        for name, value in each.params:
            kinds[name] = _wider(kinds.get(name), value)
    fields: list[Any] = [
        (name, kinds[name] | None, dataclasses.field(default=None)) for name in names
    ]
    return dataclasses.make_dataclass("Params", fields, frozen=True)


def _wider(known: type | None, value: Value) -> type:
    kind = type(value) if isinstance(value, (str, int, float)) else str
    if known is None or known is kind:
        return kind
    return float if {known, kind} == {int, float} else str
