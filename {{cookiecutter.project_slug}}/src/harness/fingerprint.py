"""The fingerprint of the code that `predict` can reach inside the repository.

Imports are followed from predict.py. A module that is reached counts as a whole, because an unread
line (a registry, a default, a patched attribute) can change a result too; comments and formatting
do not count. One exception: the list GRID in params.py, whose values are in every key already, so
that adding a configuration does not recompute the others.
"""

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError

_PARAMS, _GRID = "benchmark.params", "GRID"
_ANY = "*"  # an import whose name is known only when it runs
_BY_NAME = ("import_module", "__import__")
_LOADERS = frozenset({"runpy", "pkgutil", "importlib.util", "importlib.machinery"})


@dataclass(frozen=True, slots=True)
class Code:
    """`parts`: path -> SHA-256 of its syntax tree; `packages`: what is imported from elsewhere."""

    parts: dict[str, str]
    packages: frozenset[str]

    @property
    def key(self) -> str:
        """One SHA-256 over all parts."""
        joined = "\n".join(f"{name} {digest}" for name, digest in sorted(self.parts.items()))
        return hashlib.sha256(joined.encode()).hexdigest()


def reachable_code(root: Path, start: str = "benchmark.predict") -> Code:
    """Follow imports from module `start`, searching `root/src` and then `root`.

    Where an import's name is computed, every module beside the importing one's package counts.
    Raises HarnessError where a reached file is not valid Python.
    """
    parts: dict[str, str] = {}
    packages: set[str] = set()
    trees: dict[str, tuple[Path, ast.Module]] = {}
    grid_is_read = False
    # predict is handed a Params and may call its methods without ever importing the module.
    queue = ["benchmark", _PARAMS, *_with_parents(start)]
    seen = set(queue)
    while queue:
        name = queue.pop()
        path = _find(root, name)
        if path is None:
            if not _is_ours(root, name.partition(".")[0]):
                packages.add(name.partition(".")[0])
            continue
        tree = _parse(path, root)
        trees[name] = (path, tree)
        for imported, names in _imports(tree, name, path.name == "__init__.py"):
            if imported == _ANY:
                found = _every_module(root)
            else:
                if imported == _PARAMS and (_GRID in names or "*" in names or not names):
                    grid_is_read = True
                # `from a import b` may name a module b of package a; a package runs its __init__.
                found = [f"{imported}.{n}" for n in names if _find(root, f"{imported}.{n}")]
                grid_is_read = grid_is_read or _PARAMS in found
                if "*" in names:
                    found += _inside(root, imported)  # __all__ may name modules of the package
                found += _with_parents(imported)
            for module in found:
                if module not in seen:
                    seen.add(module)
                    queue.append(module)
    for name, (path, tree) in trees.items():
        if name == _PARAMS and not grid_is_read:
            tree = _without_grid(tree)
        parts[path.relative_to(root).as_posix()] = hashlib.sha256(
            ast.dump(tree).encode("utf-8", "surrogatepass")
        ).hexdigest()
    return Code(parts, frozenset(packages))


def _is_ours(root: Path, name: str) -> bool:
    """Whether a first part of a module's name is a file or folder of the repository."""
    return any((base / name).is_dir() or _find(root, name) for base in (root / "src", root))


def _every_module(root: Path) -> list[str]:
    """All modules below src, but the harness's own."""
    source = root / "src"
    paths = [p for p in sorted(source.rglob("*.py")) if p.relative_to(source).parts[0] != "harness"]
    return [".".join(p.relative_to(source).with_suffix("").parts) for p in paths]


def _find(root: Path, module: str) -> Path | None:
    for base in (root / "src", root):
        stem = base.joinpath(*module.split("."))
        for path in (stem.with_suffix(".py"), stem / "__init__.py"):
            if path.is_file():
                return path
    return None


def _inside(root: Path, module: str) -> list[str]:
    path = _find(root, module)
    if path is None or path.name != "__init__.py":
        return []
    return [f"{module}.{each.stem}" for each in sorted(path.parent.glob("*.py")) if each != path]


def _with_parents(module: str) -> list[str]:
    names = module.split(".")
    return [".".join(names[: end + 1]) for end in range(len(names))]


def _parse(path: Path, root: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), filename=str(path))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise HarnessError(
            f"{path.relative_to(root)}, line {line}: {error}", fix="mend that line"
        ) from None


def _imports(tree: ast.Module, module: str, is_package: bool) -> Iterator[tuple[str, list[str]]]:
    """Each import anywhere in the tree as (module, names); no names for a plain `import module`."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    understood: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield _ANY if alias.name in _LOADERS else alias.name, []
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            target = ".".join([*base, *(node.module.split(".") if node.module else [])])
            yield target, [alias.name for alias in node.names]
            if any({target, f"{target}.{alias.name}"} & _LOADERS for alias in node.names):
                yield _ANY, []
            if any(alias.name in _BY_NAME and alias.asname for alias in node.names):
                yield _ANY, []
        elif isinstance(node, ast.Call) and _name(node.func) in _BY_NAME:
            named = [word.value for word in node.keywords if word.arg == "name"]
            first = [*node.args, *named, None][0]
            # A relative name depends on the second argument.
            if isinstance(first, ast.Constant) and not str(first.value).startswith("."):
                understood.add(node.func)
                yield str(first.value), []
        elif _name(node) in _BY_NAME and node not in understood:
            yield _ANY, []


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _without_grid(tree: ast.Module) -> ast.Module:
    """The module without what makes up GRID, unless the module itself uses it."""

    def makes(node: ast.stmt) -> bool:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        return all(isinstance(t, ast.Name) and t.id == _GRID for t in targets)

    rest = ast.Module([node for node in tree.body if not makes(node)], tree.type_ignores)
    return tree if any(_name(node) == _GRID for node in ast.walk(rest)) else rest
