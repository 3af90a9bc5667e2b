"""The plan's segmentations: each score by the values of a column, with n and interval."""

from collections import Counter
from collections.abc import Iterator

from duckdb import DuckDBPyConnection

from harness.console import ABSENT
from harness.read.results import Experiment
from harness.read.scores import Segment, read_segments
from harness.read.views import ask, columns
from harness.record.segments_table import SEGMENTED, SEGMENTS_OF, TRUTH, SegmentAggregate
from harness.tell.section import Section, Table, interval, with_own_n

# By segment, index of the configuration, and name of the aggregate.
Together = dict[tuple[str, int, str], SegmentAggregate]

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
        segments = read_segments(con, experiment, name)
        together = _aggregates(con, experiment, name)
        yield _section(experiment, name, segments, together, order)


def _aggregates(con: DuckDBPyConnection, experiment: Experiment, segmentation: str) -> Together:
    """What metrics.py computed of the rows of each segment together."""
    if not columns(con, SEGMENTED):
        return {}
    # What stands for several seeds has aggregates of each of them, and none of all.
    places = {
        each.summary.get("params_key"): index
        for index, each in enumerate(experiment.configurations)
        if not each.seeds
    }
    found: Together = {}
    for row in ask(con, SEGMENTS_OF, [experiment.name]).fetchall():
        each = SegmentAggregate(*row)
        if each.segmentation == segmentation and each.params_key in places:
            found[each.segment, places[each.params_key], each.name] = each
    return found


def _section(
    experiment: Experiment,
    name: str,
    segments: list[Segment],
    together: Together,
    order: list[int],
) -> Section:
    shown = order[:SEGMENT_CONFIGURATIONS]
    sizes: Counter[str] = Counter()
    for each in segments:
        sizes[each.value] += each.items
    kept = sorted(sizes, key=lambda value: (-sizes[value], value))[:SEGMENTS]
    by_place = {(each.value, each.configuration): each for each in segments}
    named = {metric for _, _, metric in together}
    aggregates = [each for each in experiment.metrics if each in named]
    rows = []
    for value in sorted(kept):
        for index in shown:
            if found := by_place.get((value, index)):
                label = experiment.configurations[index].label
                cells = _cells(experiment, found)
                for metric in aggregates:
                    cells.append(_cell(together.get((value, index, metric))))
                rows.append([value, label, *cells])
    text = []
    if name == TRUTH and set(experiment.metrics) - set(experiment.scores):
        text.append(
            "Without aggregates: of rows that share one true answer they say another thing."
        )
    if len(sizes) > len(kept):
        text.append(f"The {len(kept)} commonest of {len(sizes):,} values.")
    if len(order) > len(shown):
        text.append(f"The first {len(shown)} of {len(order)} configurations.")
    heads = [name, "configuration", "items"]
    heads += [experiment.rule(each).called for each in [*experiment.scores, *aggregates]]
    return Section(f"By {name}", text, [Table(heads, rows)])


def _cell(found: SegmentAggregate | None) -> str:
    return ABSENT if found is None else interval(found.estimate, found.low, found.high)


def _cells(experiment: Experiment, segment: Segment) -> list[str]:
    cells = [f"{segment.items:,}"]
    for metric, sums in segment.scores.items():
        rule = experiment.rule(metric)
        found = sums.mean(rule.bounds)
        text = interval(found.estimate, rule.within(found.low), rule.within(found.high))
        cells.append(with_own_n(text, sums.n, segment.items))
    return cells
