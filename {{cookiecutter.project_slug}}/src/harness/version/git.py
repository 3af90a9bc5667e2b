"""The few things that are asked of git, as a person at the command line would ask them.

"No" and "I cannot say" are two answers: each question names the exit code that means no, and every
other failure is raised in git's own words. Refs are compared by their full names.
"""

import hashlib
import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import HarnessError
from harness.record.layout import TAG

# What an experiment itself writes; it may be unfinished from a run that was killed.
OWN = ("results", "dvc.lock")
BRANCHES = "refs/heads/"
TAGS = "refs/tags/"
LITERAL = "--literal-pathspecs"  # what is named is a file of this name, never a pattern
_REMOTE_SECONDS = 20.0

# What git says, and what to do about it; a lone `{}` is what the pattern has found.
_FIXES = (
    (r"git config --global --add safe\.directory .+", "{}"),
    (
        r"'([^']+\.lock)': File exists",
        "wait until no other git is at work here; where none is, rm '{}'; then run it again",
    ),
    (
        r"gpg|ssh-keygen|signing|sign the",
        "see that git can sign (git config user.signingKey), or git config commit.gpgSign false "
        "and git config tag.gpgSign false; then run it again",
    ),
    (
        r"resolve host|unable to access|from remote repository|not appear to be a git|timed out",
        "see that the remote can be reached (git remote -v), then run it again",
    ),
    (r"No space left", "free some space, then run it again"),
    (r"index file|corrupt|bad object|missing object|broken|bad signature", "git fsck says more"),
)


def git(root: Path, *arguments: str, given: str | None = None, **environment: str) -> str:
    """The standard output of a git command, without the last line end; options may stand first.

    `given` is its standard input, `environment` comes over this process's own. Raises HarnessError
    with git's own words where it fails.
    """
    done = _run(root, arguments, given, environment=environment)
    if done.returncode:
        raise failed(arguments, done.stderr or done.stdout)
    return done.stdout.rstrip("\n")


def asked(root: Path, *arguments: str, no: int = 1) -> str | None:
    """The same for a question: None where git says no, which is this exit code and no other."""
    done = _run(root, arguments)
    if done.returncode == no:
        return None
    if done.returncode:
        raise failed(arguments, done.stderr or done.stdout)
    return done.stdout.rstrip("\n")


def failed(arguments: Sequence[str], words: str) -> HarnessError:
    """What a git command said as it failed, and what to do about it."""
    command = next(each for each in arguments if re.fullmatch(r"[a-z][a-z-]+", each))
    fix = "see what git says, then run it again; nothing recorded was changed"
    for pattern, advice in _FIXES:
        if found := re.search(pattern, words):
            fix = advice.format(found[found.lastindex or 0].strip())
            break
    return HarnessError(f"git {command}: {words.strip()}", fix=fix, code=1)


def _run(
    root: Path,
    arguments: Sequence[str],
    given: str | None = None,
    seconds: float | None = None,
    environment: Mapping[str, str] | None = None,
) -> "subprocess.CompletedProcess[str]":
    try:
        done = subprocess.run(
            # What is written in the repository is UTF-8, whatever this terminal speaks.
            ["git", *(_utf8(each) for each in arguments)],
            cwd=root,
            input=None if given is None else _utf8(given),
            capture_output=True,
            timeout=seconds,
            # Some answers are told apart by their words.
            env={**os.environ, "LANGUAGE": "C", **(environment or {})},
        )
    except FileNotFoundError:
        raise HarnessError("git is not installed", fix="install git", code=1) from None
    except subprocess.TimeoutExpired:
        raise failed(arguments, f"timed out after {seconds:.0f} s") from None
    # Names of files, whatever they are written in, as Python itself would read them.
    said = os.fsdecode(done.stdout), os.fsdecode(done.stderr)
    return subprocess.CompletedProcess(arguments, done.returncode, *said)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def write_blob(root: Path, name: str, path: Path) -> None:
    """Write a file as git holds it (`main:results/benchmark.db`, or an object) to `path`."""
    arguments = ("cat-file", "blob", name)
    with path.open("wb") as file:
        done = subprocess.run(["git", *arguments], cwd=root, stdout=file, stderr=subprocess.PIPE)
    if done.returncode:
        path.unlink()
        raise failed(arguments, done.stderr.decode("utf-8", "replace"))


# -- the repository


def is_repository(root: Path) -> bool:
    """Whether `root` is inside a git work tree.

    Raises HarnessError where there is a repository that git cannot or will not read.
    """
    arguments = ("rev-parse", "--is-inside-work-tree")
    done = _run(root, arguments)
    if done.returncode == 0:
        return done.stdout.strip() == "true"
    # git exits with 128 whether there is none, it is broken, or it is somebody else's.
    if "not a git repository (or any" not in done.stderr:
        raise failed(arguments, done.stderr)
    if there := _git_folder(root):
        raise HarnessError(
            f"git cannot read {there}: {done.stderr.strip()}",
            fix=f"ls -la {there} shows what it lacks; nothing recorded was changed",
            code=1,
        )
    return False


def _git_folder(root: Path) -> Path | None:
    """The `.git` of this folder or one above, as far as git looks; None where there is none."""
    ceilings = os.environ.get("GIT_CEILING_DIRECTORIES", "").split(os.pathsep)
    for folder in (root, *root.parents):
        if folder != root and str(folder) in ceilings:
            return None
        if (folder / ".git").exists():
            return folder / ".git"
    return None


def head(root: Path) -> str:
    """The commit that is checked out, in full; '' before the first one."""
    found = asked(root, "rev-parse", "--verify", "-q", "HEAD^{commit}")
    if found is None:
        # A branch without a commit and one whose file is damaged differ in their words only.
        arguments = ("log", "-1", "--format=%H")
        done = _run(root, arguments)
        if "does not have any commits yet" not in done.stderr:
            raise failed(arguments, done.stderr or "the commit that is checked out is broken")
    return found or ""


def seconds_behind(root: Path) -> int:
    """How far this machine's clock is behind the commit that is checked out; 0 where it is not."""
    committed = asked(root, "log", "-1", "--format=%ct", no=128) or "0"
    return max(0, int(committed) - int(time.time()))


def is_shallow(root: Path) -> bool:
    """Whether this clone lacks the commits before some point, and with them what tags stand for."""
    return git(root, "rev-parse", "--is-shallow-repository") == "true"


def branch_ref(root: Path) -> str:
    """What HEAD stands for, by its full name (refs/heads/main); '' where it is detached."""
    return asked(root, "symbolic-ref", "-q", "HEAD") or ""


def branch(root: Path) -> str:
    """The branch that is checked out; '' on a detached HEAD."""
    return branch_ref(root).removeprefix(BRANCHES)


def names_of_head(root: Path) -> str:
    """What a detached HEAD is at, in words: `tag e0.0.1, origin/main`, or a commit."""
    refs = git(root, "for-each-ref", "--points-at=HEAD", "--format=%(refname)", "refs").split()
    words = [f"tag {ref.removeprefix(TAGS)}" for ref in refs if ref.startswith(TAGS)]
    words += [ref.removeprefix("refs/remotes/") for ref in refs if ref.startswith("refs/remotes/")]
    return ", ".join(words[:3]) or f"commit {head(root)[:12]}"


def ignores_case(root: Path) -> bool:
    """Whether names that differ in case only are one file here, and so one branch or tag."""
    return asked(root, "config", "--type=bool", "core.ignorecase") == "true"


def is_protected(root: Path, ref: str, protected: Sequence[str]) -> bool:
    """Whether a full ref name is one of the branches named."""
    names = {BRANCHES + name.removeprefix(BRANCHES) for name in protected}
    if ignores_case(root):
        return ref.casefold() in {name.casefold() for name in names}
    return ref in names


# -- files


def changed(root: Path) -> list[str]:
    """Files that differ from the last commit, new ones too, without what experiments write."""
    # With renames an entry would have two names, and the old one would be read as a status.
    options = ("--porcelain", "--untracked-files=all", "--no-renames", "-z")
    entries = git(root, "status", *options).split("\0")
    above = git(root, "rev-parse", "--show-prefix")
    # git names them from the top of the repository, which may lie above this folder.
    paths = [os.path.relpath(entry[3:], above or ".") for entry in entries if entry]
    return [path for path in paths if Path(path).parts[0] not in OWN]


def untracked(root: Path, paths: list[str]) -> list[str]:
    """Which files neither git nor, in its stead, DVC keeps."""

    def by_dvc(path: Path) -> bool:
        parts = [part for part in (path, *path.parents) if part.name]
        return any((root / part).with_name(f"{part.name}.dvc").is_file() for part in parts)

    known = set(git(root, LITERAL, "ls-files", "-z", "--", *paths).split("\0")) if paths else set()
    return [path for path in paths if path not in known and not by_dvc(Path(path))]


def ignored(root: Path, paths: Sequence[str]) -> list[str]:
    """Which of these git would not take, because a .gitignore names them."""
    return (asked(root, "check-ignore", "--", *paths) or "").splitlines()


def dirty_hash(root: Path) -> str:
    """SHA-256 over the uncommitted changes and new files; '' where there are none."""
    paths = changed(root)
    if not paths:
        return ""
    content = hashlib.sha256()
    if head(root):
        options = ("--binary", "--no-ext-diff", "--no-textconv", "--no-renames")
        content.update(git(root, "diff", "HEAD", *options).encode("utf-8", "surrogateescape"))
    for path in sorted(paths):
        file = root / path
        content.update(os.fsencode(path))
        if file.is_file():
            content.update(hashlib.sha256(file.read_bytes()).digest())
    return content.hexdigest()


# -- tags and commits


def tags(root: Path) -> list[str]:
    """Experiment tags of this repository, oldest version first."""
    return sorted(filter(TAG.match, _all_tags(root)), key=version)


def same_but_for_case(root: Path, tag: str) -> str:
    """A tag that is the same as this one where the disk ignores case; '' where there is none."""
    if not ignores_case(root):
        return ""
    others = (name for name in _all_tags(root) if name.lower() == tag and name != tag)
    return next(others, "")


def _all_tags(root: Path) -> list[str]:
    names = git(root, "for-each-ref", "--format=%(refname)", TAGS).split()
    return [name.removeprefix(TAGS) for name in names]


def trees(root: Path, names: Sequence[str]) -> list[bytes]:
    """The trees of these names (`main:results`) as git stores them; empty where there is none."""
    if not names:
        return []
    command = ["git", "cat-file", "--batch"]
    given = "".join(f"{name}\n" for name in names).encode()
    done = subprocess.run(command, cwd=root, input=given, capture_output=True)
    if done.returncode:
        raise failed(("cat-file",), done.stderr.decode("utf-8", "replace"))
    found, rest = [], done.stdout
    for _ in names:
        # Each answer is `object type size`, a line break, that many bytes, a line break; or it ends
        # in `missing`.
        first, _, rest = rest.partition(b"\n")
        if first.endswith(b" missing"):
            found.append(b"")
            continue
        size = int(first.split()[-1])
        found.append(rest[:size])
        rest = rest[size + 1 :]
    return found


def version(tag: str) -> tuple[int, ...]:
    """`e1.2.3` as (1, 2, 3)."""
    return tuple(int(part) for part in tag[1:].split("."))


def subject(root: Path, tag: str) -> str:
    """The first line of a tag's message."""
    return git(root, "for-each-ref", "--format=%(contents:subject)", TAGS + tag)


def is_branch(root: Path, name: str) -> bool:
    """Whether a branch of this repository has this name."""
    return asked(root, "show-ref", "--verify", "-q", BRANCHES + name) is not None


def is_ancestor(root: Path, commit: str, of: str) -> bool:
    """Whether `of` has this commit in its history. Raises HarnessError where either is not here."""
    return asked(root, "merge-base", "--is-ancestor", commit, of) is not None


def commit(root: Path, paths: list[str], message: str) -> None:
    """Commit `paths` (nothing else) where they differ from the last commit."""
    git(root, LITERAL, "add", "--", *paths)
    if not git(root, LITERAL, "diff", "--cached", "--name-only", "--", *paths):
        return
    # The person's hooks guard what they write by hand; this commit holds results only. The message
    # is handed over as text: as an argument, one of 130 kB would be too long.
    options = ("--no-verify", "-q", "-F", "-")
    git(root, LITERAL, *identity(root), "commit", *options, "--", *paths, given=message)


def annotate(root: Path, tag: str, message: str) -> None:
    """Make an annotated tag at HEAD."""
    options = ("-a", "-F", "-", "--cleanup=verbatim")
    git(root, *identity(root), "tag", *options, tag, given=message)


def names_head(root: Path, tag: str) -> bool:
    """Whether there is such a tag, and it is of the last commit."""
    named = asked(root, "rev-parse", "-q", "--verify", f"refs/tags/{tag}^{{commit}}")
    return named is not None and named == head(root)


def take_back(root: Path, before: str, paths: list[str]) -> None:
    """Undo a commit of `paths` that was begun at the commit `before`; the files stay as they are.

    `before` is '' where there was none.
    """
    after = head(root)
    if not before:
        git(root, "update-ref", "-d", "HEAD")
        git(root, LITERAL, "rm", "-q", "--cached", "--ignore-unmatch", "--", *paths)
        return
    if after != before:
        git(root, "update-ref", "-m", "experiment: taken back", "HEAD", before, after)
    git(root, LITERAL, "reset", "-q", before, "--", *paths)


def identity(root: Path) -> list[str]:
    """Options that let git commit where nobody has told it a name yet."""
    options = []
    if asked(root, "config", "user.name") is None:
        options += ["-c", "user.name=benchmark"]
    if asked(root, "config", "user.email") is None:
        options += ["-c", "user.email=benchmark@localhost"]
    return options


# -- the remote


@dataclass(frozen=True, slots=True)
class Pushed:
    """Where to, and what the remote refused: full name of the ref there, and its reason."""

    remote: str
    refused: dict[str, str] = field(default_factory=dict)


def remote(root: Path) -> str:
    """The name of the remote: `origin`, or the first there is; '' without one."""
    remotes = git(root, "remote").split()
    return "origin" if "origin" in remotes else next(iter(remotes), "")


def remote_tags(root: Path, name: str) -> dict[str, str]:
    """The experiment tags of a remote, each with its object. Raises HarnessError out of reach."""
    arguments = ("ls-remote", "--refs", name, f"{TAGS}e*")
    done = _run(root, arguments, seconds=_REMOTE_SECONDS)
    if done.returncode:
        raise failed(arguments, done.stderr)
    pairs = [line.split("\t") for line in done.stdout.splitlines()]
    found = {ref.removeprefix(TAGS): value for value, ref in pairs}
    return {tag: value for tag, value in found.items() if TAG.match(tag)}


def push(root: Path, tag: str) -> Pushed:
    """Push the branch and the tag where a remote is set; both or none, if the remote can.

    A tag whose branch is refused, because somebody else has pushed to it, is pushed alone.
    Raises HarnessError where the remote cannot be reached.
    """
    name = remote(root)
    if not name:
        return Pushed("")
    tag_ref, branch_name = f"{TAGS}{tag}:{TAGS}{tag}", branch_ref(root)
    both = [f"HEAD:{branch_name}", tag_ref] if branch_name else [tag_ref]
    try:
        refused = _push(root, name, "--atomic", *both)
    except HarnessError as error:
        if "does not support --atomic" not in error.message:
            raise
        refused = {branch_name: "no --atomic"}
    if refused and TAGS + tag not in refused:
        # The tag first: a branch with results that no tag names would be half an experiment.
        refused = _push(root, name, tag_ref) or _push(root, name, both[0])
    return Pushed(name, refused)


def _push(root: Path, name: str, *arguments: str) -> dict[str, str]:
    command = ("push", "--porcelain", *[each for each in arguments if each.startswith("-")])
    refs = [each for each in arguments if not each.startswith("-")]
    done = _run(root, (*command, name, *refs))
    # A line is: flag, from:to, summary (reason).
    lines = [line.split("\t") for line in done.stdout.splitlines() if line.startswith("!\t")]
    refused = {pair.rpartition(":")[2]: reason for _, pair, reason in lines}
    if done.returncode and not refused:
        raise failed(command, done.stderr or done.stdout)
    # With --atomic the others are refused for the sake of the one that matters.
    return {ref: why for ref, why in refused.items() if "atomic" not in why} or refused


def push_refs(root: Path, name: str, refs: Sequence[str]) -> dict[str, str]:
    """Push these (`from:to`) as far as each can be; what is refused, with its reason.

    Raises HarnessError where the remote cannot be reached.
    """
    return _push(root, name, *refs)


def reach(root: Path, url: str) -> None:
    """See that a repository can be read and, as far as git can tell, written.

    Raises HarnessError in git's words where it cannot.
    """
    for arguments in (
        ("ls-remote", "-q", url),
        ("push", "-q", "--dry-run", url, "HEAD:refs/heads/probe"),
    ):
        if arguments[0] == "push" and not head(root):
            continue
        done = _run(root, arguments, seconds=_REMOTE_SECONDS)
        if done.returncode:
            raise failed(arguments, done.stderr)


def push_missing(root: Path, tag: str) -> str:
    """The command that pushes a tag that no branch of a remote has, as far as is known here.

    '' where there is nothing to push, or nowhere to push it to.
    """
    contains = f"--contains={TAGS}{tag}"
    known = git(root, "for-each-ref", contains, "--format=%(refname)", "refs/remotes")
    return "" if known else push_command(root, tag)


def push_command(root: Path, tag: str) -> str:
    """The command that pushes the branch and the tag; '' without a remote."""
    name = remote(root)
    if not name:
        return ""
    return f"git push {name} {'HEAD ' if branch_ref(root) else ''}{TAGS}{tag}"
