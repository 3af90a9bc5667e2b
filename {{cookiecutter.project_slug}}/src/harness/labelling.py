"""`make label`: a person says of answers what a judge would, without seeing who answered.

Which answers: those whose hash with the rubric comes first, a random sample that depends on nothing
a person does. Each label is on the disk before the next answer is shown.
"""

import hashlib
import heapq
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from harness.console import RAW, err, out, shown, styled
from harness.errors import HarnessError
from harness.project.contract import Project
from harness.project.judge import FILE as JUDGE
from harness.project.judge import ID, Label
from harness.project.labels import FILE, add_label, read_labels
from harness.project.values import Row
from harness.record.judgements import answers
from harness.record.layout import place_for

BACK, SKIP, QUIT = "u", "s", "q"


@dataclass(frozen=True, slots=True)
class Question:
    """An answer to label: what is shown of it, by name, and the rubric in its files' words."""

    rubric: str
    answer: str
    parts: dict[str, str]
    rules: tuple[str, ...]


class Labelling:
    """Answers of an experiment that still need a label, and the labels that are given."""

    def __init__(self, project: Project, experiment: str, wanted: int) -> None:
        judge = project.judge
        if judge is None:
            raise HarnessError("there is no judge", fix=f"write {JUDGE}")
        if not judge.labelled:
            raise HarnessError(
                f"{JUDGE} does not say what a label is",
                fix='write LABELS = {"verdict": ("yes", "no")}: the column that judge returns, '
                "and its values",
            )
        self.root, self.judge, self.experiment = project.root, judge, experiment
        self.keys = keys_of(judge.labels)
        place = place_for(project.root, project.settings, experiment)
        if not place.db.exists():
            raise HarnessError(f"there are no answers of {experiment} yet", fix="make dev-run")
        every = list(answers(place, experiment, judge.view))
        if not every:
            raise HarnessError(f"there are no answers of {experiment} yet", fix="make dev-run")
        labels = read_labels(project.root, judge)
        self._todo: list[Question] = []
        self._done: list[Question] = []
        self.there = 0
        rubrics = {judge.rubric(params): params for params in judge.grid}
        for rubric, params in rubrics.items():
            rules = tuple(path.read_text("utf-8") for path in judge.rubric_files(params))
            chosen = heapq.nsmallest(wanted, every, key=lambda row: _place(rubric, row))
            known = labels.get(rubric, {})
            self.there += sum(row[ID] in known for row in chosen)
            self._todo += [_question(rubric, row, rules) for row in chosen if row[ID] not in known]
        self.wanted = self.there + len(self._todo)

    @property
    def now(self) -> Question | None:
        """The answer that is asked about; None at the end."""
        return self._todo[0] if self._todo else None

    @property
    def given(self) -> int:
        """How many labels were given here."""
        return len(self._done)

    def give(self, label: Label) -> None:
        """Label the answer that is asked about."""
        question = self._todo.pop(0)
        add_label(self.root, self.judge, question.rubric, question.answer, label)
        self._done.append(question)

    def skip(self) -> None:
        """Ask about the answer at another time."""
        self._todo.pop(0)

    def back(self) -> None:
        """Take the last label back and ask again."""
        if self._done:
            question = self._done.pop()
            add_label(self.root, self.judge, question.rubric, question.answer, None)
            self._todo.insert(0, question)

    def words_at_end(self) -> str:
        """What is there now, and what to do with it."""
        count = self.there + self.given
        return (
            f"{count} of {self.wanted} answers of {self.experiment} are labelled in {FILE}: "
            f"commit it, then make rescore TAG={self.experiment} holds the judge against them"
        )


def _place(rubric: str, row: Row) -> bytes:
    return hashlib.sha256(f"{rubric} {row[ID]}".encode()).digest()


def _question(rubric: str, row: Row, rules: tuple[str, ...]) -> Question:
    # Whoever labels must not see which configuration answered.
    hidden = {ID, "input_id", "task_key", "repeat"}
    parts = {
        name: shown(value, RAW * 10)
        for name, value in row.items()
        if name not in hidden and not name.startswith("params_")
    }
    return Question(rubric, row[ID], parts, rules)


def keys_of(labels: tuple[Label, ...]) -> dict[str, Label]:
    """The key of each label: a digit as it is, the first letter where those differ, else 1, 2, …"""
    texts = [str(label) for label in labels]
    if not all(len(text) == 1 for text in texts):
        texts = [text[0].lower() for text in texts]
    if len(set(texts)) < len(texts) or set(texts) & {BACK, SKIP, QUIT}:
        texts = [str(number) for number in range(1, len(labels) + 1)]
    return dict(zip(texts, labels, strict=True))


def label_in_terminal(labelling: Labelling) -> None:
    """Ask about each answer; a key gives the label. Without a terminal, keys are read as lines."""
    keys = _keys()
    rules: tuple[str, ...] = ()
    choices = "  ".join(f"[{key}] {label}" for key, label in labelling.keys.items())
    while (question := labelling.now) is not None:
        if question.rules != rules:
            rules = question.rules
            for text in rules:
                out.print(styled(("rubric", "bold"), f"\n{shown(text, RAW * 4)}"))
        number = labelling.there + labelling.given + 1
        out.print(styled((f"\n{number} of {labelling.wanted}", "bold")))
        for name, text in question.parts.items():
            out.print(styled((f"{name}: ", "bold"), text))
        out.print(f"{choices}  [{SKIP}] skip  [{BACK}] undo  [{QUIT}] quit")
        key = next(keys, QUIT)
        if key == QUIT:
            break
        if key == BACK:
            labelling.back()
        elif key == SKIP:
            labelling.skip()
        elif key in labelling.keys:
            labelling.give(labelling.keys[key])
        elif key:
            err.print(f"{shown(key)} is none of the keys", markup=False)
    out.print(labelling.words_at_end(), soft_wrap=True)


def _keys() -> Iterator[str]:
    """One key at a time from a terminal; lines from a file or a pipe."""
    if not sys.stdin.isatty():
        for line in sys.stdin:
            yield line.strip().lower()
        return
    try:
        import termios
        import tty
    except ImportError:  # Windows
        import msvcrt

        while True:
            yield msvcrt.getwch().lower()  # type: ignore[attr-defined]
    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    while True:
        try:
            tty.setcbreak(number)
            key = sys.stdin.read(1)
        finally:
            termios.tcsetattr(number, termios.TCSADRAIN, before)
        if not key:
            return
        yield key.lower()
