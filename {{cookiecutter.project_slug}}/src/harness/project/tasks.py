"""The tasks of a run: items x params x repeats, streamed, so that a million items fit in memory."""

import hashlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

import numpy as np

from harness.console import brief
from harness.errors import HarnessError
from harness.project.contract import Item, Project, params_columns, params_types
from harness.project.fingerprint import Code
from harness.project.inputs import FILE, MODULE
from harness.project.keys import (
    Context,
    file_digest,
    item_digest,
    params_digest,
    place_of,
    read_context,
    task_key,
)
from harness.project.watch import Stamp, Watch, stamp
from harness.record.columns import INTEGER, REAL, TEXT, declared_type, plain

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Configuration:
    """One Params of the grid with what all its rows share.

    `files`: SHA-256 by place of those that predict reads under it; `context`: its code and
    environment.
    """

    params: Any
    digest: bytes
    columns: dict[str, Any]
    context: Context
    files: dict[str, str] = field(default_factory=dict)

    @property
    def code_key(self) -> str:
        """The version of the code that this configuration can reach."""
        return self.context.code.key

    def holds(self) -> set[str]:
        """What its keys hold, named as `inputs.noted` names what is read."""
        code = self.context.code
        files = {f"{FILE} {name}" for name in (*code.parts, *self.files)}
        modules = {f"{MODULE} {name}" for name in code.modules}
        return files | modules | self.context.environment.keys()


@dataclass(frozen=True, slots=True)
class Grid:
    """The configurations of a project, resolved once for a command.

    `sources` are all files that their keys stand for, by place, and `stamps` when each was last
    written, taken before it was read.
    """

    configurations: tuple[Configuration, ...]
    sources: dict[str, Path]
    stamps: dict[str, Stamp]

    @property
    def code(self) -> Code:
        """The code that any of them can reach."""
        return reduce(or_, (each.context.code for each in self.configurations))

    @property
    def environment(self) -> dict[str, str]:
        """What any of them depends on besides code and files of its own."""
        return {n: v for each in self.configurations for n, v in each.context.environment.items()}

    @property
    def files(self) -> dict[str, str]:
        """The files of configurations: SHA-256 by place."""
        return {name: sha for each in self.configurations for name, sha in each.files.items()}

    def with_items(self, digest: str) -> "Grid":
        """The same where results also depend on all items together: a model was fitted on them."""
        changed = [replace(c, context=c.context.with_items(digest)) for c in self.configurations]
        return replace(self, configurations=tuple(changed))

    def watch(self) -> Watch:
        """Sees whether one of the sources was written since the keys were made."""
        return Watch(self.sources, self.stamps)


@dataclass(frozen=True, slots=True)
class Task:
    """One execution of predict: (item, params, repeat) and its key."""

    item: Item
    configuration: Configuration
    repeat: int
    key: str
    item_key: str

    @property
    def input_id(self) -> str:
        """The item's id as it stands in the table."""
        return str(self.item["id"])


def resolve_grid(project: Project) -> Grid:
    """Every configuration with its digest, columns, code and environment.

    Raises HarnessError where two configurations would look the same in the table, and as
    Project.files_of, Project.code_of and read_context.
    """
    types = column_types(project)
    contexts: dict[str, Context] = {}
    sources = dict(project.code.files)
    stamps = dict(project.stamps)
    made = []
    for params in project.grid:
        code = project.code_of(params)
        if code.key not in contexts:
            contexts[code.key] = read_context(project.root, project.settings, code)
        context = contexts[code.key]
        paths = {place_of(path, project.root): path for path in project.files_of(params)}
        for name, path in {**code.files, **context.files, **paths}.items():
            sources[name] = path
            stamps.setdefault(name, stamp(path))
        files = {name: file_digest(path) for name, path in paths.items()}
        digest = params_digest(params, files)
        made.append(Configuration(params, digest, _columns(params, types), context, files))
    _refuse_alike(made)
    return Grid(tuple(made), sources, stamps)


def _refuse_alike(configurations: list[Configuration]) -> None:
    alike: dict[str, Configuration] = {}
    for configuration in configurations:
        other = alike.setdefault(str(configuration.columns), configuration)
        if other is not configuration:
            raise HarnessError(
                f"in a table, {configuration.params} would look like {other.params}",
                fix="give values of one kind to each field in GRID in src/benchmark/params.py",
            )


def configurations(project: Project) -> tuple[Configuration, ...]:
    """The configurations of a grid that is resolved for this alone."""
    return resolve_grid(project).configurations


def grid_files(project: Project) -> dict[str, str]:
    """Every file that a configuration reads: SHA-256 by place."""
    return resolve_grid(project).files


def touched(task: Task, root: Path) -> str:
    """A file of the task's item that is another one than when its key was made; '' for none."""
    if any(isinstance(value, Path) for value in task.item.values()):
        try:
            same = item_digest(task.item, root).hex() == task.item_key
        except HarnessError:
            same = False
        return "" if same else f"a file of item {task.input_id}"
    return ""


def _columns(params: Any, types: dict[str, str]) -> dict[str, Any]:
    """A configuration as columns; a number is text where others have text, as "sqrt" beside 0.5."""
    return {
        name: str(value) if types[name] == TEXT and isinstance(value, (int, float)) else value
        for name, value in params_columns(params).items()
    }


def column_types(project: Project) -> dict[str, str]:
    """Params columns: the widest of the annotation and the grid's values, text before numbers."""
    annotated = params_types(project.params_type)
    kinds = {name: {declared_type(kind)} for name, kind in annotated.items()}
    names: dict[str, None] = {}
    for params in project.grid:
        for name, value in params_columns(params).items():
            names[name] = None
            if value is not None:
                kinds.setdefault(name, set()).add(declared_type(type(plain(value))))
    by_width = (TEXT, REAL, INTEGER)
    return {n: next((k for k in by_width if k in kinds.get(n, ())), TEXT) for n in names}


def tasks(project: Project, grid: Grid, census: "Census", limit: int | None) -> Iterator[Task]:
    """Every task of a run, configuration by configuration, so that a worker keeps its resource.

    Raises HarnessError where dataset.load gives other items than when `census` was taken.
    """
    repeats = project.settings.run.repeats
    for index, configuration in enumerate(grid.configurations):
        prefix = configuration.context.prefix
        expected = census.of(index)
        for item, digest in expected.checked(project, configuration.params, limit):
            for repeat in range(repeats):
                key = task_key(prefix, configuration.digest, digest, repeat)
                yield Task(item, configuration, repeat, key, digest.hex())


@dataclass(frozen=True, slots=True)
class Seen:
    """The items of one pass over dataset.load: eight bytes of each one's digest, in order."""

    digests: "array[int]"

    def checked(
        self, project: Project, params: Any, limit: int | None
    ) -> Iterator[tuple[Item, bytes]]:
        """The items of another pass with their digests.

        Raises HarnessError at the first item that is another one than before, and where one is
        missing: it would be counted under a data version that nobody ran.
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
    """

    items: int
    tasks: int
    digest: str
    passes: tuple[Seen, ...]

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
    total = sum(counts) if by_params else counts[0] * len(project.grid)
    return Census(max(counts), total * project.settings.run.repeats, content.hexdigest(), passes)


def _look_at(project: Project, params: Any, limit: int | None, content: Any) -> Seen:
    # Eight bytes an id: a million ids take 8 MB, where a set of strings would take over 100.
    ids, digests = array("Q"), array("Q")
    problems: list[str] = []
    for count, item in enumerate(project.items(params, limit), start=1):
        try:
            digest = _digest_of(item, project.root)
        except ValueError as error:
            problems.append(f"item {count} (of dataset.load): {error}")
            if len(problems) > _SHOWN:
                break
            continue
        content.update(digest)
        digests.append(_short(digest))
        ids.append(_id_hash(str(item["id"])))
    seen = Seen(digests)
    if not problems:
        problems = _duplicates(project, params, limit, ids)
    if problems:
        raise HarnessError("\n".join(problems), fix="edit src/benchmark/dataset.py")
    if not digests:
        raise HarnessError(
            f"dataset.load gave no items for {params}", fix="edit src/benchmark/dataset.py"
        )
    return seen


def _digest_of(item: Any, root: Path) -> bytes:
    """The digest of an item. Raises ValueError that says why it can be none."""
    if not isinstance(item, dict):
        raise ValueError(f"it is a {type(item).__name__}, not a dict")
    if item.get("id") is None or item["id"] == "":
        names = ", ".join(brief(name) for name in list(item)[:_SHOWN])
        raise ValueError(f'it has no "id", only {names or "nothing"}{_mark_of(item)}')
    try:
        return item_digest(item, root)
    except (TypeError, ValueError) as error:
        raise ValueError(f"id {item['id']!r} cannot be written as JSON: {error}") from None


def _mark_of(item: Item) -> str:
    """A hint where the first name begins with the mark that spreadsheets put before a CSV."""
    marked = any(str(name).startswith("\ufeff") for name in item)
    return '; open the file with encoding="utf-8-sig"' if marked else ""


def _id_hash(name: str) -> int:
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _duplicates(
    project: Project, params: Any, limit: int | None, hashes: "array[int]"
) -> list[str]:
    """Ids that stand twice. Only where hashes collide are the ids themselves looked at again."""
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
