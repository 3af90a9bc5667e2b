"""The files whose content is in the keys of a run, watched while it runs.

Code may be imported late (by a worker that starts, or inside a function). A prompt may be read at
any time. So a result counts only where none of these files was written since its key was made. A
file that was put back counts as written: it may have been read in between.
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
    """Remembers when each of some named files was last written."""

    def __init__(
        self, files: Mapping[str, Path], stamps: Mapping[str, Stamp] | None = None
    ) -> None:
        """`stamps` are those taken before the files were read; by default they are taken now."""
        known = stamps or {}
        self._files = [(n, path, known.get(n) or stamp(path)) for n, path in files.items()]

    def written(self) -> str:
        """The name of a file that was written since then; '' where none was."""
        for name, path, before in self._files:
            if stamp(path) != before:
                return name
        return ""
