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
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, []
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            target = ".".join([*base, *(node.module.split(".") if node.module else [])])
            yield target, [alias.name for alias in node.names]
        elif isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            name = node.func.id if isinstance(node.func, ast.Name) else name
            if name not in ("import_module", "__import__"):
                continue
            named = [word.value for word in node.keywords if word.arg == "name"]
            first = [*node.args, *named, None][0]
            if not isinstance(first, ast.Constant):
                yield _ANY, []
            else:
                target = str(first.value)
                if target.startswith("."):
                    target = ".".join([*package, target.lstrip(".")])
                yield target, []


def _without_grid(tree: ast.Module) -> ast.Module:
    def is_grid(node: ast.stmt) -> bool:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        return any(isinstance(t, ast.Name) and t.id == _GRID for t in targets)

    return ast.Module([node for node in tree.body if not is_grid(node)], tree.type_ignores)
