"""Models worth keeping: candidates, and the one in production; who promoted what, when and why.

What happened stands in the table `model_events` of results/models.db, a row an event, and nothing
is ever changed there: so the events of two people merge as they are, and the state is what they
come to. Files lie in models/ under DVC (or git); a small one is an asset in the database.
"""

import hashlib
import json
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.clock import now
from harness.errors import HarnessError, explained
from harness.project.settings import Settings
from harness.record.database_file import begin_writing, prepare_to_read
from harness.record.lock import one_at_a_time
from harness.version import dvc, git, model_files
from harness.version.merging.results import MODELS, refuse_detached
from harness.version.past import Held, take
from harness.version.recorded_versions import FOLDER
from harness.version.results_state import is_recorded, note_origins, records

DATABASE = MODELS
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
            raise HarnessError(f"DVC keeps {name}, and it is not here", fix="make pull")
        return []
    prepare_to_read(db)
    names = [name for name in _COLUMNS if name not in ("event", "sequence")]
    query = f"SELECT {', '.join(names)} FROM model_events ORDER BY sequence, at, event"
    with explained(db, "read"), closing(sqlite3.connect(f"{db.as_uri()}?mode=ro", uri=True)) as con:
        if not con.execute("SELECT 1 FROM sqlite_master WHERE name = 'model_events'").fetchone():
            return []
        rows = con.execute(query).fetchall()
    return [Event(**dict(zip(names, row, strict=True))) for row in rows]


def events_so_far(root: Path) -> int:
    """How many events there are: what a decision that is made now is made on."""
    return len(_events(root))


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


def passed_over(root: Path) -> str:
    """The id of a model that the one in production took the place of without being held against it.

    Two people each promoted one, on branches that were merged since; the later one counts.
    """
    present, found = "", ""
    for event in _events(root):
        if event.what == "promote":
            against = json.loads(event.evidence or "{}").get("against") or ""
            found = "" if present in ("", against, event.model) else present
            present = event.model
        elif event.model == present:
            present, found = "", ""
    return found


def held_by_dvc(root: Path) -> list[Held]:
    """The files that DVC keeps of models, pruned ones too, which no commit may name any more."""
    if not database(root).exists():
        return []
    return [_held(each) for each in models(root) if each.added.stored == "dvc"]


def is_ahead(root: Path) -> bool:
    """Whether DVC has not been given the events as they are now: a command was killed."""
    db = database(root)
    known = [each for each in records(root) if each.path == db and each.by == "dvc"]
    return db.exists() and not any(is_recorded(root, each) for each in known)


def _held(model: Model) -> Held:
    added = model.added
    return Held(added.file, "dvc" if added.stored == "dvc" else "git", added.version, added.size)


# -- what changes something


def add(root: Path, settings: Settings, file: Path, of: str, note: str) -> tuple[Model, list[str]]:
    """Keep a file as a candidate; returns it and the files that git is to take.

    Raises HarnessError where there is no such file, or it is kept already.
    """
    if not file.is_file():
        raise HarnessError(f"there is no file {file}", fix="name the file of the model")
    seen = events_so_far(root)
    content = file.read_bytes()
    name = hashlib.sha256(content).hexdigest()[:12]
    known = next((each for each in models(root) if each.id == name), None)
    if known is not None and known.stage != "pruned":
        raise HarnessError(f"{file.name} is kept already: {name} ({known.of})", fix="make models")
    with _writing(root, settings, f"adding the model {name}", seen) as changed:
        stored, version = model_files.store(database(root), settings, name, file, changed)
        event = _event(root, "add", name, of=of, file=file.name, stored=stored, version=version,
                       size=len(content), note=note)  # fmt: skip
        _write(root, [event])
    return Model(name, event), changed


def record(
    root: Path,
    settings: Settings,
    what: What,
    chosen: list[Model],
    evidence: dict[str, object],
    seen: int,
) -> list[str]:
    """Write down what is done with models, and why; returns the files that git is to take.

    `seen` is `events_so_far` from before the evidence was gathered. Raises HarnessError where
    something else was done with models since, or where one to be pruned has never been committed,
    and git alone keeps it.
    """
    if what == "prune":
        _refuse_uncommitted(root, chosen)
    with _writing(root, settings, f"{what} of a model", seen) as changed:
        text = json.dumps(evidence, sort_keys=True, ensure_ascii=False, default=str)
        _write(root, [_event(root, what, each.id, evidence=text) for each in chosen])
        for model in left_behind(root):
            changed += model_files.take_away(root, model.id)
    return changed


def left_behind(root: Path) -> list[Model]:
    """Pruned models whose files are still here: just now, or since a prune that was killed."""
    found = [each for each in models(root) if each.stage == "pruned"]
    return [each for each in found if model_files.folder(root, each.id).exists()]


def _refuse_uncommitted(root: Path, chosen: list[Model]) -> None:
    in_git = [each for each in chosen if each.added.stored == "git"]
    names = {each.id: f"models/{each.id}/{each.added.file}" for each in in_git}
    lost = [each for each in in_git if not git.git(root, "ls-tree", "HEAD", "--", names[each.id])]
    if lost:
        listed = " ".join(names[each.id] for each in lost)
        raise HarnessError(
            f"git has no commit of {listed} yet, so a pruned one would be lost",
            fix=f'git add -A -- {listed} && git commit -m "models"',
            code=1,
        )


def get(root: Path, model: Model, target: Path) -> None:
    """Bring the file of a model to `target`, also of one that was pruned.

    Raises HarnessError where it is nowhere to be had, or `target` is there.
    """
    if target.exists():
        raise HarnessError(f"{target} is there already", fix="name another file: OUT=…")
    if model.added.stored == "asset":
        part = target.with_name(f".{target.name}.part")
        part.write_bytes(model_files.asset(database(root), model.added.version))
        part.replace(target)
    else:
        take(root, _held(model), target)


@contextmanager
def _writing(root: Path, settings: Settings, what: str, seen: int) -> Iterator[list[str]]:
    """Alone in results/; afterwards the database is handed to DVC. Yields what git is to take."""
    refuse_detached(root, "feat/models")
    db = database(root)
    changed: list[str] = []
    with one_at_a_time(db.parent, what):
        if db.with_name(f"{db.name}.dvc").exists() and not db.exists():
            raise HarnessError(f"DVC keeps {db.name}, and it is not here", fix="make pull")
        _refuse_outdated(root, seen)
        note_origins(root)
        begin_writing(db)
        yield changed
        name = db.relative_to(root).as_posix()
        changed += dvc.add(root, db) if settings.store.dvc else [name]


def _refuse_outdated(root: Path, seen: int) -> None:
    """Two who decide at one instant would both decide against the same model in production."""
    if later := _events(root)[seen:]:
        done = "; ".join(f"{each.what} {each.model}, by {each.who}" for each in later[:3])
        raise HarnessError(
            f"the models are others than when this began ({done}), so it decided on what is past",
            fix="make models, then the same command again if you still want it",
            code=1,
        )


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
