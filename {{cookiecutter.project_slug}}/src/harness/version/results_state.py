"""Is what lies in `results/` what DVC or git records there, and if not, why?

A database may rightly be ahead of its record: an experiment that is not finished has rows in it.
It is then the file that this checkout wrote, and it was begun from the version that is recorded
now. Any other difference means that the record has moved on without it, or that it was lost.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.project.settings import Settings
from harness.record.database_file import ASIDE, note_origin, written_here
from harness.record.layout import TAG, place_for
from harness.version import dvc, git

_FOLDER = "results"
_MD5 = re.compile(r"^[- ] +md5: ([0-9a-f]{32})\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and the command that fixes it."""

    message: str
    fix: str


@dataclass(frozen=True, slots=True)
class Record:
    """A database as DVC (by its MD5) or git (by its blob) records it; version '' if unreadable."""

    path: Path
    by: Literal["dvc", "git"]
    version: str


def records(root: Path) -> list[Record]:
    """Every database in `results/` that DVC or git records."""
    by_dvc = [_of_dvc(path) for path in sorted((root / _FOLDER).glob("*.db.dvc"))]
    known = {record.path for record in by_dvc}
    listed = ""
    if git.is_repository(root) and git.head(root):
        listed = git.git(root, "ls-tree", "-z", "HEAD", "--", f"{_FOLDER}/")
    by_git = []
    for entry in filter(None, listed.split("\0")):
        what, _, name = entry.partition("\t")
        if name.endswith(".db") and root / name not in known:
            by_git.append(Record(root / name, "git", what.split()[2]))
    return by_dvc + by_git


def _of_dvc(path: Path) -> Record:
    text = path.read_text(encoding="utf-8", errors="replace")
    return Record(path.with_suffix(""), "dvc", md5_in(text))


def md5_in(text: str) -> str:
    """The one MD5 that the text of a .dvc file names; '' where it names none or several."""
    found = set(_MD5.findall(text))
    return found.pop() if len(found) == 1 else ""


def md5_of(path: Path) -> str:
    """The MD5 of a file, as DVC names it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def is_recorded(root: Path, record: Record) -> bool:
    """Whether the file is, byte for byte, the version that is recorded."""
    if not record.path.is_file():
        return False
    if record.by == "git":
        name = record.path.relative_to(root).as_posix()
        return git.asked(root, "diff", "--quiet", "--no-ext-diff", "HEAD", "--", name) is not None
    return md5_of(record.path) == record.version


def note_origins(root: Path) -> None:
    """Note of each database which recorded version it is, before it is written to."""
    for record in records(root):
        if record.version and is_recorded(root, record):
            note_origin(record.path, record.version)


def problem(root: Path, settings: Settings, tag: str | None) -> Problem | None:
    """Why an experiment cannot be recorded in `results/` as it is now; None where it can."""
    return (
        _of_folder(root)
        or _of_ignored(root, settings, tag)
        or _of_dvc_itself(root, settings)
        or _of_merge(root)
        or next(filter(None, (_of_record(root, each) for each in records(root))), None)
        or _of_lost(root)
    )


def _of_folder(root: Path) -> Problem | None:
    folder = root / _FOLDER
    for path in (folder, *sorted(folder.glob("*.db"))):
        if path.is_symlink() and not path.with_name(f"{path.name}.dvc").exists():
            name = path.relative_to(root).as_posix()
            return Problem(
                f"{name} is a symbolic link, and git keeps nothing that lies beyond one",
                f"put {path.resolve()} itself there: rm {name} && mv {path.resolve()} {name}",
            )
    if folder.exists() and not folder.is_dir():
        return Problem(f"{_FOLDER} is a file", f"mv {_FOLDER} {_FOLDER}.old")
    return None


def _of_ignored(root: Path, settings: Settings, tag: str | None) -> Problem | None:
    """What the commit at the end will want to add."""
    # What is no tag is refused by a gate of its own.
    tag = tag if tag and TAG.match(tag) else "e0.0.1"
    database = place_for(root, settings, tag).db.relative_to(root).as_posix()
    if settings.store.dvc:
        database += ".dvc"
    wanted = [database, f"{_FOLDER}/{tag}.json", f"{_FOLDER}/{tag}.md"]
    if ignored := git.ignored(root, wanted):
        names = " ".join(ignored)
        return Problem(
            f".gitignore keeps {names} from being committed",
            f"git check-ignore -v {names} names the line to take out",
        )
    return None


def _of_dvc_itself(root: Path, settings: Settings) -> Problem | None:
    if settings.store.dvc and not dvc.is_set_up(root):
        return Problem(
            "DVC is to keep the results, and is not set up here",
            "dvc init, or [store] dvc = false in benchmark.toml",
        )
    return None


def _of_merge(root: Path) -> Problem | None:
    for name, what in (("MERGE_HEAD", "merge"), ("CHERRY_PICK_HEAD", "cherry-pick")):
        if git.asked(root, "rev-parse", "--verify", "-q", name) is not None:
            fix = f"git {what} --continue, or git {what} --abort"
            return Problem(f"a {what} is not finished, so nothing can be committed alone", fix)
    return None


def _of_lost(root: Path) -> Problem | None:
    """A results folder that was deleted would begin anew, with one experiment in its database.

    Not of a database that git keeps, which is among `records`, nor of texts, which are made again.
    """
    if not git.is_repository(root) or not git.head(root):
        return None
    listed = git.git(
        root, "diff", "--name-only", "--diff-filter=D", "--no-renames", "-z", "--relative", "HEAD",
        "--", f"{_FOLDER}/",
    )  # fmt: skip
    lost = [name for name in listed.split("\0") if name.endswith(".db.dvc")]
    if not lost:
        return None
    more = f" and {len(lost) - 1} more" if lost[1:] else ""
    return Problem(
        f"{lost[0]}{more}, which the last commit has, {'are' if more else 'is'} not here",
        f"git checkout HEAD -- {_FOLDER}/; or commit that they are gone",
    )


def problem_of(root: Path, record: Record) -> Problem | None:
    """Why this database is not what is recorded; None where it is, or is rightly ahead of it."""
    return _of_record(root, record)


def _of_record(root: Path, record: Record) -> Problem | None:
    path = record.path.relative_to(root).as_posix()
    if not record.version:
        return Problem(
            f"{path}.dvc does not say one version of {path}: a merge conflict?",
            "make merge brings both sides of a git merge together; or "
            f"git checkout --ours {path}.dvc (or --theirs), then dvc checkout "
            f"{path}.dvc",
        )
    keeper = {"dvc": "DVC", "git": "git"}[record.by]
    restore = f"git checkout HEAD -- {path}"
    if record.by == "dvc":
        here = _in_cache(root, record.version)
        restore = f"dvc checkout {path}.dvc" if here else "make pull"
    if not record.path.is_file():
        return Problem(f"{keeper} records {path}, and it is not here", restore)
    if is_recorded(root, record):
        return None
    note = written_here(record.path)
    if note is not None and note.begun_from == record.version:
        return None
    message = (
        f"{path} is not the version that {keeper} records now: somebody published another one, or "
        "this file was changed; an experiment recorded in it would lose what the other one holds"
    )
    if record.by == "dvc" and _in_cache(root, md5_of(record.path)):
        return Problem(message, restore)
    away = f"mkdir -p {_FOLDER}/{ASIDE} && mv {path} {_FOLDER}/{ASIDE}/"
    rest = "an experiment that is not finished takes its rows from the cache again"
    return Problem(message, f"{away} && {restore}; {rest}")


def _in_cache(root: Path, md5: str) -> bool:
    return dvc.cached(root, md5).exists()


def after_rescore(
    root: Path, settings: Settings, tag: str, beside: list[str], same: bool = False
) -> list[str]:
    """How to go on with a database that was scored again; nothing where it is not published.

    `beside` are the files that say the same: they are kept or dropped with it, and with those of
    other experiments that were scored again before. `same`: all scores came out as they were.
    """
    path = place_for(root, settings, tag).db
    record = next((each for each in records(root) if each.path == path), None)
    if record is None or is_recorded(root, record):
        return []
    name = path.relative_to(root).as_posix()
    earlier = _rescored_before(root, settings, tag, path)
    others = " ".join(dict.fromkeys([*beside, *earlier]))
    tags = ", ".join(sorted({tag, *map(_tag_of, earlier)}, key=git.version))
    keep = f'git commit -m "rescore {tags}" -- {name} {others}'
    drop = f"git checkout HEAD -- {name} {others}"
    if record.by == "dvc":
        keep = f'dvc add {name} && git commit -m "rescore {tags}" -- {name}.dvc {others}'
        drop = f"dvc checkout --force {name}.dvc"
        drop += f" && git checkout HEAD -- {others}" if others else ""
    said = f"{name} now holds other scores than the tag {tag}"
    if same:
        said = f"every score of {tag} is what it was; {name} now says that they were computed again"
    if "," in tags:
        said += f" (and not committed yet: {tags})"
    return [
        f"{said}; before another version is checked out:",
        f"  keep them: {keep.rstrip()}",
        f"  drop them: {drop.rstrip()}",
    ]


def _rescored_before(root: Path, settings: Settings, tag: str, database: Path) -> list[str]:
    """The files of other experiments of this database that were scored again, not committed."""
    options = ("--name-only", "--relative", "-z", "HEAD", "--", _FOLDER)
    changed = git.git(root, "diff", *options).split("\0")
    return sorted(
        name
        for name in changed
        if TAG.match(other := _tag_of(name)) and other != tag
        if place_for(root, settings, other).db == database
    )


def _tag_of(name: str) -> str:
    """The experiment of `results/e0.0.1.json` or `.md`; else a text that is no tag."""
    return re.sub(r"\.(json|md)$", "", name.removeprefix(f"{_FOLDER}/"))
