"""Which harness made a result: recorded, sealed, said where it was edited; and in no key."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import harness
from harness import seal
from tests.harness.project_fixture import OPENED, REPOSITORY, SOURCE, Bench, Done
from tests.harness.recorded import change

EDITED = ("added.py", "tell/section.py")
NAMED = "modified harness: added.py, tell/section.py"


@dataclass(frozen=True)
class Edited:
    """A benchmark whose e0.0.1 was made by the harness as sealed, the rest by an edited one."""

    bench: Bench
    source: Path

    def run(self, *command: str, expect: int | None = 0) -> Done:
        """A command of the edited harness."""
        path = os.pathsep.join([str(self.source), str(self.bench.root / "src")])
        return self.bench.run(*command, expect=expect, PYTHONPATH=path)


@pytest.fixture(scope="module")
def sealed_then_edited(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Edited:
    folder = tmp_path_factory.mktemp("edited")
    bench = Bench(folder / "bench", home)
    bench.dev_run()
    bench.experiment("e0.0.1", allow="tests")
    shutil.copytree(SOURCE / "harness", folder / "src/harness")
    with (folder / "src/harness/tell/section.py").open("a") as file:
        file.write("\n# An update may say this in other words.\n")
    (folder / "src/harness/added.py").write_text("ADDED = True\n")
    made = Edited(bench, folder / "src")
    bench.forget()
    made.run("dev-run", "--items=1000")
    made.run("experiment", "e0.0.2", "--allow", OPENED)
    return made


def test_the_seal_is_that_of_the_files_that_are_there() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/seal.py", "--check"],
        cwd=REPOSITORY, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_the_newest_version_in_the_changelog_is_the_one_that_is_there() -> None:
    text = (SOURCE / "harness/CHANGELOG.md").read_text("utf-8")
    newest = next(line for line in text.splitlines() if line.startswith("## "))
    assert newest == f"## {harness.__version__}"


def test_a_seal_that_went_stale_says_how_to_write_it(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "scripts", tmp_path / "scripts")
    shutil.copytree(SOURCE, tmp_path / SOURCE.relative_to(REPOSITORY))
    command = [sys.executable, "scripts/seal.py"]
    folder = tmp_path / SOURCE.relative_to(REPOSITORY) / "harness"
    with (folder / "clock.py").open("a") as file:
        file.write("\n")
    stale = subprocess.run(
        [*command, "--check"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert stale.returncode == 1
    assert "clock.py" in stale.stdout
    assert "fix: python scripts/seal.py" in stale.stdout
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    subprocess.run([*command, "--check"], cwd=tmp_path, check=True)


def test_line_ends_and_what_tools_leave_there_are_no_edit(tmp_path: Path) -> None:
    folder = tmp_path / "harness"
    shutil.copytree(SOURCE / "harness", folder)
    for path in folder.rglob("*.py"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    (folder / "read/__pycache__").mkdir(exist_ok=True)
    (folder / "read/__pycache__/views.cpython-311.pyc").write_bytes(b"code")
    (folder / ".DS_Store").write_bytes(b"a file manager's")
    assert seal.edited_in(folder) == []

    (folder / "clock.py").unlink()
    (folder / "errors.py").write_text("")
    (folder / "errors.py.rej").write_text("what an update could not place")
    assert seal.edited_in(folder) == ["clock.py", "errors.py", "errors.py.rej"]


def test_a_run_records_which_harness_made_it(sealed_then_edited: Edited) -> None:
    query = "SELECT harness_version, harness_digest, harness_edited FROM runs ORDER BY sequence"
    first, second = sealed_then_edited.bench.sql(query)
    assert first["harness_version"] == second["harness_version"] == harness.__version__
    assert first["harness_digest"] != second["harness_digest"]
    assert json.loads(first["harness_edited"]) == []
    assert json.loads(second["harness_edited"]) == [*EDITED]


def test_a_harness_of_other_words_reuses_every_result(sealed_then_edited: Edited) -> None:
    bench = sealed_then_edited.bench
    assert bench.executed() == {}
    counts = bench.sql("SELECT executed, cached FROM runs ORDER BY sequence")
    assert [(each["executed"], each["cached"]) for each in counts] == [(8, 0), (0, 8)]
    dev = bench.sql("SELECT executed, cached FROM runs ORDER BY sequence", bench.dev_db)
    assert [(each["executed"], each["cached"]) for each in dev] == [(8, 0), (0, 8)]


@pytest.mark.parametrize("command", ["summary", "report", "validate", "tag", "export"])
def test_everything_that_reports_says_that_the_harness_was_modified(
    sealed_then_edited: Edited, command: str
) -> None:
    bench = sealed_then_edited.bench
    first, second = f"results/reports/{command}-1.html", f"results/reports/{command}-2.html"
    if command == "summary":
        before = bench.run("summary", "e0.0.1", expect=None).said
        after = bench.run("summary", "e0.0.2", expect=None).said
    elif command == "report":
        for tag, name in (("e0.0.1", first), ("e0.0.2", second)):
            bench.run("report", tag, "--out", name, expect=None)
        before, after = ((bench.root / name).read_text() for name in (first, second))
    elif command == "tag":
        before, after = (bench.git("tag", "-l", "--format=%(contents)", tag) for tag in TAGS)
    elif command == "validate":
        found = bench.run("validate", "--json", expect=None)
        listed = json.loads(found.out)["findings"]
        said = {each["experiment"]: each["message"] for each in listed if NAMED in each["message"]}
        before, after = said.get("e0.0.1", ""), said.get("e0.0.2", "")
    else:
        script = REPOSITORY / "{{cookiecutter.project_slug}}/scripts/export_summary.py"
        before = ""
        after = bench.python(f"import runpy, sys; sys.argv[0] = {str(script)!r}\n"
                             "runpy.run_path(sys.argv[0], run_name='__main__')", str(bench.db)
                             ).decode().replace("\\", "")  # fmt: skip
    assert "modified harness" not in before
    assert NAMED in after.replace("\\", "")


TAGS = ("e0.0.1", "e0.0.2")


def test_who_reads_with_an_edited_harness_is_told_too(sealed_then_edited: Edited) -> None:
    said = sealed_then_edited.run("summary", "e0.0.1", expect=None).said
    assert f"Read by a {NAMED}." in said.replace("\\", "")
    assert "Recorded by a modified harness" not in said


def test_a_comparison_lists_the_harness_among_what_changed(sealed_then_edited: Edited) -> None:
    said = sealed_then_edited.bench.run("compare", "e0.0.1", "e0.0.2", expect=None).said
    assert "modified harness" in said


def test_results_from_before_there_was_a_version_are_read_as_they_are(
    sealed_then_edited: Edited, tmp_path: Path
) -> None:
    bench = sealed_then_edited.bench.copy(tmp_path / "bench")
    names = ("harness_version", "harness_digest", "harness_edited")
    change(bench.db, *(f"ALTER TABLE runs DROP COLUMN {name}" for name in names))
    for command in (("summary", "e0.0.2"), ("report", "e0.0.2"), ("compare", *TAGS), ("validate",)):
        done = bench.run(*command, expect=None)
        assert done.code in (0, 1), done.err
        assert "modified harness" not in done.said
        assert "Traceback" not in done.err
    bench.items(5)
    bench.experiment("e0.0.3")
    assert [row["harness_version"] for row in bench.sql("SELECT * FROM runs ORDER BY rowid")] == [
        None, None, harness.__version__,
    ]  # fmt: skip
