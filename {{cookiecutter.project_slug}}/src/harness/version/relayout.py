"""From one layout of the results to another: the same rows, in the tables and files of that one.

benchmark.toml says which layout holds, so writing it is the moment of the change: before it the old
files count, after it the new ones. What was there before is set aside and stays.
"""

import re
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from harness.errors import HarnessError
from harness.project.settings import FILE, LAYOUTS, Settings
from harness.record.columns import quoted
from harness.record.database_file import ASIDE, aside, put_in_place
from harness.record.layout import databases
from harness.record.lock import one_at_a_time
from harness.version import dvc, git
from harness.version.merging.columns import columns_of, tables_of
from harness.version.merging.regroup import is_grouped, regroup
from harness.version.merging.results import refuse_unready
from harness.version.recorded_versions import FOLDER
from harness.version.results_state import md5_in, md5_of, note_origins, records

_COPY = ".before-layout"


def change_layout(root: Path, settings: Settings, layout: str) -> list[str]:
    """Move the results to `layout`; returns what is left to do, nothing where it holds already.

    Raises HarnessError where results are not ready to be changed, or a file of the new layout is
    there that is recorded otherwise. The same command goes on where it was stopped.
    """
    if layout not in LAYOUTS:
        raise HarnessError(
            f"there is no layout {layout!r}"
            if layout
            else "make layout needs to know which layout",
            fix=f"make layout TO= one of {', '.join(LAYOUTS)}",
        )
    with one_at_a_time(root / FOLDER, f"a change of the layout to {layout}"):
        wanted = settings.with_layout(layout)
        before = databases(root, settings, "experiment")
        if settings.store.layout == layout and all(is_grouped(db, wanted) for db in before):
            # Where the change was stopped late, git or DVC still names files that are gone.
            return [_to_commit(layout)] if _tidy(root, wanted) else []
        refuse_unready(root, settings)
        note_origins(root)
        scratch = root / FOLDER / ASIDE / "layout"
        shutil.rmtree(scratch, ignore_errors=True)  # of a change that was stopped
        try:
            return _change(root, settings, wanted, before, scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _change(
    root: Path, settings: Settings, wanted: Settings, before: list[Path], scratch: Path
) -> list[str]:
    aside(scratch)  # makes the folder, and its .gitignore
    made = regroup(before, wanted, scratch) if before else {}
    _check_whole(before, made.values())
    kept = [_kept_copy(path) for path in before]
    for name, path in made.items():
        target = root / FOLDER / name
        if target.exists() and target not in before:
            _give_way(root, target)
        put_in_place(path, target)
    _write_setting(root, wanted.store.layout)
    _tidy(root, wanted, made)
    copies = ", ".join(path.relative_to(root).as_posix() for path in kept)
    steps = [_to_commit(wanted.store.layout)]
    if copies:
        steps.append(f"what was there before is {copies}; delete it when all is well")
    return steps


def _to_commit(layout: str) -> str:
    return f'git add -A {FOLDER} {FILE} && git commit -m "layout of the results: {layout}"'


def _kept_copy(path: Path) -> Path:
    copy = aside(path.with_name(path.name + _COPY))
    shutil.copy2(path, copy)
    return copy


def _tidy(root: Path, wanted: Settings, made: Iterable[str] = ()) -> bool:
    """Remove files of the layout before, each of which has a copy aside; hand the new ones to DVC.

    `made` are the new ones' names. Returns whether there was anything to do, or is anything that
    git does not know yet.
    """
    here = databases(root, wanted, "experiment")
    copies = sorted((root / FOLDER / ASIDE).glob(f"*{_COPY}.*"))
    before = {(copy.name.partition(_COPY)[0], md5_of(copy)) for copy in copies}
    done = False
    for name, version in before:
        old = root / FOLDER / name
        if old in here:
            continue
        if old.exists() and md5_of(old) == version:
            old.unlink()
            done = True
        record = old.with_name(f"{name}.dvc")
        if record.exists() and not old.exists() and md5_in(record.read_text()) == version:
            record.unlink()
            done = True
    if wanted.store.dvc:
        known = {record.path: record.version for record in records(root) if record.by == "dvc"}
        for path in here:
            stale = path not in known or (path.name, known[path]) in before
            if path.name in made or stale:
                dvc.add(root, path)
                done = True
    return done or bool(git.git(root, "status", "--porcelain", "--", FOLDER, FILE))


def _give_way(root: Path, target: Path) -> None:
    """A file of the new layout that was there: of a change that was stopped, or somebody's."""
    if any(record.path == target for record in records(root)):
        raise HarnessError(
            f"{target.name} is recorded already, and is no part of the layout that holds now",
            fix=f"git rm -r --cached it, or make merge FROM={FOLDER}/{target.name} first",
        )
    target.rename(aside(target.with_name(f"{target.name}.in-the-way")))


def _check_whole(before: Iterable[Path], after: Iterable[Path]) -> None:
    """As many rows of each experiment and table as before, whatever the tables are called."""
    old, new = (sum(map(_counts, paths), Counter[tuple[str, str]]()) for paths in (before, after))
    if lost := {key: (number, new[key]) for key, number in old.items() if new[key] != number}:
        (table, experiment), (had, has) = next(iter(lost.items()))
        raise HarnessError(
            f"{table} of {experiment} would have {has} rows instead of {had}; nothing was changed",
            fix="make validate says what is odd about them",
            code=1,
        )


def _counts(db: Path) -> "Counter[tuple[str, str]]":
    found = Counter[tuple[str, str]]()
    with closing(sqlite3.connect(f"{db.resolve().as_uri()}?mode=ro", uri=True)) as con:
        for table in tables_of(con, "main"):
            if "experiment_version" in columns_of(con, "main", table):
                name = "predictions" if table.startswith("predictions") else table
                rows = con.execute(
                    f"SELECT experiment_version, count(*) FROM {quoted(table)} GROUP BY 1"
                )
                for experiment, number in rows.fetchall():
                    found[name, str(experiment)] += number
    return found


def _write_setting(root: Path, layout: str) -> None:
    """Change that one value in benchmark.toml, in one step; its comments stay."""
    path = root / FILE
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    section = ""
    at = None
    for number, line in enumerate(lines):
        if header := re.match(r"\s*\[\s*([\w-]+)\s*\]", line):
            section = header[1]
            if section == "store":
                at = number
        elif section == "store" and re.match(r"\s*layout\s*=", line):
            lines[number] = re.sub(r'=\s*("[^"]*"|\'[^\']*\')', f'= "{layout}"', line, count=1)
            break
    else:
        new = f'layout = "{layout}"\n'
        if at is None:
            lines += ["\n[store]\n", new]
        else:
            lines.insert(at + 1, new)
    fresh = path.with_name(f".{FILE}.new")
    fresh.write_text("".join(lines), encoding="utf-8")
    shutil.copymode(path, fresh)
    fresh.replace(path)
