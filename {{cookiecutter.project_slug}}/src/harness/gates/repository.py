"""Gates on git and DVC: branch, commits, data, tag, results of before."""

from pathlib import Path

from harness.console import err
from harness.errors import HarnessError
from harness.findings import many
from harness.gates.situation import Blocked, Situation, blocked_by
from harness.record.layout import TAG
from harness.version import dvc, git, results_state
from harness.version.published import check_tags, published


def branch(now: Situation) -> Blocked | None:
    """Experiments belong on a feature branch, so that main holds only what was decided."""
    return branch_problem(now.root, now.project.settings.benchmark.protected_branches)


def branch_problem(root: Path, protected: list[str]) -> Blocked | None:
    """The branch check alone; it also runs before a dev-run and before a commit."""
    if not git.is_repository(root):
        begin = "git init && git add -A && git commit -m start && git switch -c feat/my-experiment"
        return Blocked("this folder is no git repository", begin)
    ref = git.branch_ref(root)
    fix = "git switch -c feat/my-experiment"
    if not ref:
        return Blocked(f"no branch is checked out (HEAD is at {git.names_of_head(root)})", fix)
    if not ref.startswith(git.BRANCHES):
        return Blocked(f"HEAD is {ref}, which is no branch of this repository", fix)
    if git.is_protected(root, ref, protected):
        name = ref.removeprefix(git.BRANCHES)
        listed = "[benchmark] protected_branches in benchmark.toml"
        return Blocked(f"{name} is a protected branch ({listed})", fix)
    return None


def clean(now: Situation) -> Blocked | None:
    """A commit must say what ran."""
    if not git.head(now.root):
        return Blocked("nothing is committed yet", 'git add . && git commit -m "begin"')
    if lost := git.untracked(now.root, list(now.grid.files)):
        names = " ".join(lost)
        return Blocked(
            f"git does not keep {names}, which files in params.py names", f"git add -f {names}"
        )
    changed = git.changed(now.root)
    if not changed:
        return None
    shown = ", ".join(changed[:5]) + (" …" if len(changed) > 5 else "")
    return Blocked(f"uncommitted changes: {shown}", 'git add -A && git commit -m "…"')


def data(now: Situation) -> Blocked | None:
    """DVC has recorded its data as it is now, and DVC or git keeps every new file."""
    if not now.project.settings.store.dvc:
        return None
    if new := dvc.new_data(now.root):
        return Blocked(f"neither DVC nor git keeps {', '.join(new[:5])}", "make data")
    changed = dvc.changed_data(now.root)
    if not changed:
        return None
    return Blocked(
        f"data differs from what DVC records: {', '.join(changed)}",
        "make data records it as it is here; dvc checkout (or make pull) restores what is recorded",
    )


def results(now: Situation) -> Blocked | None:
    """All results recorded so far are here: the next experiment is added to them."""
    if problem := results_state.problem(now.root, now.project.settings, now.tag):
        return Blocked(problem.message, problem.fix)
    try:
        return blocked_by(check_tags(now.root, now.project.settings), "make validate")
    except HarnessError as error:
        return Blocked(error.message, error.fix)


_SKEW_SECONDS = 60  # less is said of nobody's clock


def tag(now: Situation) -> Blocked | None:
    """A tag is used once, by one person, and versions only grow.

    The person may override that a tag is older, or taken elsewhere. Two things cannot be
    overridden: a name that is not a tag, since it becomes part of a path, and a tag whose results
    are published.
    """
    if now.tag is None:
        return None
    found = published(now.root, now.project.settings)
    for note in found.notes:
        err.print(f"note: {note}", markup=False, soft_wrap=True)
    if git.is_repository(now.root) and git.is_shallow(now.root):
        note = "this clone is shallow: to merge, to compare with what came earlier, or to rebase,"
        err.print(f"note: {note} first git fetch --unshallow --tags", soft_wrap=True)
    _check_clock(now.root)
    fix = f"make experiment TAG={found.next_free}"
    if not now.tag:
        return Blocked("no experiment tag is given", fix, final=True)
    if not TAG.match(now.tag):
        return Blocked(f"{now.tag!r} is no experiment tag (e1.2.3)", fix, final=True)
    if now.tag in found.here:
        # After a kill between tag and push, only the push is missing.
        if found.remote_tags.get(now.tag) or not (command := git.push_missing(now.root, now.tag)):
            return Blocked(f"{now.tag} is taken", fix, final=True)
        fix = f"{command}; the next one: {fix}"
        return Blocked(f"{now.tag} is taken but not pushed", fix, final=True)
    if now.tag in found.known:
        return Blocked(
            f"{now.tag} is published already ({found.where(now.tag)})",
            f"git fetch --tags; the next one: {fix}",
            final=now.tag in found.held,
        )
    if other := git.same_but_for_case(now.root, now.tag):
        message = f"the tag {other} is {now.tag} on this disk, where case makes no difference"
        return Blocked(message, f"git tag -d {other}", final=True)
    if git.is_branch(now.root, now.tag):
        return Blocked(
            f"a branch is called {now.tag}; `git checkout {now.tag}` would not give the tag",
            f"git branch -m {now.tag} feat/{now.tag}",
        )
    if found.known and git.version(now.tag) < git.version(found.newest):
        return Blocked(f"{now.tag} is older than {found.newest}", fix)
    return None


def _check_clock(root: Path) -> None:
    """No order depends on a clock, but what people read does."""
    if not git.is_repository(root) or (behind := git.seconds_behind(root)) < _SKEW_SECONDS:
        return
    err.print(
        f"note: the last commit is {_long(behind)} ahead of this machine's clock, so "
        "one of two clocks is wrong (timedatectl shows this one's); versions keep their order, and "
        "what is recorded now is dated by this one",
        soft_wrap=True,
    )


def _long(seconds: int) -> str:
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            return many(seconds // size, unit)
    return many(seconds, "second")
