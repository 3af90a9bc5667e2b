"""May this be merged: the branch is run against its base, in a fresh clone as a runner makes it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.project_fixture import Bench, Done

PLAN = """
[[hypotheses]]
id = "H1"
claim = "high is no worse than low"
kind = "not_worse"
metric = "correct"
this = { model = "high" }
than = { model = "low" }
direction = "higher"
smallest_difference = 0.1
"""
RULE = """
n = item["n"]
right = n % 2 > 0
return {"prediction": right, "ground_truth": True, "raw_response": str(n)}
"""
REFACTORED = RULE.replace("n % 2 > 0", "bool(n % 2)")
BROKEN = RULE.replace("n % 2 > 0", "n % 4 > 2")
# A quarter of the items is lost, and as many are gained.
OTHERWISE = RULE.replace("n % 2 > 0", "(n + n // 60) % 2 > 0")


@pytest.fixture(scope="module")
def shared(
    make_module_bench: Callable[[], Bench], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Bench, Path]:
    """A benchmark with an experiment on main, and the bare repository that it is pushed to."""
    bench = make_module_bench()
    bench.items(120, n="n")
    bench.predict(RULE)
    bench.file("PLAN.toml", PLAN)
    bench.experiment("e0.3.0")
    bench.git("branch", "main")
    remote = tmp_path_factory.mktemp("remote") / "bare.git"
    bench.git("clone", "-q", "--bare", str(bench.root), str(remote))
    return bench, remote


@pytest.fixture
def clone(shared: tuple[Bench, Path], tmp_path: Path) -> Bench:
    """What a runner has: a fresh clone on a branch of its own, without any cache."""
    bench, remote = shared
    bench.git("clone", "-q", str(remote), str(tmp_path / "clone"))
    made = bench.at(tmp_path / "clone")
    made.git("switch", "-q", "-c", "a-change", "origin/main")
    made.forget()
    return made


def changed(clone: Bench, rule: str = "", base: str = "origin/main", expect: int = 0) -> Done:
    """The gate's answer on a commit with this predict, as a runner starts it."""
    if rule:
        clone.predict(rule)
    clone.commit("a change")
    summary = str(clone.root.with_name("summary.md"))
    return clone.run("gate", "--", base, expect=expect, GITHUB_STEP_SUMMARY=summary)


def summary(clone: Bench) -> str:
    return clone.root.with_name("summary.md").read_text(encoding="utf-8")


def test_what_did_not_change_comes_from_the_base_and_is_no_worse(clone: Bench) -> None:
    clone.file("README.md", "other words")
    done = changed(clone)
    assert "0 datapoints were executed, 240 are results from before" in done.said
    assert not clone.executed()
    assert "| no worse | correct |" in summary(clone)
    assert "the same on every item" in summary(clone)
    assert not clone.git("status", "--porcelain"), "the gate leaves the tree as it is"


def test_a_change_is_run_and_no_worse_worse_or_open(clone: Bench) -> None:
    same = changed(clone, REFACTORED)
    assert "240 datapoints were executed, 0 are results from before" in same.said
    worse = changed(clone, BROKEN, expect=1).said
    assert "Gate: worse" in worse
    assert "Items that changed most: correct" in worse
    again = changed(clone, BROKEN, base="e0.3.0", expect=1).said
    assert "0 datapoints were executed" in again, "the first try is in the cache"
    unclear = changed(clone, OTHERWISE, expect=3).said
    assert "Gate: cannot tell" in unclear
    assert "a loss that matters is not ruled out; about" in unclear
    titles = [line for line in summary(clone).splitlines() if line.startswith("## Gate")]
    assert titles == [
        "## Gate: no worse",
        "## Gate: worse",
        "## Gate: worse",
        "## Gate: cannot tell",
    ]


def test_a_branch_cannot_make_its_own_gate_easier(clone: Bench) -> None:
    clone.file("PLAN.toml", PLAN.replace("0.1", "0.9"))
    clone.git("rm", "-q", "--cached", "results/benchmark.db")
    (clone.root / "results/benchmark.db").unlink()
    assert "Gate: worse" in changed(clone, BROKEN, expect=1).said
    clone.score("SCORES = {}\n\n\ndef score(row):\n    return {'correct': True}\n")
    easier = changed(clone, expect=3).said
    assert "src/benchmark/metrics.py is not that of e0.3.0" in easier


def test_wrong_use_and_other_data_get_one_clear_sentence(clone: Bench) -> None:
    for base, says in (
        ("", "nothing says what to compare with"),
        ("e9.9.9", "there is no tag e9.9.9 here"),
        ("no-branch", "'no-branch' is no tag, branch or commit of this clone"),
        (clone.git("rev-list", "--max-parents=0", "HEAD"), "no experiment was tagged up to"),
    ):
        assert says in clone.run("gate", "--", base, expect=2).said
    clone.items(100, n="n")
    other = changed(clone, expect=2).said
    assert "e0.3.0 ran on other data" in other
    assert "take it as BASE" in other
    assert not clone.executed(), "nothing is paid for before that is known"
