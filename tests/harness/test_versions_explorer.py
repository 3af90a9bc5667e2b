"""Past experiments are found, shown, compared and fetched, and the working tree stays as it is."""

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from harness.version.checkouts import checkout, clean_up
from harness.version.past import files_at
from tests.harness.project_fixture import Bench
from tests.harness.versioned import WHO, state


@pytest.fixture
def untouched(past: Bench) -> object:
    """Whatever a test does, nothing of the project is another afterwards."""
    before = state(past)
    yield past
    assert state(past) == before


# -- list


def test_configurations_are_listed_by_any_metric_and_param(untouched: Bench) -> None:
    listed = untouched.run("list", "--sort", "correct", "--metric", "correct", "--limit", "1")
    first = next(line for line in listed.out.splitlines() if line.startswith(" e"))
    assert first.split()[:5] == ["e1.0.0", "high", "0.9", "40", "0"]
    assert "0.950 [0.835, 0.986]" in first
    assert "1 of 6 configurations" in listed.said
    chosen = untouched.run("list", "--where", "model=high", "--where", "threshold=0.8").out
    assert [line.split()[0] for line in chosen.splitlines() if line.startswith(" e")] == ["e0.1.0"]
    for wrong in (["--sort", "depth"], ["--metric", "f1"], ["--where", "depth=3"]):
        assert "no experiment has" in untouched.run("list", *wrong, expect=2).err


# -- show


def test_an_experiment_is_shown_with_plan_params_metrics_provenance_and_size(
    untouched: Bench,
) -> None:
    said = untouched.run("show", "e1.0.0").said
    for words in (
        "by benchmark",
        "Is high better than low?",
        "supported h1 high beats low",
        "high 0.9 40 0 0.950 [0.835, 0.986]",
        "commit hash",
        "overridden: dev-run, tests",
        "results/benchmark.db git",
        "on disk:",
    ):
        assert words in said, words
    parts = json.loads(untouched.run("show", "e1.0.0", "--json").out)
    assert [part["title"] for part in parts] == [
        "Experiment e1.0.0", "Plan", "Results", "Provenance", "Artefacts",
    ]  # fmt: skip


def test_an_experiment_of_another_branch_is_shown_from_the_database_of_its_tag(
    untouched: Bench,
) -> None:
    assert untouched.sql("SELECT 1 FROM runs WHERE experiment_version = 'e0.1.0'") == []
    said = untouched.run("show", "e0.1.0").said
    assert "high 0.8 40 0" in said
    assert "started" in said


# -- diff


def test_two_experiments_are_held_side_by_side(untouched: Bench) -> None:
    said = untouched.run("diff", "e0.0.1", "e1.0.0").said
    for words in (
        "exact McNemar",
        "threshold 0.25, 0.75 0.25, 0.9",
        "data/notes.csv changed",
        "The environment is the same.",
        '+ "prediction": item["x"] > params.threshold or item["label"],',
        "-How high?",
        "+How high is it?",
        "Other files",
        "--- a/src/benchmark/params.py",
    ):
        assert words in said, words
    found = json.loads(untouched.run("diff", "e0.0.1", "e1.0.0", "--json").out)
    assert list(found["code"]) == ["src/benchmark/predict.py"], "GRID is no code"
    assert list(found["prompts"]) == ["prompts/ask.txt"]
    assert "src/benchmark/params.py" in found["other_files"]
    assert found["metrics"]["pairs"][0]["flips"], "programs get all that there is"
    assert found["metrics"]["pairs"][0]["verdict"]["verdict"] == "better"


def test_experiments_that_no_branch_has_together_are_compared(untouched: Bench) -> None:
    found = json.loads(untouched.run("diff", "e0.1.0", "e1.0.0", "--json").out)
    pairs = found["metrics"]["pairs"]
    assert [pair["verdict"]["n"] for pair in pairs] == [40], "no row counts twice"
    assert found["params"] == [["threshold", "0.25, 0.8", "0.25, 0.9"]]


# -- get


def test_what_there_is_of_an_experiment_is_listed(untouched: Bench) -> None:
    said = untouched.run("get", "e0.0.1").said
    for name in ("report", "predictions", "prompts/ask.txt", "results/benchmark.db"):
        assert name in said


def test_a_file_a_table_and_the_report_of_a_past_experiment_are_fetched(
    untouched: Bench, tmp_path: Path
) -> None:
    asked = untouched.run("get", "e0.0.1", "prompts/ask.txt").out
    beside = untouched.root.parent / "bench-e0.0.1-ask.txt"
    assert beside.read_text() == "How high?\n"
    assert "bench-e0.0.1-ask.txt" in asked
    beside.unlink()

    table = tmp_path / "new/table.csv"
    untouched.run("get", "e0.1.0", "predictions", "--out", str(table))
    lines = table.read_text().splitlines()
    assert len(lines) == 81
    assert all("e0.1.0" in line for line in lines[1:])

    page = tmp_path / "page.html"
    untouched.run("get", "e0.1.0", "report", "--out", str(page))
    assert "<h1>Report on e0.1.0</h1>" in page.read_text()
    database = tmp_path / "past.db"
    untouched.run("get", "e0.0.1", "results/benchmark.db", "--out", str(database))
    assert untouched.sql("SELECT DISTINCT experiment_version AS e FROM runs", database) == [
        {"e": "e0.0.1"}
    ]


def test_what_cannot_be_fetched_is_said_and_nothing_is_written(
    untouched: Bench, tmp_path: Path
) -> None:
    there = tmp_path / "there.txt"
    there.write_text("mine")
    for arguments, words in (
        (["e0.9.0", "x"], "there is no tag 'e0.9.0' here (the newest: e0.0.1, e0.1.0, e1.0.0)"),
        (["e0.0.1", "src/predict.py"], "has no 'src/predict.py'; there is src/benchmark/predict"),
        (["e0.0.1", "prompts/ask.txt", "--out", str(there)], "there.txt is there already"),
        (["e0.0.1", "metrics", "--out", str(tmp_path / "x.xls")], "is of no known form"),
        (["e0.0.1", "judgements", "--out", str(tmp_path / "x.csv")], "has no table judgements"),
    ):
        refused = untouched.run("get", *arguments, expect=2)
        assert words in refused.err
        assert "fix:" in refused.err
    assert there.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["there.txt"]


# -- checkout


def test_a_whole_experiment_stands_beside_the_project_and_cannot_be_changed(
    untouched: Bench,
) -> None:
    folder = untouched.root.parent / "bench-e0.0.1"
    said = untouched.run("checkout", "e0.0.1").said
    assert str(folder) in said
    assert (folder / "prompts/ask.txt").read_text() == "How high?\n"
    assert len(untouched.sql("SELECT 1 FROM predictions", folder / "results/benchmark.db")) == 80
    modes = [path.stat().st_mode for path in [folder, *folder.rglob("*")]]
    assert not any(mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) for mode in modes)
    assert untouched.git("worktree", "list").count("\n") == 0, "git knows nothing of it"

    again = untouched.run("checkout", "e0.0.1", expect=2)
    assert "e0.0.1 is there already" in again.err
    assert "make cleanup TAG=e0.0.1" in again.err
    assert "removed" in untouched.run("cleanup", "e0.0.1").out
    assert not folder.exists()


def test_only_folders_that_were_made_here_are_removed(untouched: Bench) -> None:
    own = untouched.root.parent / "bench-e0.0.1"
    (own / "deep").mkdir(parents=True)
    (own / "deep/thesis.txt").write_text("mine")
    assert "something else is there" in untouched.run("checkout", "e0.0.1", expect=2).err
    assert "was not made by make checkout" in untouched.run("cleanup", "e0.0.1", expect=2).err
    untouched.run("checkout", "e0.1.0")
    assert untouched.run("cleanup").out.count("removed") == 1
    assert (own / "deep/thesis.txt").read_text() == "mine"
    shutil.rmtree(own)
    assert "no checkout" in untouched.run("cleanup").err


@pytest.mark.parametrize("name", ["../x", "-x", "e1", "HEAD"])
def test_a_name_that_is_no_tag_reaches_no_path(untouched: Bench, name: str) -> None:
    before = sorted(os.listdir(untouched.root.parent))
    for command in (["checkout"], ["cleanup"], ["show"], ["get"]):
        assert untouched.run(*command, "--", name, expect=2).err.startswith("error:")
    assert sorted(os.listdir(untouched.root.parent)) == before


@pytest.mark.parametrize("command", [["show"], ["diff", "e0.0.1"], ["checkout"], ["pull"]])
def test_a_tag_that_is_not_there_is_a_sentence(untouched: Bench, command: list[str]) -> None:
    refused = untouched.run(*command, "e0.9.0", expect=2).err
    assert "'e0.9.0'" in refused.splitlines()[0]
    assert "fix:" in refused


# -- from everywhere, and with what DVC keeps


def test_a_dirty_tree_and_a_detached_head_are_no_obstacle(past: Bench, tmp_path: Path) -> None:
    bench = past.copy(tmp_path / "bench")
    bench.git("checkout", "-q", "--detach", "e0.0.1")
    bench.file("src/benchmark/predict.py", "an edit")
    before = state(bench)
    assert "high 0.9 40 0" in bench.run("show", "e1.0.0").said
    bench.run("checkout", "e1.0.0")
    bench.run("cleanup")
    assert state(bench) == before


def test_what_dvc_keeps_comes_from_its_cache(tagged_by_dvc: Bench, tmp_path: Path) -> None:
    bench = tagged_by_dvc
    recorded = bench.db.read_bytes()
    bench.db.unlink()
    out = tmp_path / "past.db"
    bench.run("get", "e0.0.1", "results/benchmark.db", "--out", str(out))
    assert out.read_bytes() == recorded
    assert "results/benchmark.db dvc" in bench.run("show", "e0.0.1").said
    bench.run("checkout", "e0.0.1")
    folder = bench.root.parent / "bench-e0.0.1"
    assert (folder / "results/benchmark.db").read_bytes() == recorded
    bench.run("cleanup")
    assert not bench.db.exists(), "the working tree is not touched"

    (cached,) = (path for path in (bench.root / ".dvc/cache").rglob("*") if path.is_file())
    cached.chmod(0o644)
    cached.write_bytes(b"damaged")
    refused = bench.run("checkout", "e0.0.1", expect=1)
    assert "is not in DVC's cache here, and no remote is set" in refused.err
    assert "make remote URL=" in refused.err
    assert not folder.exists()
    assert [path.name for path in tmp_path.glob(".bench*")] == [], "nothing half done"


# -- xetrack's explorer


def test_xetracks_explorer_finds_versions(past: Bench) -> None:
    found = past.duckdb(past.db, "SELECT version, correct FROM b.experiments WHERE n = 40")
    assert [row["version"] for row in found] == ["e0.0.1"] * 2 + ["e1.0.0"] * 2


def test_a_project_below_the_top_of_its_repository_has_its_own_files(tmp_path: Path) -> None:
    project = tmp_path / "top/sub"
    project.mkdir(parents=True)
    (project / "mine.txt").write_text("mine")
    (tmp_path / "top/other.txt").write_text("other")
    for arguments in (
        ["init", "-q"],
        ["add", "."],
        [*WHO, "commit", "-q", "-m", "x"],
        [*WHO, "tag", "-a", "e0.0.1", "-m", "x"],
    ):
        subprocess.run(["git", *arguments], cwd=tmp_path / "top", check=True)
    assert [held.name for held in files_at(project, "e0.0.1")] == ["mine.txt"]
    folder = checkout(project, "e0.0.1")
    assert folder == tmp_path / "top/sub-e0.0.1"
    assert sorted(path.name for path in folder.iterdir()) == [".checkout.json", "mine.txt"]
    assert clean_up(project) == [folder]
