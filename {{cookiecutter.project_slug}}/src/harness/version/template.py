"""The template that a repository was made from: where it is, and what stands in it at a commit.

`.cruft.json` says where, in cruft's own form; the template's hook writes it, also under plain
cookiecutter.
"""

import contextlib
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.seal import CHANGELOG
from harness.version.git import asked, git

STATE = ".cruft.json"
_OUT_OF_REACH = r"resolve host|unable to access|Connection|timed out|unreachable|Network"
_VERSION = re.compile(r'^__version__ = "([^"]+)"', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a repository comes from; `state` is all that cruft keeps of it."""

    address: str
    commit: str
    state: dict[str, Any]


def read_origin(root: Path) -> Origin:
    """What `.cruft.json` says.

    Raises HarnessError where there is none, or where it does not say it.
    """
    path = root / STATE
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        return Origin(str(state["template"]), str(state["commit"]), state)
    except FileNotFoundError:
        raise HarnessError(
            f"which template this repository was made from is not recorded: there is no {STATE}",
            fix="in a clone of the template: python scripts/adopt.py THIS-FOLDER (its README says "
            "more)",
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HarnessError(
            f"{STATE} does not say which template and commit: {type(error).__name__}: {error}",
            fix=f"git log -- {STATE} shows how it was; git checkout COMMIT -- {STATE} restores it",
        ) from None


@dataclass(frozen=True, slots=True)
class Template:
    """A whole clone of the template in a folder of its own."""

    folder: Path

    def resolve(self, wanted: str) -> str:
        """The commit of a tag, branch or commit; of the newest where nothing is wanted."""
        names = [wanted, f"origin/{wanted}"] if wanted else ["origin/HEAD", "HEAD"]
        for name in names:
            ref = f"{name}^{{commit}}"
            options = ("--verify", "--quiet", "--end-of-options")
            if found := asked(self.folder, "rev-parse", *options, ref):
                return found.splitlines()[-1]
        tags = git(self.folder, "tag", "--sort=-creatordate").split()
        raise HarnessError(
            f"the template has no tag, branch or commit {wanted!r} "
            f"(its newest tags: {', '.join(tags[:5]) or 'none'})",
            fix="make upgrade TO=one of them, or make upgrade for the newest",
        )

    def has(self, commit: str) -> bool:
        """Whether a commit is in its history."""
        ref = f"{commit}^{{commit}}"
        return asked(self.folder, "rev-parse", "--verify", "--quiet", ref) is not None

    def is_same(self, commit: str, other: str) -> bool:
        """Whether both commits hold the same files."""
        return asked(self.folder, "diff", "--quiet", commit, other) is not None

    def is_before(self, commit: str, other: str) -> bool:
        """Whether `other` was made on top of `commit`."""
        return asked(self.folder, "merge-base", "--is-ancestor", commit, other) is not None

    def harness_file(self, commit: str, name: str) -> str | None:
        """The text of a file of the harness; None where it has none of that name."""
        folders = git(self.folder, "ls-tree", "-d", "--name-only", commit).splitlines()
        project = next((each for each in folders if each.startswith("{{")), "")
        # Not by `git`, which takes the last line end away: the seal is of every byte.
        done = subprocess.run(
            ["git", "cat-file", "blob", f"{commit}:{project}/src/harness/{name}"],
            cwd=self.folder,
            capture_output=True,
        )
        return None if done.returncode else done.stdout.decode("utf-8")

    def version(self, commit: str) -> str:
        """The harness's version; "" for one from before it had any."""
        found = _VERSION.search(self.harness_file(commit, "__init__.py") or "")
        return found[1] if found else ""

    def news(self, commit: str, before: str) -> str:
        """What its changelog says of the versions after `before`."""
        text = self.harness_file(commit, CHANGELOG) or ""
        parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]
        newer = [part for part in parts if parsed(part[3:].split()[0]) > parsed(before)]
        return "".join(newer).strip()


def parsed(version: str) -> tuple[int, ...]:
    """A version as numbers that can be ordered; () for none."""
    return tuple(map(int, re.findall(r"\d+", version)))


@contextlib.contextmanager
def cloned(origin: Origin) -> Iterator[Template]:
    """A clone of the template, for as long as it is needed.

    Raises HarnessError where it is out of reach, has moved, or is another one now.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "template"
        try:
            git(Path(name), "clone", "--quiet", "--", origin.address, str(folder))
        except HarnessError as error:
            raise _not_cloned(origin.address, error) from None
        template = Template(folder)
        if not template.has(origin.commit):
            raise HarnessError(
                f"{origin.address} does not hold the commit {origin.commit[:12]} that this "
                "repository was made from: another template is there now",
                fix=f'correct "template" in {STATE} and commit it, then make upgrade',
            )
        yield template


def _not_cloned(address: str, error: HarnessError) -> HarnessError:
    words = error.message.removeprefix("git clone: ")
    said = " ".join(words.removeprefix("fatal: ").split())
    fix = f'if it moved: correct "template" in {STATE} and commit it, then make upgrade'
    if re.search(_OUT_OF_REACH, words):
        fix = f"make upgrade again with a network; {fix}"
    return HarnessError(f"the template at {address} cannot be read: {said}", fix=fix, code=1)
