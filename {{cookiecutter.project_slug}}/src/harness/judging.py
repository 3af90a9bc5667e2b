"""The stage between a run and its scores: judge.py is asked about each recorded answer.

It is a run like any other, whose items are the answers: once, cached, resumed, retried, paced,
within the same budget. Its rows are in the table `judgements`. What failed there asks the judge
again, never the candidate.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from harness.errors import HarnessError
from harness.project.contract import Project
from harness.project.grid import Configuration, Grid, resolve_grid
from harness.project.judge import ID, MODULE, Judge
from harness.project.values import Row
from harness.record.judgements import (
    COLUMN,
    PAIR,
    PLACES,
    PREFERRED,
    Judged,
    answers,
    mean_cost,
    pair_of,
)
from harness.record.layout import DEV, Place, place_for
from harness.run.loop import RunReport, run
from harness.run.prepared import prepare
from harness.run.provenance import provenance


def judge_answers(
    project: Project,
    experiment: str,
    place: Place | None = None,
    known: Sequence[Path] | None = None,
) -> RunReport | None:
    """Ask for every judgement that is missing; None where there is no judge, or no answer.

    `place` and `known`: see `run.loop.run`. Raises HarnessError as a run does.
    """
    place = place or place_for(project.root, project.settings, experiment)
    if project.judge is None or not place.db.exists():
        return None
    judging = _as_project(project, project.judge, place, experiment)
    if next(iter(judging.load_items()), None) is None:
        return None
    ready = prepare(judging, None)
    grid = _named(ready.grid)
    made_by = provenance(judging, grid, ready.census, "judge", {})
    there = place.of_judgements()
    return run(judging, experiment, grid, ready.census, made_by, None, there, known)


def forecast_lines(project: Project, datapoints: int) -> list[str]:
    """How many judgements a run asks for at most, and what they cost by those of the dev phase.

    There are no answers yet, and equal ones are judged once, so it may be fewer.
    """
    judge = project.judge
    if judge is None:
        return []
    most = datapoints * len(judge.grid) * (2 if judge.view.compares else 1)
    line = f"judge.py: {most:,} judgements at most"
    place = place_for(project.root, project.settings, DEV)
    paid = mean_cost(place) if place.db.exists() else None
    if paid is None:
        return [f"{line}; a dev-run shows what one costs"]
    return [f"{line}, {most * paid:.4f} USD at most (one cost {paid:.6f} in the dev-run)"]


def judged(project: Project) -> Judged | None:
    """Which judgements the scores of today read; None without a judge."""
    if project.judge is None:
        return None
    place = Place(project.root, "", project.root)
    judge = project.judge
    made = resolve_grid(_as_project(project, judge, place, "")).configurations
    return Judged(
        judge.view,
        tuple(map(_name, made)),
        {_name(each): judge.rubric(each.params) for each in made},
    )


def refuse_unjudged(report: RunReport, again: str) -> None:
    """Raise HarnessError where judging stopped, or where judgements failed."""
    if report.ended_how != "finished":
        raise HarnessError(
            f"judging is not finished: {report.reason}",
            fix=report.how_to_go_on(again, committed="experiment" in again),
            code=1,
        )
    if report.counts.failed:
        raise HarnessError(
            f"{report.counts.failed} judgements failed",
            fix=f"`{again}` asks the judge again, and no candidate",
            code=1,
        )


def _as_project(project: Project, judge: Judge, place: Place, experiment: str) -> Project:
    """The judge as a benchmark: answers are its items, `judge` is its predict."""
    run_settings = project.settings.run
    # A worker process would load predict.py; a judge waits for a server anyway.
    executor = run_settings.executor
    own = project.kind.executors.get(executor)
    if executor != "serial" and not (own and own.judges):
        executor = "threads"
    settings = project.settings.model_copy(
        update={"run": run_settings.model_copy(update={"executor": executor, "repeats": 1})}
    )
    return replace(
        project,
        settings=settings,
        params_type=judge.params_type,
        grid=judge.grid,
        files=judge.files,
        load_items=partial(answers, place, experiment, judge.view),
        predict=_of_pairs(judge) if judge.view.compares else judge.function,
        predict_batch=None,
        takes_repeat=False,
        fit_takes_train=False,
        load=judge.load,
        fit=None,
        estimate=judge.estimate,
        takes_resource=judge.load is not None,
        modules=None,
        code=judge.code,
        stamps=judge.stamps,
        reads=frozenset(),
        judge=None,
        entry=(MODULE,),
    )


def _of_pairs(judge: Judge) -> Callable[..., Row]:
    """`judge` of two answers: its word is on the scale, and both orders share the column `pair`."""

    def predict(shown: Row, *more: object) -> Row:
        said = judge.function(shown, *more)
        pair = {name: value for name, value in shown.items() if name != ID}
        if not isinstance(said, dict) or said.get(PREFERRED) not in (*PLACES, "tie"):
            word = said.get(PREFERRED) if isinstance(said, dict) else said
            raise ValueError(f'{PREFERRED} is {word!r:.80}, not "first", "second" or "tie"')
        return {**said, PAIR: pair_of(judge.view, pair)}

    return predict


def _name(configuration: Configuration) -> str:
    """What judges: params and files, and code."""
    return f"{configuration.digest.hex()[:16]}-{configuration.code_key[:16]}"


def _named(grid: Grid) -> Grid:
    """The grid with the name of each judge as a column of its judgements."""
    return replace(
        grid,
        configurations=tuple(
            replace(each, columns={**each.columns, COLUMN: _name(each)})
            for each in grid.configurations
        ),
    )
