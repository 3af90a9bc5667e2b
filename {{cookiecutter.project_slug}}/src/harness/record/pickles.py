"""Pickles that others may have written: plain data is read, code is run only where it is trusted.

A pickle is a program: it may name any function and call it. One that names none can only make
texts, numbers, lists and the like, so that much is read from anybody. What needs more (a model, an
object of a library) is loaded only where its SHA-256 is on this checkout's list: whatever it wrote
itself is, and `make trust` adds what somebody vouches for. The list lies in git's own
folder, which no clone, pull or archive of the files brings along; worktrees share it.
"""

import hashlib
import io
import pickle
import pickletools
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import cloudpickle

from harness.errors import HarnessError, explained

_LIST = "benchmark-trusted.db"
_AT_ONCE = 500


class NotPlain(Exception):
    """A pickle that names code."""


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        raise NotPlain(f"{module}.{name}")


def plain_load(content: bytes) -> object:
    """What a pickle of plain data holds. Raises NotPlain where it names code, before any runs."""
    return _Plain(io.BytesIO(content)).load()


def index_load(content: bytes) -> object:
    """A text or number of xetrack's index of assets.

    Raises HarnessError where the pickle names code.
    """
    try:
        return plain_load(content)
    except NotPlain as found:
        raise HarnessError(
            f"the index of assets holds {found}, where xetrack writes texts and numbers",
            fix="do not use that database; ask where it comes from",
        ) from None


def names_in(content: bytes) -> set[str]:
    """The top packages that a pickle names; nothing of it is run."""
    found, texts = set(), list[str]()
    try:
        for code, argument, _ in pickletools.genops(content):
            if isinstance(argument, str):
                texts.append(argument)
            if code.name in ("GLOBAL", "INST") and isinstance(argument, str):
                found.add(argument.split(" ")[0].partition(".")[0])
            elif code.name == "STACK_GLOBAL" and len(texts) > 1:
                found.add(texts[-2].partition(".")[0])
    except Exception:  # a damaged one
        return found
    return found


class Trusted:
    """This checkout's list of pickles that it may load. Without a git repository it is empty."""

    def __init__(self, root: Path) -> None:
        folder = git_folder(root)
        self._path = None if folder is None else folder / _LIST

    def add(self, contents: Iterable[bytes]) -> None:
        """Put these pickles on the list."""
        digests = [(_digest(each),) for each in contents]
        if not digests or self._path is None:
            return
        with explained(self._path), closing(sqlite3.connect(self._path, timeout=60)) as con, con:
            con.execute("CREATE TABLE IF NOT EXISTS trusted (sha256 BLOB PRIMARY KEY)")
            con.executemany("INSERT OR IGNORE INTO trusted VALUES (?)", digests)

    def has(self, content: bytes) -> bool:
        """Whether this pickle is on the list."""
        if self._path is None or not self._path.exists():
            return False
        query = "SELECT 1 FROM trusted WHERE sha256 = ?"
        with explained(self._path, "read"), closing(sqlite3.connect(self._path, timeout=60)) as con:
            return con.execute(query, (_digest(content),)).fetchone() is not None

    def load(self, content: bytes, what: str) -> object:
        """The object of a pickle: of plain data always, of another only where it is on the list.

        Raises HarnessError where it is not, with the command that puts it there; `what` names it.
        """
        try:
            return plain_load(content)
        except NotPlain as found:
            if self.has(content):
                return cloudpickle.loads(content)
            raise untrusted(what, str(found)) from None


def untrusted(what: str, named: str) -> HarnessError:
    """What to say of a pickle that came from elsewhere."""
    return HarnessError(
        f"{what} would run code when it is loaded (it names {named}), and this checkout did not "
        "write it",
        fix="make trust, if you know who did; else move it away",
    )


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def git_folder(root: Path) -> Path | None:
    """The folder of git that all worktrees of this checkout share; None outside of a repository."""
    for folder in (root.resolve(), *root.resolve().parents):
        found = folder / ".git"
        if found.is_file():  # of a worktree: it names the folder of its own, which names the shared
            text = found.read_text(encoding="utf-8", errors="surrogateescape")
            found = folder / text.partition("gitdir:")[2].strip()
        if found.is_dir():
            common = found / "commondir"
            return found / common.read_text("utf-8").strip() if common.is_file() else found
    return None
