"""Models worth keeping: candidates, and the one in production; who promoted what, when and why.

What happened stands in the table `model_events` of results/models.db, a row an event, and nothing
is ever changed there: so the events of two people merge as they are, and the state is what they
come to. Files lie in models/ under DVC (or git); a small one is an asset in the database.
"""

import hashlib
import json
import pickle
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.clock import now
from harness.errors import HarnessError, explained
from harness.project.settings import Settings
from harness.record.database_file import begin_writing, set_strangers_aside
from harness.record.lock import one_at_a_time
from harness.record.pickles import NotPlain, plain_load
from harness.record.store import read_plainly
from harness.version import dvc, git
from harness.version.merging.results import MODELS
from harness.version.recorded_versions import FOLDER, Version, bring
from harness.version.results_state import md5_of, note_origins

DATABASE = MODELS
SMALL = 100_000  # bytes; up to here a model is kept in the database itself
What = Literal["add", "promote", "demote", "prune"]
_COLUMNS = {
    "event": "TEXT PRIMARY KEY",
    "sequence": "INTEGER",
    **dict.fromkeys(("at", "who", "what", "model", "of", "file", "stored", "version"), "TEXT"),
    "size": "INTEGER",
    **dict.fromkeys(("commit_hash", "evidence", "note"), "TEXT"),
}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that was done with a model. `of` is its experiment and params: `e0.1.0:depth=8`."""

    what: What
    model: str
    at: str
    who: str
    of: str = ""
    file: str = ""
    stored: str = ""
    version: str = ""
    size: int = 0
    commit_hash: str = ""
    evidence: str = ""
    note: str = ""


@dataclass(slots=True)
class Model:
    """A model as its events tell it; `id` is the beginning of the SHA-256 of its file."""

    id: str
    added: Event
    stage: Literal["candidate", "production", "pruned"] = "candidate"
    events: list[Event] = field(default_factory=list)

    @property
    def of(self) -> str:
        """The experiment and params that it was made by, as compare takes them."""
        return self.added.of


def database(root: Path) -> Path:
    """Where the events stand."""
    return root / FOLDER / DATABASE


def models(root: Path) -> list[Model]:
    """Every model there ever was, in the order in which they were added."""
    found: dict[str, Model] = {}
    for event in _events(root):
        model = found.get(event.model)
        if model is None:
            if event.what != "add":
                continue  # of a database from which somebody has deleted
            model = found[event.model] = Model(event.model, event)
        model.events.append(event)
        if event.what == "promote":
            for other in found.values():
                if other.stage == "production":
                    other.stage = "candidate"
            model.stage = "production"
        else:
            model.stage = "pruned" if event.what == "prune" else "candidate"
    return list(found.values())


def _events(root: Path) -> list[Event]:
    db = database(root)
    if not db.exists():
        if db.with_name(f"{db.name}.dvc").exists():
            name = db.relative_to(root)
            raise HarnessError(f"DVC keeps {name}, and it is not here", fix=f"dvc pull {name}")
        return []
    set_strangers_aside(db)
    names = [name for name in _COLUMNS if name not in ("event", "sequence")]
    query = f"SELECT {', '.join(names)} FROM model_events ORDER BY sequence, at, event"
    with explained(db, "read"), closing(sqlite3.connect(f"{db.as_uri()}?mode=ro", uri=True)) as con:
        if not con.execute("SELECT 1 FROM sqlite_master WHERE name = 'model_events'").fetchone():
            return []
        rows = con.execute(query).fetchall()
    return [Event(**dict(zip(names, row, strict=True))) for row in rows]


def find(root: Path, wanted: str) -> Model:
    """A model by the beginning of its id, by `production`, or by its experiment and params.

    Raises HarnessError where there is none, or more than one.
    """
    every = models(root)
    if wanted == "production":
        found = [each for each in every if each.stage == "production"]
    else:
        found = [each for each in every if wanted and each.id.startswith(wanted)]
        found = found or [each for each in every if each.of == wanted]
    if len(found) == 1:
        return found[0]
    there = ", ".join(f"{each.id} ({each.of})" for each in (found or every)[-8:]) or "none"
    words = "several models are" if found else "no model is"
    raise HarnessError(f"{words} called {wanted!r} (there: {there})", fix="make models")


def production(root: Path) -> Model | None:
    """The model in production; None where there is none."""
    return next((each for each in models(root) if each.stage == "production"), None)


# -- what changes something


def add(root: Path, settings: Settings, file: Path, of: str, note: str) -> tuple[Model, list[str]]:
    """Keep a file as a candidate; returns it and the files that git is to take.

    Raises HarnessError where there is no such file, or it is kept already.
    """
    if not file.is_file():
        raise HarnessError(f"there is no file {file}", fix="name the file of the model")
    content = file.read_bytes()
    name = hashlib.sha256(content).hexdigest()[:12]
    known = next((each for each in models(root) if each.id == name), None)
    if known is not None and known.stage != "pruned":
        raise HarnessError(f"{file.name} is kept already: {name} ({known.of})", fix="make models")
    with _writing(root, settings, f"adding the model {name}") as changed:
        stored, version = _store(root, settings, name, file, content, changed)
        event = _event(root, "add", name, of=of, file=file.name, stored=stored, version=version,
                       size=len(content), note=note)  # fmt: skip
        _write(root, [event])
    return Model(name, event), changed


def record(
    root: Path, settings: Settings, what: What, chosen: list[Model], evidence: dict[str, object]
) -> list[str]:
    """Write down what is done with models, and why; returns the files that git is to take."""
    with _writing(root, settings, f"{what} of a model") as changed:
        text = json.dumps(evidence, sort_keys=True, ensure_ascii=False, default=str)
        _write(root, [_event(root, what, each.id, evidence=text) for each in chosen])
        if what == "prune":
            for model in chosen:
                changed += _take_away(root, model)
    return changed


def get(root: Path, model: Model, target: Path) -> None:
    """Bring the file of a model to `target`, also of one that was pruned.

    Raises HarnessError where it is nowhere to be had, or `target` is there.
    """
    if target.exists():
        raise HarnessError(f"{target} is there already", fix="name another file: OUT=…")
    added = model.added
    if added.stored == "asset":
        target.write_bytes(_asset(root, added.version))
    elif added.stored == "dvc":
        bring(root, Version(added.file, "dvc", added.version), target)
    else:
        bring(root, Version(added.file, "git", added.version), target)


@contextmanager
def _writing(root: Path, settings: Settings, what: str) -> Iterator[list[str]]:
    """Alone in results/; afterwards the database is handed to DVC. Yields what git is to take."""
    db = database(root)
    changed: list[str] = []
    with one_at_a_time(db.parent, what):
        if db.with_name(f"{db.name}.dvc").exists() and not db.exists():
            raise HarnessError(f"DVC keeps {db.name}, and it is not here", fix="dvc pull")
        note_origins(root)
        begin_writing(db)
        yield changed
        name = db.relative_to(root).as_posix()
        changed += dvc.add(root, db) if settings.store.dvc else [name]


def _store(
    root: Path, settings: Settings, name: str, file: Path, content: bytes, changed: list[str]
) -> tuple[str, str]:
    """Keep the file; returns how, and its name there (hash, MD5 or blob)."""
    if len(content) <= SMALL:
        return "asset", _keep_asset(root, name, content)
    place = root / "models" / name / file.name
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f".{place.name}.part")
    shutil.copyfile(file, part)
    part.replace(place)
    if settings.store.dvc:
        changed += dvc.add(root, place)
        return "dvc", md5_of(place)
    changed.append(place.relative_to(root).as_posix())
    return "git", git.git(root, "hash-object", "-w", "--", str(place))


def _keep_asset(root: Path, name: str, content: bytes) -> str:
    from xetrack.assets import AssetsManager

    # Each of its three tables has a connection of its own, so each has to commit at once.
    assets = AssetsManager(str(database(root)), autocommit=True)
    read_plainly(assets)
    try:
        return str(assets.insert(f"model_{name}", content))
    finally:
        for part in (assets.assets, assets.keys, assets.counts):
            part.commit(blocking=True)
            part.close()


def _asset(root: Path, name: str) -> bytes:
    from xetrack.assets import AssetsManager

    assets = AssetsManager(str(database(root)))
    try:
        content = plain_load(bytes(assets.assets.get(name, b"")))
    except (NotPlain, pickle.UnpicklingError, EOFError):
        content = None  # a file is kept as its bytes, so this is none that was put there by add
    finally:
        for part in (assets.assets, assets.keys, assets.counts):
            part.close()
    if not isinstance(content, bytes):
        raise HarnessError(f"{DATABASE} has no asset {name}", fix="dvc checkout", code=1)
    return content


def _take_away(root: Path, model: Model) -> list[str]:
    """Its files in this checkout; the cache, the remote and git's history keep them."""
    folder = root / "models" / model.id
    if not folder.exists():
        return []
    names = [path.relative_to(root).as_posix() for path in sorted(folder.glob("*"))]
    shutil.rmtree(folder)
    return [name for name in names if git.git(root, "ls-files", "--", name)]


def _event(root: Path, what: What, model: str, **more: object) -> Event:
    who = git.asked(root, "config", "user.name") or "benchmark"
    return Event(what, model, now(), who, commit_hash=git.head(root), **more)  # type: ignore[arg-type]


def _write(root: Path, events: list[Event]) -> None:
    db = database(root)
    columns = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
    with explained(db), closing(sqlite3.connect(db, timeout=10)) as con:
        con.execute(f"CREATE TABLE IF NOT EXISTS model_events ({columns})")
        # Counted, since the clocks of two machines may differ.
        [last] = con.execute("SELECT coalesce(max(sequence), 0) FROM model_events").fetchone()
        for number, event in enumerate(events, start=1):
            values = {name: getattr(event, name) for name in _COLUMNS if hasattr(event, name)}
            values |= {"event": secrets.token_hex(8), "sequence": last + number}
            marks = ", ".join("?" * len(values))
            con.execute(
                f"INSERT INTO model_events ({', '.join(values)}) VALUES ({marks})",
                tuple(values.values()),
            )
        con.commit()
