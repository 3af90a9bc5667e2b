"""The part of a report on judges: who judged, how far people agree, means without their errors."""

from collections.abc import Sequence

from duckdb import DuckDBPyConnection

from harness.console import ABSENT
from harness.read.calibration import Agreement, agreements, corrected, judges_of, positions
from harness.read.results import Experiment, label
from harness.stats.intervals import Interval
from harness.tell.section import Section, Table, interval, number

_WAYS = {
    "PPI++": "labels of its own answers (PPI++)",
    "Rogan-Gladen": "sensitivity and specificity (Rogan-Gladen)",
    "mean error": "the mean error on all labels",
    "labels alone": "every answer is labelled",
}


def judge_sections(
    con: DuckDBPyConnection, experiment: Experiment, order: Sequence[int]
) -> list[Section]:
    """Who judged, how far people agree where answers are labelled, and what place did to pairs."""
    placed = [*_who_judged(con, experiment), *_position_sections(con, experiment)]
    found = agreements(con, experiment)
    if not found:
        return placed
    text = [
        "People labelled answers without seeing what the judge said. κ is agreement beyond chance "
        "(1: always, 0: as by chance; of a scale with quadratic weights), sensitivity the share of "
        "what people call good that the judge does too, specificity the same of what they call bad."
    ]
    if any(each.elsewhere for each in found):
        text.append(
            "Some labels are of answers of the dev phase or of other experiments: they say how the "
            "judge errs, and nothing else."
        )
    scores = dict.fromkeys(each.score for each in found)
    means = [_means(con, experiment, score, order) for score in scores]
    text.append(
        "Hypotheses and comparisons are of the judge's word as it is. A correction by the errors "
        "on all labels takes it that the judge errs alike in every configuration."
    )
    people = Section("The judge and people", text, [_agreement(experiment, found), *means])
    return [people, *placed]


def _who_judged(con: DuckDBPyConnection, experiment: Experiment) -> list[Section]:
    found = judges_of(con, experiment)
    if not found:
        return []
    text = (
        "What scores read besides the answers. Its version is of its code, rubric and params; "
        "what was judged before is not asked again, and the costs above are without these."
    )
    heads = ("judge", "version", "judgements", "asked", "failed", "cost (USD)")
    rows = [
        [
            label(each.params), each.version[:16], f"{each.judgements:,}", f"{each.asked:,}",
            f"{each.failed:,}", ABSENT if each.cost is None else number(each.cost),
        ]
        for each in found
    ]  # fmt: skip
    return [Section("Judges", [text], [Table(heads, rows)])]


def _position_sections(con: DuckDBPyConnection, experiment: Experiment) -> list[Section]:
    found = positions(con, experiment)
    if not found:
        return []
    text = (
        "Each pair of answers was judged in both orders. Where the judge named the same place "
        "twice, it went by the place and not by the answers; both count half to each."
    )
    heads = ("judge", "pairs", "the same answer in both orders", "first twice", "second twice")
    rows = [
        [
            each.judge, f"{each.pairs:,}", _words(each.same_answer),
            f"{each.first_twice:,}", f"{each.second_twice:,}",
        ]
        for each in found
    ]  # fmt: skip
    return [Section("Position of answers", [text], [Table(heads, rows)])]


def _agreement(experiment: Experiment, found: list[Agreement]) -> Table:
    heads = ("score", "judge", "rubric", "labels", "κ", "sensitivity", "specificity")
    rows = [
        [
            experiment.rule(each.score).called, each.judge or "all", each.rubric[:8],
            f"{each.labels:,}" + (f" ({each.elsewhere:,} elsewhere)" if each.elsewhere else ""),
            _words(each.kappa), _words(each.sensitivity), _words(each.specificity),
        ]
        for each in found
    ]  # fmt: skip
    return Table(heads, rows)


def _means(
    con: DuckDBPyConnection, experiment: Experiment, score: str, order: Sequence[int]
) -> Table:
    found = {each.configuration: each for each in corrected(con, experiment, score)}
    called = experiment.rule(score).called
    rows = []
    for index in order:
        each = found.get(index)
        if each is None:
            continue
        mean = each.mean
        rows.append(
            [
                experiment.configurations[index].label, number(each.judged), _words(mean),
                _WAYS.get(mean.method, mean.note or mean.method), f"{each.own:,}",
            ]
        )  # fmt: skip
    heads = ("configuration", f"{called}, by the judge", f"{called}, corrected", "by", "own labels")
    return Table(heads, rows)


def _words(found: Interval | None) -> str:
    if found is None:
        return "–"
    if found.estimate is None:
        return found.note or "–"
    return f"{interval(found.estimate, found.low, found.high)}, n {found.n:,}"
