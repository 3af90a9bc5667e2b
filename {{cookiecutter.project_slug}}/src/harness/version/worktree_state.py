"""What a worktree has that is nowhere else: uncommitted, untagged, unpushed, unmerged."""

import json
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError
from harness.findings import many
from harness.project.settings import Settings, layout_of
from harness.record.database_file import ASIDE
from harness.record.layout import databases
from harness.version import dvc, git
from harness.version.published import runs_of
from harness.version.recorded_versions import FOLDER
from harness.version.results_state import is_recorded, records
from harness.version.worktrees import Worktree


@dataclass(frozen=True, slots=True)
class Left:
    """One thing that would be lost. `kind`: uncommitted, untagged, unpushed or unmerged."""

    kind: str
    words: str
    fix: str


def left_in(root: Path, tree: Worktree, ask_remote: bool = True) -> list[Left]:
    """Everything that a worktree has alone; empty where it can go.

    `ask_remote` looks at the remotes of git and DVC, which can take seconds.
    """
    if not tree.root.exists():
        return _unmerged(root, tree)
    found = [*_uncommitted(tree), *_untagged(tree), *_aside(tree)]
    found += _unpushed(tree, ask_remote)
    if ask_remote and not found:
        found += _unpushed_data(tree)  # only now, since it takes seconds
    return found + _unmerged(root, tree)


def _uncommitted(tree: Worktree) -> list[Left]:
    options = ("status", "--porcelain", "--untracked-files=all", "--no-renames", "-z")
    entries = git.git(tree.root, *options).split("\0")
    found = []
    if names := [entry[3:] for entry in entries if entry]:
        more = " …" if len(names) > 5 else ""
        found.append(Left("uncommitted", ", ".join(names[:5]) + more,
                          f'cd {tree.root} && git add -A && git commit -m "…"'))  # fmt: skip
    for record in records(tree.root):
        if record.by == "dvc" and record.path.is_file() and not is_recorded(tree.root, record):
            name = record.path.relative_to(tree.root).as_posix()
            words = f"{name} holds what DVC does not record"
            fix = f'cd {tree.root} && dvc add {name} && git commit -m "…" -- {name}.dvc'
            found.append(Left("uncommitted", words, fix))
    return found


def _untagged(tree: Worktree) -> list[Left]:
    tags = set(git.tags(tree.root))
    found = []
    settings = Settings().with_layout(layout_of(tree.root))
    for path in databases(tree.root, settings, "experiment"):
        for experiment in sorted(runs_of(path).keys() - tags, key=git.version):
            words = f"{experiment} is recorded in {path.name} and has no tag"
            fix = (
                f"cd {tree.root} && make experiment TAG={experiment} finishes it, "
                f"make discard TAG={experiment} drops it"
            )
            found.append(Left("untagged", words, fix))
    return found


def _aside(tree: Worktree) -> list[Left]:
    folder = tree.root / FOLDER / ASIDE
    names = [path.name for path in folder.glob("*") if path.name != ".gitignore"]
    if not names:
        return []
    words = f"{many(len(names), 'file')} set aside in {folder}"
    return [Left("uncommitted", words, f"look at them, then rm -r {folder}")]


def _unpushed(tree: Worktree, ask_remote: bool) -> list[Left]:
    remote = git.remote(tree.root)
    if not remote:
        return []
    found = []
    count = git.git(tree.root, "rev-list", "--count", "HEAD", "--not", "--remotes")
    if int(count):
        fix = f"cd {tree.root} && git push {remote} HEAD"
        found.append(Left("unpushed", many(int(count), "commit"), fix))
    if not ask_remote:
        return found
    merged = git.git(tree.root, "tag", "--merged", "HEAD").split()
    mine = [tag for tag in git.tags(tree.root) if tag in merged]
    try:
        theirs = git.remote_tags(tree.root, remote)
    except HarnessError as error:
        words = f"whether its tags are pushed is not known: {error.message}"
        return [*found, Left("unpushed", words, error.fix)]
    if missing := [tag for tag in mine if tag not in theirs]:
        fix = f"cd {tree.root} && git push {remote} {' '.join(missing)}"
        found.append(Left("unpushed", f"tags {', '.join(missing)}", fix))
    return found


def _unpushed_data(tree: Worktree) -> list[Left]:
    if not dvc.is_set_up(tree.root) or not dvc.has_remote(tree.root):
        return []
    fix = f"cd {tree.root} && make push"
    try:
        found = json.loads(dvc.run(tree.root, "status", "--cloud", "--json") or "{}")
    except HarnessError as error:
        return [Left("unpushed", f"whether its data is pushed is not known: {error.message}", fix)]
    names = [name for name, state in found.items() if state == "new"]
    return [Left("unpushed", f"data and results: {', '.join(names[:5])}", fix)] if names else []


def _unmerged(root: Path, tree: Worktree) -> list[Left]:
    """Whether its branch is in no other one, of here or of the remote."""
    if not tree.branch:
        return []
    refs = git.git(
        root, "for-each-ref", f"--contains={git.BRANCHES}{tree.branch}", "--format=%(refname)",
        git.BRANCHES, "refs/remotes",
    ).split()  # fmt: skip
    others = [ref for ref in refs if not ref.endswith(f"/{tree.branch}")]
    if others:
        return []
    fix = f"git merge {tree.branch} (a squashed one is seen as unmerged: FORCE=1 keeps its branch)"
    return [Left("unmerged", f"{tree.branch} is in no other branch", fix)]
