"""Labelled answers scored twice: by what the judge said, and by what a person said in its place.

What a person said takes the place of the judgements of one rubric, and `score` of metrics.py does
the rest, so that scores made of several verdicts are compared as they are used.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing

from harness.measure.score_values import as_number
from harness.project.contract import Project
from harness.project.declarations import Rule
from harness.project.judge import Label
from harness.project.labels import read_labels
from harness.project.values import Row
from harness.record.columns import quoted
from harness.record.judgements import COLUMN, PLACES, Judged, won
from harness.record.labelled import Labelled
from harness.record.layout import DEV, JUDGEMENTS, Place, place_for
from harness.record.score_tables import recorded_rules

_AT_ONCE = 500
PERSON = "person"


def calibrate(
    project: Project, place: Place, experiment: str, judged: Judged | None
) -> list[Labelled]:
    """The rows of `judge_labels` of an experiment, from labels/judge.jsonl.

    Its own answers come first; a label of an answer that it does not have is looked for in the dev
    phase and in the other experiments of its table.
    """
    labels = {}
    if judged is not None and project.judge is not None:
        every = read_labels(project.root, project.judge)
        labels = {r: every[r] for r in dict.fromkeys(judged.rubrics.values()) if every.get(r)}
    with closing(sqlite3.connect(place.db, isolation_level=None, timeout=10)) as connection:
        rules = [
            rule
            for rule in recorded_rules(connection, experiment)
            if not rule.aggregate and rule.name in project.scores
            and project.scores[rule.name].judged
        ]  # fmt: skip
        if not labels or not rules or judged is None:
            return []
        found: list[Labelled] = []
        seen: dict[str, set[str]] = {rubric: set() for rubric in labels}
        for there, name in _sources(project, place, experiment, connection):
            own = name == experiment and there.db == place.db
            wanted = {r: {a: s for a, s in of.items() if own or a not in seen[r]}
                      for r, of in labels.items()}  # fmt: skip
            if not any(wanted.values()):
                break
            for row, answer, mine in _rows(there, name, judged, set().union(*wanted.values())):
                for rubric, of_rubric in wanted.items():
                    if answer not in of_rubric or (not own and answer in seen[rubric]):
                        continue
                    made = _Person(project, judged, rubric, of_rubric[answer])
                    pairs = list(made.pairs(row, answer, mine, rules))
                    if pairs:
                        seen[rubric].add(answer)
                    key = str(row["task_key"]) if own else None
                    found += (
                        Labelled(score, judge, rubric, answer, key, name, a, b)
                        for score, judge, a, b in pairs
                    )
        return found


class _Person:
    """A person's label of one answer, in the place of the judgements of its rubric."""

    def __init__(self, project: Project, judged: Judged, rubric: str, label: Label) -> None:
        self._score = project.score
        self._judges = {name for name, each in judged.rubrics.items() if each == rubric}
        column = project.judge.labelled if project.judge else ""
        self._said: Row = {COLUMN: PERSON, column: label}

    def pairs(
        self, row: Row, answer: str, mine: str, rules: Sequence[Rule]
    ) -> Iterator[tuple[str, str, float, float]]:
        """Score, judge ("" for all), and its value by the judge's word and by the person's.

        Of a pair, both are of the order that the person saw, the row's answer as `mine`.
        """
        of_rubric = [each for each in row[JUDGEMENTS] if each[COLUMN] in self._judges]
        theirs = [each for each in of_rubric if each["input_id"] == answer]
        others = [each for each in row[JUDGEMENTS] if each[COLUMN] not in self._judges]
        if not theirs:
            return
        # With what else a judgement has: score may look at its params.
        said = theirs[0] | self._said
        if "won" in said:
            said["won"] = won(said, mine)
        person = self._score(dict(row) | {JUDGEMENTS: [*others, said]})
        sides = {"": theirs}
        if len(self._judges) > 1:
            sides |= {str(each[COLUMN]): [each] for each in theirs}
        for judge, words in sides.items():
            values = self._score(dict(row) | {JUDGEMENTS: [*others, *words]})
            for rule in rules:
                a, b = (_value(each.get(rule.name), rule) for each in (values, person))
                if a is not None and b is not None:
                    yield rule.name, judge, a, b


def _value(value: object, rule: Rule) -> float | None:
    if value is None:
        return rule.missing
    number, _ = as_number(value)
    return rule.missing if number is None else float(number)


def _sources(
    project: Project, place: Place, experiment: str, connection: sqlite3.Connection
) -> Iterator[tuple[Place, str]]:
    """Where answers with labels may be: place and experiment, the experiment itself first."""
    yield place, experiment
    if experiment == DEV:
        return
    dev = place_for(project.root, project.settings, DEV)
    if dev.db.exists():
        yield dev, DEV
    query = f"SELECT DISTINCT experiment_version FROM {quoted(place.predictions)}"
    for (name,) in connection.execute(f"{query} ORDER BY 1 DESC").fetchall():
        if name != experiment:
            yield place, name


def _rows(
    place: Place, experiment: str, judged: Judged, wanted: set[str]
) -> Iterator[tuple[Row, str, str]]:
    """The good rows whose answer is wanted, with their judgements; the answer, and its place."""
    last = -1
    with closing(sqlite3.connect(place.db, isolation_level=None, timeout=10)) as connection:
        connection.row_factory = sqlite3.Row
        while True:
            rows = [
                dict(row)
                for row in connection.execute(
                    f"SELECT rowid AS rowid, * FROM {quoted(place.predictions)} NOT INDEXED "
                    "WHERE experiment_version = ? AND error_type IS NULL AND rowid > ? "
                    "ORDER BY rowid LIMIT ?",
                    (experiment, last, _AT_ONCE),
                )
            ]
            if not rows:
                return
            last = rows[-1]["rowid"]
            names = judged.known_by(connection, place.predictions, rows, experiment)
            some = [
                (row, answer, mine)
                for row, known in zip(rows, names, strict=True)
                for mine, answer in zip(PLACES, known, strict=False)
                if answer in wanted
            ]
            alone = [row for row, _, _ in some]
            judged.attach(connection, place.predictions, alone, experiment)
            yield from some
