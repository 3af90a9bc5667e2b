"""What an upgrade would bring, what forbids it, and what becomes of an edited harness."""

import contextlib
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError
from harness.record.lock import one_at_a_time
from harness.seal import edited_in
from harness.version import git as commands
from harness.version.git import asked, changed, git
from harness.version.template import STATE, Origin, Template, cloned, parsed, read_origin
from harness.version.template_merge import QUIET, lay_over, merge, worktree

_HARNESS = "src/harness"
_NOBODY = ("-c", "user.name=bench-template", "-c", "user.email=bench-template@localhost")


@dataclass(frozen=True, slots=True)
class Planned:
    """What an upgrade would do, or that nothing is to be done.

    `before` and `after` are versions, "" for none; `edits` is a diff of what was edited in the
    harness.
    """

    origin: Origin
    target: str
    before: str
    after: str
    news: str
    edited: list[str]
    edits: str
    is_done: bool


@dataclass(frozen=True, slots=True)
class Upgraded:
    """`conflicts`: files that a person has to finish; `aside`: where an edit of the harness is."""

    conflicts: list[str]
    aside: Path | None


@contextlib.contextmanager
def planned(root: Path, to: str = "") -> Iterator[tuple[Planned, Template]]:
    """Look at the template and at the repository; nothing is changed.

    Raises HarnessError where the tree is not clean, the template cannot be read, or `to` is older.
    """
    refuse_dirty(root)
    origin = read_origin(root)
    with cloned(origin) as template:
        target = template.resolve(to)
        before, after = template.version(origin.commit), template.version(target)
        older = template.is_before(target, origin.commit) and target != origin.commit
        if older or parsed(after) < parsed(before):
            raise HarnessError(
                f"{to or target[:12]} is older than what is here ({after or 'no version'} before "
                f"{before or origin.commit[:12]}): an upgrade does not go back",
                fix=f"git log -- {STATE} names the last upgrade's commit; git revert takes it back",
            )
        edited = edited_in(root / _HARNESS) if before else []
        edits = "".join(_edit(root, template, origin.commit, name) for name in edited)
        news = template.news(target, before)
        done = template.is_same(target, origin.commit)
        yield Planned(origin, target, before, after, news, edited, edits, done), template


def upgrade(root: Path, plan: Planned, template: Template, force: bool = False) -> Upgraded:
    """Lay the target over the repository: staged, not committed.

    Raises HarnessError where the harness was edited and `force` does not say to put that aside, and
    where cruft fails; then nothing has changed.
    """
    if plan.edited and not force:
        raise HarnessError(
            f"the harness was edited here ({', '.join(plan.edited)}), and is updated as a whole",
            fix=f"make upgrade FORCE=1 puts the edit aside as {_aside(root, plan)} and goes on",
        )
    with one_at_a_time(root / "results", "an upgrade"), worktree(root) as there:
        if plan.edited:
            _restore(there, template, plan)
        conflicts = merge(there, template.folder, plan.target)
        aside = _keep(root, plan) if plan.edited else None
        lay_over(root, there)
    return Upgraded(conflicts, aside)


def refuse_dirty(root: Path) -> None:
    """Raises HarnessError where something is not committed: it could be lost in a merge."""
    if not commands.is_repository(root):
        raise HarnessError(
            "this folder is in no git repository, and an upgrade is a merge",
            fix="git init && git add -A && git commit -m start, then make upgrade",
        )
    if asked(root, "rev-parse", "--verify", "--quiet", "HEAD") is None:
        raise HarnessError(
            "nothing is committed yet, and an upgrade is a merge",
            fix="git add -A && git commit -m start, then make upgrade",
        )
    if files := changed(root):
        more = f" and {len(files) - 3} more" if len(files) > 3 else ""
        raise HarnessError(
            f"there are changes that are not committed: {', '.join(files[:3])}{more}",
            fix="git add -A && git commit (or git stash -u), then make upgrade",
        )


# -- an edited harness


def _edit(root: Path, template: Template, commit: str, name: str) -> str:
    """What was changed in one file, as a patch that `git apply` takes."""
    path = root / _HARNESS / name
    ours = template.harness_file(commit, name)
    there = path.is_file()
    old = (ours or "").splitlines(keepends=True)
    new = path.read_text("utf-8", "replace").splitlines(keepends=True) if there else []
    label = f"{_HARNESS}/{name}"
    lines = difflib.unified_diff(
        old, new,
        "/dev/null" if ours is None else f"a/{label}",
        f"b/{label}" if there else "/dev/null",
    )  # fmt: skip
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def _aside(root: Path, plan: Planned) -> str:
    return f"results/aside/harness-{plan.before}-{commands.head(root)[:8]}.patch"


def _keep(root: Path, plan: Planned) -> Path:
    path = root / _aside(root, plan)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(plan.edits, encoding="utf-8")
    return path


def _restore(there: Path, template: Template, plan: Planned) -> None:
    """The harness as it was sealed, so that cruft merges nothing into it."""
    for name in plan.edited:
        path = there / _HARNESS / name
        text = template.harness_file(plan.origin.commit, name)
        if text is None:
            path.unlink(missing_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    git(there, "add", "--all", "--", _HARNESS)
    git(there, *_NOBODY, *QUIET, "commit", "--quiet", "--no-verify", "-m", "The sealed harness")
