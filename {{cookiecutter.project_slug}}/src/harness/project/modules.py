"""Where the source of a module is, and whether it is installed or the person's own.

Code from site-packages and the standard library is known by its version. All other code is the
person's: the repository's own, a library next to the benchmark (installed with `-e ..`, named in a
`.pth`, or put on `sys.path`), whatever folder it is in.
"""

import importlib.util
import os
import site
import sysconfig
from functools import cache
from importlib.machinery import all_suffixes
from pathlib import Path

HARNESS = "harness"
_SUFFIXES = tuple(all_suffixes())
_PACKAGES = frozenset({"site-packages", "dist-packages"})


class Modules:
    """Finds modules as the benchmark at `root` does: in `src`, in `root`, then elsewhere."""

    def __init__(self, root: Path) -> None:
        self._bases = [root / "src", root]
        self._found: dict[str, Path | None] = {}
        self._elsewhere: dict[str, list[Path]] = {}

    def find(self, name: str) -> Path | None:
        """The file of a module (`__init__.py` of a package); None where there is none.

        Also None for a module that is installed, built in, or part of the harness.
        """
        if name not in self._found:
            self._found[name] = self._look_for(name)
        return self._found[name]

    def is_own(self, name: str) -> bool:
        """Whether the first part of a module's name is a file or folder of the person's."""
        first = name.partition(".")[0]
        if any((base / first).is_dir() for base in self._bases):
            return True
        return self.find(first) is not None or bool(self._folders_elsewhere(first))

    def inside(self, package: str) -> list[str]:
        """The modules directly in a package."""
        path = self.find(package)
        if path is None or path.name != "__init__.py":
            return []
        return [f"{package}.{name}" for name in _names_in(path.parent) if name != "__init__"]

    def every(self, module: str) -> list[str]:
        """Every module that a computed name in `module` may mean.

        In the repository that is all below `src`, in another folder the package's own.
        """
        path = self.find(module)
        first = module.partition(".")[0]
        top = next((base for base in self._bases if path and path.is_relative_to(base)), None)
        if top is not None:
            return _below(self._bases[0], "")
        folders = self._folders_elsewhere(first)
        return [name for folder in folders for name in _below(folder, f"{first}.")]

    def _look_for(self, name: str) -> Path | None:
        first, _, rest = name.partition(".")
        if first == HARNESS:
            return None
        for base in self._bases:
            if path := _source(base.joinpath(*name.split("."))):
                return path
        if not rest:
            return self._file_elsewhere(first)
        for folder in self._folders_elsewhere(first):
            if path := _source(folder.joinpath(*rest.split("."))):
                return path
        return None

    def _file_elsewhere(self, first: str) -> Path | None:
        spec = _spec(first)
        if spec is None or not spec.origin or not spec.has_location:
            return None
        path = _absolute(spec.origin)
        return path if path.is_file() and not is_installed(path) else None

    def _folders_elsewhere(self, first: str) -> list[Path]:
        if first not in self._elsewhere:
            spec = None if first == HARNESS else _spec(first)
            folders = [_absolute(each) for each in (spec and spec.submodule_search_locations) or []]
            self._elsewhere[first] = [each for each in folders if not is_installed(each)]
        return self._elsewhere[first]


def repository_top(root: Path) -> Path:
    """The top folder of the git repository around `root`; `root` itself where there is none."""
    # Looked for here: every command needs it, and starting git takes longer than this.
    above = (folder for folder in (root, *root.parents) if (folder / ".git").exists())
    return next(above, root)


def is_installed(path: Path) -> bool:
    """Whether a file belongs to Python or to a package that was installed, judged by its folder."""
    if not _PACKAGES.isdisjoint(path.parts):
        return True
    return any(path.is_relative_to(folder) for folder in _installed())


@cache
def _installed() -> tuple[Path, ...]:
    known = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders = {Path(each) for each in (*known, site.getusersitepackages()) if each}
    return tuple(folders | {each.resolve() for each in folders})


def _absolute(path: str) -> Path:
    """sys.path may hold names from the working folder."""
    return Path(os.path.abspath(path))


def _spec(first: str) -> importlib.machinery.ModuleSpec | None:
    try:
        return importlib.util.find_spec(first)
    except (ImportError, ValueError, AttributeError):  # a broken finder, a module without a spec
        return None


def _source(stem: Path) -> Path | None:
    """The file of a module whose path without its ending is `stem`."""
    for ending in (".py", *_SUFFIXES):
        path = stem.with_name(stem.name + ending)
        if path.is_file():
            return path
        if (path := stem / f"__init__{ending}").is_file():
            return path
    return None


def _names_in(folder: Path) -> list[str]:
    return sorted({each.name.partition(".")[0] for each in folder.iterdir() if _is_module(each)})


def _is_module(path: Path) -> bool:
    return path.name.endswith(_SUFFIXES) and path.is_file()


def _below(folder: Path, prefix: str) -> list[str]:
    """The names of all modules below a folder, except the harness's own."""
    names = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if parts[0] == HARNESS or not _is_module(path):
            continue
        if any(part.startswith(".") or part == "__pycache__" for part in parts):
            continue
        stem = parts[-1].partition(".")[0]
        names.append(prefix + ".".join([*parts[:-1], *([] if stem == "__init__" else [stem])]))
    return [name.rstrip(".") for name in names if name.rstrip(".")]
