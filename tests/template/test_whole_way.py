"""A first day: tests, dev-run and experiment in a new project leave a clean tree and a tag."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.template.conftest import Bake

WAYS = [
    pytest.param("minimal", "sqlite", "append-only", "yes"),
    pytest.param("minimal", "duckdb", "table-per-experiment", "no", marks=pytest.mark.slow),
    pytest.param("minimal", "sqlite", "database-per-experiment", "yes", marks=pytest.mark.slow),
    pytest.param("minimal", "duckdb", "append-only", "yes", marks=pytest.mark.slow),
    pytest.param("sklearn", "sqlite", "append-only", "no", marks=pytest.mark.slow),
    pytest.param("sklearn", "duckdb", "database-per-experiment", "yes", marks=pytest.mark.slow),
    pytest.param("llm", "sqlite", "table-per-experiment", "yes", marks=pytest.mark.slow),
    pytest.param("throughput", "sqlite", "append-only", "yes", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("kind", "engine", "layout", "use_dvc"), WAYS)
def test_the_first_day_ends_with_a_tag_and_a_clean_tree(
    bake: Bake, kind: str, engine: str, layout: str, use_dvc: str, tmp_path: Path
) -> None:
    project = bake(
        into=tmp_path / "a folder with spaces",
        project_name='Größe "vier" 🎉',
        kind=kind, engine=engine, layout=layout, use_dvc=use_dvc,
    )  # fmt: skip
    project.make("test", "dev-run")
    assert project.changes() == ""
    done = project.make("experiment", TAG="e0.0.1", MSG="what $HOME `says`")

    assert "recorded in results/" in done.stdout
    assert project.changes() == ""
    assert project.git("describe", "--exact-match") == "e0.0.1"
    assert project.git("cat-file", "-t", "e0.0.1") == "tag"
    assert project.git("tag", "--list", "--format=%(subject)").endswith("| what $HOME `says`")
    database = "e0.0.1.db" if layout == "database-per-experiment" else "benchmark.db"
    table = "predictions_e0_0_1" if layout == "table-per-experiment" else "predictions"
    kept_by_git = project.git("ls-files", "results").splitlines()
    assert (f"results/{database}" in kept_by_git) == (use_dvc == "no")
    assert (f"results/{database}.dvc" in kept_by_git) == (use_dvc == "yes")
    with sqlite3.connect(project.root / "results" / database) as connection:
        [(rows, tasks)] = connection.execute(
            f"SELECT count(*), count(DISTINCT task_key) FROM {table}"
        )
        [(planned, ended)] = connection.execute("SELECT planned, ended_how FROM runs")
    assert (rows, tasks, ended) == (planned, planned, "finished")
    metrics = json.loads(project.read("results/e0.0.1.json"))
    assert sum(row["n"] for row in metrics) == planned


def test_what_a_new_person_does_wrong_is_answered_with_the_command_that_mends_it(
    bake: Bake,
) -> None:
    project = bake()
    early = project.make("experiment", TAG="e0.0.1", check=False)
    assert early.returncode != 0
    assert "make dev-run" in early.stderr

    project.git("checkout", "--quiet", "main")
    on_main = project.make("dev-run", check=False)
    assert on_main.returncode != 0
    assert "main is a protected branch" in on_main.stderr
    assert "git switch -c" in on_main.stderr
    assert not (project.root / ".dev").exists()
