"""Checkouts beside this one, for experiments that differ in code or data: `../<project>-<name>`.

Each has its own branch, database and environment. They share git's objects and tags, DVC's cache
and remotes, and the cache of results, so nothing that one has computed is computed by another.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError
from harness.version import dvc, git

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*\Z")
PREFIX = "exp/"
CACHE = ".cache"


@dataclass(frozen=True, slots=True)
class Worktree:
    """A checkout of this repository: the benchmark's folder in it, its top, its branch or ''.

    `problem` is git's word where its folder is gone or it is locked.
    """

    root: Path
    top: Path
    branch: str
    problem: str = ""

    @property
    def name(self) -> str:
        """How commands call it."""
        return self.branch.removeprefix(PREFIX) or self.top.name


def worktrees(root: Path) -> list[Worktree]:
    """Every checkout of this repository, the main one first."""
    above = git.git(root, "rev-parse", "--show-prefix")
    found = []
    for block in git.git(root, "worktree", "list", "--porcelain", "-z").split("\0\0"):
        facts = dict(line.partition(" ")[::2] for line in block.split("\0") if line)
        if "worktree" not in facts or "bare" in facts:
            continue
        top = Path(facts["worktree"])
        wrong = [facts[each] or each for each in ("prunable", "locked") if each in facts]
        branch = facts.get("branch", "").removeprefix(git.BRANCHES)
        found.append(Worktree(top / above, top, branch, "".join(wrong[:1])))
    return found


def add(root: Path, name: str) -> Worktree:
    """Make `../<project>-<name>` on the branch `exp/<name>`, which begins at what is checked out.

    A branch of that name is taken up where it is. Raises HarnessError where the folder is there or
    the branch is checked out elsewhere; what was made until then is taken back.
    """
    if not _NAME.match(name):
        raise HarnessError(
            f"{name!r} is no name for a worktree" if name else "the worktree needs a name",
            fix="small letters, digits, . _ and -: make worktree NAME=transformer",
        )
    if not git.is_repository(root) or not git.head(root):
        raise HarnessError("nothing is committed yet", fix='git add . && git commit -m "begin"')
    main = worktrees(root)[0]
    branch, top = PREFIX + name, main.top.with_name(f"{main.top.name}-{name}")
    if top.exists():
        raise HarnessError(f"{top} is there already", fix="make worktrees; or another NAME")
    other = next((each for each in worktrees(root) if each.branch == branch), None)
    if other:
        fix = "git worktree prune" if other.problem else f"cd {other.root}"
        raise HarnessError(f"{branch} is checked out in {other.top}", fix=fix)
    is_new = not git.is_branch(root, branch)
    git.git(root, "worktree", "add", "-q", *(["-b", branch] if is_new else []), str(top),
            "HEAD" if is_new else branch)  # fmt: skip
    above = git.git(root, "rev-parse", "--show-prefix")
    made = Worktree(top / above, top, branch)
    try:
        _share(main.root, made.root)
    except BaseException:
        git.git(root, "worktree", "remove", "--force", str(top))
        if is_new:
            git.git(root, "branch", "-q", "-D", branch)
        raise
    return made


def _share(main: Path, new: Path) -> None:
    """DVC's cache, remotes and credentials, and the cache of results."""
    cache = main / CACHE
    cache.mkdir(exist_ok=True)
    (new / CACHE).symlink_to(cache.resolve(), target_is_directory=True)
    if not dvc.is_set_up(main):
        return
    local, folder = main / ".dvc/config.local", dvc.cache_folder(main)
    if local.exists():
        shutil.copy(local, new / ".dvc/config.local")
    folder.mkdir(parents=True, exist_ok=True)
    dvc.run(new, "cache", "dir", "--local", str(folder))


def check_out_data(root: Path) -> str:
    """Bring data and results of the branch to a new worktree; '' or what is missing."""
    if not dvc.is_set_up(root):
        return ""
    try:
        dvc.run(root, "checkout")
    except HarnessError:
        return f"some data or results are not in DVC's cache: cd {root} && make pull"
    return ""


# -- what of it is nowhere else


def find(root: Path, name: str) -> Worktree:
    """The worktree of this name. Raises HarnessError where there is none, or it is the main one."""
    main, *others = worktrees(root)
    found = next((each for each in others if name in (each.name, each.top.name)), None)
    if found is None:
        names = ", ".join(each.name for each in others) or "none"
        raise HarnessError(f"there is no worktree {name!r} (there: {names})", fix="make worktrees")
    here = Path.cwd().resolve()
    if found.top.resolve() in (here, *here.parents):
        raise HarnessError(f"you are in {found.top}", fix=f"cd {main.root}, then again")
    return found


def remove(root: Path, tree: Worktree, keep_branch: bool) -> None:
    """Take a worktree away, its branch too unless it is to be kept. Whoever calls has looked."""
    if tree.top.exists():
        # git refuses where anything is neither committed nor ignored.
        git.git(root, "worktree", "remove", str(tree.top))
    else:
        git.git(root, "worktree", "prune")
    if tree.branch and not keep_branch:
        git.git(root, "branch", "-q", "-D", tree.branch)
