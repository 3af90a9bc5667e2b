"""Which model predicts an item, and on how many items it was fitted and is tested.

An item's "fold" names the model that it is tested with: one value, or a list with one for each
repeat of a repeated K-fold, at least as many as [run] repeats. A model is fitted on the items of
all other folds of its repeat, which `fit(params, fold, train)` is given: so what it saw is known,
and no item is tested by a model that saw it.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from harness.errors import HarnessError
from harness.project.contract import Item, Project
from harness.project.tasks import Task
from harness.project.values import Params, Row

_FILE = "src/benchmark/dataset.py"
Part = bytes  # a fold of a repeat, as canonical JSON


@dataclass(frozen=True, slots=True)
class Folds:
    """The folds of one configuration's items.

    `tested` counts the items of each fold, by repeat where `repeated`, and `named` has the fold as
    the items name it. `known`: fit is given its items, so that `n_train` is what it saw.
    """

    tested: dict[Part, int]
    named: dict[Part, tuple[int, object]]
    items: int
    repeated: bool
    known: bool

    def columns(self, task: Task) -> Row:
        """What a row says of its model: fold, and where it is known n_train and n_test."""
        fold = fold_of(task.item, task.repeat)
        named = f"r{task.repeat}f{fold}" if self.repeated else fold
        if not self.known:
            return {"fold": named} if named is not None else {}
        n_test = self.tested[part_of(task.item, task.repeat)]
        return {"fold": named, "n_train": self.items - n_test, "n_test": n_test}


def fold_of(item: Item, repeat: int) -> object:
    """The fold in which an item is tested."""
    fold = item.get("fold")
    return fold[repeat] if isinstance(fold, (list, tuple)) else fold


def part_of(item: Item, repeat: int) -> Part:
    """The same as bytes; two repeats of a repeated K-fold share no fold."""
    fold = fold_of(item, repeat)
    return orjson.dumps([repeat, fold] if fold is not item.get("fold") else fold)


def training_items(items: Iterable[Item], repeat: int, fold: object) -> list[Item]:
    """The items of all other folds of a repeat."""
    return [item for item in items if fold_of(item, repeat) != fold]


def read_folds(project: Project, params: Params) -> Folds:
    """Look at the fold of every item.

    Raises HarnessError where some name a fold for each repeat and others one, where there are not
    as many as [run] repeats, and where fit would be given no items.
    """
    repeats = project.settings.run.repeats
    tested: Counter[Part] = Counter()
    named: dict[Part, tuple[int, object]] = {}
    lists = count = 0
    for item in project.items(params):
        count += 1
        fold = item.get("fold")
        several = list(fold) if isinstance(fold, (list, tuple)) else []
        lists += bool(several)
        if several and len(several) < repeats:
            raise HarnessError(
                f"item {item['id']!r} has {len(several)} folds, and [run] repeats is {repeats}",
                fix=f"give each item one fold for each repeat in {_FILE}, or set repeats",
            )
        for repeat in range(repeats if several else 1):
            part = part_of(item, repeat)
            tested[part] += 1
            named.setdefault(part, (repeat, fold_of(item, repeat)))
    found = Folds(dict(tested), named, count, bool(lists), project.fit_takes_train)
    _check(found, lists)
    return found


def check_folds(project: Project) -> None:
    """What is wrong with the folds of any configuration is said before anything runs."""
    if project.fit is None:
        return
    for params in project.grid if project.items_by_params else project.grid[:1]:
        read_folds(project, params)


def _check(found: Folds, lists: int) -> None:
    if lists not in (0, found.items):
        raise HarnessError(
            f"{lists} of {found.items} items have a list of folds and the others one fold",
            fix=f"give each item its folds in the same form in {_FILE}",
        )
    if found.repeated and not found.known:
        raise HarnessError(
            "items have a fold for each repeat, and fit does not take the items of the others",
            fix="write `def fit(params, fold, train):` in src/benchmark/predict.py",
        )
    for part, count in found.tested.items():
        if found.known and count == found.items:
            repeat, fold = found.named[part]
            of = f" in repeat {repeat}" if found.repeated else ""
            raise HarnessError(
                f"fold {fold!r} has no training items: every item is tested in it{of}",
                fix=f'name at least two folds by "fold" in {_FILE}, or write fit(params, fold)',
            )
