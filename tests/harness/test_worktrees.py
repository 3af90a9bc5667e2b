"""Worktrees: checkouts beside the project that share caches and tags, and go only when empty."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.project_fixture import Bench, once_each
from tests.harness.test_merge_driver import WHO
from tests.harness.test_published import shared


def test_a_worktree_shares_what_was_computed_and_has_its_own_results(tagged: Bench) -> None:
    bench = tagged
    said = bench.run("worktree", "deep").said
    place = bench.root.with_name("bench-deep")
    assert f"{place} is on the branch exp/deep" in said
    assert f"cd {place} && make dev-run" in said
    tree = bench.at(place)
    assert tree.git("status", "--porcelain") == ""
    tree.dev_run()
    tree.forget()
    tree.params('[Params("low", 0.25), Params("deep", 0.6)]')
    tree.experiment("e0.0.2")
    assert tree.executed() == once_each(["deep"], 4), "the rest came from the shared cache"
    assert bench.sql("SELECT DISTINCT experiment_version FROM predictions") == [
        {"experiment_version": "e0.0.1"}
    ]
    listed = bench.run("worktrees").out.splitlines()
    assert listed[0] == f"{bench.root}  feat/try  nothing of its own"
    assert listed[1] == f"{place}  exp/deep  unmerged: exp/deep is in no other branch"

    bench.git(*WHO, "merge", "-q", "exp/deep")
    assert "is removed" in bench.run("worktree-remove", "deep").said
    assert not place.exists()
    assert bench.git("branch", "--list", "exp/*") == ""
    bench.forget()
    bench.experiment("e0.0.3")
    assert not bench.executed(), "what the worktree computed is still known"


def test_a_worktree_goes_only_when_nothing_in_it_is_nowhere_else(
    tagged: Bench, tmp_path: Path
) -> None:
    bench = tagged
    shared(bench, tmp_path)
    bench.run("worktree", "wide")
    tree = bench.at(bench.root.with_name("bench-wide"))

    def refused(*words: str) -> None:
        said = bench.run("worktree-remove", "wide", "--force", expect=1).said
        for word in words:
            assert word in said, said
        assert tree.root.exists()

    tree.file("note.txt", "a thought")
    refused("uncommitted: note.txt", "git add -A && git commit")
    tree.commit()
    refused("unpushed: 1 commit", "git push origin HEAD")
    tree.git("push", "-q", "origin", "HEAD")
    tree.predict('raise ValueError("no")')
    tree.experiment("e0.0.2", expect=1)
    refused("uncommitted: results/benchmark.db", "untagged: e0.0.2 is recorded in benchmark.db")
    tree.run("discard", "e0.0.2")
    tree.git("checkout", "-q", "HEAD", "--", "results/benchmark.db")
    tree.git("push", "-q", "origin", "HEAD")
    tree.git("tag", "-a", "-m", "words", "e0.0.7", check=False)
    tree.git(*WHO, "tag", "-a", "-f", "-m", "words", "e0.0.7")
    refused("unpushed: tags e0.0.7", "git push origin e0.0.7")
    tree.git("push", "-q", "origin", "e0.0.7")
    plain = bench.run("worktree-remove", "wide", expect=1).said
    assert "unmerged: exp/wide is in no other branch" in plain
    assert "its branch exp/wide stays" in bench.run("worktree-remove", "wide", "--force").said
    assert bench.git("branch", "--list", "exp/wide").endswith("exp/wide")


def test_a_worktree_that_cannot_be_made_is_a_sentence_and_leaves_nothing(tagged: Bench) -> None:
    bench = tagged
    refs = bench.git("for-each-ref")

    def refused(name: str, *words: str) -> None:
        said = bench.run("worktree", *([name] if name else []), expect=2).said
        for word in words:
            assert word in said, said
        assert bench.git("for-each-ref") == refs
        assert len(bench.git("worktree", "list").splitlines()) == 1

    refused("", "the worktree needs a name")
    refused("../up", "'../up' is no name for a worktree")
    bench.root.with_name("bench-deep").mkdir()
    refused("deep", "bench-deep is there already")
    assert "there is no worktree 'deep'" in bench.run("worktree-remove", "deep", expect=2).said
    # A detached HEAD is fine to begin from: it is a past experiment, say.
    bench.git("checkout", "-q", "e0.0.1")
    bench.run("worktree", "from-tag")
    assert bench.git("rev-parse", "exp/from-tag") == bench.git("rev-parse", "e0.0.1^{commit}")


@pytest.mark.slow
def test_a_worktree_shares_the_cache_of_dvc(
    make_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    bench = make_bench(dvc=True)
    bench.run_dvc("remote", "add", "-q", "-d", "--local", "store", str(tmp_path / "store"))
    bench.file("data/more.csv", "id,x\n1,2\n")
    bench.run("data")
    bench.commit()
    bench.experiment("e0.0.1")
    bench.run("worktree", "deep")
    tree = bench.at(bench.root.with_name("bench-deep"))
    assert tree.db.read_bytes() == bench.db.read_bytes()
    assert (tree.root / "data/more.csv").exists()
    assert not (tree.root / ".dvc/cache").exists()
    assert "store" in tree.run_dvc("remote", "list")
    tree.params('[Params("deep", 0.6)]')
    tree.experiment("e0.0.2")
    bench.git(*WHO, "merge", "-q", "exp/deep")
    bench.run_dvc("checkout", "-q")
    assert len(bench.rows("e0.0.2")) == 4
    bench.run("worktree-remove", "deep")
