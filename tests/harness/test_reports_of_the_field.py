"""What went wrong for people with DVC and git, as they reported it, done here once more."""

from pathlib import Path

import pytest

from tests.harness.project_fixture import Bench
from tests.harness.test_versions_remotes import bare, clone, commit

pytestmark = pytest.mark.slow


def test_tags_pushed_by_git_alone_say_what_is_missing_until_make_push(
    tagged_by_dvc: Bench, tmp_path: Path
) -> None:
    """treeverse/dvc 9006: git was pushed, dvc push failed, and the clone could read nothing."""
    bench, url = tagged_by_dvc, bare(tmp_path)
    recorded = bench.db.read_bytes()
    bench.git("remote", "add", "origin", str(url))
    bench.run("remote", "../store")
    commit(bench)
    bench.git("push", "-q", "origin", "HEAD", "e0.0.1")

    other = clone(bench, url, tmp_path / "clone")
    for command in (("pull",), ("checkout", "e0.0.1")):
        refused = other.run(*command, expect=1)
        assert "results/benchmark.db" in refused.err
        assert "make push, where it was made" in refused.err
    bench.run("push")
    other.run("pull")
    assert other.db.read_bytes() == recorded


def test_an_experiment_whose_data_has_nowhere_to_go_is_not_pushed_by_git_alone(
    tagged_by_dvc: Bench, tmp_path: Path
) -> None:
    """treeverse/dvc 9006 once more: the tag was there, and nobody could read what it stands for."""
    bench, url = tagged_by_dvc, bare(tmp_path)
    bench.git("remote", "add", "origin", str(url))
    bench.params('[Params("mid", 0.5)]')
    done = bench.experiment("e0.0.2")
    assert "e0.0.2 is not pushed: DVC keeps its results here and has no remote" in done.err
    assert "make remote URL=…, then make push" in done.err
    assert bench.git("ls-remote", "origin") == ""

    bench.run("remote", "../store")
    commit(bench)
    assert "2 tags (e0.0.1, e0.0.2) pushed" in bench.run("push").said


def test_a_tag_whose_data_were_collected_as_garbage_is_not_pushed(
    tagged_by_dvc: Bench, tmp_path: Path
) -> None:
    """treeverse/dvc 820, 1150: `dvc gc` of the workspace deletes what only tags name."""
    bench, url = tagged_by_dvc, bare(tmp_path)
    recorded = bench.db.read_bytes()
    place = next(path for path in (bench.root / ".dvc/cache").rglob("*")
                 if path.is_file() and path.read_bytes() == recorded)  # fmt: skip
    bench.params('[Params("mid", 0.5)]')
    bench.experiment("e0.0.2")
    bench.run_dvc("gc", "--workspace", "--force")
    bench.git("remote", "add", "origin", str(url))
    bench.run("remote", "../store")
    commit(bench)

    refused = bench.run("push", expect=1)
    assert "e0.0.1 is not pushed, as nobody could read it" in refused.err
    assert "has results/benchmark.db" in refused.err
    assert "1 tag (e0.0.2) pushed" in refused.said
    assert "e0.0.1" not in bench.git("ls-remote", "--tags", "origin")

    place.parent.mkdir(exist_ok=True)
    place.write_bytes(recorded)
    assert "1 tag (e0.0.1) pushed" in bench.run("push").said
