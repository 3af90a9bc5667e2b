"""Results of somewhere else brought into this checkout: a database, a folder, a branch, a tag.

Everything is worked out on private copies; only when nothing is in the way do they take the place
of the databases here, each in one step. So a stop at any point leaves the old state or the new one.
"""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import HarnessError
from harness.findings import Finding, many
from harness.project.settings import FILE, Settings, layout_of
from harness.record.database_file import ASIDE, aside, put_in_place
from harness.record.layout import databases
from harness.record.lock import one_at_a_time
from harness.version import dvc, git
from harness.version.merging import model_files
from harness.version.merging.columns import Difference
from harness.version.merging.databases import Outcome, copy_database, merge
from harness.version.merging.regroup import experiments_in, is_grouped, regroup
from harness.version.recorded_versions import FOLDER, bring, recorded_at
from harness.version.results_state import note_origins, problem

MODELS = "models.db"  # not of an experiment, so no layout moves it
ALLOWED = {
    "data": "experiments on other data",
    "schema": "columns that nothing here has",
    "types": "a column of other values, kept as text",
    "project": "results of another benchmark",
}


@dataclass(slots=True)
class Merged:
    """What a merge did; `findings` are why it did nothing, `next_steps` what is left to do."""

    rows: dict[str, int] = field(default_factory=dict)
    backups: list[Path] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    next_steps: list[str] = field(default_factory=list)


def merge_results(
    root: Path, settings: Settings, origin: str, allow: set[str], rebase: bool = False
) -> Merged:
    """Bring in the results of `origin`: a database, a folder, or a branch, tag or commit.

    With `rebase` an experiment that differs is taken from there, after a backup. `allow` names what
    may differ (`ALLOWED`). Raises HarnessError where it cannot be read, or differs otherwise.
    """
    refuse_unready(root, settings)
    with one_at_a_time(root / FOLDER, f"a merge of {origin}"):
        note_origins(root)
        scratch = root / FOLDER / ASIDE / "merging"
        shutil.rmtree(scratch, ignore_errors=True)  # of a merge that was killed
        try:
            return _merge(root, settings, origin, allow, rebase, scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def refuse_unready(root: Path, settings: Settings) -> None:
    """Raise HarnessError where results that are changed here could not be committed after it."""
    refuse_detached(root, "feat/merged-results")
    if found := problem(root, settings, None):
        raise HarnessError(found.message, fix=found.fix, code=1)


def refuse_detached(root: Path, branch: str) -> None:
    """Raise HarnessError where what is written now would belong to no branch."""
    if not git.is_repository(root):
        raise HarnessError("this folder is no git repository", fix="git init")
    if not git.branch(root):
        raise HarnessError(
            f"no branch is checked out (HEAD is at {git.names_of_head(root)}), so nothing could be "
            "committed",
            fix=f"git switch -c {branch}",
        )


def _merge(
    root: Path, settings: Settings, origin: str, allow: set[str], rebase: bool, scratch: Path
) -> Merged:
    aside(scratch)  # makes the folder, and its .gitignore
    found = sources(root, settings, origin, scratch / "theirs")
    theirs = _in_layout(found, settings, scratch)
    result = Merged()
    ready: dict[str, Path] = {}
    for name, source in theirs.items():
        ours, work = root / FOLDER / name, scratch / "work" / name
        copy_database(ours if ours.exists() else source, work)
        if ours.exists():
            outcome = merge(work, source, origin, replace=rebase)
        elif name == MODELS:
            outcome = Outcome()
        else:
            outcome = _new(root, settings, work, source)
        result.differences += outcome.differences
        result.findings += outcome.findings(origin, f"make rebase FROM={origin}")
        if outcome.changed or not ours.exists():
            result.rows[name], ready[name] = outcome.rows, work
    refuse(result.differences, allow, f"make {'rebase' if rebase else 'merge'} FROM={origin}")
    if result.findings:
        return result
    # Before the databases, which name them.
    of_git = not (root / origin).exists()
    folders, lacking = model_files.bring_all(root, found, origin, of_git)
    for name, work in ready.items():
        ours = root / FOLDER / name
        if rebase and ours.exists():
            backup = aside(ours.with_name(f"{name}.before-rebase"))
            shutil.copy2(ours, backup)
            result.backups.append(backup)
        put_in_place(work, ours)
    models = model_files.hand_over(root, folders, settings.store.dvc)
    result.next_steps = _next_steps(root, settings, origin, sorted(ready), models)
    if lacking:
        result.next_steps.append(
            f"make pull in {origin}, then the same merge: {many(len(lacking), 'fitted model')} "
            f"{'is' if len(lacking) == 1 else 'are'} not there ({lacking[0]}), and would be fitted "
            "again"
        )
    return result


def _new(root: Path, settings: Settings, work: Path, source: Path) -> Outcome:
    """A database that is not here yet; where others are, what it brings is held against one."""
    outcome = Outcome()
    others = databases(root, settings, "experiment")
    if others:
        compared = work.with_name(f"{work.name}.compared")
        copy_database(others[-1], compared)
        outcome.differences = merge(compared, source, "").differences
        compared.unlink()
    return outcome


def merge_files(into: Path, other: Path, allow: set[str], rebase: bool = False) -> Merged:
    """Merge one database into another, outside any checkout and whoever recorded them."""
    for path in (into, other):
        if not path.is_file():
            raise HarnessError(f"there is no file {path}", fix="name another one")
        _database(path)
    if into.resolve() == other.resolve():
        raise HarnessError(f"{other} is the same file", fix="name another one")
    work = into.with_name(f".{into.name}.merging")
    try:
        copy_database(into, work)
        outcome = merge(work, other, other.name, replace=rebase)
        result = Merged(
            differences=outcome.differences, findings=outcome.findings(other.name, "--rebase")
        )
        refuse(outcome.differences, allow, "the same command with --allow:")
        if outcome.changed and not result.findings:
            result.rows[into.name] = outcome.rows
            if rebase:
                backup = aside(into.with_name(f"{into.name}.before-rebase"))
                shutil.copy2(into, backup)
                result.backups.append(backup)
            model_files.bring(other, into.parent, model_files.beside(other))
            put_in_place(work, into)
        return result
    finally:
        work.unlink(missing_ok=True)


def refuse(differences: Iterable[Difference], allow: set[str], command: str) -> None:
    """Raise HarnessError for differences that are not allowed by name."""
    left = [each for each in differences if each.kind not in allow]
    if not left:
        return
    kinds = sorted({each.kind for each in left})
    words = list(dict.fromkeys(each.words for each in left))
    allowed = ",".join(sorted(allow | {*kinds}))
    more = f"; and {len(words) - 8} more" if len(words) > 8 else ""
    raise HarnessError(
        f"not merged: {'; '.join(words[:8])}{more}",
        fix=f"see whether that belongs together; then {command} ALLOW={allowed} merges by name "
        "and notes the difference in the table merges",
        code=1,
    )


def known_differences(names: Iterable[str]) -> set[str]:
    """Check names given to allow. Raises HarnessError for one that there is not."""
    wanted = {part.strip() for name in names for part in name.split(",") if part.strip()}
    if unknown := sorted(wanted - ALLOWED.keys()):
        listed = "; ".join(f"{name}: {words}" for name, words in ALLOWED.items())
        raise HarnessError(f"there is nothing called {', '.join(unknown)} to allow", fix=listed)
    return wanted


# -- where from


def sources(root: Path, settings: Settings, origin: str, scratch: Path) -> list[Path]:
    """The databases that `origin` stands for; those of a commit are brought to `scratch`.

    Raises HarnessError where there is no such thing, or nothing is recorded there.
    """
    if not origin:
        raise HarnessError(
            "make merge needs to know what to merge",
            fix="make merge FROM=../a-folder, FROM=results.db or FROM=a-branch",
        )
    path = (root / origin).resolve()
    if path.is_dir():
        found = _of_folder(settings, path)
    elif path.is_file():
        found = [_database(path)]
    else:
        versions = recorded_at(root, origin)
        for version in versions:
            bring(root, version, scratch / version.name)
        found = [scratch / version.name for version in versions]
    if not found:
        raise HarnessError(f"{origin} has no results", fix="make experiment TAG=… there")
    own = {each.resolve() for each in databases(root, settings, "experiment")}
    if own & {each.resolve() for each in found}:
        raise HarnessError(f"{origin} is what is here already", fix="name another checkout")
    return found


def _of_folder(settings: Settings, folder: Path) -> list[Path]:
    if (folder / FILE).exists():
        theirs = settings.with_layout(layout_of(folder))
        found = databases(folder, theirs, "experiment")
        models = folder / FOLDER / MODELS
        found += [models] if models.exists() else []
        if not found and any((folder / FOLDER).glob("*.db.dvc")):
            raise HarnessError(f"the results in {folder} are not there", fix="dvc checkout there")
        return found
    return sorted(folder.glob("*.db"))


def _database(path: Path) -> Path:
    with path.open("rb") as file:
        head = file.read(16)
    if head == b"SQLite format 3\x00":
        return path
    fix = "name a database (.db)"
    if path.suffix == ".parquet":
        fix = f"python scripts/merge_artifacts.py INTO.parquet {path.name} merges Parquet files"
    elif path.suffix == ".dvc":
        fix = f"dvc checkout {path.name}, then FROM={path.with_suffix('').name}"
    raise HarnessError(f"{path.name} is no SQLite database", fix=fix)


def _in_layout(found: list[Path], settings: Settings, scratch: Path) -> dict[str, Path]:
    """The databases by the names that they have in results/ under this layout."""
    models = {path.name: path for path in found if path.name == MODELS}
    found = [path for path in found if path.name != MODELS]
    if not found:
        return models
    single = settings.store.layout != "database-per-experiment"
    if len(found) == 1 and single and _named(found[0], settings, scratch):
        return {"benchmark.db": found[0], **models}
    return {**regroup(found, settings, scratch / "grouped"), **models}


def _named(db: Path, settings: Settings, scratch: Path) -> bool:
    if not experiments_in(db):
        return True  # of another origin: there is nothing to group
    return is_grouped(db, settings)


# -- what is left to do


def _next_steps(
    root: Path, settings: Settings, origin: str, names: list[str], models: list[str]
) -> list[str]:
    if not names and not models:
        return []
    kept = [f"{FOLDER}/{name}" for name in names]
    if settings.store.dvc:
        for name in names:
            dvc.add(root, root / FOLDER / name)
        kept = [f"{name}.dvc" for name in kept]
    kept += models
    steps = [f'git add {" ".join(kept)} && git commit -m "merge the results of {origin}"']
    here = set(git.tags(root))
    tags = {tag for name in names for tag in experiments_in(root / FOLDER / name)}
    if missing := sorted(tags - here, key=git.version):
        steps.append(f"git fetch --tags (not here yet: {', '.join(missing)})")
    return steps
