"""Where a person may have output written: never over what git, DVC or the harness keep."""

from pathlib import Path

from harness.errors import HarnessError
from harness.version import git

_INTERNAL = frozenset({".git", ".dvc", ".venv", ".cache", ".dev"})


def check_place(root: Path, target: Path, force: bool = False) -> None:
    """Raise HarnessError where writing to `target` would cost something that is not ours to give.

    In the repository these are tracked files, and everything in the folders of git, DVC, the cache
    and the environment. Elsewhere it is any file that is there, unless `force` says otherwise.
    """
    place = target.resolve()
    if place.exists() and not place.is_file():
        raise HarnessError(f"{target} is no plain file.", fix="name another with OUT=")
    inner = _INTERNAL.intersection(place.parts)
    if inner and (place.is_relative_to(root.resolve()) or ".git" in inner):
        raise HarnessError(
            f"{target} is in {min(inner)}, whose files only its own program writes.",
            fix="name another with OUT=",
        )
    if not place.is_relative_to(root.resolve()):
        if place.exists() and not force:
            raise HarnessError(
                f"{target} is there already, and is not in this repository.",
                fix="name another with OUT=, or FORCE=1 replaces it",
            )
        return
    if place.exists() and _is_kept(root, place):
        raise HarnessError(
            f"{target} is tracked; output does not replace it.", fix="name another with OUT="
        )


def _is_kept(root: Path, place: Path) -> bool:
    if place.with_name(f"{place.name}.dvc").exists():
        return True
    return git.is_repository(root) and bool(
        git.git(root, git.LITERAL, "ls-files", "--", str(place))
    )
