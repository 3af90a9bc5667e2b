"""What is published: the one answer that listing, deleting, gates and experiments go by.

A tag that is not here proves nothing: a clone made by CI has none. So it is asked for everywhere it
leaves a trace: the tags, the results that any branch holds, the table `runs`, and the remote.
"""

import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError, explained
from harness.findings import Finding, many, unchecked, within
from harness.project.settings import Settings
from harness.record.database_file import prepare_to_read
from harness.record.layout import TAG, databases
from harness.version import git

_IN_TREE = re.compile(rb" (e\d+\.\d+\.\d+)\.json\0")
_REMOTES = "refs/remotes/"
# Only in this checkout: git neither clones nor pushes it.
_FINISHING = "refs/worktree/finishing/"
_RUNS = "runs: "


@dataclass(frozen=True, slots=True)
class Published:
    """Tags of experiments, oldest version first, each with the places that say so.

    `here` are those that this repository has as tags; `held` those whose results are here, in a
    branch or a database. `remote_tags` are the remote's, each with its object; `notes` says what
    could not be asked.
    """

    known: dict[str, list[str]]
    here: list[str]
    held: set[str]
    remote: str
    remote_tags: dict[str, str]
    notes: list[str]

    @property
    def newest(self) -> str:
        """The highest version; '' where there is none."""
        return next(reversed(self.known), "")

    @property
    def next_free(self) -> str:
        """The highest version with its last number raised."""
        if not self.known:
            return "e0.0.1"
        major, minor, patch = git.version(self.newest)
        return f"e{major}.{minor}.{patch + 1}"

    def where(self, tag: str) -> str:
        """How it is known that `tag` is published, in words."""
        return ", ".join(self.known[tag][:3])


def published(root: Path, settings: Settings, ask_remote: bool = True) -> Published:
    """What is known to be published.

    Raises HarnessError where git fails. A remote or a database that cannot be asked is a note.
    """
    here: list[str] = []
    committed: dict[str, list[str]] = {}
    unfinished: set[str] = set()
    remote, remote_tags = "", dict[str, str]()
    recorded, notes = _recorded(root, settings)
    if git.is_repository(root):
        here, committed, remote = git.tags(root), _committed(root), git.remote(root)
        if remote and ask_remote:
            try:
                remote_tags = git.remote_tags(root, remote)
            except HarnessError as error:
                notes.append(
                    f"{remote} cannot be asked for its tags: {error.message.splitlines()[0]}"
                )
        unfinished = _finishing(root) - {*here, *remote_tags}

    known: dict[str, list[str]] = {}
    for tag in here:
        known.setdefault(tag, []).append("its tag is here")
    for tag in remote_tags:
        known.setdefault(tag, []).append(f"{remote} has the tag")
    for tag, refs in committed.items():
        # What this checkout was about to tag as it was stopped is in its own branch only.
        if tag in unfinished:
            refs = [ref for ref in refs if ref.startswith(_REMOTES)]
        if refs:
            name = refs[0].removeprefix(git.BRANCHES).removeprefix(_REMOTES)
            known.setdefault(tag, []).append(f"results/{tag}.json is in {name}")
    for tag, name in recorded.items():
        if tag not in unfinished:
            known.setdefault(tag, []).append(f"the table runs in {name} says so")
    return Published(
        known={tag: known[tag] for tag in sorted(known, key=git.version)},
        here=here,
        held=(committed.keys() | recorded.keys()) & known.keys(),
        remote=remote,
        remote_tags=remote_tags,
        notes=notes,
    )


def _committed(root: Path) -> dict[str, list[str]]:
    """Experiments whose results a branch of this repository or of a remote holds: the refs."""
    refs = git.git(root, "for-each-ref", "--format=%(refname)", git.BRANCHES, _REMOTES).split()
    above = git.git(root, "rev-parse", "--show-prefix")
    asked = [*refs, "HEAD"]
    folders = [f"{ref}:{above}results" for ref in asked]
    found: dict[str, list[str]] = {}
    for ref, tree in zip(asked, git.trees(root, folders), strict=True):
        for name in _IN_TREE.findall(tree):
            if TAG.match(tag := name.decode()):
                found.setdefault(tag, []).append(ref)
    return found


def _recorded(root: Path, settings: Settings) -> tuple[dict[str, str], list[str]]:
    """Experiments that `runs` calls published, with the database; and what cannot be read."""
    found: dict[str, str] = {}
    notes = []
    query = "SELECT DISTINCT experiment_version FROM runs WHERE published IS NOT NULL"
    for path in databases(root, settings, "experiment"):
        name = path.relative_to(root).as_posix()
        try:
            found |= {tag: name for (tag,) in _rows(path, query) if TAG.match(str(tag))}
        except HarnessError as error:
            notes.append(error.message)
    return found, notes


def _rows(path: Path, query: str) -> list[tuple[str, ...]]:
    """The rows of a query to the table runs; none where its columns are not there yet.

    Raises HarnessError where the database cannot be read.
    """
    prepare_to_read(path)
    uri = f"{path.resolve().as_uri()}?mode=ro"
    with explained(path, "read"), closing(sqlite3.connect(uri, uri=True)) as con:
        columns = {row[1] for row in con.execute("PRAGMA table_info(runs)")}
        wanted = {"experiment_version", "published"} if "published" in query else {"commit_hash"}
        return con.execute(query).fetchall() if wanted <= columns else []


# -- being about to tag


def begin_finishing(root: Path, tag: str) -> None:
    """Note, in this checkout alone, that `tag` is about to be made.

    From here on the results say that the experiment is published. Where it is stopped before the
    tag is there, this is what tells it from a clone that lacks the tag.
    """
    git.git(root, "update-ref", _FINISHING + tag, "HEAD")


def end_finishing(root: Path, tag: str) -> None:
    """The tag is there."""
    git.git(root, "update-ref", "-d", _FINISHING + tag)


def _finishing(root: Path) -> set[str]:
    refs = git.git(root, "for-each-ref", "--format=%(refname)", _FINISHING).split()
    return {ref.removeprefix(_FINISHING) for ref in refs}


# -- which runs a tag is of


def runs_line(track_ids: list[str]) -> str:
    """The line of a tag's message that names the runs it is of."""
    return _RUNS + " ".join(sorted(track_ids))


def runs_of(path: Path) -> dict[str, dict[str, str]]:
    """Per experiment of a database: its runs, each with the commit that ran."""
    found: dict[str, dict[str, str]] = {}
    query = "SELECT experiment_version, track_id, commit_hash FROM runs"
    for tag, track_id, commit in _rows(path, query):
        if TAG.match(str(tag)):
            found.setdefault(tag, {})[track_id] = commit or ""
    return found


def strangers(root: Path, tag_object: str, runs: dict[str, str]) -> list[str]:
    """Which of these runs (with their commits) a tag, given by ref or object, is not of.

    Raises HarnessError where an old tag has to be asked by commits that are not here.
    """
    message = git.git(root, "cat-file", "-p", tag_object)
    if named := re.findall(rf"^{_RUNS}(.*)$", message, re.MULTILINE):
        return sorted(runs.keys() - set(named[-1].split()))
    # A tag of an earlier harness: a run of another branch is not in its history.
    commits = {commit for commit in runs.values() if commit}
    apart = {commit for commit in commits if not git.is_ancestor(root, commit, tag_object)}
    return sorted(track_id for track_id, commit in runs.items() if commit in apart)


def check_tags(root: Path, settings: Settings) -> list[Finding]:
    """Are the rows of each experiment those that its tag was made of?"""
    if not git.is_repository(root):
        return []
    here, published_here = set(git.tags(root)), _recorded(root, settings)[0]
    found = []
    for path in databases(root, settings, "experiment"):
        for tag, runs in sorted(runs_of(path).items()):
            if tag in here:
                found += _check_tag(root, tag, runs)
            elif tag in published_here:
                why = f"{within(tag)}its tag is not here; git fetch --tags"
                found.append(unchecked("not_of_its_tag", why))
    return found


def _check_tag(root: Path, tag: str, runs: dict[str, str]) -> list[Finding]:
    try:
        other = strangers(root, git.TAGS + tag, runs)
    except HarnessError as error:
        return [unchecked("not_of_its_tag", f"{within(tag)}{error.message}")]
    if not other:
        return []
    message = (
        f"{within(tag)}{many(len(other), 'run')} here {'is' if len(other) == 1 else 'are'} not of "
        f"the tag {tag}; what the tag stands for is in another branch or checkout"
    )
    fix = f"make retag TAG={tag} TO=… gives the rows here another name"
    return [Finding("not_of_its_tag", "error", message, len(other), tuple(other[:5]), fix)]
