"""The grid of a project, resolved once for a command: what each configuration is and depends on."""

from dataclasses import dataclass, field, replace
from functools import reduce
from operator import or_
from pathlib import Path

from harness.errors import HarnessError
from harness.project.contract import Project
from harness.project.fingerprint import Code
from harness.project.inputs import FILE, MODULE
from harness.project.keys import (
    Context,
    file_digest,
    params_digest,
    place_of,
    read_context,
    task_key,
)
from harness.project.params import params_columns, params_types
from harness.project.values import INTEGER, REAL, TEXT, Params, Row, declared_type, plain
from harness.project.watch import Stamp, Watch, stamp


@dataclass(frozen=True, slots=True)
class Configuration:
    """One Params of the grid with what all its rows share.

    `files`: SHA-256 by place of those that predict reads under it; `context`: its code and
    environment. `code_key` is the version of the code that it can reach, `prefix` the first part
    of its keys.
    """

    params: Params
    digest: bytes
    columns: Row
    context: Context
    files: dict[str, str] = field(default_factory=dict)
    # Kept, because every task asks for them.
    code_key: str = field(init=False)
    prefix: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "code_key", self.context.code.key)
        object.__setattr__(self, "prefix", self.context.prefix)

    def key(self, item: bytes, repeat: int) -> str:
        """The key of a datapoint of an item with this digest."""
        return task_key(self.prefix, self.digest, item, repeat)

    def holds(self) -> set[str]:
        """What its keys hold, named as `inputs.noted` names what is read."""
        code = self.context.code
        files = {f"{FILE} {name}" for name in (*code.parts, *self.files)}
        modules = {f"{MODULE} {name}" for name in code.modules}
        return files | modules | self.context.environment.keys()


@dataclass(frozen=True, slots=True)
class Grid:
    """The configurations of a project, resolved once for a command.

    `sources`: all files whose content is in their keys, by place. `stamps`: when each file was last
    written, noted before it was read.
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
        found: dict[str, str] = {}
        for each in self.configurations:
            found |= each.context.environment
        return found

    @property
    def files(self) -> dict[str, str]:
        """The files of configurations: SHA-256 by place."""
        found: dict[str, str] = {}
        for each in self.configurations:
            found |= each.files
        return found

    def with_items(self, digest: str) -> "Grid":
        """The same where results also depend on all items together: a model was fitted on them."""
        changed = [replace(c, context=c.context.with_items(digest)) for c in self.configurations]
        return replace(self, configurations=tuple(changed))

    def watch(self) -> Watch:
        """Finds out whether a source was written since the keys were made."""
        return Watch(self.sources, self.stamps)


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


def _columns(params: Params, types: dict[str, str]) -> Row:
    """A configuration as columns; a number is text where others have text, as 0.5 beside "a"."""
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
    return {name: _widest(kinds.get(name, set())) for name in names}


def _widest(kinds: set[str]) -> str:
    return next((kind for kind in (TEXT, REAL, INTEGER) if kind in kinds), TEXT)
