"""Results are shared through a remote that was tried before it was set, and come back from it."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.harness.project_fixture import Bench
from tests.harness.versioned import WHO


def bare(tmp_path: Path, name: str = "origin.git") -> Path:
    path = tmp_path / name
    subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)
    return path


def clone(bench: Bench, url: Path, path: Path, *options: str) -> Bench:
    bench.git("clone", "-q", *options, "--branch", "feat/try", f"file://{url}", str(path))
    return bench.at(path)


def commit(bench: Bench) -> None:
    bench.git(*WHO, "commit", "-q", "-m", "Add a remote", ".dvc/config")


def _forget(bench: Bench) -> None:
    """Empty DVC's cache."""
    for path in (bench.root / ".dvc/cache").rglob("*"):
        if path.is_file():
            path.unlink()


# -- setting one


def test_a_remote_is_tried_before_it_is_set(tagged_by_dvc: Bench, tmp_path: Path) -> None:
    bench = tagged_by_dvc
    config = bench.root / ".dvc/config"
    before = config.read_bytes()
    (tmp_path / "file").write_text("x")
    for url, code, words, fix in (
        (str(tmp_path / "no/store"), 2, "there is no folder", "mkdir -p"),
        (str(tmp_path / "file"), 2, "is a file", "name a folder"),
        ("data/store", 2, "lies in this project", "a folder outside"),
        ("/proc/store", 1, "cannot be written", "nothing was changed"),
        ("ssh://me:secret@host/x", 2, "has a password", "--local storage password"),
        ("nosuch://x", 2, "is no address that DVC knows", "s3://"),
        ("git@host:x.git", 2, "is no address that DVC knows", "ssh://"),
        ("gdrive://x", 2, "needs the package dvc-gdrive", "requirements-benchmark.in"),
    ):
        refused = bench.run("remote", url, expect=code)
        assert words in refused.err, url
        assert fix in refused.err.partition("fix:")[2], url
        assert "secret" not in refused.err
    assert config.read_bytes() == before

    said = bench.run("remote", "../store").said
    assert 'git commit -m "Add a remote" .dvc/config' in said
    assert list((tmp_path / "store").iterdir()) == [], "the probe is gone"
    assert bench.run_dvc("remote", "list").split() == [
        "storage",
        str(tmp_path / "store"),
        "(default)",
    ]
    moved = bench.run("remote", "../other").said
    assert f"before it was {tmp_path / 'store'}" in moved


# -- there and back


def test_a_tag_that_is_older_than_its_remote_comes_back(
    tagged_by_dvc: Bench, tmp_path: Path
) -> None:
    bench, url = tagged_by_dvc, bare(tmp_path)
    recorded = bench.db.read_bytes()
    assert "git has no remote to push to" in bench.run("push", expect=2).err
    bench.git("remote", "add", "origin", str(url))
    refused = bench.run("push", expect=1)
    assert "DVC keeps results here and has no remote" in refused.err
    assert "make remote URL=" in refused.err
    assert bench.git("ls-remote", "origin") == "", "no tag goes ahead of its data"

    bench.run("remote", "../store")
    commit(bench)
    said = bench.run("push").said
    assert "1 version of files in" in said
    assert "origin: 1 tag (e0.0.1) pushed" in said
    assert "origin has every tag" in bench.run("push").said, "it can be repeated"

    bench.run("remote", "../store/other")
    assert "is not committed, so a clone does not know it" in bench.run("push", expect=1).said
    bench.git("checkout", "-q", ".dvc/config")

    other = clone(bench, url, tmp_path / "clone", "--no-tags")
    assert not other.db.exists()
    said = other.run("pull").said
    assert "origin: 1 new tag (e0.0.1)" in said
    assert other.db.read_bytes() == recorded
    assert other.git("status", "--porcelain") == ""

    # The config of the tag itself knows no remote, as after git checkout of it.
    other.git("checkout", "-q", "e0.0.1")
    _forget(other)
    other.db.unlink()
    assert "e0.0.1 in DVC's cache" in other.run("pull", "e0.0.1").said
    other.run_dvc("checkout")
    assert other.db.read_bytes() == recorded

    other.git("switch", "-q", "feat/try")
    _forget(other)
    (tmp_path / "store").rename(tmp_path / "unmounted")
    refused = other.run("checkout", "e0.0.1", expect=1)
    assert f"the remote {tmp_path / 'store'} is not there" in refused.err
    assert not (tmp_path / "clone-e0.0.1").exists()
    (tmp_path / "unmounted").rename(tmp_path / "store")
    other.run("checkout", "e0.0.1")
    assert (tmp_path / "clone-e0.0.1/results/benchmark.db").read_bytes() == recorded
    other.run("cleanup")


@pytest.mark.slow
def test_a_push_that_is_killed_at_any_time_leaves_no_tag_without_its_data(
    tagged_by_dvc: Bench, tmp_path: Path
) -> None:
    recorded = tagged_by_dvc.db.read_bytes()
    whole, seen = 0.0, set()
    for part in range(10):
        bench = tagged_by_dvc.copy(tmp_path / f"{part}/bench")
        url = bare(tmp_path / f"{part}")
        bench.git("remote", "add", "origin", str(url))
        bench.run("remote", "../store")
        commit(bench)
        begin, pushing = time.monotonic(), bench.start("push")
        if part:
            time.sleep(whole * part / 8)
            os.killpg(pushing.pid, signal.SIGKILL)
        pushing.communicate()
        whole = whole or time.monotonic() - begin
        there = "refs/tags/e0.0.1" in bench.git("ls-remote", "origin")
        if not there:
            bench.run("push")
        other = clone(bench, url, tmp_path / f"{part}/clone", "--no-tags")
        other.run("pull")
        assert other.db.read_bytes() == recorded, part
        assert "origin has every tag" in bench.run("push").said
        seen.add(there)
    assert seen == {True, False}


def test_a_folder_of_models_travels_with_its_tag(tagged_by_dvc: Bench, tmp_path: Path) -> None:
    bench, url = tagged_by_dvc, bare(tmp_path)
    bench.file("models/best/weights.bin", b"\x00\x01")
    bench.file("models/best/deep/words.txt", "hello")
    bench.run_dvc("add", "-q", "models/best")
    bench.run("remote", "../store")
    bench.commit()
    bench.git(*WHO, "tag", "-a", "e0.0.2", "-m", "with a model")
    bench.git("remote", "add", "origin", str(url))
    assert "2 versions of files" in bench.run("push").said
    other = clone(bench, url, tmp_path / "clone")
    out = tmp_path / "words.txt"
    other.run("get", "e0.0.2", "models/best/deep/words.txt", "--out", str(out))
    assert out.read_text() == "hello"
    assert "models/best dvc 7 B" in other.run("get", "e0.0.2").said
    refused = other.run("get", "e0.0.2", "models/best/gone.bin", expect=2)
    assert "has no 'models/best/gone.bin'" in refused.err
    other.run("get", "e0.0.2", "models/best", "--out", str(tmp_path / "best"))
    assert (tmp_path / "best/weights.bin").read_bytes() == b"\x00\x01"
    other.run("checkout", "e0.0.2")
    folder = tmp_path / "clone-e0.0.2/models/best"
    assert (folder / "deep/words.txt").read_text() == "hello"
    other.run("cleanup")
    assert not (other.root / "models/best").exists(), "the working tree is not touched"


def test_without_dvc_git_does_it_all_and_says_what_that_means(
    tagged: Bench, tmp_path: Path
) -> None:
    url = bare(tmp_path)
    missing = tagged.run("remote", str(tmp_path / "nowhere.git"), expect=2)
    assert "git init --bare" in missing.err
    assert "large files make every clone large" in tagged.run("remote", str(url)).said
    said = tagged.run("push").said
    assert "git keeps results and data here" in said
    assert "1 tag (e0.0.1) pushed" in said

    other = clone(tagged, url, tmp_path / "clone", "--no-tags", "--depth=1")
    said = other.run("pull").said
    assert "this was a shallow clone" in said
    assert other.db.read_bytes() == tagged.db.read_bytes()
    assert other.git("tag") == "e0.0.1"
    assert "git has all of e0.0.1" in other.run("pull", "e0.0.1").said


def test_what_was_left_undone_is_said_with_what_to_do(tagged: Bench, tmp_path: Path) -> None:
    url = bare(tmp_path)
    tagged.run("remote", str(url))
    tagged.run("push")
    other = clone(tagged, url, tmp_path / "clone")

    # Somebody else pushed to the branch, and has another tag of the same name.
    other.file("theirs.txt", "x")
    other.commit()
    other.git("tag", "e0.2.0")
    other.run("push")
    tagged.file("mine.txt", "x")
    tagged.commit()
    tagged.git("tag", "e0.2.0")
    tagged.git("tag", "e0.3.0")
    refused = tagged.run("push", expect=1)
    assert "1 tag (e0.3.0) pushed" in refused.said, "what can be done is done"
    assert "origin has another e0.2.0; not pushed" in refused.err
    assert "make retag TAG=e0.2.0" in refused.err
    assert "origin refuses feat/try" in refused.err
    assert "git pull --no-rebase origin feat/try, then make push" in refused.said
    pulled = tagged.run("pull", expect=1)
    assert "e0.2.0 here is not the e0.2.0 of origin" in pulled.err
    assert "each have commits that the other has not" in pulled.said
    assert (tagged.root / "mine.txt").exists()

    other.git("checkout", "-q", "--detach")
    detached = other.run("push", expect=1)
    assert "no branch is checked out" in detached.err
    assert "only tags were pushed" in detached.said
    assert "there is no tag 'e0.9.0'" in other.run("pull", "e0.9.0", expect=2).err
    other.git("remote", "set-url", "origin", str(tmp_path / "gone.git"))
    for command in ("push", "pull"):
        away = other.run(command, expect=1)
        assert "see that the remote can be reached (git remote -v)" in away.err


# -- other storage

NEEDS = "make test-remotes brings what it needs"


@pytest.mark.slow
def test_s3_compatible_storage_brings_every_byte_back(
    tagged_by_dvc: Bench, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """SeaweedFS, a real store, on loopback."""
    pytest.importorskip("dvc_s3", reason=NEEDS)
    from tests.harness.object_store import WEED, ObjectStore

    if not WEED.exists():
        pytest.skip(NEEDS)

    store = ObjectStore(tmp_path / "weed")
    request.addfinalizer(store.stop)
    bench, url = tagged_by_dvc, bare(tmp_path)
    endpoint = ("--endpoint", store.url)
    _keys(bench, "wrong")
    refused = bench.run("remote", "s3://bench/x", *endpoint, expect=1)
    assert "AWS_SECRET_ACCESS_KEY" in refused.err
    _keys(bench, "secret")
    bench.run("remote", "s3://bench/x", *endpoint)
    assert "secret" not in (bench.root / ".dvc/config").read_text()
    commit(bench)
    bench.git("remote", "add", "origin", str(url))
    bench.run("push")
    other = clone(bench, url, tmp_path / "clone")
    other.run("pull")
    assert other.db.read_bytes() == bench.db.read_bytes()


def _keys(bench: Bench, secret: str) -> None:
    """What a person has in their home."""
    place = bench.home / ".aws/credentials"
    place.parent.mkdir(exist_ok=True)
    lines = ["[default]", "aws_access_key_id = bench", f"aws_secret_access_key = {secret}"]
    place.write_text("\n".join(lines) + "\n")


@pytest.mark.slow
def test_ssh_brings_every_byte_back(
    tagged_by_dvc: Bench, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    pytest.importorskip("dvc_ssh", reason=NEEDS)
    from tests.harness.object_store import SshServer

    server = SshServer(tmp_path / "ssh")
    request.addfinalizer(server.stop)
    bench, url = tagged_by_dvc, bare(tmp_path)
    place = f"ssh://bench@127.0.0.1:{server.port}{tmp_path / 'there'}"
    refused = bench.run("remote", place, expect=1)
    assert "for SSH a key" in refused.err
    bench.run_dvc("remote", "add", "--local", "storage", place)
    for name, value in (("keyfile", str(server.key)), ("allow_agent", "false")):
        bench.run_dvc("remote", "modify", "--local", "storage", name, value)
    bench.run("remote", place)
    commit(bench)
    bench.git("remote", "add", "origin", str(url))
    bench.run("push")
    assert any((tmp_path / "there/files/md5").iterdir())
    other = clone(bench, url, tmp_path / "clone")
    (other.root / ".dvc/config.local").write_bytes((bench.root / ".dvc/config.local").read_bytes())
    os.chmod(other.root / ".dvc/config.local", 0o600)
    other.run("pull")
    assert other.db.read_bytes() == bench.db.read_bytes()
