"""What git and DVC cannot say is said, in their words; it is never taken for a "no"."""

from collections.abc import Callable

from tests.harness.project_fixture import OPENED, Bench, once_each

DUBIOUS = {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}


def refuses(bench: Bench, *words: str, commands: list[list[str]], **environment: str) -> None:
    """Each of these commands ends with these words, deletes nothing and knows no `git init`."""
    rows = len(bench.rows())
    for command in commands:
        done = bench.run(*command, expect=None, before=None, **environment)
        assert done.code in (1, 2), (command, done.said)
        for word in (*words, "fix:"):
            assert word in done.said, (command, done.said)
        for word in ("git init", "no experiment yet", "Traceback", "deleted"):
            assert word not in done.said, (command, done.said)
    assert len(bench.rows()) == rows


DISCARD, TAGS, SUMMARY = ["discard", "e0.0.2"], ["tags"], ["summary"]
DEV_RUN, BRANCH = ["dev-run"], ["branch-check"]
EXPERIMENT = ["experiment", "e0.0.2", "--allow", f"{OPENED},branch,clean,tag"]


def test_a_repository_that_git_will_not_or_cannot_read(tagged: Bench) -> None:
    refuses(
        tagged,
        "detected dubious ownership",
        f"fix: git config --global --add safe.directory {tagged.root}",
        commands=[DISCARD, TAGS, SUMMARY, DEV_RUN, EXPERIMENT],
        **DUBIOUS,
    )
    (tagged.root / ".git/HEAD").rename(tagged.root / ".git/HEAD.gone")
    refuses(tagged, f"git cannot read {tagged.root}/.git", commands=[DISCARD, BRANCH])
    (tagged.root / ".git/HEAD.gone").rename(tagged.root / ".git/HEAD")
    branch = tagged.root / ".git/refs/heads/feat/try"
    commit = branch.read_text()
    for broken in ("0123456789" * 4, "nonsense"):
        branch.write_text(f"{broken}\n")
        refuses(tagged, "git ", commands=[EXPERIMENT])
    branch.write_text(commit)
    words = ("git is not installed", "fix: install git")
    refuses(tagged, *words, commands=[DISCARD, DEV_RUN], PATH=str(tagged.home))


def test_no_repository_is_an_answer(bench: Bench) -> None:
    (bench.root / ".git").rename(bench.root.with_name("gone"))
    assert "no experiment yet" in bench.run("tags").said
    assert "git init" in bench.run("dev-run", expect=2).said
    # An empty folder above is no repository either, and neither is one beyond the ceiling.
    broken = bench.root.parent / ".git"
    broken.mkdir()
    assert (
        "no experiment yet"
        in bench.run("tags", GIT_CEILING_DIRECTORIES=str(bench.root.parent)).said
    )
    assert f"git cannot read {broken}" in bench.run("tags", expect=1).said


def test_a_commit_or_tag_that_fails_leaves_nothing_half_done(bench: Bench) -> None:
    start = bench.commit()
    lock = bench.root / ".git/index.lock"
    bench.git("config", "gpg.program", "false")
    for what, fix in (
        ("commit", "git config commit.gpgSign false"),
        ("tag", "git config tag.gpgSign false"),
        ("lock", f"rm '{lock}'"),
    ):
        for name in ("commit", "tag"):
            bench.git("config", f"{name}.gpgSign", str(name == what).lower())
        if what == "lock":
            lock.touch()
        refused = bench.run("experiment", "e0.0.1", "--allow", OPENED, expect=1).said
        lock.unlink(missing_ok=True)
        assert "failed to sign" in refused or "gpg failed" in refused or "File exists" in refused
        assert fix in refused
        assert bench.git("rev-parse", "HEAD") == start
        assert bench.git("diff", "--cached", "--name-only") == ""
        assert bench.git("tag") == ""
    bench.run("experiment", "e0.0.1", "--allow", OPENED)
    assert bench.git("rev-list", "--count", f"{start}..HEAD") == "1"
    assert bench.executed() == once_each(["low", "high"], 4)
    assert bench.git("status", "--porcelain") == ""
    assert bench.git("for-each-ref", "refs/worktree") == ""


# -- names


def test_a_tag_called_main_protects_no_less(bench: Bench) -> None:
    bench.git("tag", "main")
    bench.git("tag", "feat/try")
    bench.run("branch-check")
    bench.git("switch", "-q", "-c", "main")
    for command in (["branch-check"], ["dev-run"], ["experiment", "e0.0.1"]):
        assert "main is a protected branch" in bench.run(*command, expect=2).said
    # An alias commits to what it stands for.
    bench.git("symbolic-ref", "refs/heads/alias", "refs/heads/main")
    bench.git("symbolic-ref", "HEAD", "refs/heads/alias")
    assert "main is a protected branch" in bench.run("branch-check", expect=2).said


def test_where_case_makes_no_difference_it_makes_none(bench: Bench) -> None:
    bench.git("switch", "-q", "-c", "MAIN")
    bench.run("branch-check")
    bench.git("config", "core.ignorecase", "true")
    assert "MAIN is a protected branch" in bench.run("branch-check", expect=2).said
    bench.git("switch", "-q", "feat/try")
    bench.git("tag", "E0.0.1")
    assert "the tag E0.0.1 is e0.0.1 on this disk" in bench.experiment("e0.0.1", expect=2).said


def test_a_detached_head_is_called_by_what_it_is_at(bench: Bench) -> None:
    bench.git("tag", "e0.0.1")
    bench.git("update-ref", "refs/remotes/origin/main", "HEAD")
    bench.git("checkout", "-q", "--detach", "e0.0.1")
    said = bench.run("dev-run", expect=2).said
    assert "no branch is checked out (HEAD is at tag e0.0.1, origin/main)" in said
    bench.git("symbolic-ref", "HEAD", "refs/remotes/origin/main")
    assert "refs/remotes/origin/main, which is no branch" in bench.run("dev-run", expect=2).said


def test_a_rename_is_two_files_and_a_name_is_no_pattern(bench: Bench) -> None:
    bench.file("docs/one.txt", "the same words\n" * 9)
    bench.file("M  results.txt", "y")
    bench.commit()
    bench.git("mv", "docs/one.txt", "results.txt")
    bench.file("src/[a-z]*.txt", "x")
    said = bench.run("experiment", "e0.0.1", "--allow", OPENED, expect=1).said
    for name in ("docs/one.txt", "results.txt", "src/[a-z]*.txt"):
        assert name in said
    bench.git("mv", "results.txt", "results/kept.txt")
    said = bench.run("experiment", "e0.0.1", "--allow", OPENED, expect=1).said
    assert "docs/one.txt" in said, "what was moved into results/ is gone from where it was"


# -- DVC


def test_dvc_says_itself_what_is_wrong(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(dvc=True)
    bench.file(
        ".dvc/config",
        (bench.root / ".dvc/config").read_text()
        + "    remote = far\n['remote \"far\"']\n    url = https://127.0.0.1:9/x\n",
    )
    refused = bench.experiment("e0.0.1", expect=1)
    assert "Cannot connect to host 127.0.0.1:9" in refused.said
    assert "Having any troubles" not in refused.said
    assert "dvc remote list" in refused.said
    assert bench.git("tag") == ""
