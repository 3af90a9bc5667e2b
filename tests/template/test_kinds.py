"""A fifth kind is a folder and its name in the list of choices; no other file changes."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from cookiecutter.main import cookiecutter

from tests.template.conftest import SHELL, BakedProject

KIND = '''"""What this kind adds to the harness."""

from harness.project.kind import Executor, Kind, Options


class Tasting(Options):
    """How tea is tasted."""

    cups: int = 2


KIND = Kind(
    settings={"tasting": Tasting},
    executors={"sips": Executor("benchmark.tasting:execute")},
    dev_checks=("benchmark.tasting:cold",),
    sections=("benchmark.tasting:sections",),
)
'''
TASTING = '''"""What kind.py names."""

from collections.abc import Callable, Iterator

from duckdb import DuckDBPyConnection

from benchmark.kind import Tasting
from harness.findings import Finding
from harness.project.contract import Project
from harness.read.facts import Facts
from harness.run.attempt import Limiter, Worker
from harness.run.executors import compute
from harness.run.job import Job, Outcome
from harness.tell.section import Section


def execute(
    project: Project, jobs: Iterator[Job], limiter: Limiter | None, stopped: Callable[[], bool]
) -> Iterator[Outcome]:
    """One after the other, as many as there are cups, then the next."""
    cups = project.settings.options("tasting", Tasting).cups
    print(f"tasting from {cups} cups")
    worker = Worker(project, limiter)
    for job in jobs:
        yield compute(worker, job)


def cold(facts: Facts) -> list[Finding]:
    """Tea that waited."""
    return [Finding("cold", "warning", "the tea is cold", 1)]


def sections(con: DuckDBPyConnection, experiment: str) -> list[Section]:
    """A part of the report."""
    [(cups,)] = con.execute("SELECT count(*) FROM predictions").fetchall()
    return [Section("Tea", [f"{cups} cups were tasted in {experiment}."])]
'''


@pytest.fixture(scope="module")
def tea(template: Path, tmp_path_factory: pytest.TempPathFactory) -> BakedProject:
    """A project of a kind that is a new folder: the four files of another one, and its own."""
    copy = tmp_path_factory.mktemp("fifth") / "template"
    shutil.copytree(template, copy)
    folder = copy / SHELL / "kinds/tea"
    shutil.copytree(copy / SHELL / "kinds/minimal", folder)
    (folder / "src/benchmark/kind.py").write_text(KIND, "utf-8")
    (folder / "src/benchmark/tasting.py").write_text(TASTING, "utf-8")
    settings = (copy / SHELL / "benchmark.toml").read_text("utf-8")
    assert 'executor = "serial"' in settings
    settings = settings.replace('executor = "serial"', 'executor = "sips"')
    (folder / "benchmark.toml").write_text(f"{settings}\n[tasting]\ncups = 3\n", "utf-8")
    choices = json.loads((copy / "cookiecutter.json").read_text("utf-8"))
    choices["kind"].append("tea")
    (copy / "cookiecutter.json").write_text(json.dumps(choices), "utf-8")
    made = cookiecutter(
        str(copy), no_input=True, extra_context={"kind": "tea", "use_dvc": "no"},
        output_dir=str(tmp_path_factory.mktemp("made")), default_config=True, accept_hooks=True,
    )  # fmt: skip
    return BakedProject(Path(made))


@pytest.fixture(scope="module")
def tasted(tea: BakedProject) -> str:
    """What a dev-run of it says."""
    return harness(tea, "dev-run", "--items=3")


def harness(project: BakedProject, *arguments: str, check: bool = True) -> str:
    """All that a command of the harness says, in one line."""
    source = {"PYTHONPATH": str(project.root / "src")}
    done = project.run(sys.executable, "-m", "harness", *arguments, check=check, env=source)
    return " ".join((done.stdout + done.stderr).split())


def test_its_settings_reach_its_executor(tasted: str) -> None:
    assert "tasting from 3 cups" in tasted


def test_its_section_is_in_the_report(tea: BakedProject, tasted: str) -> None:
    harness(tea, "report", "dev", check=False)
    assert "24 cups were tasted in dev." in tea.read("results/reports/dev.html")


def test_its_check_is_made(tea: BakedProject, tasted: str) -> None:
    assert "the tea is cold" in harness(tea, "inspect", check=False)


def test_a_key_that_it_does_not_know_is_refused_with_its_line(tea: BakedProject) -> None:
    written = tea.read("benchmark.toml")
    line = written[: written.index("cups = 3")].count("\n") + 1
    path = tea.root / "benchmark.toml"
    try:
        path.write_text(written.replace("cups = 3", "mugs = 3"), encoding="utf-8")
        said = harness(tea, "inspect", check=False)
    finally:
        path.write_text(written, encoding="utf-8")
    assert f"benchmark.toml, line {line}: tasting.mugs: no such setting" in said


def test_its_files_are_typed(tea: BakedProject, tmp_path: Path) -> None:
    tea.run(sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path), "src/benchmark")
