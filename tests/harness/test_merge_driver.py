"""Two people, one repository: git merges what both recorded, by the driver that setup installs."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.project_fixture import PROJECT, Bench
from tests.harness.test_published import clone, shared

ALL_WRONG = """
from harness import Score

SCORES = {"correct": Score("proportion", better="higher")}


def score(row):
    return {"correct": False}
"""
WHO = ("-c", "user.name=a", "-c", "user.email=b", "-c", "core.editor=true")


def ready_to_merge(bench: Bench, installed: bool = True) -> None:
    """What the template brings (.gitattributes) and `make setup` does."""
    bench.file(".gitattributes", (PROJECT / ".gitattributes").read_text())
    bench.commit()
    if installed:
        setup = runpy.run_path(str(PROJECT / "scripts/setup_env.py"))
        assert setup["install_merge_driver"](Path(sys.prefix), bench.root) == ""


def both_experiment(bench: Bench, tags: tuple[str, str]) -> None:
    """An experiment on the branch, another one on exp/two, each begun from the same commit."""
    bench.git("branch", "exp/two")
    bench.params('[Params("mid", 0.5)]')
    bench.experiment(tags[0])
    bench.git("switch", "-q", "exp/two")
    if bench.dvc:
        bench.run_dvc("checkout", "-q")
    bench.params('[Params("top", 0.9)]')
    bench.experiment(tags[1])
    bench.git("switch", "-q", "feat/try")
    if bench.dvc:
        bench.run_dvc("checkout", "-q")


def merged(bench: Bench, branch: str = "exp/two") -> "subprocess.CompletedProcess[str]":
    """git merge; a conflict in params.py, which both edited, is settled as a person would."""
    return subprocess.run(
        ["git", *WHO, "merge", "-q", "-X", "ours", branch],
        cwd=bench.root, env=bench.environment(), capture_output=True, text=True,
    )  # fmt: skip


def experiments(bench: Bench) -> dict[str, int]:
    rows = bench.sql("SELECT experiment_version AS e, count(*) AS n FROM predictions GROUP BY 1")
    return {row["e"]: row["n"] for row in rows}


def test_git_merges_databases_that_it_keeps_row_by_row(tagged: Bench) -> None:
    bench = tagged
    ready_to_merge(bench)
    both_experiment(bench, ("e0.0.2", "e0.0.3"))
    done = merged(bench)
    assert done.returncode == 0, done.stderr
    assert "results/benchmark.db: 7 rows merged" in done.stderr
    assert experiments(bench) == {"e0.0.1": 8, "e0.0.2": 4, "e0.0.3": 4}
    assert bench.git("status", "--porcelain") == ""
    assert "no findings" in bench.run("validate").said
    bench.experiment("e0.0.4")


@pytest.mark.slow
def test_git_merges_databases_that_dvc_keeps(tagged_by_dvc: Bench) -> None:
    bench = tagged_by_dvc
    ready_to_merge(bench)
    both_experiment(bench, ("e0.0.2", "e0.0.3"))
    # One side scored again what both have, and says so: that is no clash.
    bench.score(ALL_WRONG)
    bench.commit()
    bench.run("rescore", "e0.0.1")
    bench.run_dvc("add", "-q", "results/benchmark.db")
    bench.commit("rescore e0.0.1")
    done = merged(bench)
    assert done.returncode == 0, done.stderr
    assert "dvc checkout results/benchmark.db.dvc" in done.stderr
    assert bench.git("status", "--porcelain") == ""
    bench.run_dvc("checkout", "-q")
    assert experiments(bench) == {"e0.0.1": 8, "e0.0.2": 4, "e0.0.3": 4}
    assert {row["correct"] for row in bench.rows("e0.0.1")} == {0}
    assert {row["correct"] for row in bench.rows("e0.0.3")} == {0, 1}


@pytest.mark.slow
def test_without_the_driver_make_merge_settles_the_conflict(tagged_by_dvc: Bench) -> None:
    bench = tagged_by_dvc
    ready_to_merge(bench, installed=False)
    both_experiment(bench, ("e0.0.2", "e0.0.3"))
    subprocess.run(["git", *WHO, "merge", "-q", "exp/two"], cwd=bench.root, capture_output=True)
    assert "results/benchmark.db.dvc" in bench.git("diff", "--name-only", "--diff-filter=U")
    said = bench.run("merge").said
    assert "results/benchmark.db.dvc is merged and staged" in said
    bench.git("checkout", "--ours", "src/benchmark/params.py")
    bench.git("add", "src/benchmark/params.py")
    bench.git(*WHO, "commit", "-q", "--no-edit")
    bench.run_dvc("checkout", "-q")
    assert experiments(bench) == {"e0.0.1": 8, "e0.0.2": 4, "e0.0.3": 4}


@pytest.mark.slow
def test_two_clones_with_the_same_tag(tagged_by_dvc: Bench, tmp_path: Path) -> None:
    """The second to push gives its results the next free tag, and merges; nothing is run again."""
    first = tagged_by_dvc
    first.run_dvc("remote", "add", "-q", "-d", "store", str(tmp_path / "store"))
    ready_to_merge(first)
    shared(first, tmp_path)
    first.run_dvc("push", "-q")
    second = clone(first, tmp_path / "second")
    ready_to_merge(second)
    second.run_dvc("pull", "-q")
    first.git("switch", "-q", "-c", "exp/first")
    second.git("switch", "-q", "-c", "exp/second")
    first.params('[Params("mid", 0.5)]')
    second.params('[Params("top", 0.9)]')
    remote = first.git("remote", "get-url", "origin")
    second.git("remote", "set-url", "origin", str(tmp_path / "away.git"))
    second.experiment("e0.0.2")  # offline, so nobody could know
    second.git("remote", "set-url", "origin", remote)
    first.experiment("e0.0.2")

    second.git("fetch", "-q", "origin", "exp/first")
    refused = merged(second, "origin/exp/first")
    assert refused.returncode != 0
    assert "e0.0.2: it was run here and, separately, in the other branch" in refused.stderr
    second.git("merge", "--abort")
    second.forget()
    second.run("retag", "e0.0.2", "e0.0.3")
    second.experiment("e0.0.3")
    assert not second.executed()
    second.git("fetch", "-q", "--tags", "origin")
    done = merged(second, "origin/exp/first")
    assert done.returncode == 0, done.stderr
    second.run_dvc("checkout", "-q")
    assert experiments(second) == {"e0.0.1": 8, "e0.0.2": 4, "e0.0.3": 4}
    second.run("validate")


@pytest.mark.slow
def test_tags_survive_a_squash_merge_and_a_rebase(tagged: Bench) -> None:
    """A tag holds its commit, so what it stands for stays when no branch has it any more."""
    bench = tagged
    ready_to_merge(bench)
    both_experiment(bench, ("e0.0.2", "e0.0.3"))
    before = {tag: bench.git("rev-parse", f"{tag}:results/benchmark.db") for tag in
              ("e0.0.2", "e0.0.3")}  # fmt: skip
    bench.git(*WHO, "merge", "-q", "-X", "ours", "--squash", "exp/two")
    bench.commit("e0.0.3, squashed")
    bench.git("branch", "-q", "-D", "exp/two")
    assert experiments(bench) == {"e0.0.1": 8, "e0.0.2": 4, "e0.0.3": 4}
    bench.git("switch", "-q", "-c", "exp/rebased", "e0.0.1")
    bench.params('[Params("low", 0.25), Params("base", 0.3)]')
    bench.experiment("e0.0.5")
    bench.git(*WHO, "rebase", "-q", "-X", "theirs", "feat/try")
    assert experiments(bench) == {"e0.0.1": 8, "e0.0.2": 4, "e0.0.3": 4, "e0.0.5": 8}
    assert "no findings" in bench.run("validate").said
    for tag, blob in before.items():
        assert bench.git("rev-parse", f"{tag}:results/benchmark.db") == blob
    bench.experiment("e0.0.6")
