"""Files that the keys of a run stand for, watched while it goes on.

Code may be imported late (by a worker that starts, or inside a function), and a prompt may be read
at any time. So what was computed counts only where none of these files was written since its key
was made; one that was put back counts as written, since it may have been read in between.
"""

from collections.abc import Mapping
from pathlib import Path

Stamp = tuple[int, ...]


def stamp(path: Path) -> Stamp:
    """What changes whenever a file is written: size and times; empty where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return ()
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


class Watch:
    """Knows files by their names and remembers when they were last written."""

    def __init__(
        self, files: Mapping[str, Path], stamps: Mapping[str, Stamp] | None = None
    ) -> None:
        """`stamps` are those taken before the files were read; by default they are taken now."""
        known = stamps or {}
        self._files = [(n, path, known.get(n) or stamp(path)) for n, path in files.items()]

    def written(self) -> str:
        """The name of a file that was written since; '' where none was."""
        for name, path, before in self._files:
            if stamp(path) != before:
                return name
        return ""
