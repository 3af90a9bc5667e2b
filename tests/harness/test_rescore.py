"""Better metrics cost no second run: scores are made anew from stored rows, old ones kept."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.read import views
from harness.tell.summary import summarise_experiment

TEMPLATE = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}"
GIT = ("git", "-c", "user.name=a", "-c", "user.email=a@b")
RESCORE = (
    "from harness.project.contract import Project; from harness.measure.rescore import rescore;"
    "from harness.console import show_error; from harness.errors import HarnessError\n"
    "try:\n  rescore(Project.open(), 'dev')\n"
    "except HarnessError as error:\n  show_error(error); raise SystemExit(error.code)"
)
WIDER = """
def score(row):
    return {"correct": row["prediction"] == row["ground_truth"], "close": 0.25}
AGGREGATES = {}
"""
OTHER = """
def score(row):
    return {"close": 0.75}
AGGREGATES = {}
"""
KILLED = """
import os


def score(row):
    return {"correct": 0}


AGGREGATES = {"last": lambda rows: os.kill(os.getpid(), 9)}
"""
BROKEN = """
def score(row):
    if row["input_id"] == BAD:
        raise KeyError("no such field")
    return {"correct": 0, "newest": 1}
"""


class Benchmark:
    """A project of the kind minimal in which a dev-run has been made."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copytree(TEMPLATE / "kinds" / "minimal", root)
        (root / "benchmark.toml").write_text('[benchmark]\nname = "rescored"\n')
        calls = f"open({str(root / 'calls')!r}, 'a').write('x')"
        predict = root / "src" / "benchmark" / "predict.py"
        text = predict.read_text()
        at = text.index("    value = item[")
        predict.write_text(text[:at] + f"    {calls}\n" + text[at:])
        (root / ".gitignore").write_text(".dev/\ncalls\n__pycache__/\n")
        for command in (("init", "-q", "-b", "feat/x"), ("add", "."), ("commit", "-qm", "a")):
            subprocess.run([*GIT, *command], cwd=root, check=True)
        done = self.python("-m", "harness", "dev-run", "--items", "30")
        assert done.returncode == 0, done.stderr

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(TEMPLATE / "src"), str(self.root / "src")])
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def rescore(self, metrics: str | None = None) -> subprocess.CompletedProcess[str]:
        if metrics is not None:
            (self.root / "src" / "benchmark" / "metrics.py").write_text(metrics)
        return self.python("-c", RESCORE)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        con = sqlite3.connect(self.root / ".dev" / "benchmark.db")
        try:
            return con.execute(query).fetchall()
        finally:
            con.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    return Benchmark(tmp_path_factory.mktemp("rescore") / "project")


@pytest.fixture
def benchmark(made: Benchmark, tmp_path: Path) -> Benchmark:
    """A copy for each test; predict's calls are counted in the first one."""
    copied = object.__new__(Benchmark)
    copied.root = shutil.copytree(made.root, tmp_path / "project")
    return copied


def test_scores_are_made_anew_the_earlier_kept_and_predict_stays_still(
    benchmark: Benchmark, made: Benchmark
) -> None:
    calls = (made.root / "calls").read_text()
    before = benchmark.rows("SELECT task_key, correct FROM predictions ORDER BY 1")
    assert len(before) == 240
    assert benchmark.rescore(WIDER).returncode == 0
    assert (made.root / "calls").read_text() == calls
    assert benchmark.rows("SELECT DISTINCT close FROM predictions") == [(0.25,)]
    first = benchmark.rows("SELECT DISTINCT score_version FROM metrics")
    assert first[0][0].startswith("metrics.py ")
    con = views.connect([benchmark.root / ".dev" / "benchmark.db"])
    glance = summarise_experiment(con, "dev").sections[0].text
    assert f"by {first[0][0]}." in " ".join(glance)
    con.close()
    assert benchmark.rescore(OTHER).returncode == 0
    assert benchmark.rows("SELECT DISTINCT correct, close FROM predictions") == [(None, 0.75)]
    kept = "SELECT task_key, correct FROM scores_history WHERE score_version = '{}' ORDER BY 1"
    assert benchmark.rows(kept.format("as run")) == before
    assert benchmark.rows(kept.format(first[0][0])) == before
    precision = "SELECT count(precision), count(*) FROM metrics_history WHERE score_version = '{}'"
    assert benchmark.rows(precision.format("as run")) == [(8, 8)]
    assert benchmark.rows("SELECT count(*), count(close) FROM metrics") == [(8, 8)]


def test_the_same_metrics_give_the_same_scores_and_one_version_more(benchmark: Benchmark) -> None:
    query = "SELECT * FROM predictions ORDER BY task_key"
    before = benchmark.rows(query)
    assert benchmark.rescore().returncode == benchmark.rescore().returncode == 0
    assert benchmark.rows(query) == before
    versions = "SELECT count(DISTINCT score_version), count(*) FROM scores_history"
    assert benchmark.rows(versions) == [(2, 480)]


def test_metrics_that_fail_leave_everything_as_it_was(benchmark: Benchmark) -> None:
    query = "SELECT * FROM predictions ORDER BY task_key"
    names = [row[1] for row in benchmark.rows("PRAGMA table_info(predictions)")]
    before, metrics = benchmark.rows(query), benchmark.rows("SELECT correct, n FROM metrics")
    last = benchmark.rows("SELECT input_id FROM predictions ORDER BY rowid DESC LIMIT 1")[0][0]
    failed = benchmark.rescore(BROKEN.replace("BAD", repr(last)))
    assert failed.returncode == 1
    assert "no such field" in failed.stderr
    assert "make rescore" in failed.stderr
    kept = [row[: len(names)] for row in benchmark.rows(query)]
    assert kept == before
    assert benchmark.rows("SELECT correct, n FROM metrics") == metrics


def test_an_aggregate_that_fails_leaves_everything_as_it_was_too(benchmark: Benchmark) -> None:
    query = "SELECT task_key, correct FROM predictions ORDER BY 1"
    before = benchmark.rows(query)
    broken = "def score(row):\n    return {'correct': 0}\nAGGREGATES = {'f': lambda rows: 1 / 0}\n"
    failed = benchmark.rescore(broken)
    assert failed.returncode == 1
    assert benchmark.rows(query) == before
    assert benchmark.rows("SELECT count(precision) FROM metrics") == [(8,)]


def test_a_killed_rescore_costs_no_earlier_score_and_is_told_of(benchmark: Benchmark) -> None:
    query = "SELECT task_key, correct FROM predictions ORDER BY 1"
    before = benchmark.rows(query)
    killed = benchmark.rescore(KILLED)
    assert killed.returncode == -signal.SIGKILL
    assert benchmark.rows("SELECT DISTINCT correct FROM predictions") == [(0,)]
    with views.connect([benchmark.root / ".dev" / "benchmark.db"]) as con:
        found = summarise_experiment(con, "dev")
    assert found.findings[0].startswith(
        "Only some of its scores are computed again: make rescore TAG=dev"
    )
    failed = benchmark.rescore("def score(row):\n    return {'correct': 1 / 0}\nAGGREGATES = {}\n")
    assert failed.returncode == 1
    assert benchmark.rows(query) == before
    assert benchmark.rows("SELECT DISTINCT score_version FROM metrics") == [(None,)]
    kept = "SELECT task_key, correct FROM scores_history WHERE score_version = 'as run' ORDER BY 1"
    assert benchmark.rows(kept) == before
    assert benchmark.rows("SELECT count(*) FROM scores_history") == [(240,)]


def test_nothing_to_score_says_what_to_do(benchmark: Benchmark) -> None:
    shutil.rmtree(benchmark.root / ".dev")
    failed = benchmark.rescore()
    assert failed.returncode == 2
    assert "no metrics of dev yet" in failed.stderr
    assert "make dev-run" in failed.stderr
