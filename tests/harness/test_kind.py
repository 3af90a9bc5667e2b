"""What a kind brings in `src/benchmark/kind.py`, and that the harness itself names none."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.project.kind import PLAIN, load_kind
from harness.project.settings import load_settings
from tests.harness.project_fixture import REPOSITORY, SOURCE, Bench

KIND = '''
from pydantic import Field

from harness.project.kind import Executor, Kind, Options


class Colour(Options):
    """How it is painted."""

    name: str = "red"
    layers: int = Field(default=1, ge=1)


KIND = Kind(
    settings={"colour": Colour},
    executors={"reversed": Executor("benchmark.backwards:execute", "benchmark.backwards:check")},
    dev_checks=("benchmark.backwards:no_paint",),
    sections=("benchmark.nowhere:sections",),
    times=("drying",),
    doubts={"wet": "answers are wet."},
)
'''
BACKWARDS = """
from pathlib import Path

from harness.errors import HarnessError
from harness.findings import Finding
from harness.project.settings import load_settings
from harness.run.attempt import Worker
from harness.run.executors import compute


def check(project):
    if project.settings.extra.get("colour", {}).get("name") == "none":
        raise HarnessError("nothing can be painted", fix="give the colour a name")


def execute(project, jobs, limiter, stopped):
    worker = Worker(project, limiter)
    for job in reversed(list(jobs)):
        yield compute(worker, job)


def no_paint(facts):
    [(rows,)] = facts.ask("SELECT count(*) FROM predictions WHERE wet")
    return [Finding("no_paint", "warning", f"{rows} rows are wet", rows)]
"""
WITH = "from harness.project.kind import *\nKIND = Kind({})"
PREDICT = """
return {
    "prediction": item["x"] > params.threshold, "ground_truth": item["label"],
    "raw_response": {"x": item["x"]}, "wet": item["x"] < 0.5, "drying": 2.0 + item["x"],
}
"""


@pytest.fixture(scope="module")
def painted(make_module_bench: Callable[[], Bench]) -> Bench:
    """A benchmark of a kind with a section, an executor, a check and columns; its dev-run is done.

    Before kind.py was there it had run once already.
    """
    bench = make_module_bench()
    bench.predict(PREDICT)
    bench.commit()
    bench.run("experiment", "e0.0.1", "--allow", "dev-run,tests,inspect")
    bench.forget()
    bench.file("src/benchmark/kind.py", KIND)
    bench.file("src/benchmark/backwards.py", BACKWARDS)
    bench.settings(run={"executor": "reversed"}, colour={"name": "blue"})
    bench.dev_run()
    return bench


def test_its_executor_computes_the_datapoints(painted: Bench) -> None:
    order = [item for (_, item), _ in painted.traced("ran")]
    assert order == ["i3", "i2", "i1", "i0"] * 2
    assert len(painted.rows("dev")) == 8


def test_its_check_is_asked_before_anything_runs(painted: Bench, tmp_path: Path) -> None:
    bench = painted.copy(tmp_path / "none")
    bench.settings(run={"executor": "reversed"}, colour={"name": "none"})
    done = bench.dev_run(expect=2)
    assert "nothing can be painted" in done.said
    assert not bench.executed()


def test_its_finding_is_shown_beside_the_others(painted: Bench) -> None:
    assert "4 rows are wet" in painted.run("inspect", expect=1).said


def test_its_times_have_percentiles_and_its_doubts_are_said(painted: Bench) -> None:
    metrics = painted.sql("SELECT * FROM metrics", painted.dev_db)
    assert [(row["drying_n"], row["wet"]) for row in metrics] == [(4, 2), (4, 2)]
    assert "drying_p50" in metrics[0]
    text = painted.run("summary", "dev", expect=None).out
    assert "4 of 8 answers are wet." in text
    assert "drying, p50 (s)" in text


def test_a_section_of_the_report_that_is_not_there_costs_nobody_the_report(painted: Bench) -> None:
    text = painted.run("summary", "dev", expect=None).said
    assert "kind.py names benchmark.nowhere:sections, which cannot be used" in text
    assert "## Provenance" in text


def test_results_are_reused_whatever_kind_py_says(painted: Bench, tmp_path: Path) -> None:
    bench = painted.copy(tmp_path / "again")
    bench.commit()
    done = bench.run("experiment", "e0.0.2", "--allow", "dev-run,tests,inspect", expect=None)
    assert "0 executed, 8 cached" in done.said
    assert not bench.executed()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[colour]\nname = "red"\nlayer = 2', "line 3: colour.layer: no such setting"),
        ("[colour]\nlayers = 0", "line 2: colour.layers: Input should be greater than"),
        ("colour = 3", "line 1: colour: Input should be a valid dictionary"),
        ('[run]\nexecutor = "backwards"', "'dask' or 'reversed', not 'backwards'"),
        ("[colours]\n", "line 1: colours: no such setting"),
        ("[extra]\n", "line 1: extra: no such setting"),
    ],
)
def test_its_settings_are_held_to_what_it_declares(tmp_path: Path, text: str, said: str) -> None:
    write_kind(tmp_path, KIND)
    (tmp_path / "benchmark.toml").write_text(text, encoding="utf-8")
    with pytest.raises(HarnessError) as refused:
        load_settings(tmp_path)
    assert said in refused.value.message


def test_its_settings_come_typed_and_with_defaults(tmp_path: Path) -> None:
    write_kind(tmp_path, KIND)
    (tmp_path / "benchmark.toml").write_text("[colour]\nlayers = 2", encoding="utf-8")
    form = load_kind(tmp_path).settings["colour"]
    colour = load_settings(tmp_path).options("colour", form)
    assert colour.model_dump() == {"name": "red", "layers": 2}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("KIND = ", "does not run: invalid syntax (kind.py, line 1)"),
        ("\nboom", "does not run: NameError: name 'boom' is not defined (kind.py, line 2)"),
        ("import nowhere_at_all", "does not run: ModuleNotFoundError"),
        ("kind = 3", "defines no KIND"),
        ("KIND = 3", "defines no KIND"),
        ("from benchmark.predict import predict", "line 1: it is run before the package benchmark"),
        ("from .predict import predict", "line 1: it is run before the package benchmark"),
        (WITH.format(""), ""),
        (WITH.format("checks=('predict',)"), "'predict' is not of the form \"module:name\""),
        (
            WITH.format("executors={'threads': Executor('a:b')}"),
            "threads is an executor of the harness itself",
        ),
        (WITH.format("settings={'colour': int}"), "the section colour is not described by"),
        (WITH.format("settings={'run': Options}"), "[run] is a section of every benchmark"),
    ],
)
def test_a_mistake_in_kind_py_is_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    write_kind(tmp_path, text)
    (tmp_path / "benchmark.toml").write_text("", encoding="utf-8")
    if not said:
        assert load_settings(tmp_path)
        return
    with pytest.raises(HarnessError) as refused:
        load_settings(tmp_path)
    assert said in refused.value.message
    assert refused.value.message.startswith("src/benchmark/kind.py")
    assert refused.value.fix


def test_a_project_without_the_file_is_of_no_kind(tmp_path: Path) -> None:
    assert load_kind(tmp_path) is PLAIN


def write_kind(root: Path, text: str) -> None:
    path = root / "src/benchmark/kind.py"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")


# -- the harness


def test_the_harness_names_no_kind() -> None:
    kinds = [path.name for path in (SOURCE.parent / "kinds").iterdir() if path.is_dir()]
    words = re.compile(rf"\b({'|'.join(kinds)}|canned|harness\.load)\b", re.IGNORECASE)
    named = [
        f"{path.name}: {line.strip()}"
        for path in sorted((SOURCE / "harness").rglob("*.py"))
        if path.relative_to(SOURCE).parts[1] != "load"
        for line in path.read_text(encoding="utf-8").splitlines()
        if words.search(line)
    ]
    assert named == []


def test_no_room_of_the_harness_imports_one_above_it() -> None:
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "scripts/rooms.py")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
