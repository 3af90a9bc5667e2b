"""The files of a past experiment, as its tag has them, from wherever they still are.

git has its own; of what DVC keeps, the tag has a `.dvc` file with its MD5. The working tree is only
read. What DVC keeps is taken from its cache here, which is the same to the byte, else fetched into
that cache from the remote of today, so a tag may be older than its remote.
"""

import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from harness.errors import HarnessError
from harness.version import dvc, git

_OUT = re.compile(r"^- ", re.MULTILINE)
_FIELD = re.compile(r"^[- ] (md5|size|path|nfiles): (.*?)\s*$", re.MULTILINE)
_FOLDER = ".dir"  # how DVC marks the MD5 of a folder's list


@dataclass(frozen=True, slots=True)
class Held:
    """A file of a tag, or a folder that DVC keeps: who has it, under which id, its bytes (-1: ?).

    `id` is a blob of git or DVC's MD5; `record` is the `.dvc` file, as git has it.
    """

    name: str
    by: Literal["git", "dvc"]
    id: str
    size: int
    record: str = ""

    @property
    def is_folder(self) -> bool:
        """Whether DVC keeps it as a folder."""
        return self.id.endswith(_FOLDER)


def commit_of(root: Path, tag: str) -> str:
    """The commit of a tag. Raises HarnessError where it is not here, and says what is near."""
    found = git.asked(root, "rev-parse", "--verify", "-q", f"{git.TAGS}{tag}^{{commit}}")
    if found is None:
        there = ", ".join(git.tags(root)[-5:]) or "none"
        raise HarnessError(
            f"there is no tag {tag!r} here (the newest: {there})",
            fix="make tags lists them; git fetch --tags brings those of others",
        )
    return found


def files_at(root: Path, tag: str, ref: str = "") -> list[Held]:
    """Everything that git and DVC have of a tag (or of another `ref`), by name.

    Raises HarnessError without the tag.
    """
    commit, above = ref or commit_of(root, tag), git.git(root, "rev-parse", "--show-prefix")
    listed = git.git(
        root, "ls-tree", "-r", "-l", "-z", "--full-tree", f"{commit}:{above}".rstrip(":")
    )
    found = []
    for entry in filter(None, listed.split("\0")):
        what, _, name = entry.partition("\t")
        _, kind, blob, size = what.split()
        if kind == "blob":
            found.append(Held(name, "git", blob, int(size)))
    records = [each for each in found if each.name.endswith(".dvc")]
    texts = git.trees(root, [each.id for each in records])
    for record, text in zip(records, texts, strict=True):
        found += _outs(record.name, text.decode("utf-8", "replace"))
    return sorted(found, key=lambda held: held.name)


def _outs(record: str, text: str) -> Iterable[Held]:
    """What a `.dvc` file keeps; DVC writes a line a field."""
    folder = PurePosixPath(record).parent
    for part in _OUT.split(text.partition("outs:")[2])[1:]:
        fields = dict(_FIELD.findall("- " + part))
        if {"md5", "path"} <= fields.keys():
            name = (folder / fields["path"].strip("'\"")).as_posix()
            yield Held(name, "dvc", fields["md5"], int(fields.get("size", -1)), record)


def find(root: Path, tag: str, name: str) -> Held:
    """A file of a tag, or one within a folder that DVC keeps.

    Raises HarnessError where there is none of that name; it names those that end alike.
    """
    wanted = PurePosixPath(name).as_posix()
    files = files_at(root, tag)
    for held in files:
        if held.name == wanted:
            return held
    for held in files:
        if held.is_folder and wanted.startswith(f"{held.name}/"):
            for within in _within(root, held):
                if within.name == wanted:
                    return within
    last = PurePosixPath(wanted).name
    alike = [held.name for held in files if PurePosixPath(held.name).name == last]
    near = f"; there is {', '.join(alike[:3])}" if alike else ""
    raise HarnessError(
        f"{tag} has no {name!r}{near}", fix=f"make get TAG={tag} lists what it has", code=2
    )


def _within(root: Path, folder: Held) -> list[Held]:
    """The files of a folder that DVC keeps."""
    [listed] = bring(root, [folder], whole=False)
    entries = json.loads(listed.read_bytes())
    return [
        Held(f"{folder.name}/{each['relpath']}", "dvc", each["md5"], -1, folder.record)
        for each in entries
    ]


def take(root: Path, held: Held, target: Path) -> None:
    """Write a file (or folder) of a tag to `target`, which must not be there yet; whole or not.

    Raises HarnessError where it is there already, or cannot be brought.
    """
    if target.exists() or target.is_symlink():
        raise HarnessError(f"{target} is there already", fix="name another with OUT=, or move it")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".get-") as part:
        made = Path(part) / "made"
        if held.by == "git":
            made.write_bytes(git.trees(root, [held.id])[0])
        elif held.is_folder:
            bring(root, [held])
            for name, cached in cached_files(root, held):
                link_or_copy(cached, made / PurePosixPath(name).relative_to(held.name))
        else:
            shutil.copyfile(bring(root, [held])[0], made)
        made.rename(target)


# -- what DVC keeps


def bring(root: Path, wanted: Iterable[Held], whole: bool = True) -> list[Path]:
    """Where DVC's cache has each of these, after fetching from the remote what it lacked.

    `whole`: with all files of folders. Raises HarnessError where the remote does not have them or
    is out of reach; what was fetched stays in the cache.
    """
    wanted = list(wanted)
    if missing := [each for each in wanted if not is_here(root, each, whole)]:
        _fetch(root, missing)
        if gone := [each.name for each in missing if not is_here(root, each, whole)]:
            raise _gone(dvc.remote_url(dvc.config(root)), gone)
    return [dvc.cached(root, each.id) for each in wanted]


def md5(path: Path) -> str:
    """The MD5 of a file, as DVC names it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _gone(url: str, names: list[str]) -> HarnessError:
    where = f"its remote ({url})" if url else "the remote of another branch"
    if url and "://" not in url and not Path(url).is_dir():
        return HarnessError(
            f"{', '.join(names[:3])} is not in DVC's cache here, and the remote {url} is not there",
            fix=f"bring {url} back (a disk that is not mounted?), or make remote URL=…",
            code=1,
        )
    return HarnessError(
        f"neither DVC's cache here nor {where} has {', '.join(names[:3])}",
        fix="make push, where it was made, brings it to the remote",
        code=1,
    )


def is_here(root: Path, held: Held, whole: bool = True) -> bool:
    """Whether DVC's cache has it, undamaged; of a folder, all of it."""
    path = dvc.cached(root, held.id)
    if not path.is_file():
        return False
    if not held.is_folder:
        return md5(path) == held.id
    if not whole:
        return True
    return all(dvc.cached(root, each["md5"]).is_file() for each in json.loads(path.read_bytes()))


def _fetch(root: Path, missing: list[Held]) -> None:
    """Have DVC fetch them from the remote of today, in a folder of its own."""
    config = dvc.config(root)
    if not dvc.default_remote(config):
        config |= _remote_of_another_branch(root)
    if not dvc.default_remote(config):
        names = ", ".join(each.name for each in missing[:3])
        raise HarnessError(
            f"{names} is not in DVC's cache here, and no remote is set to fetch it from",
            fix="make remote URL=… (a folder, ssh://…, s3://…), then the same again",
            code=1,
        )
    exchange(root, config, missing, "fetch")


def exchange(root: Path, config: dict[str, str], files: Iterable[Held], how: str) -> None:
    """`push` or `fetch` files between DVC's cache here and its remote, whatever is checked out."""
    with tempfile.TemporaryDirectory(prefix="bench-dvc-") as folder:
        place = Path(folder)
        dvc.borrow(config, place, dvc.cache_folder(root))
        for index, held in enumerate(files):
            text = f"outs:\n- md5: {held.id}\n  hash: md5\n  path: f{index}\n"
            (place / f"f{index}.dvc").write_text(text, encoding="utf-8")
        dvc.run(place, how)


def _remote_of_another_branch(root: Path) -> dict[str, str]:
    """DVC's remote as the newest branch that has one says; what is checked out may be older."""
    refs = ("refs/heads", "refs/remotes")
    names = git.git(root, "for-each-ref", "--sort=-committerdate", "--format=%(refname)", *refs)
    place = dvc.folder(root)
    above = git.git(place.parent, "rev-parse", "--show-prefix")
    for text in git.trees(root, [f"{ref}:{above}.dvc/config" for ref in names.split()]):
        config = dvc.parsed(text.decode("utf-8", "replace"), place)
        if dvc.default_remote(config):
            return config
    return {}


def cached_files(root: Path, held: Held) -> list[tuple[str, Path]]:
    """The name of each file of what DVC keeps, with its place in the cache (after `bring`)."""
    files = _within(root, held) if held.is_folder else [held]
    return [(each.name, dvc.cached(root, each.id)) for each in files]


# -- the whole of it


def write_tree(root: Path, tag: str, target: Path) -> None:
    """Write all that git has of a tag below `target`; neither HEAD, index nor files are touched."""
    above = git.git(root, "rev-parse", "--show-prefix").rstrip("/")
    top = Path(git.git(root, "rev-parse", "--show-toplevel"))
    with tempfile.TemporaryDirectory(prefix="bench-index-") as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git.git(top, "read-tree", f"{git.TAGS}{tag}:{above}" if above else git.TAGS + tag, **index)
        git.git(top, "checkout-index", "-a", f"--prefix={target.resolve()}/", **index)


def link_or_copy(source: Path, target: Path) -> None:
    """A copy that takes no room where the disk can do that."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if shutil.which("cp"):
        command = ["cp", "--reflink=auto", str(source), str(target)]
        if subprocess.run(command, capture_output=True).returncode == 0:
            return
    shutil.copyfile(source, target)
