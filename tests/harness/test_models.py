"""Models are kept as candidates; one is promoted on evidence, and what was done stays known."""

import hashlib
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.harness.project_fixture import PROJECT, Bench
from tests.harness.test_merge import WATCHED, killed, steps_of
from tests.harness.test_merge_driver import WHO, ready_to_merge
from tests.harness.test_versions_remotes import bare, clone

# `good` is right on all items, `bad` on none, `fair` on all but one.
RULE = """
right = {"good": True, "bad": False, "fair": item["id"] != "i0", "also": item["id"] != "i1"}
return {"prediction": right[params.model], "ground_truth": True}
"""
BIG = b"x" * 150_000


@pytest.fixture(scope="module")
def _kept(make_module_bench: Callable[..., Bench]) -> Bench:
    return four_configurations(make_module_bench())


def four_configurations(bench: Bench) -> Bench:
    """e0.1.0, and a small file of a model for each of its configurations."""
    bench.items(40)
    bench.predict(RULE)
    bench.params('[Params("good"), Params("bad"), Params("fair"), Params("also")]')
    bench.experiment("e0.1.0")
    for name in ("good", "bad", "fair", "also"):
        bench.file(f"{name}.bin", name.encode())
    bench.commit()
    return bench


@pytest.fixture
def bench(_kept: Bench, tmp_path: Path) -> Bench:
    return _kept.copy(tmp_path / "bench")


def kept(bench: Bench, *names: str) -> dict[str, str]:
    """Candidates made of these files; their ids by name."""
    found = {}
    for name in names:
        said = bench.run("model", "add", f"e0.1.0:model={name}", f"--file={name}.bin").out
        found[name] = said.split()[0]
    return found


def stages(bench: Bench) -> dict[str, str]:
    listed = json.loads(bench.run("model", "list", "--json", "--all").out)
    return {each["of"].partition("=")[2]: each["stage"] for each in listed}


def test_a_model_is_promoted_by_its_verdict_and_not_by_a_number(bench: Bench) -> None:
    ids = kept(bench, "bad", "fair", "also", "good")
    assert set(stages(bench).values()) == {"candidate"}
    assert "it is the first" in bench.run("model", "promote", ids["bad"]).out
    said = bench.run("model", "promote", ids["fair"], "--metric=correct").out
    assert "correct: better, 0.975" in said
    assert "over the one in production (e0.1.0:model=bad)" in said
    assert stages(bench)["bad"] == "candidate"

    refused = bench.run("model", "promote", ids["good"], expect=1)
    assert "e0.1.0:model=good is not shown to be better (correct: undecided" in refused.said
    assert stages(bench)["fair"] == "production"
    forced = bench.run("model", "promote", ids["good"], "--force")
    assert "forced, though no difference is shown" in forced.said
    assert stages(bench) == {
        "bad": "candidate", "fair": "candidate", "also": "candidate", "good": "production"
    }  # fmt: skip

    told = json.loads(bench.run("model", "info", "production", "--json").out)
    assert [event["what"] for event in told["events"]] == ["add", "promote"]
    evidence = json.loads(told["events"][-1]["evidence"])
    assert evidence["forced"] is True
    assert evidence["against"] == ids["fair"]
    assert evidence["verdict"]["difference"]["estimate"] == pytest.approx(0.025)
    assert told["events"][-1]["commit_hash"] == bench.git("rev-parse", "HEAD")

    bench.run("model", "demote", "--note=too slow")
    assert "production" not in stages(bench).values()
    assert (
        "no model is called 'production'" in bench.run("model", "info", "production", expect=2).said
    )


def test_the_best_are_kept_and_what_is_pruned_can_still_be_had(bench: Bench) -> None:
    bench.file("good.bin", BIG)
    bench.file("bad.bin", BIG + b"y")
    ids = kept(bench, "bad", "fair", "good")
    bench.run("model", "promote", ids["good"])
    bench.commit()
    assert (bench.root / f"models/{ids['bad']}/bad.bin").exists()
    said = bench.run("model", "prune", "1", "--metric=correct").out
    assert f"{ids['bad']} is pruned" in said
    assert stages(bench) == {"bad": "pruned", "fair": "candidate", "good": "production"}
    assert not (bench.root / f"models/{ids['bad']}").exists()
    bench.commit("pruned")
    for name, content in (("bad", BIG + b"y"), ("fair", b"fair"), ("good", BIG)):
        bench.run("model", "get", ids[name], f"--out={name}.copy")
        assert (bench.root / f"{name}.copy").read_bytes() == content
    refused = bench.run("model", "get", ids["bad"], "--out=bad.copy", expect=2)
    assert "bad.copy is there already" in refused.said


def test_what_cannot_be_kept_is_a_sentence(bench: Bench) -> None:
    def refused(*command: str, words: str, code: int = 2) -> None:
        assert words in bench.run("model", *command, expect=code).said

    refused("add", "e0.1.0", "--file=good.bin", words="e0.1.0 names 4 configurations")
    refused("add", "e0.1.0:model=none", words="names no configurations")
    refused("add", "e0.9.0:model=good", words="there is no experiment 'e0.9.0'")
    refused("add", "e0.1.0:model=good", "--file=no.bin", words="there is no file no.bin")
    refused("add", "e0.1.0:model=good", words="keeps no fitted model")
    kept(bench, "good")
    refused("add", "e0.1.0:model=good", "--file=good.bin", words="good.bin is kept already")
    refused("prune", "0", "--metric=no", words="has no 'no' (there: correct")
    assert bench.git("status", "--porcelain", "--", "models") == ""
    bench.commit("a candidate")
    bench.git("checkout", "-q", "--detach")
    refused("demote", words="no model is called 'production'")
    refused("promote", "e0.1.0:model=good", words="no branch is checked out")
    bench.git("switch", "-q", "feat/try")
    bench.file("bad.bin", BIG)
    kept(bench, "bad")
    words = "git has no commit of models/"
    refused("prune", "0", "--metric=correct", words=words, code=1)


def test_a_write_that_was_cut_off_in_the_middle_is_rolled_back(bench: Bench) -> None:
    """What a kill within SQLite's own commit leaves: half the pages, and a journal of the rest."""
    kept(bench, "bad", "good")
    before = stages(bench)
    bench.python(HALF_WRITTEN)
    assert (bench.root / "results/models.db-journal").stat().st_size > 0
    assert stages(bench) == before
    ids = json.loads(bench.run("model", "list", "--json").out)
    bench.run("model", "promote", ids[0]["id"])
    assert stages(bench) == {"bad": "production", "good": "candidate"}


HALF_WRITTEN = """
import os, sqlite3
if not (child := os.fork()):
    con = sqlite3.connect("results/models.db", isolation_level=None)
    con.execute("PRAGMA cache_size = 1")
    con.execute("BEGIN")
    con.execute("UPDATE model_events SET what = 'prune'")
    insert = "INSERT INTO model_events (event, note) VALUES (?, ?)"
    con.executemany(insert, [(str(number), "x" * 5000) for number in range(200)])
    os.kill(os.getpid(), 9)
os.waitpid(child, 0)
"""


def test_two_promotions_at_one_instant_are_one_and_a_sentence(bench: Bench, tmp_path: Path) -> None:
    """Each sees no model in production; the second to write would say so of one that there is."""
    ids = kept(bench, "bad", "fair")
    arguments = [sys.executable, "-c", AT_THE_LOCK, str(tmp_path), "model", "promote", ids["bad"]]
    late = subprocess.Popen(
        arguments, cwd=bench.root, env=bench.environment(), stderr=subprocess.PIPE, text=True
    )
    while not (tmp_path / "waiting").exists():
        assert late.poll() is None
        time.sleep(0.05)
    bench.run("model", "promote", ids["fair"])
    (tmp_path / "go").touch()
    _, said = late.communicate(timeout=120)
    assert late.returncode == 1, said
    assert f"the models are others than when this began (promote {ids['fair']}" in said
    assert "make models" in said
    assert stages(bench) == {"bad": "candidate", "fair": "production"}


AT_THE_LOCK = """
import sys, time
from pathlib import Path
folder = Path(sys.argv[1])
def wait(event, arguments):
    if event == "open" and str(arguments[0]).endswith(".harness.record.lock"):
        (folder / "waiting").touch()
        while not (folder / "go").exists():
            time.sleep(0.05)
sys.addaudithook(wait)
sys.argv = ["harness", *sys.argv[2:]]
from harness.cli import main
main()
"""


def test_a_fitted_model_is_taken_from_the_experiments_assets(bench: Bench) -> None:
    bench.predict(
        "return {'prediction': resource['model'] == 'good', 'ground_truth': True}",
        head="def fit(params, fold):\n    return {'model': params.model}\n",
        resource=True,
    )
    bench.experiment("e0.2.0")
    bench.run("model", "add", "e0.2.0:model=fair", "--note=first try")
    bench.run("model", "get", "e0.2.0:model=fair", "--out=fair.pkl")
    loaded = bench.python("import pickle; print(pickle.load(open('fair.pkl', 'rb')))")
    assert loaded.decode().strip() == "{'model': 'fair'}"
    assert "first try" in bench.run("model", "info", "e0.2.0:model=fair").out


@pytest.mark.slow
def test_what_two_people_did_with_models_merges_as_it_is(bench: Bench) -> None:
    ready_to_merge(bench)
    ids = kept(bench, "bad", "fair")
    bench.commit()
    bench.git("switch", "-q", "-c", "exp/two")
    bench.run("model", "promote", ids["bad"])
    bench.commit()
    bench.git("switch", "-q", "feat/try")
    ids |= kept(bench, "good")
    bench.commit()
    bench.git(*WHO, "merge", "-q", "exp/two")
    assert stages(bench) == {"bad": "production", "fair": "candidate", "good": "candidate"}
    assert "promoted too" not in bench.run("model", "list").said
    bench.run("model", "promote", ids["good"])
    # And by hand, whoever has the branch.
    bench.commit()
    bench.git("switch", "-q", "exp/two")
    bench.run("merge", "feat/try")
    assert stages(bench)["good"] == "production"
    with closing(sqlite3.connect(bench.root / "results/models.db")) as con:
        assert con.execute("SELECT count(*) FROM model_events").fetchone() == (5,)


@pytest.mark.slow
def test_two_promotions_on_two_branches_are_both_kept_and_the_later_one_counts(
    bench: Bench,
) -> None:
    ready_to_merge(bench)
    ids = kept(bench, "bad", "fair")
    bench.commit()
    bench.git("switch", "-q", "-c", "exp/two")
    bench.run("model", "promote", ids["bad"])
    bench.commit()
    bench.git("switch", "-q", "feat/try")
    bench.run("model", "promote", ids["fair"])
    bench.commit()
    bench.git(*WHO, "merge", "-q", "exp/two")
    assert stages(bench) == {"bad": "candidate", "fair": "production"}
    listed = bench.run("model", "list").said
    assert f"{ids['bad']} was promoted too, on another branch" in listed
    assert f"make promote NAME={ids['bad']}" in listed
    refused = bench.run("model", "promote", ids["bad"], "--metric=correct", expect=1)
    assert "is not shown to be better (correct: worse" in refused.said
    bench.commit()
    bench.git("switch", "-q", "exp/two")
    bench.git(*WHO, "merge", "-q", "feat/try")
    assert stages(bench) == {"bad": "candidate", "fair": "production"}
    bench.run("model", "demote")
    assert "promoted too" not in bench.run("model", "list").said


@pytest.mark.slow
def test_large_models_travel_by_dvc_also_one_that_was_pruned_before_the_push(
    kept_by: Callable[[bool], Bench], tmp_path: Path
) -> None:
    bench = kept_by(True).copy(tmp_path / "bench")
    ids = {each["of"]: each["id"] for each in json.loads(bench.run("model", "list", "--json").out)}
    ids = {of.partition("=")[2]: each for of, each in ids.items()}
    assert bench.git("ls-files", f"models/{ids['good']}/good.bin.dvc")
    assert not bench.git("ls-files", f"models/{ids['good']}/good.bin"), "git has no large file"
    bench.run("model", "promote", ids["good"])
    bench.run("model", "prune", "1", "--metric=correct")
    bench.git("remote", "add", "origin", str(bare(tmp_path)))
    bench.run("remote", "../store")
    bench.commit("models")
    assert "5 versions of files" in bench.run("push").said, "database, index, and three models"

    other = clone(bench, tmp_path / "origin.git", tmp_path / "clone")
    refused = other.run("model", "list", expect=2)
    assert "DVC keeps results/models.db, and it is not here" in refused.err
    other.run("pull")
    assert stages(other) == {"bad": "pruned", "fair": "candidate", "good": "production"}
    assert not (other.root / f"models/{ids['bad']}").exists()
    for named, name in (("production", "good"), (ids["fair"][:8], "fair"), (ids["bad"], "bad")):
        other.run("model", "get", named, "--out", f"../{name}.copy")
        assert (tmp_path / f"{name}.copy").read_bytes() == BIG + name.encode()
    assert other.git("status", "--porcelain") == ""
    (tmp_path / "store").rename(tmp_path / "unmounted")
    (other.root / ".dvc/cache").rename(tmp_path / "cache")
    lost = other.run("model", "get", ids["bad"], "--out", "../lost.copy", expect=1)
    assert f"the remote {tmp_path / 'store'} is not there" in lost.err
    assert not (tmp_path / "lost.copy").exists()


# -- a kill

STEPS: Any = {
    "watched": (*WATCHED, "shutil.rmtree", "os.rmdir", "subprocess.Popen"),
    "imported": "harness.version.models,harness.tell.promotion,harness.cli.models,xetrack.assets",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("with_dvc", "command"),
    [
        (False, ("add", "e0.1.0:model=also", "--file=also.bin")),
        (True, ("promote", "GOOD")),
        (False, ("demote",)),
        (False, ("prune", "0", "--metric=correct")),
        (True, ("prune", "0", "--metric=correct")),
    ],
    ids=["add", "promote", "demote", "prune by git", "prune by DVC"],
)
def test_a_kill_at_any_point_leaves_the_old_state_or_the_new(
    kept_by: Callable[[bool], Bench], tmp_path: Path, with_dvc: bool, command: tuple[str, ...]
) -> None:
    start = kept_by(with_dvc)
    ids = {each["of"]: each["id"] for each in json.loads(start.run("model", "list", "--json").out)}
    command = ("model", *(ids["e0.1.0:model=good"] if word == "GOOD" else word for word in command))
    old = stages(start)
    whole = start.copy(tmp_path / "whole")
    steps = steps_of(whole, *command, **STEPS)
    new, left = stages(whole), files_of_models(whole)
    assert old != new
    seen = set()
    for step in [*range(1, steps - 3, 3), *range(steps - 3, steps + 1)]:
        bench = start.copy(tmp_path / f"bench{step}")
        assert killed(bench, step, *command, **STEPS)
        now = stages(bench)
        assert now in (old, new), step
        seen.add(now == new)
        bench.run("model", "get", ids["e0.1.0:model=bad"], "--out=copy")
        assert (bench.root / "copy").read_bytes() == BIG + b"bad", step
        if now == old or command[1] == "prune":
            bench.run(*command)
        elif with_dvc:
            said = "is ahead of what DVC has" in bench.run("model", "list").err
            assert said != known_to_dvc(bench), step
        assert stages(bench) == new
        assert files_of_models(bench) == left, step
    assert seen == {True, False}


def known_to_dvc(bench: Bench) -> bool:
    """Whether DVC's record is of the events as they are: it may have been given them before."""
    database = bench.root / "results/models.db"
    now = hashlib.md5(database.read_bytes()).hexdigest()
    return now in database.with_name("models.db.dvc").read_text()


def files_of_models(bench: Bench) -> set[str]:
    """What lies in models/, but for what only DVC writes there."""
    found = (bench.root / "models").rglob("*.bin")
    return {path.relative_to(bench.root).as_posix() for path in found}


@pytest.fixture(scope="module")
def kept_by(make_module_bench: Callable[..., Bench]) -> Callable[[bool], Bench]:
    """Three candidates over 100 kB, the worst of them in production, by git or by DVC."""
    made: dict[bool, Bench] = {}

    def make(with_dvc: bool) -> Bench:
        if with_dvc not in made:
            bench = four_configurations(make_module_bench(dvc=with_dvc))
            for name in ("bad", "fair", "good"):
                bench.file(f"{name}.bin", BIG + name.encode())
            ids = kept(bench, "bad", "fair", "good")
            bench.run("model", "promote", ids["bad"])
            bench.commit("models")
            made[with_dvc] = bench
        return made[with_dvc]

    return make


def test_the_script_is_the_same(bench: Bench) -> None:
    path = PROJECT / "scripts/model_manager.py"
    done = subprocess.run(
        [sys.executable, str(path), "list"],
        cwd=bench.root, env=bench.environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0
    assert "no model is kept yet" in done.stderr
