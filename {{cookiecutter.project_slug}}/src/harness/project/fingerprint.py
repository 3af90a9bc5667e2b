"""The fingerprint of the code that `predict` can reach, in whatever folder.

Imports are followed from predict.py. A module that is reached counts as a whole, because an unread
line (a registry, a default, a patched attribute) can change a result too; comments and formatting
do not count. Three exceptions:

- the harness: `KEY_VERSION` stands for it;
- what is installed from elsewhere, which counts with its version;
- the list GRID in params.py, whose values are in every key already, so that adding a configuration
  does not recompute the others.
"""

import ast
import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import HarnessError
from harness.project.modules import HARNESS, Modules

PREDICT = "benchmark.predict"
_PARAMS, _GRID = "benchmark.params", "GRID"
_JUDGE = "benchmark.judge"
_ANY = "*"  # an import whose name is known only when it runs
_BY_NAME = ("import_module", "__import__")
_LOADERS = frozenset({"runpy", "pkgutil", "importlib.util", "importlib.machinery"})


@dataclass(frozen=True, slots=True)
class Code:
    """`parts`: place -> SHA-256 of its syntax tree; `packages`: what is imported from elsewhere.

    `files`: place -> the file itself. `modules`: the names under which the parts are imported.
    """

    parts: dict[str, str]
    packages: frozenset[str]
    files: dict[str, Path] = field(default_factory=dict, compare=False)
    modules: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def key(self) -> str:
        """One SHA-256 over all parts."""
        joined = "\n".join(f"{name} {digest}" for name, digest in sorted(self.parts.items()))
        return hashlib.sha256(joined.encode()).hexdigest()

    def __or__(self, other: "Code") -> "Code":
        """Both together."""
        return Code(
            self.parts | other.parts,
            self.packages | other.packages,
            self.files | other.files,
            self.modules | other.modules,
        )


@dataclass(frozen=True, slots=True)
class _Import:
    """What one import statement asks for; `names` are those after `import` in `from … import`."""

    module: str
    names: tuple[str, ...] = ()


def reachable_code(
    root: Path, *starts: str, also: Iterable[str] = (), any_name: bool = True
) -> Code:
    """Follow imports from the modules `starts` (by default predict.py).

    Where the name of an import is computed, every module that it may mean counts. With `any_name`
    False none of them counts: the person names them (`modules` in params.py). `also` are modules
    that were loaded. Raises HarnessError where a reached file is not valid Python.
    """
    return _Crawl(root, any_name).follow([*(starts or (PREDICT,)), *also])


class _Crawl:
    """One walk along the imports."""

    def __init__(self, root: Path, any_name: bool) -> None:
        self._root = root
        self._any_name = any_name
        self._modules = Modules(root)
        self._trees: dict[str, tuple[Path, ast.Module | None]] = {}
        self._packages: set[str] = set()
        self._grid_is_read = False

    def follow(self, starts: list[str]) -> Code:
        # predict gets a Params and may call its methods without importing the module.
        waiting = ["benchmark"] if starts[:1] == [_JUDGE] else ["benchmark", _PARAMS]
        waiting += [name for start in starts for name in _with_parents(start)]
        seen = set(waiting)
        while waiting:
            for name in self._visit(waiting.pop()):
                if name not in seen:
                    seen.add(name)
                    waiting.append(name)
        return self._code()

    def _visit(self, name: str) -> Iterator[str]:
        """Read one module; yields the modules that it may import."""
        path = self._modules.find(name)
        first = name.partition(".")[0]
        if path is None:
            if first != HARNESS and not self._modules.is_own(first):
                self._packages.add(first)
            return
        if path.suffix != ".py":
            self._trees[name] = (path, None)
            return
        tree = _parse(path, self._root)
        self._trees[name] = (path, tree)
        for each in _imports(tree, name, path.name == "__init__.py"):
            yield from self._meant(each, name)

    def _meant(self, imported: _Import, by: str) -> Iterator[str]:
        if imported.module == _ANY:
            if self._any_name:
                yield from self._modules.every(by)
            return
        module = imported.module
        names = imported.names
        if module == _PARAMS and (_GRID in names or "*" in names or not names):
            self._grid_is_read = True
        for name in names:
            # `from a import b` may name a module b of package a; a package runs its __init__.
            if self._modules.find(f"{module}.{name}"):
                self._grid_is_read |= f"{module}.{name}" == _PARAMS
                yield f"{module}.{name}"
        if "*" in names:
            yield from self._modules.inside(module)  # __all__ may name modules of the package
        yield from _with_parents(module)

    def _code(self) -> Code:
        parts = {}
        files = {}
        for name, (path, tree) in self._trees.items():
            if tree and (name == _JUDGE or (name == _PARAMS and not self._grid_is_read)):
                tree = _without_grid(tree)
            content = ast.dump(tree).encode("utf-8", "surrogatepass") if tree else _bytes(path)
            place = _place(path, name, self._root)
            parts[place] = hashlib.sha256(content).hexdigest()
            files[place] = path
        return Code(parts, frozenset(self._packages), files, frozenset(self._trees))


def _place(path: Path, module: str, root: Path) -> str:
    """A file's name from `root`; outside it a module's, so that keys agree on all machines."""
    if path.is_relative_to(root):
        return path.relative_to(root).as_posix()
    return f"module {module}"


def _with_parents(module: str) -> list[str]:
    names = module.split(".")
    return [".".join(names[: end + 1]) for end in range(len(names))]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise HarnessError(
            f"cannot read {path}: {error.strerror}", fix="restore the file"
        ) from None


def _parse(path: Path, root: Path) -> ast.Module:
    try:
        return ast.parse(_bytes(path), filename=str(path))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise HarnessError(
            f"{os.path.relpath(path, root)}, line {line}: {error}", fix="correct that line"
        ) from None


def _imports(tree: ast.Module, module: str, is_package: bool) -> Iterator[_Import]:
    """Each import anywhere in the tree."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    understood: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield _Import(_ANY if alias.name in _LOADERS else alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            target = ".".join([*base, *(node.module.split(".") if node.module else [])])
            yield _Import(target, tuple(alias.name for alias in node.names))
            if any({target, f"{target}.{alias.name}"} & _LOADERS for alias in node.names):
                yield _Import(_ANY)
            if any(alias.name in _BY_NAME and alias.asname for alias in node.names):
                yield _Import(_ANY)
        elif isinstance(node, ast.Call) and _name(node.func) in _BY_NAME:
            named = [word.value for word in node.keywords if word.arg == "name"]
            first = [*node.args, *named, None][0]
            # A relative name depends on the second argument.
            if isinstance(first, ast.Constant) and not str(first.value).startswith("."):
                understood.add(node.func)
                yield _Import(str(first.value))
        elif _name(node) in _BY_NAME and node not in understood:
            yield _Import(_ANY)


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _without_grid(tree: ast.Module) -> ast.Module:
    """The module without what makes up GRID, unless the module itself uses it."""

    def makes(node: ast.stmt) -> bool:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        return all(isinstance(t, ast.Name) and t.id == _GRID for t in targets)

    others = ast.Module([node for node in tree.body if not makes(node)], tree.type_ignores)
    return tree if any(_name(node) == _GRID for node in ast.walk(others)) else others
