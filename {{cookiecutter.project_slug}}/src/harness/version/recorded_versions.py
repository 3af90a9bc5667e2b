"""Databases as a commit records them: which there are, and the file itself."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.errors import HarnessError
from harness.version import dvc, git
from harness.version.results_state import md5_in

FOLDER = "results"


@dataclass(frozen=True, slots=True)
class Version:
    """A database of a commit: its name in results/, and its MD5 (DVC) or blob (git)."""

    name: str
    by: Literal["dvc", "git"]
    version: str


def recorded_at(root: Path, ref: str) -> list[Version]:
    """The databases that a commit, branch or tag records.

    Raises HarnessError where git does not know it.
    """
    if git.asked(root, "rev-parse", "--verify", "-q", f"{ref}^{{commit}}", no=1) is None:
        raise HarnessError(
            f"there is no file, folder, branch or tag {ref!r} here",
            fix="git fetch --unshallow --tags (this clone is shallow: it lacks what came earlier)"
            if git.is_shallow(root)
            else "git fetch --tags; make tags",
        )
    above = git.git(root, "rev-parse", "--show-prefix")
    listed = git.git(root, "ls-tree", "-z", f"{ref}^{{commit}}", "--", f"{FOLDER}/")
    found: list[Version] = []
    for entry in filter(None, listed.split("\0")):
        what, _, path = entry.partition("\t")
        blob, name = what.split()[2], Path(path).name
        if name.endswith(".db"):
            found.append(Version(name, "git", blob))
        elif name.endswith(".db.dvc"):
            text = git.git(root, "show", f"{ref}^{{commit}}:{above}{FOLDER}/{name}")
            found.append(Version(name.removesuffix(".dvc"), "dvc", md5_in(text)))
    return found


def bring(root: Path, version: Version, target: Path) -> None:
    """Put the file itself to `target`: from git, DVC's cache, or its remote.

    Raises HarnessError where it is nowhere to be had.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if version.by == "git":
        git.write_blob(root, version.version, target)
        return
    if not version.version:
        raise HarnessError(f"{version.name}.dvc does not say one version of {version.name}")
    source = dvc.cached(root, version.version)
    if not source.exists():
        _fetch(root, version)
    if not source.exists():
        raise HarnessError(
            f"{version.name} in the version {version.version[:12]} is neither in DVC's cache nor "
            "in its remote",
            fix="dvc push where it was recorded, then the same command again",
            code=1,
        )
    shutil.copyfile(source, target)


def _fetch(root: Path, version: Version) -> None:
    """Ask the remote for one file, which no file in this checkout may name."""
    if not dvc.has_remote(root):
        return
    asking = root / FOLDER / f"fetch-{version.version[:8]}.dvc"
    asking.write_text(
        f"outs:\n- md5: {version.version}\n  hash: md5\n  path: fetch-{version.version[:8]}\n",
        encoding="utf-8",
    )
    try:
        dvc.run(root, "fetch", asking.relative_to(root).as_posix())
    finally:
        asking.unlink(missing_ok=True)


def keep(root: Path, file: Path, md5: str) -> None:
    """Put a file into DVC's cache, as `dvc add` does."""
    target = dvc.cached(root, md5)
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    shutil.copyfile(file, part)
    part.chmod(0o444)
    part.replace(target)
