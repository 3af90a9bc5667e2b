"""Bring branch, tags, results, data and models to the remote, and from there to here.

Data goes first and tags last, so that whoever sees a tag finds what it stands for. Both may be
stopped anywhere and repeated. Without DVC the same is done with git alone, which has everything.
"""

from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import HarnessError
from harness.findings import many
from harness.project.settings import Settings
from harness.version import dvc, git, models
from harness.version.past import Held, bring, commit_of, exchange, files_at, is_here, md5
from harness.version.results_state import is_recorded, problem_of, records


@dataclass(frozen=True, slots=True)
class Shared:
    """What was done, a line each; and what was left undone, each with the command that fixes it."""

    done: list[str] = field(default_factory=list)
    left: list[HarnessError] = field(default_factory=list)


def push(root: Path, settings: Settings) -> Shared:
    """Push the branch, every tag, and what DVC keeps of them.

    Raises HarnessError where there is no remote or it is out of reach; nothing is half done then
    that the same command does not finish.
    """
    shared, name = Shared(), _git_remote(root)
    tags, away = git.tags(root), dict[str, list[Held]]()
    if settings.store.dvc:
        away = _push_data(root, tags, shared)
    else:
        shared.done.append("git keeps results and data here, so they travel with branch and tags")
    theirs = git.remote_tags(root, name)
    ours = {tag: git.git(root, "rev-parse", git.TAGS + tag) for tag in tags}
    new = [
        tag for tag in tags if tag not in theirs and _has_data(root, tag, away.get(tag, []), shared)
    ]
    for tag in tags:
        if theirs.get(tag, ours[tag]) != ours[tag]:
            free = f"make retag TAG={tag} TO=… (make next names a free one)"
            shared.left.append(HarnessError(f"{name} has another {tag}; not pushed", fix=free))
    refs = [f"{git.TAGS}{tag}:{git.TAGS}{tag}" for tag in new]
    branch = git.branch_ref(root)
    if branch:
        refs.append(f"HEAD:{branch}")
    else:
        at = git.names_of_head(root)
        shared.left.append(HarnessError(f"no branch is checked out ({at}): only tags were pushed"))
    refused = git.push_refs(root, name, refs) if refs else {}
    for ref, why in refused.items():
        word = ref.removeprefix(git.TAGS).removeprefix(git.BRANCHES)
        fix = f"git pull --no-rebase {name} {word}, then make push" if ref == branch else ""
        shared.left.append(HarnessError(f"{name} refuses {word}: {why}", fix=fix))
    pushed = [tag for tag in new if git.TAGS + tag not in refused]
    shared.done.append(
        f"{name}: {_named(pushed, 'tag')} pushed" if pushed else f"{name} has every tag"
    )
    if branch and branch not in refused:
        shared.done.append(f"{name}: {branch.removeprefix(git.BRANCHES)} is up to date")
    return shared


def _named(tags: list[str], noun: str) -> str:
    shown = ", ".join(tags[:5]) + (" …" if len(tags) > 5 else "")
    return f"{many(len(tags), noun)} ({shown})"


def _has_data(root: Path, tag: str, away: list[Held], shared: Shared) -> bool:
    """Whether DVC's remote has what is not here of a new tag; else nobody could read that tag."""
    try:
        bring(root, away)
    except HarnessError as error:
        words = f"{tag} is not pushed, as nobody could read it: {error.message}"
        shared.left.append(HarnessError(words, fix=error.fix))
        return False
    return True


def _push_data(root: Path, tags: list[str], shared: Shared) -> dict[str, list[Held]]:
    """Push what is here of it; returns what is not, for each tag."""
    config = dvc.config(root)
    if new := [name for name in git.changed(root) if Path(name).parts[-2:] == (".dvc", "config")]:
        words = "the remote of DVC is not committed, so a clone does not know it"
        fix = f'git add {new[0]} && git commit -m "a remote", then make push'
        shared.left.append(HarnessError(words, fix=fix))
    if not dvc.default_remote(config):
        raise HarnessError(
            "DVC keeps results here and has no remote, so nobody else could get them",
            fix="make remote URL=… (a folder, ssh://…, s3://…), then make push",
            code=1,
        )
    of_tag = {tag: [held for held in files_at(root, tag) if held.by == "dvc"] for tag in tags}
    wanted = {held.id: held for files in of_tag.values() for held in files}
    if git.head(root):
        wanted |= {held.id: held for held in files_at(root, "", "HEAD") if held.by == "dvc"}
    wanted |= {held.id: held for held in models.held_by_dvc(root)}
    there = {held.id: held for held in wanted.values() if is_here(root, held)}
    if there:
        exchange(root, config, there.values(), "push")
    shared.done.append(f"{many(len(there), 'version')} of files in {dvc.remote_url(config)}")
    if away := len(wanted) - len(there):
        shared.done.append(f"{many(away, 'older version')} not in the cache here, so not pushed")
    return {tag: [held for held in files if held.id not in there] for tag, files in of_tag.items()}


def pull(root: Path, settings: Settings, tag: str = "") -> Shared:
    """Bring new tags and branches here, the branch up to date, and what DVC keeps for it.

    With `tag`, what DVC keeps of that one, into the cache: the working tree stays. Raises
    HarnessError where the remote is out of reach, and where files here would be replaced.
    """
    shared, name = Shared(), git.remote(root)
    if name:
        _fetch(root, name, shared)
    elif not (tag or (settings.store.dvc and dvc.is_set_up(root) and dvc.has_remote(root))):
        raise HarnessError("git has no remote to pull from", fix="git remote add origin URL")
    if tag:
        commit_of(root, tag)
        return _pull_tag(root, tag, shared)
    if name:
        _forward(root, name, shared)
    else:
        shared.done.append("git has no remote, so only what DVC keeps is brought")
    if settings.store.dvc:
        _pull_data(root, shared)
    else:
        shared.done.append("git keeps results and data here, so they came with branch and tags")
    return shared


def _fetch(root: Path, name: str, shared: Shared) -> None:
    theirs, ours = git.remote_tags(root, name), set(git.tags(root))
    new = [tag for tag in theirs if tag not in ours]
    refs = [f"{git.TAGS}{tag}:{git.TAGS}{tag}" for tag in new]
    shallow = git.git(root, "rev-parse", "--is-shallow-repository") == "true"
    options = ["--unshallow"] if shallow else []
    git.git(root, "fetch", "-q", "--no-tags", *options, name, _HEADS.format(name), *refs)
    if shallow:
        shared.done.append("this was a shallow clone, without the history; it has all of it now")
    shared.done.append(f"{name}: {_named(new, 'new tag')}" if new else f"{name}: no new tag")
    for tag in sorted(ours & theirs.keys(), key=git.version):
        if git.git(root, "rev-parse", git.TAGS + tag) != theirs[tag]:
            free = f"make retag TAG={tag} TO=…, then make pull"
            shared.left.append(HarnessError(f"{tag} here is not the {tag} of {name}", fix=free))


_HEADS = "+refs/heads/*:refs/remotes/{}/*"


def _forward(root: Path, name: str, shared: Shared) -> None:
    """Bring the branch up to date where that only adds commits."""
    branch = git.branch(root)
    if not branch:
        at = git.names_of_head(root)
        shared.left.append(
            HarnessError(
                f"no branch is checked out ({at}), so none was updated", fix="git switch …"
            )
        )
        return
    upstream = f"refs/remotes/{name}/{branch}"
    if git.asked(root, "rev-parse", "--verify", "-q", upstream) is None:
        shared.done.append(f"{name} has no branch {branch} yet")
        return
    if git.is_ancestor(root, upstream, "HEAD"):
        return
    if not git.is_ancestor(root, "HEAD", upstream):
        both = f"{branch} and {name}/{branch} each have commits that the other has not"
        shared.left.append(HarnessError(both, fix=f"git merge {name}/{branch}, then make pull"))
        return
    git.git(root, "merge", "-q", "--ff-only", upstream)
    shared.done.append(f"{branch} is that of {name} now")


def _pull_data(root: Path, shared: Shared) -> None:
    kept = [held for held in files_at(root, "", "HEAD") if held.by == "dvc"]
    if not kept:
        return
    bring(root, kept)
    ahead = _ahead(root, shared)
    ready = [held for held in kept if root / held.name not in ahead]
    if ready:
        dvc.run(root, "checkout", *dict.fromkeys(held.record for held in ready))
        shared.done.append(f"{_named([held.name for held in ready], 'file')} of DVC as recorded")


def _ahead(root: Path, shared: Shared) -> set[Path]:
    """Databases that hold what no version of DVC has: they stay as they are, and it is said."""
    found = set()
    for record in records(root):
        if record.by != "dvc" or not record.path.is_file() or is_recorded(root, record):
            continue
        if dvc.cached(root, md5(record.path)).exists():
            continue  # an earlier version, which DVC has
        found.add(record.path)
        name = record.path.relative_to(root).as_posix()
        if problem := problem_of(root, record):
            shared.left.append(HarnessError(problem.message, fix=problem.fix))
        else:
            shared.done.append(
                f"{name} is ahead of its record by an unfinished experiment, and stays"
            )
    return found


def _pull_tag(root: Path, tag: str, shared: Shared) -> Shared:
    kept = [held for held in files_at(root, tag) if held.by == "dvc"]
    bring(root, kept)
    if kept:
        shared.done.append(
            f"{_named([held.name for held in kept], 'file')} of {tag} in DVC's cache"
        )
    else:
        shared.done.append(f"git has all of {tag}")
    shared.done.append(f"to look at it: make checkout TAG={tag}")
    return shared


def _git_remote(root: Path) -> str:
    if name := git.remote(root):
        return name
    raise HarnessError("git has no remote to push to", fix="git remote add origin URL")
