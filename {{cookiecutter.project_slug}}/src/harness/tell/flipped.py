"""Items on which two configurations differ, side by side as text: the HTML report's page to read.

The pairs are those of the plan's hypotheses, else the first two of the ranking. Words that only one
side has are marked. What is chosen by segment or by who did better is done by the browser's style
sheet: the page runs no script.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np
from duckdb import DuckDBPyConnection

from harness.console import shown
from harness.measure.judge import columns_of
from harness.read.results import Experiment, rows_of, where
from harness.read.scores import Scores
from harness.record.columns import quoted
from harness.tell.ranking import Ranking

MOST = 40  # items of a pair
_LONGEST = 4000  # characters of an answer
_WORDS = 1500  # of an answer, beyond which no words are marked: it would take seconds
_TOKEN = re.compile(r"\s+|\w+|[^\w\s]")
Piece = tuple[bool, str]  # whether only this side has it, and the text


@dataclass(frozen=True, slots=True)
class Flip:
    """An item, what it is, and what both answered. `better` is "A" or "B", `segment` a number."""

    item: str
    about: Sequence[tuple[str, str]]
    expected: str
    scores: tuple[str, str]
    answers: tuple[Sequence[Piece], Sequence[Piece]]
    better: str
    segment: int


@dataclass(frozen=True, slots=True)
class Flips:
    """The items of one pair, by how much they differ; `segments` are what they can be chosen by."""

    a: str
    b: str
    called: str
    items: Sequence[Flip]
    segments: Sequence[str]
    total: int


def flipped(
    con: DuckDBPyConnection,
    experiment: Experiment,
    scores: Scores,
    ranking: Ranking,
    told: Sequence[str] = (),
) -> list[Flips]:
    """The pairs with the items on which they differ; those that agree everywhere are left out."""
    found = []
    for metric, a, b in _pairs(experiment, scores, ranking):
        made = _of_pair(con, experiment, scores, metric, a, b, told)
        if made.items:
            found.append(made)
    return found


def _pairs(
    experiment: Experiment, scores: Scores, ranking: Ranking
) -> Iterator[tuple[str, int, int]]:
    seen = set()
    for each in experiment.plan.hypotheses:
        than, better = (columns_of(experiment, side) for side in (each.than, each.better))
        if each.metric in scores.counted and len(than) == len(better) == 1:
            pair = (each.metric, than[0], better[0])
            if pair not in seen:
                seen.add(pair)
                yield pair
    rule = ranking.rule
    if not seen and rule is not None and len(ranking.order) > 1 and rule.name in scores.counted:
        yield rule.name, ranking.order[1], ranking.order[0]


def _of_pair(
    con: DuckDBPyConnection,
    experiment: Experiment,
    scores: Scores,
    metric: str,
    a: int,
    b: int,
    told: Sequence[str],
) -> Flips:
    rule = experiment.rule(metric)
    values = scores.counted[metric]
    change = np.nan_to_num(values[:, b] - values[:, a])
    order = [int(i) for i in np.argsort(-np.abs(change), kind="stable") if change[i]]
    chosen = order[:MOST]
    column = next((s for s in experiment.plan.segmentations if s in experiment.columns), "")
    items = [int(scores.items[i]) for i in chosen]
    said = [_answers(con, experiment, index, items, [*told, column]) for index in (a, b)]
    segments: dict[str, int] = {}
    flips = []
    for i, item in zip(chosen, items, strict=True):
        left, right = said[0].get(item, {}), said[1].get(item, {})
        row = left or right
        segment = shown(row.get(column), 40) if column else ""
        gained = (change[i] > 0) != rule.lower
        flips.append(
            Flip(
                shown(row.get("input_id")),
                [(shown(name, 40), shown(row.get(name), _LONGEST)) for name in told],
                shown(row.get("ground_truth"), _LONGEST),
                (f"{values[i, a]:.3g}", f"{values[i, b]:.3g}"),
                marked(_text(left), _text(right)),
                "B" if gained else "A",
                segments.setdefault(segment, len(segments)),
            )
        )
    names = [experiment.configurations[index].label for index in (a, b)]
    listed = list(segments) if column else []
    return Flips(names[0], names[1], rule.called, flips, listed, len(order))


def _text(row: dict[str, object]) -> str:
    """What a person reads of an answer: the transcript where there are several turns."""
    for name in ("error", "transcript", "prediction"):
        if row.get(name) is not None:
            return shown(row[name], _LONGEST)
    return shown(None)


def _answers(
    con: DuckDBPyConnection,
    experiment: Experiment,
    index: int,
    items: Sequence[int],
    told: Sequence[str],
) -> dict[int, dict[str, object]]:
    """What a configuration answered to items (hashes of ids), the first repeat of each."""
    names = ["input_id", "ground_truth", "prediction", "transcript", "error", *told]
    known = [n for n in dict.fromkeys(names) if n and n in experiment.columns]
    listed = ", ".join(
        f"left(CAST({quoted(name)} AS VARCHAR), {_LONGEST + 1}) AS {quoted(name)}" for name in known
    )
    condition, values = where(experiment, index)
    rows = rows_of(
        con,
        f'SELECT hash(input_id) AS "item hash", {listed} FROM predictions '
        f"WHERE experiment_version = ? AND {condition} "
        "AND list_contains(?::UBIGINT[], hash(input_id)) ORDER BY repeat DESC",
        [experiment.name, *values, [int(each) for each in items]],
    )
    return {row["item hash"]: row for row in rows}


def marked(a: str, b: str) -> tuple[list[Piece], list[Piece]]:
    """Both texts in pieces, each with whether the other one lacks it."""
    one, other = _TOKEN.findall(a), _TOKEN.findall(b)
    if max(len(one), len(other)) > _WORDS:
        return [(False, a)], [(False, b)]
    left: list[Piece] = []
    right: list[Piece] = []
    for kind, i, j, k, m in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if i < j:
            left.append((kind != "equal", "".join(one[i:j])))
        if k < m:
            right.append((kind != "equal", "".join(other[k:m])))
    return left, right
