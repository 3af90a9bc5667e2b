"""Fitted models that are files beside a database come along where its results are merged.

The database that is merged is their index. What it names and is not here is taken from beside it,
or from the commit; a file that lies there already is never written again.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from harness.errors import HarnessError
from harness.record.fitted_files import file_of, write_model
from harness.version import dvc, git, past
from harness.version.merging.columns import tables_of
from harness.version.recorded_versions import FOLDER

_LONGEST = 400  # bytes of an asset that may be such a name
Content = Callable[[str], bytes | None]  # of a file, by its name from the database's folder


def named_in(db: Path) -> list[str]:
    """The files of models that a database names, from its folder."""
    with closing(sqlite3.connect(f"file:{quote(str(db))}?mode=ro", uri=True)) as con:
        if "assets" not in tables_of(con, "main"):
            return []
        query = "SELECT value FROM assets WHERE length(value) <= ?"
        found = [file_of(db, bytes(value)) for (value,) in con.execute(query, (_LONGEST,))]
    top = db.parent.resolve()
    return sorted(path.relative_to(top).as_posix() for path in found if path is not None)


def beside(db: Path) -> Content:
    """Files that lie beside a database."""

    def content(name: str) -> bytes | None:
        path = db.parent / name
        return path.read_bytes() if path.is_file() else None

    return content


def of_commit(root: Path, ref: str) -> Content:
    """Files that a commit, branch or tag has, from git or from what DVC keeps."""
    held = {each.name: each for each in past.files_at(root, "", ref)}
    cached: dict[str, Path] = {}

    def content(name: str) -> bytes | None:
        wanted = f"{FOLDER}/{name}"
        if wanted in held:
            return git.trees(root, [held[wanted].id])[0]
        folder = held.get(str(Path(wanted).parent))
        if folder is None or not folder.is_folder:
            return None
        if wanted not in cached:
            past.bring(root, [folder])
            cached.update(past.cached_files(root, folder))
        return cached[wanted].read_bytes() if wanted in cached else None

    return content


def bring(db: Path, into: Path, content: Content) -> tuple[set[Path], list[str]]:
    """Bring what `db` names and is not in the folder `into`.

    Returns the folders that got files, and the names of the files that could not be had.
    """
    changed, lacking = set[Path](), list[str]()
    for name in named_in(db):
        path = into / name
        if path.is_file():
            continue
        try:
            found = None if _elsewhere(path.parent) else content(name)
        except HarnessError as error:  # a remote out of reach does not stop a merge of rows
            lacking.append(error.message)
            break
        if found is None or sha256(found).hexdigest() != path.stem:
            lacking.append(name)
        else:
            changed.add(write_model(path.parent, found).parent)
    return changed, lacking


def _elsewhere(folder: Path) -> bool:
    """Whether DVC keeps this folder and has not put it here: a record of a part would replace it"""
    return not folder.exists() and folder.with_name(f"{folder.name}.dvc").exists()


def hand_over(root: Path, folders: set[Path], with_dvc: bool) -> list[str]:
    """Hand the folders that got files to DVC, or to git; returns what git should keep."""
    kept: list[str] = []
    for folder in sorted(folders):
        kept += dvc.add(root, folder) if with_dvc else [folder.relative_to(root).as_posix()]
    return kept


def bring_all(
    root: Path, theirs: list[Path], origin: str, of_git: bool
) -> tuple[set[Path], list[str]]:
    """As `bring`, into results/ of this checkout, for every database of `theirs`."""
    changed, lacking = set[Path](), list[str]()
    of_theirs = of_commit(root, origin) if of_git else None
    for db in theirs:
        folders, names = bring(db, root / FOLDER, of_theirs or beside(db))
        changed |= folders
        lacking += names
    return changed, lacking
