"""The tasks of a run: items x params x repeats, streamed, so that a million items fit in memory."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness.columns import INTEGER, REAL, TEXT, declared_type, plain
from harness.console import brief
from harness.errors import HarnessError
from harness.keys import (
    Context,
    file_digest,
    item_digest,
    params_digest,
    place_of,
    task_key,
)
from harness.project import Item, Project, params_columns, params_types

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Configuration:
    """One Params of the grid with what all its rows share.

    `files` as in keys.params_digest; `stamps` are their sizes and times when they were hashed.
    """

    params: Any
    digest: bytes
    columns: dict[str, Any]
    files: dict[str, str] = field(default_factory=dict)
    stamps: dict[str, tuple[int, ...]] = field(default_factory=dict)


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


def configurations(project: Project) -> list[Configuration]:
    """The grid with its digests and columns.

    Raises HarnessError where two configurations would look the same in the table, and as
    Project.files_of.
    """
    types = column_types(project)
    made = []
    for params in project.grid:
        paths = {place_of(path, project.root): path for path in project.files_of(params)}
        stamps = {name: _stamp(path) for name, path in paths.items()}
        files = {name: file_digest(path) for name, path in paths.items()}
        columns = _columns(params, types)
        made.append(Configuration(params, params_digest(params, files), columns, files, stamps))
    alike: dict[str, Configuration] = {}
    for configuration in made:
        other = alike.setdefault(str(configuration.columns), configuration)
        if other is not configuration:
            raise HarnessError(
                f"in a table, {configuration.params} would look like {other.params}",
                fix="give values of one kind to each field in GRID in src/benchmark/params.py",
            )
    return made


def grid_files(project: Project) -> dict[str, str]:
    """Every file that a configuration reads: SHA-256 by place."""
    return {name: sha for each in configurations(project) for name, sha in each.files.items()}


def touched(task: Task, root: Path) -> str:
    """A file of the task that was written since its key was made; '' where none was.

    Of a configuration's files already a later time counts: predict may read one once and early, and
    what was put back may have been read while it was another.
    """
    for name, stamp in task.configuration.stamps.items():
        if _stamp(root / name) != stamp:
            return name
    if any(isinstance(value, Path) for value in task.item.values()):
        try:
            same = item_digest(task.item, root).hex() == task.item_key
        except HarnessError:
            same = False
        return "" if same else f"a file of item {task.input_id}"
    return ""


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        stat = path.stat()
    except OSError:
        return ()
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


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


def tasks(project: Project, context: Context, limit: int | None) -> Iterator[Task]:
    """Every task of a run, configuration by configuration, so that a worker keeps its resource."""
    prefix, repeats = context.prefix, project.settings.run.repeats
    for configuration in configurations(project):
        for item in project.items(configuration.params, limit):
            digest = item_digest(item, project.root)
            for repeat in range(repeats):
                key = task_key(prefix, configuration.digest, digest, repeat)
                yield Task(item, configuration, repeat, key, digest.hex())


@dataclass(frozen=True, slots=True)
class Census:
    """What a pass over all items found: how many, how many tasks they make, and their content."""

    items: int
    tasks: int
    digest: str


def take_census(project: Project, limit: int | None) -> Census:
    """Look at every item once before anything runs.

    Raises HarnessError for an empty dataset, an item without an id, two items with one id, and an
    item that cannot be written as JSON.
    """
    by_params = project.items_by_params
    content = hashlib.sha256()
    grid = project.grid if by_params else project.grid[:1]
    counts = [_check_items(project, params, limit, content) for params in grid]
    total = sum(counts) if by_params else counts[0] * len(project.grid)
    return Census(max(counts), total * project.settings.run.repeats, content.hexdigest())


def _check_items(project: Project, params: Any, limit: int | None, content: Any) -> int:
    # Eight bytes an id: a million ids take 8 MB, where a set of strings would take over 100.
    hashes = np.empty(1024, dtype=np.uint64)
    problems: list[str] = []
    count = 0
    for count, item in enumerate(project.items(params, limit), start=1):
        problem = _unfit(item, project.root, content)
        if problem:
            problems.append(f"item {count} (of dataset.load): {problem}")
            if len(problems) > _SHOWN:
                break
            continue
        if count > len(hashes):
            hashes = np.resize(hashes, 2 * len(hashes))
        digest = hashlib.blake2b(str(item["id"]).encode("utf-8", "surrogatepass"), digest_size=8)
        hashes[count - 1] = int.from_bytes(digest.digest(), "big")
    if not problems:
        problems = _duplicates(project, params, limit, hashes[:count])
    if problems:
        raise HarnessError("\n".join(problems), fix="mend src/benchmark/dataset.py")
    if count == 0:
        raise HarnessError(
            f"dataset.load gave no items for {params}", fix="mend src/benchmark/dataset.py"
        )
    return count


def _unfit(item: Any, root: Path, content: Any) -> str:
    if not isinstance(item, dict):
        return f"it is a {type(item).__name__}, not a dict"
    if item.get("id") is None or item["id"] == "":
        names = ", ".join(brief(name) for name in list(item)[:_SHOWN])
        return f'it has no "id", only {names or "nothing"}{_mark_of(item)}'
    try:
        content.update(item_digest(item, root))
    except (TypeError, ValueError) as error:
        return f"id {item['id']!r} cannot be written as JSON: {error}"
    return ""


def _mark_of(item: Item) -> str:
    """A hint where the first name begins with the mark that spreadsheets put before a CSV."""
    marked = any(str(name).startswith("\ufeff") for name in item)
    return '; open the file with encoding="utf-8-sig"' if marked else ""


def _duplicates(project: Project, params: Any, limit: int | None, hashes: Any) -> list[str]:
    """Ids that stand twice. Only where hashes collide are the ids themselves looked at again."""
    hashes.sort()  # in place: a million ids need no second array
    suspects = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
    if not suspects:
        return []
    first: dict[str, int] = {}
    problems: list[str] = []
    for number, item in enumerate(project.items(params, limit), start=1):
        name = str(item["id"])
        digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        if int.from_bytes(digest, "big") not in suspects:
            continue
        if name in first and len(problems) < _SHOWN:
            problems.append(f"items {first[name]} and {number} have the same id {name!r}")
        first.setdefault(name, number)
    return problems
