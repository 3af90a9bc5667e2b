"""What is published is known without its tag: it is not deleted, mixed into or rewritten."""

import subprocess
from pathlib import Path

import pytest

from tests.harness.project_fixture import OPENED, RULE, Bench, once_each


def shared(bench: Bench, tmp_path: Path) -> Path:
    """A remote called origin, with the branch and the tags in it."""
    remote = tmp_path / "remote.git"
    subprocess.run(["git", "init", "-q", "--bare", str(remote)], check=True)
    bench.git("remote", "add", "origin", str(remote))
    bench.commit()
    bench.git("push", "-q", "--tags", "origin", "HEAD")
    bench.git("fetch", "-q", "origin")
    return remote


def clone(bench: Bench, path: Path, *options: str) -> Bench:
    """A clone of the bench's remote, on its branch."""
    url, branch = bench.git("remote", "get-url", "origin"), bench.git("branch", "--show-current")
    bench.git("clone", "-q", *options, "--branch", branch, f"file://{url}", str(path))
    return bench.at(path)


def state(bench: Bench) -> tuple[str, bytes, str]:
    """All that a command could harm: branches and tags, the database, the tree."""
    refs = bench.git("for-each-ref", check=False)
    return refs, bench.db.read_bytes(), bench.git("status", "--porcelain")


# -- a clone without tags, as actions/checkout makes it


def test_a_clone_without_tags_leaves_alone_what_is_published(tagged: Bench, tmp_path: Path) -> None:
    shared(tagged, tmp_path)
    bench = clone(tagged, tmp_path / "clone", "--no-tags", "--depth=1")
    before = state(bench)
    listed = bench.run("tags")
    assert "no experiment yet" not in listed.said
    assert "its tag is not here (origin has the tag" in listed.said

    for away in (False, True):
        if away:  # and so it stays where the remote cannot be asked
            bench.git("remote", "set-url", "origin", str(tmp_path / "nowhere.git"))
        refused = bench.run("discard", "e0.0.1", expect=2)
        assert "what was published is not deleted" in refused.said
        assert "git fetch --tags" in refused.said
        assert ("origin cannot be asked for its tags" in refused.err) == away
        refused = bench.run("experiment", "e0.0.1", "--allow", f"{OPENED},tag", expect=2)
        assert "gate tag: e0.0.1 is published already" in refused.said
        assert "git fetch --tags; the next one: make experiment TAG=e0.0.2" in refused.said
    assert state(bench) == before
    assert not bench.executed()

    bench.git("remote", "remove", "origin")
    assert "results/e0.0.1.json is in feat/try" in bench.run("tags").said
    assert "# Results of e0.0.1" in bench.run("summary", expect=None).out
    assert "its tag is not here; git fetch --tags" in bench.run("validate").said


def test_what_is_published_on_another_branch_is_known(tagged: Bench) -> None:
    tagged.git("switch", "-q", "-c", "feat/other", "HEAD~1")
    tagged.git("tag", "-d", "e0.0.1")
    assert not tagged.db.exists()
    refused = tagged.run("experiment", "e0.0.1", "--allow", OPENED, expect=2)
    assert "results/e0.0.1.json is in feat/try" in refused.said


def test_a_database_knows_by_itself_what_is_published(tagged: Bench) -> None:
    """As where results are copied, and git's history is not."""
    (tagged.root / "results/e0.0.1.json").unlink()
    (tagged.root / ".git").rename(tagged.root.with_name("git-of-somebody"))
    tagged.git("init", "-q", "-b", "feat/new")
    tagged.commit()
    refused = tagged.run("discard", "e0.0.1", expect=2)
    assert "the table runs in results/benchmark.db says so" in refused.said
    assert len(tagged.rows()) == 8


# -- tags that somebody else has


def test_a_tag_that_is_taken_elsewhere_is_seen_before_the_run(bench: Bench, tmp_path: Path) -> None:
    shared(bench, tmp_path)
    bench.git("push", "-q", "origin", "HEAD:refs/tags/e0.0.1")
    refused = bench.run("experiment", "e0.0.1", "--allow", OPENED, expect=2)
    assert "gate tag: e0.0.1 is published already (origin has the tag)" in refused.said
    assert "TAG=e0.0.2" in refused.said
    assert "e0.0.0 is older than e0.0.1" in bench.experiment("e0.0.0", expect=2).said
    assert not bench.executed()
    assert "its tag is not here (origin has the tag)" in bench.run("tags").said


# The remote gets this tag of somebody else's while the run goes on.
TAKES = """
if item["id"] == "i3":
    subprocess.run(["git", "-C", "{remote}", "tag", "e0.0.1", "{commit}"], check=False)
return {{"prediction": item["x"] > 0.5, "ground_truth": True, "raw_response": "x"}}
"""


def test_a_tag_that_is_taken_meanwhile_is_given_up_for_the_next(
    bench: Bench, tmp_path: Path
) -> None:
    remote = shared(bench, tmp_path)
    start = bench.git("rev-parse", "HEAD")
    bench.predict(TAKES.format(remote=remote, commit=start), head="import subprocess")
    refused = bench.experiment("e0.0.1", expect=1)
    assert "e0.0.1 is tagged here and not pushed: origin has another e0.0.1 already" in refused.said
    assert "make retag TAG=e0.0.1 TO=e0.0.2" in refused.said
    assert bench.git("ls-remote", "origin", "refs/heads/feat/try").startswith(start)

    said = bench.run("retag", "e0.0.1", "e0.0.2")
    assert "8 rows of e0.0.1 are e0.0.2 now" in said.out
    bench.git("fetch", "-q", "--tags")
    assert bench.git("rev-parse", "e0.0.1") == start
    bench.run("experiment", "e0.0.2", "--allow", OPENED)
    assert bench.executed() == once_each(["low", "high"], 4), "nothing is run again"
    rows = bench.rows("e0.0.2")
    assert len(rows) == 8
    assert not any(row["cache"] for row in rows)
    assert bench.rows("e0.0.1") == []
    assert bench.git("ls-files", "results").split() == [
        "results/README.md",
        "results/benchmark.db",
        "results/e0.0.2.json",
        "results/e0.0.2.md",
    ]
    assert bench.git("ls-remote", "origin", "refs/tags/e0.0.2")
    assert bench.git("status", "--porcelain") == ""
    bench.run("validate")


@pytest.mark.parametrize(
    "layout",
    [
        "append-only",
        pytest.param("table-per-experiment", marks=pytest.mark.slow),
        pytest.param("database-per-experiment", marks=pytest.mark.slow),
    ],
)
def test_two_worktrees_with_one_tag(bench: Bench, tmp_path: Path, layout: str) -> None:
    """They share the tags, so the second has none; its rows are not the tag's, and it says so."""
    bench.settings(store={"layout": layout})
    bench.commit()
    bench.git("worktree", "add", "-q", "-b", "feat/second", str(tmp_path / "second"))
    second = bench.at(tmp_path / "second")
    tag = f"git -C {bench.root} tag e0.0.1 feat/try"
    second.predict(f'subprocess.run("{tag}", shell=True)\n{RULE}', head="import subprocess")
    refused = second.experiment("e0.0.1", expect=1)
    assert "e0.0.1 was taken while this experiment ran" in refused.said
    assert second.git("log", "-1", "--format=%s") == "a change", "nothing is committed"
    said = second.run("validate", expect=1).said
    assert "not_of_its_tag: e0.0.1: 1 run here is not of the tag e0.0.1" in said
    blocked = second.run("experiment", "e0.0.2", "--allow", OPENED, expect=1)
    assert "gate results: e0.0.1: 1 run here is not of the tag e0.0.1" in blocked.said

    if layout == "database-per-experiment":  # as it is where it was stopped half-way
        (second.root / "results/e0.0.1.db").rename(second.root / "results/e0.0.2.db")
    second.run("retag", "e0.0.1", "e0.0.2")
    second.forget()
    second.run("experiment", "e0.0.2", "--allow", OPENED)
    assert not second.executed()
    second.run("validate")
    assert second.git("status", "--porcelain") == ""


def test_rows_of_another_run_at_the_same_commit_are_not_the_tags(tagged: Bench) -> None:
    words = "model=low | correct=1\n\nruns: somebody-elses-run-1"
    who = ("-c", "user.name=a", "-c", "user.email=b")
    tagged.git(*who, "tag", "-f", "-a", "e0.0.1", "-m", words, "e0.0.1^{commit}")
    said = tagged.run("validate", expect=1).said
    assert "not_of_its_tag: e0.0.1: 1 run here is not of the tag e0.0.1" in said
    assert tagged.rows(table="predictions")[0]["track_id"] in said


def test_what_is_published_keeps_its_tag(tagged: Bench, tmp_path: Path) -> None:
    shared(tagged, tmp_path)
    before = state(tagged)
    for old, new, words in (
        ("e0.0.1", "e0.0.2", "the rows here are those of the published e0.0.1"),
        ("e0.0.7", "e0.0.8", "no rows of e0.0.7"),
        ("e0.0.1", "e0.0.1", "e0.0.1 is taken"),
        ("e0.0.1", "../x", "no experiment tag"),
    ):
        assert words in tagged.run("retag", old, new, expect=2).said
    assert state(tagged) == before


@pytest.mark.slow
def test_a_branch_that_somebody_has_pushed_to_does_not_hold_back_the_tag(
    bench: Bench, tmp_path: Path
) -> None:
    shared(bench, tmp_path)
    colleague = clone(bench, tmp_path / "colleague")
    colleague.file("hers.txt", "x")
    colleague.commit()
    colleague.git("push", "-q", "origin", "HEAD")
    done = bench.experiment("e0.0.1", expect=1)
    assert "e0.0.1 is pushed to origin, its branch is not" in done.said
    assert "git pull --no-rebase origin feat/try" in done.said
    assert bench.git("ls-remote", "origin", "refs/tags/e0.0.1")
    who = ("-c", "user.name=a", "-c", "user.email=b", "-c", "core.editor=true")
    bench.git(*who, "pull", "-q", "--no-rebase", "origin", "feat/try")
    bench.git("push", "-q", "origin", "HEAD")
    bench.run("validate")


@pytest.mark.slow
def test_a_remote_that_refuses_says_why(bench: Bench, tmp_path: Path) -> None:
    remote = shared(bench, tmp_path)
    hook = remote / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho no results on Fridays >&2\nexit 1\n")
    hook.chmod(0o755)
    done = bench.experiment("e0.0.1", expect=1)
    assert "refuses it" in done.said
    assert "git push origin HEAD refs/tags/e0.0.1" in done.said


# -- names


def test_a_name_that_is_no_tag_reaches_no_path(bench: Bench) -> None:
    bench.settings(store={"layout": "database-per-experiment"})
    bench.commit()
    outside = bench.root.with_name("x.db")
    outside.write_bytes(b"")
    for name in ("../../x", "-x"):
        refused = bench.run("experiment", "--allow", f"{OPENED},tag", "--", name, expect=2)
        assert "is no experiment tag (e1.2.3)" in refused.said
        for command in ("discard", "rescore"):
            assert "no experiment tag" in bench.run(command, "--", name, expect=2).said
    assert outside.read_bytes() == b""
    assert [path.name for path in (bench.root / "results").glob("[!.]*")] == ["README.md"]


def test_an_older_tag_can_be_allowed(bench: Bench) -> None:
    bench.git("tag", "e0.1.0")
    assert "older than e0.1.0" in bench.experiment("e0.0.1", expect=2).said
    bench.experiment("e0.0.1", allow=f"{OPENED},tag")
    assert bench.git("tag").split() == ["e0.0.1", "e0.1.0"]


def test_a_branch_that_is_called_like_the_tag_is_said_before_the_run(bench: Bench) -> None:
    bench.git("branch", "e0.0.1")
    refused = bench.experiment("e0.0.1", expect=2)
    assert "a branch is called e0.0.1" in refused.said
    assert "git branch -m e0.0.1" in refused.said


def test_a_clone_that_has_not_pulled_is_sent_to_pull_by_what_reads(
    tagged_by_dvc: Bench, tmp_path: Path
) -> None:
    shared(tagged_by_dvc, tmp_path)
    bench = clone(tagged_by_dvc, tmp_path / "clone")
    for command in (("summary",), ("compare", "e0.0.1"), ("sql", "--query=SELECT 1")):
        refused = bench.run(*command, expect=2).err
        assert "DVC records results/benchmark.db, and it is not here" in refused, command
        assert "fix: make pull" in refused, command
