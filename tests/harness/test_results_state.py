"""An experiment is added to everything that is recorded so far, or it does not begin."""

import hashlib
import json
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.harness.project_fixture import OPENED, Bench
from tests.harness.test_published import clone, shared

# As it can be typed in a shell in which the environment is not active.
DVC = "dvc" if shutil.which("dvc") else str(Path(sys.executable).with_name("dvc"))
ALL_RIGHT = """
from harness import Score

SCORES = {"correct": Score("proportion", better="higher")}


def score(row):
    return {"correct": True}
"""


def blocked(bench: Bench, *words: str, tag: str = "e0.0.9") -> None:
    """The gate `results` alone stops the experiment, and nothing runs."""
    bench.forget()
    done = bench.run("experiment", tag, "--allow", OPENED, expect=1)
    assert done.said.count("gate ") == 1, done.said
    for word in ("gate results:", *words):
        assert word in done.said, done.said
    assert not bench.executed()


def test_a_database_that_is_not_the_one_recorded(tagged_by_dvc: Bench) -> None:
    """What git pull and a fresh clone leave to be done by make pull."""
    bench = tagged_by_dvc
    record = bench.root / "results/benchmark.db.dvc"
    kept = bench.db.read_bytes()
    bench.db.unlink()
    blocked(bench, "DVC records results/benchmark.db, and it is not here",
            f"fix: {DVC} checkout results/benchmark.db.dvc")  # fmt: skip
    shutil.rmtree(bench.root / ".dvc/cache")
    blocked(bench, "it is not here", "fix: make pull")

    # A colleague has published: the record is of what only the remote has.
    bench.db.write_bytes(kept)
    old = hashlib.md5(kept).hexdigest()
    record.write_text(record.read_text().replace(old, "0" * 32))
    away = "mv results/benchmark.db results/aside/ && make pull"
    blocked(bench, "results/benchmark.db is not the version that DVC records now", away)
    saved = bench.root / f".dvc/cache/files/md5/{old[:2]}/{old[2:]}"
    saved.parent.mkdir(parents=True)
    saved.write_bytes(kept)
    blocked(bench, "fix: make pull")

    conflict = "<<<<<<< HEAD\n- md5: {}\n=======\n- md5: {}\n>>>>>>> feat/two\n"
    record.write_text("outs:\n" + conflict.format("a" * 32, "b" * 32))
    blocked(bench, "results/benchmark.db.dvc does not say one version", "git checkout --ours")


@pytest.mark.slow
def test_a_colleague_publishes_while_an_experiment_is_under_way(
    make_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    bench = make_bench(dvc=True)
    shared(bench, tmp_path)
    bench.run_dvc("remote", "add", "-q", "-d", "store", str(tmp_path / "store"))
    bench.experiment("e0.0.1")
    colleague = clone(bench, tmp_path / "colleague")
    blocked(colleague, "it is not here", "fix: make pull")
    colleague.run_dvc("pull", "results/benchmark.db.dvc")
    colleague.experiment("e0.0.2")

    bench.predict('raise ValueError("no")')
    bench.experiment("e0.0.3", expect=1)
    who = ("-c", "user.name=a", "-c", "user.email=b", "-c", "core.editor=true")
    bench.git(*who, "pull", "-q", "--no-rebase", "origin", "feat/try")
    blocked(bench, "somebody published another one", tag="e0.0.3")
    (bench.root / "results/aside").mkdir(exist_ok=True)
    bench.db.rename(bench.root / "results/aside/benchmark.db")
    bench.run_dvc("pull", "results/benchmark.db.dvc")
    bench.run("experiment", "e0.0.3", "--allow", f"{OPENED},failures")
    tags = bench.sql("SELECT DISTINCT experiment_version AS e FROM predictions ORDER BY e")
    assert [row["e"] for row in tags] == ["e0.0.1", "e0.0.2", "e0.0.3"]


def test_results_ahead_of_their_record_are_an_experiment_that_is_not_finished(
    tagged: Bench,
) -> None:
    tagged.predict('raise ValueError("no")')
    tagged.experiment("e0.0.2", expect=1)
    assert "benchmark.db" in tagged.git("status", "--porcelain")
    assert "ok results" in tagged.run("ready", expect=1).said
    # What another program has changed is no experiment of ours.
    tagged.git("checkout", "HEAD", "--", "results/benchmark.db")
    with closing(sqlite3.connect(tagged.db, isolation_level=None)) as con:
        con.execute("DELETE FROM predictions")
    blocked(tagged, "git checkout HEAD -- results/benchmark.db")
    tagged.db.unlink()
    blocked(tagged, "git records results/benchmark.db, and it is not here")


def test_scored_again_they_say_how_to_go_on(tagged: Bench) -> None:
    line = index_line(tagged)
    assert "| correct 1.000" not in line
    tagged.score(ALL_RIGHT)
    tagged.commit("other scores")
    said = tagged.run("rescore", "e0.0.1").err
    assert "results/benchmark.db now holds other scores than the tag e0.0.1" in said
    beside = "results/e0.0.1.json results/e0.0.1.md results/README.md"
    keep, drop = [each.partition(": ")[2] for each in said.splitlines() if each.startswith("  ")]
    assert keep == f'git commit -m "rescore e0.0.1" -- results/benchmark.db {beside}'
    assert drop == f"git checkout HEAD -- results/benchmark.db {beside}"
    assert "ok results" in tagged.run("ready", expect=1).said

    # What a forge shows says the same as the database, and its day is that of the experiment.
    assert "| correct 1.000" in index_line(tagged)
    assert index_line(tagged).split(" | ")[1] == line.split(" | ")[1]
    assert "Scored again after the run" in (tagged.root / "results/e0.0.1.md").read_text()
    rows = json.loads((tagged.root / "results/e0.0.1.json").read_text())
    assert {row["correct"] for row in rows} == {1}
    tagged.git(*drop.split()[1:])
    assert tagged.git("status", "--porcelain") == ""
    assert index_line(tagged) == line


def test_two_that_are_scored_again_are_kept_or_dropped_together(tagged: Bench) -> None:
    tagged.experiment("e0.0.2")
    tagged.score(ALL_RIGHT)
    tagged.commit("other scores")
    tagged.run("rescore", "e0.0.1")
    said = tagged.run("rescore", "e0.0.2").err
    assert "(and not committed yet: e0.0.1, e0.0.2)" in said
    keep, drop = [each.partition(": ")[2] for each in said.splitlines() if each.startswith("  ")]
    assert keep.startswith('git commit -m "rescore e0.0.1, e0.0.2" -- results/benchmark.db')
    tagged.git(*drop.split()[1:])
    assert tagged.git("status", "--porcelain") == ""

    # Nothing but the day and the run of the scores is other the second time.
    tagged.run("rescore", "e0.0.1")
    tagged.commit("rescored")
    again = tagged.run("rescore", "e0.0.1").err
    assert "every score of e0.0.1 is what it was" in again
    assert "other scores" not in again


def index_line(bench: Bench) -> str:
    """The one line of the one experiment in results/README.md."""
    text = (bench.root / "results/README.md").read_text(encoding="utf-8")
    [line] = [each for each in text.splitlines() if each.startswith("| [e")]
    return line


def test_scored_again_under_dvc_the_documented_checkout_works_after_what_is_said(
    tagged_by_dvc: Bench,
) -> None:
    said = tagged_by_dvc.run("rescore", "e0.0.1").err
    keep, drop = [line.partition(": ")[2] for line in said.splitlines() if line.startswith("  ")]
    assert keep.startswith(f"{DVC} add results/benchmark.db && git commit")
    dvc, _, git = drop.partition(" && ")
    assert dvc == f"{DVC} checkout --force results/benchmark.db.dvc"
    tagged_by_dvc.run_dvc(*dvc.split()[1:])
    tagged_by_dvc.git(*git.split()[1:])
    assert tagged_by_dvc.run_dvc("checkout") == ""
    assert "ok results" in tagged_by_dvc.run("ready", expect=1).said


def test_a_results_folder_that_was_deleted_does_not_begin_anew(tagged_by_dvc: Bench) -> None:
    bench = tagged_by_dvc
    shutil.rmtree(bench.root / "results")
    shutil.rmtree(bench.root / ".cache")
    lost = "results/benchmark.db.dvc, which the last commit has, is not here"
    blocked(bench, lost, "git checkout HEAD -- results/")
    bench.git("checkout", "HEAD", "--", "results/")
    blocked(bench, "DVC records results/benchmark.db, and it is not here",
            f"fix: {DVC} checkout results/benchmark.db.dvc")  # fmt: skip
    bench.run_dvc("checkout")
    assert "ok results" in bench.run("ready", expect=1).said


def test_data_that_dvc_keeps_and_is_not_here(tagged_by_dvc: Bench) -> None:
    bench = tagged_by_dvc
    bench.dataset(
        """
        text = (Path(__file__).parents[2] / "data/big.txt").read_text()
        return [{"id": "a", "x": 1, "label": True, "text": text}]
        """
    )
    bench.file("data/big.txt.dvc", f"outs:\n- md5: {'0' * 32}\n  path: big.txt\n")
    bench.commit()
    for command in (["dev-run"], ["experiment", "e0.0.2"], ["ready"]):
        refused = bench.run(*command, expect=2)
        assert "DVC keeps data/big.txt, and it is not here" in refused.said
        assert "fix: make pull" in refused.said
        assert "make data" not in refused.said


def test_the_backup_of_a_rename_is_taken_up_by_nobody(tagged: Bench) -> None:
    before = tagged.db.read_bytes()
    tagged.run("schema", "rename", "model", "name")
    tagged.git("add", "-A")
    assert tagged.git("status", "--porcelain") == "M  results/benchmark.db"
    [backup] = tagged.root.glob("results/aside/benchmark.db.before-rename*")
    assert backup.read_bytes() == before


# -- what would only fail when everything is computed


def test_a_results_folder_that_is_a_link_is_said_before_the_run(
    bench: Bench, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "big-disk"
    (bench.root / "results").rename(elsewhere)
    (bench.root / "results").symlink_to(elsewhere)
    bench.commit()
    blocked(bench, "results is a symbolic link", f"rm results && mv {elsewhere} results")


def test_a_database_that_is_a_link_is_said_before_the_run(tagged: Bench, tmp_path: Path) -> None:
    tagged.db.rename(tmp_path / "elsewhere.db")
    tagged.db.symlink_to(tmp_path / "elsewhere.db")
    blocked(tagged, "results/benchmark.db is a symbolic link")


def test_results_that_git_is_to_ignore_are_said_before_the_run(bench: Bench) -> None:
    ignore = (bench.root / ".gitignore").read_text()
    bench.file(".gitignore", f"{ignore}\n*.json\n*.db\n")
    bench.commit()
    blocked(bench, ".gitignore keeps results/benchmark.db results/e0.0.9.json")


def test_a_merge_that_is_not_finished_is_said_before_the_run(bench: Bench) -> None:
    for name in ("feat/one", "feat/two"):
        bench.git("switch", "-q", "-c", name, "feat/try")
        bench.file("notes.txt", name)
        bench.commit()
    who = ("-c", "user.name=a", "-c", "user.email=b")
    bench.git(*who, "merge", "-q", "--no-commit", "-s", "ours", "feat/one")
    blocked(bench, "a merge is not finished")


def test_dvc_that_is_not_set_up_is_said_before_the_run(bench: Bench) -> None:
    bench.settings(store={"dvc": True})
    bench.commit()
    blocked(bench, "DVC is to keep the results, and is not set up here", "dvc init")
