"""The tasks of a run: items x params x repeats, streamed, so that a million items fit in memory."""

import hashlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.console import brief
from harness.errors import HarnessError
from harness.project.contract import Item, Project
from harness.project.grid import Configuration, Grid
from harness.project.interim import Looks
from harness.project.keys import item_digest
from harness.project.order import Items, in_order
from harness.project.values import Params

_SHOWN = 5


@dataclass(slots=True)  # not frozen: that makes it six times slower, and there is one a datapoint
class Task:
    """One execution of predict: (item, params, repeat) and its key.

    `look`: at which look of the plan its item comes; 0 where the plan has none.
    """

    item: Item
    configuration: Configuration
    repeat: int
    key: str
    item_key: str
    look: int = 0

    @property
    def input_id(self) -> str:
        """The item's id as it is in the table."""
        return str(self.item["id"])


def touched(task: Task, root: Path) -> str:
    """A file of the task's item that changed since its key was made; '' for none."""
    for value in task.item.values():
        if isinstance(value, Path):
            return "" if _is_as_keyed(task, root) else f"a file of item {task.input_id}"
    return ""


def _is_as_keyed(task: Task, root: Path) -> bool:
    try:
        return item_digest(task.item, root).hex() == task.item_key
    except HarnessError:
        return False


def tasks(project: Project, grid: Grid, census: "Census", limit: int | None) -> Iterator[Task]:
    """Every task of a run, in the order of [run] order.

    A kind may want them item by item (`interleaved`); then configurations that share their items
    are. Up to a look of the plan (`census.upto`), those of the items that come until
    then. Raises HarnessError where dataset.load returns other items than when `census` was taken.
    """
    every = grid.configurations

    def items_of(index: int) -> Items:
        found = census.of(index).checked(project, every[index].params, limit)
        if census.comes is None:
            return found
        return (pair for pair in found if census.look_of(pair[1]) <= census.until)

    for index, repeat, item, digest in in_order(project, len(every), items_of):
        configuration = every[index]
        key = configuration.key(digest, repeat)
        yield Task(item, configuration, repeat, key, digest.hex(), census.look_of(digest))


@dataclass(frozen=True, slots=True)
class Seen:
    """The items of one pass over dataset.load: eight bytes of each one's digest, in order.

    `clusters`: eight bytes of what each was drawn with; empty where that is itself.
    """

    digests: "array[int]"
    clusters: "array[int]" = field(default_factory=lambda: array("Q"))

    @property
    def cluster_sizes(self) -> npt.NDArray[np.intp]:
        """How many items each cluster has."""
        drawn_by = _numbers(self.clusters or self.digests)
        return np.asarray(np.unique(drawn_by, return_counts=True)[1])

    def checked(
        self, project: Project, params: Params, limit: int | None
    ) -> Iterator[tuple[Item, bytes]]:
        """The items of another pass with their digests.

        Raises HarnessError at the first item that is not the one seen before, and where one is
        missing: the run would be recorded under a data version that it did not use.
        """
        count = 0
        for item in project.items(params, limit):
            digest = item_digest(item, project.root)
            if count >= len(self.digests) or self.digests[count] != _short(digest):
                raise _other_items(f"item {count + 1} (id {item.get('id')!r}) is another one")
            count += 1
            yield item, digest
        if count < len(self.digests):
            raise _other_items(f"{count} items instead of {len(self.digests)}")


def _numbers(found: "array[int]") -> npt.NDArray[np.uint64]:
    return np.frombuffer(found, dtype=np.uint64)


def _short(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "big")


def _other_items(what: str) -> HarnessError:
    return HarnessError(
        f"dataset.load does not repeat itself: asked again, it gave other items ({what})",
        fix="let load in src/benchmark/dataset.py give the same items in the same order each time: "
        "seed what it draws at random, and return a list instead of an iterator kept outside it",
    )


@dataclass(frozen=True, slots=True)
class Census:
    """What a pass over all items found: how many, how many tasks they make, and their content.

    `passes`: the items of each configuration, or of all of them where they share one dataset.
    `each`: how many tasks an item of a pass makes. `comes`: the digests of all items, ascending,
    and at which look of the plan each comes. `until`: the look up to which `items` and `tasks`
    count; `digest` is of all items whatever it is.
    """

    items: int
    tasks: int
    digest: str
    passes: tuple[Seen, ...]
    each: int = 1
    comes: tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint8]] | None = None
    until: int = 0

    def look_of(self, digest: bytes) -> int:
        """At which look an item comes; 0 where the plan has none."""
        if self.comes is None:
            return 0
        known, looks = self.comes
        return int(looks[np.searchsorted(known, np.uint64(_short(digest)))])

    def with_looks(self, looks: Looks) -> "Census":
        """The same with all items drawn to looks, up to the last of them."""
        digests = [_numbers(each.digests) for each in self.passes]
        drawn_by = [_numbers(each.clusters or each.digests) for each in self.passes]
        known, first = np.unique(np.concatenate(digests), return_index=True)
        comes = known, np.concatenate(looks.draw(drawn_by))[first]
        return replace(self, comes=comes, until=len(looks.shares))

    def upto(self, look: int) -> "Census":
        """What is there at a look of the plan."""
        if self.comes is None:
            return self
        known, looks = self.comes
        every = [_numbers(each.digests) for each in self.passes]
        counts = [int((looks[np.searchsorted(known, part)] <= look).sum()) for part in every]
        return replace(self, items=max(counts), tasks=sum(counts) * self.each, until=look)

    def of(self, index: int) -> Seen:
        """The items of the configuration with this index in the grid."""
        return self.passes[index if len(self.passes) > 1 else 0]


def take_census(project: Project, limit: int | None) -> Census:
    """Look at every item once before anything runs.

    Raises HarnessError for an empty dataset, an item without an id, two items with one id, and an
    item that cannot be written as JSON.
    """
    by_params = project.items_by_params
    content = hashlib.sha256()
    grid = project.grid if by_params else project.grid[:1]
    passes = tuple(_look_at(project, params, limit, content) for params in grid)
    counts = [len(each.digests) for each in passes]
    each = project.settings.run.repeats * (1 if by_params else len(project.grid))
    return Census(max(counts), sum(counts) * each, content.hexdigest(), passes, each)


def _look_at(project: Project, params: Params, limit: int | None, content: "hashlib._Hash") -> Seen:
    # Eight bytes an id: a million ids take 8 MB, where a set of strings would take over 100.
    ids = array("Q")
    digests = array("Q")
    clusters = array("Q")
    problems: list[str] = []
    drawn_by = project.settings.data.cluster
    for count, item in enumerate(project.items(params, limit), start=1):
        try:
            digest = _digest_of(item, project.root)
            cluster = cluster_of(item, drawn_by)
        except ValueError as error:
            problems.append(f"item {count} (of dataset.load): {error}")
            if len(problems) > _SHOWN:
                break
            continue
        content.update(digest)
        digests.append(_short(digest))
        if cluster is not None:
            clusters.append(_id_hash(cluster))
        ids.append(_id_hash(str(item["id"])))
    seen = Seen(digests, clusters)
    if not problems:
        problems = _duplicates(project, params, limit, ids)
    if problems:
        raise HarnessError("\n".join(problems), fix="edit src/benchmark/dataset.py")
    if not digests:
        raise HarnessError(
            f"dataset.load gave no items for {params}", fix="edit src/benchmark/dataset.py"
        )
    return seen


def _digest_of(item: object, root: Path) -> bytes:
    """The digest of an item. Raises ValueError that says why there is none."""
    if not isinstance(item, dict):
        raise ValueError(f"it is a {type(item).__name__}, not a dict")
    if item.get("id") is None or item["id"] == "":
        names = ", ".join(brief(name) for name in list(item)[:_SHOWN])
        raise ValueError(f'it has no "id", only {names or "nothing"}{_mark_of(item)}')
    try:
        return item_digest(item, root)
    except (TypeError, ValueError) as error:
        raise ValueError(f"id {item['id']!r} cannot be written as JSON: {error}") from None


def cluster_of(item: Item, name: str) -> str | None:
    """What an item was drawn with; None where [data] names nothing. ValueError: it lacks that."""
    if not name:
        return None
    found = item.get(name)
    if not isinstance(found, (str, int)) or found == "":
        raise ValueError(
            f"id {item['id']!r} has no {brief(name)}, which [data] cluster of benchmark.toml names"
        )
    return str(found)


def _mark_of(item: Item) -> str:
    """A hint where the first name begins with the mark that spreadsheets put before a CSV."""
    marked = any(str(name).startswith("\ufeff") for name in item)
    return '; open the file with encoding="utf-8-sig"' if marked else ""


def _id_hash(name: str) -> int:
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _duplicates(
    project: Project, params: Params, limit: int | None, hashes: "array[int]"
) -> list[str]:
    """Ids that occur twice. The ids themselves are looked at only where hashes collide."""
    found = np.sort(np.frombuffer(hashes, dtype=np.uint64))
    suspects = set(found[1:][found[1:] == found[:-1]].tolist())
    if not suspects:
        return []
    first: dict[str, int] = {}
    problems: list[str] = []
    for number, item in enumerate(project.items(params, limit), start=1):
        name = str(item["id"])
        if _id_hash(name) not in suspects:
            continue
        if name in first and len(problems) < _SHOWN:
            problems.append(f"items {first[name]} and {number} have the same id {name!r}")
        first.setdefault(name, number)
    return problems
