"""The plan's segmentations: each score by the values of a column, with n and interval."""

from collections import Counter
from collections.abc import Iterator

from duckdb import DuckDBPyConnection

from harness.read.results import Experiment
from harness.read.scores import Segment, read_segments
from harness.tell.section import Section, Table, interval, with_own_n

SEGMENTS = 30  # values of one segmentation, the commonest
SEGMENT_CONFIGURATIONS = 8  # configurations in the tables of segments, the first ones


def segment_sections(
    con: DuckDBPyConnection, experiment: Experiment, order: list[int]
) -> Iterator[Section]:
    """One section per segmentation; `order` lists the configurations as Results does."""
    for name in experiment.plan.segmentations:
        if name not in experiment.columns:
            yield Section(f"By {name}", [f"No row has the column {name}."], warning=True)
            continue
        yield _section(experiment, name, read_segments(con, experiment, name), order)


def _section(
    experiment: Experiment, name: str, segments: list[Segment], order: list[int]
) -> Section:
    shown = order[:SEGMENT_CONFIGURATIONS]
    sizes: Counter[str] = Counter()
    for each in segments:
        sizes[each.value] += each.items
    kept = sorted(sizes, key=lambda value: (-sizes[value], value))[:SEGMENTS]
    by_place = {(each.value, each.configuration): each for each in segments}
    rows = []
    for value in sorted(kept):
        for index in shown:
            if found := by_place.get((value, index)):
                label = experiment.configurations[index].label
                rows.append([value, label, *_cells(experiment, found)])
    text = []
    if len(sizes) > len(kept):
        text.append(f"The {len(kept)} commonest of {len(sizes):,} values.")
    if len(order) > len(shown):
        text.append(f"The first {len(shown)} of {len(order)} configurations.")
    heads = [name, "configuration", "items"]
    heads += [experiment.rule(each).called for each in experiment.scores]
    return Section(f"By {name}", text, [Table(heads, rows)])


def _cells(experiment: Experiment, segment: Segment) -> list[str]:
    cells = [f"{segment.items:,}"]
    for metric, sums in segment.scores.items():
        rule = experiment.rule(metric)
        found = sums.mean(rule.bounds)
        text = interval(found.estimate, rule.within(found.low), rule.within(found.high))
        cells.append(with_own_n(text, sums.n, segment.items))
    return cells
