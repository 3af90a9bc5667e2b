"""Bounds of a mean over seeds: from each item's mean over them, as every comparison takes it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.project.values import Row
from harness.read.results import Experiment, read_experiment
from harness.read.scores import Scores, read_scores
from harness.read.views import connect
from harness.stats.intervals import mean_interval


def with_bounds_over_seeds(experiment: Experiment, scores: Scores) -> Experiment:
    """The experiment with these bounds where a configuration stands for several seeds.

    They are of these seeds: how far others may lie is what the spread over seeds says. Aggregates
    keep the means of the bounds of each seed, which are no narrower than those of their mean.
    """
    found = []
    for index, each in enumerate(experiment.configurations):
        summary: Row = dict(each.summary)
        if each.seeds > 1:
            for metric in experiment.metrics:
                if metric in scores.counted:
                    summary |= _bounds(experiment, scores, metric, index)
        found.append(replace(each, summary=summary))
    return replace(experiment, configurations=found)


def rows_over_seeds(database: Path, name: str, rows: Sequence[Row]) -> list[Row]:
    """Pooled rows of metrics (`read.results.pooled_rows`) with these bounds."""
    with connect([database]) as con:
        experiment = read_experiment(con, name)
        scores = read_scores(con, experiment, experiment.scores)
    found = with_bounds_over_seeds(experiment, scores).configurations
    if len(found) != len(rows):
        return [*rows]  # an experiment whose grid has changed since
    ends = ("_low", "_high")
    names = [f"{metric}{end}" for metric in experiment.scores for end in ends]
    return [
        row | {each: said.summary[each] for each in names if each in said.summary}
        for row, said in zip(rows, found, strict=True)
    ]


def _bounds(experiment: Experiment, scores: Scores, metric: str, index: int) -> Row:
    rule = experiment.rule(metric)
    values = scores.counted[metric][:, index]
    found = mean_interval(values, scores.units.clusters, bounds=rule.bounds)
    return {f"{metric}_low": rule.within(found.low), f"{metric}_high": rule.within(found.high)}
