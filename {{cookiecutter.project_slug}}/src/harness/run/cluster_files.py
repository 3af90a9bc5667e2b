"""The files of a project that a cluster's workers need, and what they have to find there."""

import os
import pickle
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.project.contract import Project
from harness.project.grid import resolve_grid
from harness.project.modules import is_installed, repository_top
from harness.project.tasks import take_census
from harness.seal import HERE

_MOST_BYTES = 512 * 2**20


@dataclass(frozen=True, slots=True)
class Bundle:
    """`files`: content by path from the top; `root`: the benchmark there; `path`: for imports.

    `expected` are the contexts of the keys by configuration; `items`: what a fit depends on.
    """

    files: dict[str, bytes]
    root: str
    path: list[str]
    expected: dict[bytes, Any]
    items: str | None
    here: Path

    @classmethod
    def of(cls, project: Project) -> "Bundle":
        """The bundle of a project.

        Raises HarnessError where code lies outside the repository, or data for fit is too large.
        """
        root = project.root
        top = repository_top(root)
        grid = resolve_grid(project)
        items = None
        if project.fit is not None:
            items = take_census(project, None).digest
            grid = grid.with_items(items)
        wanted = {root / "benchmark.toml", *grid.sources.values()}
        wanted |= _below(root / "src/benchmark")
        if project.fit is not None:
            wanted |= _below(root / "data")  # fit reads the dataset itself
        files: dict[str, bytes] = {}
        for path in sorted(each for each in wanted if each.is_file()):
            place = Path(os.path.normpath(path))
            if not place.is_relative_to(top):
                raise HarnessError(
                    f"predict reaches {path}, outside the repository: a cluster does not get it",
                    fix="put it into the repository, or install it on the workers as a package",
                )
            files[place.relative_to(top).as_posix()] = path.read_bytes()
        inside = root.relative_to(top)
        for path in _below(HERE):
            files[(inside / "src/harness" / path.relative_to(HERE)).as_posix()] = path.read_bytes()
        if (size := sum(map(len, files.values()))) > _MOST_BYTES:
            raise HarnessError(
                f"{size / 2**20:,.0f} MB of files would be sent to each worker",
                fix="let dataset.load give items with the Path of a file each; those are sent when "
                "they are needed",
            )
        expected = {each.digest: each.context for each in grid.configurations}
        return cls(files, inside.as_posix(), _import_path(root, top), expected, items, root)

    def hello(self, share: int) -> bytes:
        """What a process is asked first; `share`: how many share the limits."""
        return pickle.dumps((self.expected, self.items, share, str(self.here)))


def _below(folder: Path) -> set[Path]:
    found = set()
    for path in folder.rglob("*") if folder.is_dir() else ():
        if path.is_file() and path.suffix != ".pyc" and ".git" not in path.parts:
            found.add(path)
    return found


def _import_path(root: Path, top: Path) -> list[str]:
    """Where imports look inside the repository, in order."""
    places = [root / "src"]
    for entry in sys.path:
        place = Path(entry or ".").resolve()
        if place.is_relative_to(top) and not is_installed(place) and place not in places:
            places.append(place)
    return [place.relative_to(top).as_posix() for place in places]
