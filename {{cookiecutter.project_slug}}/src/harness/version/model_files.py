"""Where the file of a model is kept: a small one in the database, others under DVC or git."""

import pickle
import shutil
from pathlib import Path

from harness.errors import HarnessError
from harness.project.settings import Settings
from harness.record.pickles import NotPlain, plain_load
from harness.version import dvc, git
from harness.version.results_state import md5_of

SMALL = 100_000  # bytes; up to here a model is kept in the database itself


def store(
    db: Path, settings: Settings, name: str, file: Path, changed: list[str]
) -> tuple[str, str]:
    """Keep a file; returns how, and its name there (hash, MD5 or blob).

    What git is to take is added to `changed`.
    """
    if file.stat().st_size <= SMALL:
        return "asset", _keep_asset(db, name, file.read_bytes())
    root = db.parent.parent
    place = folder(root, name) / file.name
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f".{place.name}.part")
    shutil.copyfile(file, part)
    part.replace(place)
    if settings.store.dvc:
        changed += dvc.add(root, place)
        return "dvc", md5_of(place)
    changed.append(place.relative_to(root).as_posix())
    return "git", git.git(root, "hash-object", "-w", "--", str(place))


def folder(root: Path, name: str) -> Path:
    """Where the files of a model are in this checkout."""
    return root / "models" / name


def _keep_asset(db: Path, name: str, content: bytes) -> str:
    from xetrack.assets import AssetsManager

    from harness.record.store import read_plainly

    # Each of its three tables has a connection of its own, so each has to commit at once.
    assets = AssetsManager(str(db), autocommit=True)
    read_plainly(assets)
    try:
        return str(assets.insert(f"model_{name}", content))
    finally:
        for part in (assets.assets, assets.keys, assets.counts):
            part.commit(blocking=True)
            part.close()


def asset(db: Path, name: str) -> bytes:
    """What an asset of the database holds. Raises HarnessError where it is not there."""
    from xetrack.assets import AssetsManager

    assets = AssetsManager(str(db))
    try:
        content = plain_load(bytes(assets.assets.get(name, b"")))
    except (NotPlain, pickle.UnpicklingError, EOFError):
        content = None  # what was kept here is bytes, so this is something else
    finally:
        for part in (assets.assets, assets.keys, assets.counts):
            part.close()
    if not isinstance(content, bytes):
        raise HarnessError(f"{db.name} has no asset {name}", fix="dvc checkout", code=1)
    return content


def take_away(root: Path, name: str) -> list[str]:
    """Remove its files from this checkout; returns those that git had.

    The cache, the remote and git's history keep them.
    """
    place = folder(root, name)
    names = [path.relative_to(root).as_posix() for path in sorted(place.glob("*"))]
    shutil.rmtree(place)
    return [name for name in names if git.git(root, "ls-files", "--", name)]
