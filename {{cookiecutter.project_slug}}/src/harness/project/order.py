"""In which order the tasks of a run come: whatever drifts meanwhile must not favour anyone.

- `configurations`: one after the other, so that a worker keeps what it loaded for each;
- `interleaved`: each item under all configurations before the next item, in an order drawn for it,
  so that a slow hour of a service is shared by all;
- `phases`: for each repeat all configurations in an order drawn for it, each with all its items.
"""

import random
from collections.abc import Callable, Iterator
from itertools import repeat as endless

from harness.project.contract import Item, Project

Items = Iterator[tuple[Item, bytes]]
Place = tuple[int, int, Item, bytes]  # index of the configuration, repeat, item and its digest


def in_order(
    project: Project, configurations: int, items_of: Callable[[int], Items]
) -> Iterator[Place]:
    """Every task of a run; `items_of` gives the items of a configuration, by its index.

    Drawn from one seed, so that a run that is resumed asks in the same order.
    """
    if project.order == "interleaved":
        yield from _interleaved(project, configurations, items_of)
        return
    for index, repeats in _blocks(project.order, configurations, project.settings.run.repeats):
        for item, digest in items_of(index):
            for repeat in repeats:
                yield index, repeat, item, digest


def _blocks(order: str, configurations: int, repeats: int) -> Iterator[tuple[int, range]]:
    """Configurations with the repeats that are done at one go."""
    if order == "configurations":
        for index in range(configurations):
            yield index, range(repeats)
        return
    rng = random.Random(0)
    for repeat in range(repeats):
        for index in rng.sample(range(configurations), configurations):
            yield index, range(repeat, repeat + 1)


def _interleaved(
    project: Project, configurations: int, items_of: Callable[[int], Items]
) -> Iterator[Place]:
    rng = random.Random(0)
    every = range(configurations)
    if project.items_by_params:
        passes = [items_of(index) for index in every]
        rows: Iterator[list[tuple[Item, bytes] | None]] = (
            [next(each, None) for each in passes] for _ in endless(None)
        )
    else:
        rows = ([pair] * configurations for pair in items_of(0))
    for row in rows:
        if not any(row):
            return
        for repeat in range(project.settings.run.repeats):
            for index in rng.sample(every, configurations):
                if pair := row[index]:
                    yield index, repeat, *pair
