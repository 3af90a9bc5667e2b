"""One cache of DVC for a group on a machine: each file lies there once, and checkouts link to it.

It is a setting of this machine, so it stands in `.dvc/config.local`, which git does not keep;
worktrees take it over.
"""

import contextlib
import os
import shutil
from pathlib import Path

from harness.errors import HarnessError
from harness.findings import many
from harness.version import dvc

# The first that the disk can do. A database is unlinked before it is written to.
LINKS = "reflink,hardlink,symlink,copy"
_GROUP = 0o2775


def share(root: Path, folder: Path) -> list[str]:
    """Let DVC use `folder` as its cache, with what is in the present one; returns what was done.

    Raises HarnessError where DVC is not set up, or the group could not write there.
    """
    if not dvc.is_set_up(root):
        raise HarnessError("DVC is not set up here, so there is no cache to share", fix="dvc init")
    folder, before = folder.expanduser().absolute(), dvc.cache_folder(root)
    if folder.is_relative_to(root):
        raise HarnessError(f"{folder} is inside this checkout", fix="name a folder of the group")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HarnessError(
            f"{folder} cannot be made: {error.strerror}", fix="name another"
        ) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise HarnessError(f"{folder} may not be written to", fix=f"chmod g+rwxs {folder}")
    with contextlib.suppress(PermissionError):  # it is somebody else's, who has seen to that
        folder.chmod(_GROUP)  # what is made in it belongs to its group
    copied = 0 if before == folder.resolve() else _copy(before, folder)
    for name, value in (("dir", str(folder)), ("shared", "group"), ("type", LINKS)):
        dvc.run(root, "config", "--local", f"cache.{name}", value)
    done = [f"DVC keeps its files in {folder}, for a group, linked ({LINKS})"]
    if copied:
        done.append(f"{many(copied, 'file')} copied there; {before} can be deleted")
    return done


def _copy(source: Path, target: Path) -> int:
    """Each file that is not there yet, whole or not at all."""
    count = 0
    for path in sorted((source / "files").rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir() or place.exists():
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        for folder in (place.parent, *place.parent.parents):
            if folder == target:
                break
            folder.chmod(_GROUP)
        part = place.with_name(f".{place.name}.part")
        shutil.copyfile(path, part)
        part.chmod(0o444)
        part.replace(place)
        count += 1
    return count
