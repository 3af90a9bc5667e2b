"""What a benchmark stands on, part by part: each with a verdict and the command that fixes it.

Nothing here changes anything, runs the person's code, or asks a server; `--online` of the command
asks the remote and the cluster too.
"""

import importlib.metadata
import importlib.util
import json
import locale
import os
import platform
import re
import shutil
import socket
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlsplit

from harness.errors import HarnessError, in_words
from harness.project.settings import Settings, load_settings
from harness.record.layout import DEV, databases, place_for
from harness.version import dvc, git

State = Literal["ok", "note", "bad"]
_LITTLE_BYTES = 2 * 2**30
_CLOCK_SECONDS = 60.0
_HOOKS = ("pre-commit", "commit-msg")


@dataclass(frozen=True, slots=True)
class Verdict:
    """`bad` keeps something from working, `note` may be meant."""

    part: str
    state: State
    message: str
    fix: str = ""


def examine(root: Path, online: bool = False) -> Iterator[Verdict]:
    """A verdict on each part, in the order in which the others depend on it."""
    yield _environment(root)
    yield _lock(root)
    try:
        settings = load_settings(root)
    except HarnessError as error:
        yield Verdict("settings", "bad", error.message, error.fix)
        return
    yield Verdict("settings", "ok", f"[run] executor = {settings.run.executor!r}")
    checks: list[tuple[str, Callable[[Path, Settings], Verdict]]] = [
        ("git", _git),
        ("hooks", _hooks),
        ("DVC", _dvc),
        ("remote", _remote_online if online else _remote),
        ("database", _database),
        ("cache", _cache),
        ("disk", _disk),
        ("cluster", _cluster_online if online else _cluster),
        ("time", _time),
        ("locale", _locale),
    ]
    for part, check in checks:
        try:
            yield check(root, settings)
        except HarnessError as error:
            yield Verdict(part, "bad", error.message, error.fix)
        except Exception as error:  # what is broken in a way that nobody foresaw is broken
            yield Verdict(part, "bad", f"it cannot be looked at: {in_words(error)}")


def _environment(root: Path) -> Verdict:
    version = platform.python_version()
    if not (3, 11) <= sys.version_info[:2] < (3, 13):
        fix = "make setup PYTHON=3.12"
        return Verdict("environment", "bad", f"Python {version}; it is made for 3.11, 3.12", fix)
    return Verdict("environment", "ok", f"Python {version} in {sys.prefix}")


def _lock(root: Path) -> Verdict:
    """Whether what is installed is what the lock names."""
    path = root / "requirements.lock"
    if not path.is_file():
        return Verdict("lock", "bad", "there is no requirements.lock", "make lock setup")
    text = path.read_text(encoding="utf-8")
    wanted = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, re.MULTILINE))
    missing = []
    others = []
    for name, version in wanted.items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            if not _is_for_another_system(name, text):
                missing.append(name)
            continue
        if found != version:
            others.append(f"{name} {found} instead of {version}")
    if missing or others:
        absent = [f"{name} is not installed" for name in missing]
        said = "; ".join([*others, *absent][:5])
        said = f"the environment is not that of the lock: {said}"
        return Verdict("lock", "bad", said, "make setup")
    return Verdict("lock", "ok", f"{len(wanted)} packages as the lock names them")


def _is_for_another_system(name: str, text: str) -> bool:
    line = re.search(rf"^{re.escape(name)}==[^\n]*", text, re.MULTILINE)
    if not line or ";" not in line[0]:
        return False
    from packaging.markers import Marker

    return not Marker(line[0].partition(";")[2].rstrip(" \\")).evaluate()


def _git(root: Path, settings: Settings) -> Verdict:
    if shutil.which("git") is None:
        return Verdict("git", "bad", "git is not installed", "install git")
    if not git.is_repository(root):
        return Verdict("git", "bad", "this is no git repository", "git init")
    name = git.branch(root)
    if not git.asked(root, "config", "user.email"):
        fix = 'git config user.name "…" && git config user.email "…"'
        return Verdict("git", "note", f"on {name}; git does not know who you are", fix)
    if name in settings.benchmark.protected_branches:
        fix = "git switch -c feat/NAME"
        return Verdict("git", "note", f"on {name}, where no experiment runs", fix)
    shallow = "; a shallow clone, past experiments are not here" if git.is_shallow(root) else ""
    fix = "git fetch --unshallow --tags" if shallow else ""
    return Verdict("git", "note" if shallow else "ok", f"on {name}{shallow}", fix)


def _hooks(root: Path, settings: Settings) -> Verdict:
    if not (root / ".pre-commit-config.yaml").is_file():
        return Verdict("hooks", "note", "there is no .pre-commit-config.yaml")
    folder = Path(git.git(root, "rev-parse", "--git-path", "hooks").strip())
    folder = folder if folder.is_absolute() else root / folder
    there = [name for name in _HOOKS if (folder / name).is_file()]
    if "pre-commit" not in there:
        return Verdict("hooks", "bad", "the hook pre-commit is not installed", "make setup")
    return Verdict("hooks", "ok", f"{', '.join(there)} in {folder.name}/")


def _dvc(root: Path, settings: Settings) -> Verdict:
    if not settings.store.dvc:
        return Verdict("DVC", "ok", "not used: [store] dvc = false")
    if importlib.util.find_spec("dvc") is None:
        return Verdict("DVC", "bad", "DVC is not installed", "make setup")
    if not dvc.is_set_up(root):
        return Verdict("DVC", "bad", "DVC is not set up here", "make setup")
    if missing := dvc.missing_data(root):
        names = ", ".join(missing[:3])
        return Verdict("DVC", "bad", f"it keeps {names}, and it is not here", "make pull")
    return Verdict("DVC", "ok", f"cache in {dvc.cache_folder(root)}")


def _remote(root: Path, settings: Settings) -> Verdict:
    name = git.remote(root)
    wanted = settings.store.dvc
    if wanted and dvc.is_set_up(root) and not dvc.has_remote(root):
        return Verdict("remote", "note", "results are on this machine alone", "make remote URL=…")
    if not name:
        return Verdict("remote", "note", "git has no remote", "git remote add origin URL")
    return Verdict("remote", "ok", f"git: {name}; not asked (--online does)")


def _remote_online(root: Path, settings: Settings) -> Verdict:
    known = _remote(root, settings)
    if known.state != "ok":
        return known
    name = git.remote(root)
    git.remote_tags(root, name)
    return Verdict("remote", "ok", f"git: {name} answers")


def _database(root: Path, settings: Settings) -> Verdict:
    paths = databases(root, settings, "experiment") + databases(root, settings, DEV)
    for path in paths:
        if said := _not_whole(path):
            name = path.relative_to(root)
            fix = f"dvc checkout {name}" if settings.store.dvc else f"git checkout -- {name}"
            return Verdict("database", "bad", f"{name} is damaged: {said}", fix)
    said = f"{len(paths)} whole" if paths else "nothing is recorded yet"
    return Verdict("database", "ok", said)


def _not_whole(path: Path) -> str:
    """What SQLite says of a file that it cannot use; "" where it is whole."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        return "" if found == "ok" else str(found)
    except sqlite3.Error as error:
        return str(error)


def _cache(root: Path, settings: Settings) -> Verdict:
    if not settings.run.cache:
        return Verdict("cache", "note", "not used: [run] cache = false")
    folder = place_for(root, settings, "e0.0.0").cache
    file = folder / "cache.db"
    if not file.is_file():
        return Verdict("cache", "ok", "empty")
    if said := _not_whole(file):
        fix = f"mv {folder.relative_to(root)} {folder.relative_to(root)}-damaged"
        return Verdict("cache", "bad", f"it is damaged: {said}", fix)
    size = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
    return Verdict("cache", "ok", f"{size / 2**20:,.0f} MB in {folder.relative_to(root)}")


def _disk(root: Path, settings: Settings) -> Verdict:
    free = shutil.disk_usage(root).free
    said = f"{free / 2**30:,.1f} GB free"
    if not os.access(root / "results" if (root / "results").exists() else root, os.W_OK):
        return Verdict("disk", "bad", "results/ cannot be written", "chmod u+w results")
    if free < _LITTLE_BYTES:
        # What only tags name is deleted here, so it has to be there. (--not-in-remote, by its name
        # the option for this, deletes what no remote has.)
        drop = "make push && dvc gc --workspace --all-branches" if settings.store.dvc else ""
        return Verdict("disk", "bad", f"only {said}", drop or "delete what is not needed")
    return Verdict("disk", "ok", said)


def _cluster(root: Path, settings: Settings) -> Verdict:
    if settings.run.executor != "dask":
        return Verdict("cluster", "ok", "not used")
    if importlib.util.find_spec("distributed") is None:
        fix = "add distributed to requirements-benchmark.in, then make lock setup"
        return Verdict("cluster", "bad", "the package distributed is not installed", fix)
    address = settings.run.scheduler
    return Verdict("cluster", "ok", f"{address}; not asked (--online does)" if address else "local")


def _cluster_online(root: Path, settings: Settings) -> Verdict:
    known = _cluster(root, settings)
    address = settings.run.scheduler
    if known.state != "ok" or settings.run.executor != "dask" or not address:
        return known
    place = urlsplit(address)
    try:
        socket.create_connection((place.hostname or "", place.port or 8786), timeout=5).close()
    except OSError as error:
        fix = "start it (dask scheduler), or correct [run] scheduler"
        return Verdict("cluster", "bad", f"{address} cannot be reached: {error}", fix)
    return Verdict("cluster", "ok", f"{address} answers")


def _time(root: Path, settings: Settings) -> Verdict:
    """Files of tomorrow show a clock that was wrong, here or where they come from."""
    now = time.time()
    names = ["benchmark.toml", *(f"src/benchmark/{name}.py" for name in ("params", "predict"))]
    late = [name for name in names if _written(root / name) > now + _CLOCK_SECONDS]
    if late:
        fix = f"set the clock (timedatectl), then touch {late[0]}"
        return Verdict("time", "bad", f"{late[0]} is from the future", fix)
    return Verdict("time", "ok", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now)))


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _locale(root: Path, settings: Settings) -> Verdict:
    encoding = locale.getencoding()
    if encoding.lower().replace("-", "") != "utf8":
        fix = "export LANG=C.UTF-8"
        return Verdict("locale", "note", f"text is {encoding}; accents in names may not show", fix)
    return Verdict("locale", "ok", encoding)


def as_json(verdicts: list[Verdict]) -> str:
    """The verdicts for another program."""
    return json.dumps({"verdicts": [asdict(each) for each in verdicts]}, indent=2)
