"""git's merge of two versions of a results database: row by row, instead of a conflict.

git calls it for `results/*.db.dvc`, and for `results/*.db` where DVC was declined (.gitattributes;
`make setup` tells git the command). It is given three files: what both sides were begun from, ours,
theirs; it leaves the result in place of ours, and reads nothing else of the working tree.
"""

import re
import tempfile
from pathlib import Path

from harness.console import err, runnable
from harness.errors import HarnessError
from harness.findings import Finding, many
from harness.version import git
from harness.version.merging.columns import Difference
from harness.version.merging.databases import copy_database, merge
from harness.version.recorded_versions import Version, bring, keep
from harness.version.results_state import md5_in, md5_of

NAME = "benchmark-results"
_REFUSED = ("project", "types")
_SQLITE = b"SQLite format 3\x00"


def drive(
    root: Path, base: Path, ours: Path, theirs: Path, name: str, rebase: bool = False
) -> list[Finding]:
    """Merge `theirs` into `ours`, the file `name` of results/ in three versions.

    Returns what stands in the way; `ours` is then as it was. `base` is empty where there is none.
    Raises HarnessError where a version cannot be had.
    """
    by_dvc = name.endswith(".dvc")
    with tempfile.TemporaryDirectory(dir=_scratch(root)) as folder:
        place = Path(folder)
        found = {
            side: _database(root, path, place / f"{side}.db", name, by_dvc)
            for side, path in (("base", base), ("ours", ours), ("theirs", theirs))
        }
        if found["ours"] is None or found["theirs"] is None:
            raise HarnessError(f"{name} is no database on one side", fix="git merge --abort")
        work = place / "merged.db"
        copy_database(found["ours"], work)
        outcome = merge(work, found["theirs"], "a branch that was merged", found["base"], rebase)
        if outcome.stopped:
            return outcome.findings("the other branch")
        if refused := [each for each in outcome.differences if each.kind in _REFUSED]:
            return [_refused(refused)]
        _tell(name, outcome.rows, outcome.differences)
        if not outcome.changed:
            return []
        if by_dvc:
            md5 = md5_of(work)
            keep(root, work, md5)
            ours.write_text(_renewed(ours.read_text("utf-8"), md5, work), encoding="utf-8")
        else:
            ours.write_bytes(work.read_bytes())
    return []


def _scratch(root: Path) -> Path:
    """A folder that belongs to git, so that nothing of this is seen in the working tree."""
    folder = Path(git.git(root, "rev-parse", "--absolute-git-dir")) / "merging"
    folder.mkdir(exist_ok=True)
    return folder


def _database(root: Path, path: Path, target: Path, name: str, by_dvc: bool) -> Path | None:
    """The database that a version of the file stands for; None where it is empty."""
    content = path.read_bytes()
    if not content:
        return None
    if not by_dvc:
        if not content.startswith(_SQLITE):
            raise HarnessError(f"{name} is no SQLite database in one version", fix="git log --stat")
        target.write_bytes(content)
        return target
    md5 = md5_in(content.decode("utf-8", "replace"))
    bring(root, Version(Path(name).name.removesuffix(".dvc"), "dvc", md5), target)
    return target


def _renewed(text: str, md5: str, file: Path) -> str:
    """The text of a .dvc file for another file."""
    text = re.sub(r"(md5: )[0-9a-f]{32}", rf"\g<1>{md5}", text)
    return re.sub(r"(size: )\d+", rf"\g<1>{file.stat().st_size}", text)


def _refused(differences: list[Difference]) -> Finding:
    words = "; ".join(dict.fromkeys(each.words for each in differences))
    kinds = ",".join(sorted({each.kind for each in differences}))
    fix = f"git merge --abort; then make merge FROM=the-branch ALLOW={kinds}, and git merge"
    return Finding("difference", "error", words, len(differences), (), fix)


def _tell(name: str, rows: int, differences: list[Difference]) -> None:
    err.print(f"{name}: {many(rows, 'row')} merged", markup=False, soft_wrap=True)
    for words in dict.fromkeys(each.words for each in differences):
        err.print(f"note: {words}", markup=False, soft_wrap=True)
    if name.endswith(".dvc"):
        command = runnable(f"dvc checkout {name}")
        err.print(f"note: {command} brings them here", markup=False, soft_wrap=True)


# -- as git calls it, and by hand where it was not called


def root_of(top: Path, name: str) -> Path:
    """The benchmark's folder, of a file that git names from the top of the repository."""
    return (top / name).parent.parent


def unfinished(root: Path) -> list[str]:
    """Databases in results/ that a git merge has left unmerged, as git names them from here."""
    listed = git.git(root, "ls-files", "-u", "-z", "--", "results").split("\0")
    names = [entry.partition("\t")[2] for entry in listed if entry]
    return [name for name in dict.fromkeys(names) if name.endswith((".db", ".db.dvc"))]


def resolve(root: Path, rebase: bool) -> tuple[list[str], list[Finding]]:
    """Merge what git left unmerged; returns the files that are staged, and what stands in the way.

    Raises HarnessError where no merge is under way.
    """
    names, done, findings = unfinished(root), [], []
    if not names:
        raise HarnessError(
            "git has no unmerged results here, and nothing else to merge is named",
            fix="make merge FROM=../a-folder, FROM=results.db or FROM=a-branch",
        )
    above = git.git(root, "rev-parse", "--show-prefix")
    for name in names:
        with tempfile.TemporaryDirectory(dir=_scratch(root)) as folder:
            base, ours, theirs = (Path(folder) / str(stage) for stage in (1, 2, 3))
            for stage, path in enumerate((base, ours, theirs), start=1):
                try:
                    git.write_blob(root, f":{stage}:{above}{name}", path)
                except HarnessError:
                    path.write_bytes(b"")  # it was not there then
            found = drive(root, base, ours, theirs, name, rebase)
            findings += found
            if not found:
                (root / name).write_bytes(ours.read_bytes())
                git.git(root, git.LITERAL, "add", "--", name)
                done.append(name)
    return done, findings
