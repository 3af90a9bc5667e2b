"""Which harness this is: its version, a digest over its files, and which of them were edited.

SEAL stands beside this file. The template's makers write it (scripts/seal.py there), one line a
file. What it cannot say is who edited something; only that a result was not made by what the
version names.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
SEAL = "SEAL"
CHANGELOG = "CHANGELOG.md"
_SHOWN = 5  # names of files in a sentence; the table of runs has all


@dataclass(frozen=True, slots=True)
class Identity:
    """`digest` is of the files as they are; `edited` names those that the seal does not know so."""

    version: str
    digest: str
    edited: tuple[str, ...]


@cache
def identity() -> Identity:
    """The harness that is running, as it was when this was first asked."""
    # Here, because the package imports the rooms, which may ask.
    from harness import __version__

    found = digests(HERE)
    return Identity(__version__, _digest(written(found)), tuple(differences(found, sealed(HERE))))


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a harness, line ends as in git, by its name from `folder`."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        # What Python, an editor and a file manager leave there is no part of it.
        passing = any(part.startswith(".") or part == "__pycache__" for part in name.parts)
        if passing or path.suffix == ".pyc" or name.as_posix() == SEAL or not path.is_file():
            continue
        content = path.read_bytes().replace(b"\r\n", b"\n")
        found[name.as_posix()] = hashlib.sha256(content).hexdigest()
    return found


def written(found: dict[str, str]) -> str:
    """The text of SEAL for these files."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(found.items()))


def sealed(folder: Path) -> dict[str, str]:
    """What SEAL says of each file; nothing where there is none."""
    path = folder / SEAL
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = [line.partition("  ") for line in lines if line]
    return {name: digest for digest, _, name in pairs}


def differences(found: dict[str, str], seal: dict[str, str]) -> list[str]:
    """The files that were edited, added or removed since they were sealed."""
    return sorted(name for name in found.keys() | seal if found.get(name) != seal.get(name))


def edited_in(folder: Path) -> list[str]:
    """The files of the harness in `folder` that differ from its seal."""
    return differences(digests(folder), sealed(folder))


def modified_words(edited: Iterable[str]) -> str:
    """`modified harness: run/loop.py, …`; "" where nothing was edited."""
    names = list(edited)
    if not names:
        return ""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"modified harness: {', '.join(names[:_SHOWN])}{more}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
