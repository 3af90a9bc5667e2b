"""The scripts of a generated project, run as a person runs them; and `harness.tell.browse`."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from harness.cli import reading
from harness.errors import HarnessError
from harness.tell.browse import browse
from tests.harness.recorded import change, clean, write

PROJECT = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}"
SCRIPTS = ("validate_benchmark", "analyze_cache_hits", "export_summary")


def script(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a script from elsewhere, with no home; the harness is installed."""
    return subprocess.run(
        [sys.executable, str(PROJECT / f"scripts/{name}.py"), *map(str, arguments)],
        cwd="/",
        env={
            "PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": str(PROJECT / "src"),
        },
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return clean(tmp_path / "benchmark.db")


def test_validate_says_nothing_found_and_exits_0(db: Path) -> None:
    done = script("validate_benchmark", db, "predictions")
    assert (done.returncode, done.stderr) == (0, "")
    assert "no findings" in done.stdout


def test_validate_tells_findings_as_text_and_as_json_and_exits_1(db: Path) -> None:
    change(db, "UPDATE predictions SET raw_response = NULL WHERE task_key = 'key-1-0'")
    text = script("validate_benchmark", db)
    assert text.returncode == 1
    assert "warning no_raw_output: e0.0.1: 1 successful row without raw output" in text.stdout
    told = script("validate_benchmark", db, "--json")
    assert told.returncode == 1
    findings = json.loads(told.stdout)["findings"]
    assert [(each["check"], each["count"]) for each in findings] == [("no_raw_output", 1)] * 2


def test_cache_hits_counts_reuse(db: Path) -> None:
    told = script("analyze_cache_hits", db, "predictions", "--json")
    assert told.returncode == 0
    first, second = json.loads(told.stdout)
    assert (first["executed"], first["reused"], first["from_runs"]) == (100, 0, [])
    assert (second["executed"], second["reused"], second["from_runs"]) == (0, 100, ["run-e0.0.1"])
    assert second["seconds_saved"] == pytest.approx(1.0245)
    assert "100 of 100 rows reused (100.0%)" in script("analyze_cache_hits", db).stdout


def test_summary_gives_each_score_with_its_n_and_interval(db: Path, tmp_path: Path) -> None:
    for table in ("predictions", "metrics"):
        change(db, f"UPDATE {table} SET params_model = 'a|b<script>' WHERE params_depth = 4")
    change(db, "UPDATE runs SET grid = NULL")
    out = tmp_path / "summary.md"
    done = script("export_summary", db, "predictions", "--out", out)
    assert (done.returncode, done.stdout) == (0, "")
    text = out.read_text()
    assert "0.800 [0.670, 0.888]" in text  # Wilson, 40 of 50
    assert "| a\\|b\\<script\\> | 4 |" in text
    assert text.endswith("## Findings\n\nNone.\n")


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_read_tables_that_xetrack_wrote_by_itself(tmp_path: Path, name: str) -> None:
    rows = [
        {"track_id": m, "timestamp": f"{i}", "model": m, "input_id": i, "score": v, "error": ""}
        for m in "ab"
        for i, v in enumerate((1, 0.75))
    ]
    db = write(tmp_path / "track.db", "events", rows)
    change(db, "UPDATE events SET input_id = 0.5 WHERE input_id = 1")
    done = script(name, db, "events")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_summary_keeps_apart_what_runs_were_given_where_no_column_names_the_item(
    tmp_path: Path,
) -> None:
    rows = [
        {"track_id": m, "model": m, "function_time": 0.5 + i, "prediction": i, "score": i * v}
        for m, v in (("a", 0.5), ("b", 1.5))
        for i in range(3)
    ]
    done = script("export_summary", write(tmp_path / "t.db", "events", rows), "events")
    assert "| model | n | executed | reused | failed | score | latency p50 | p95 |" in done.stdout
    # Student's t with 2 degrees of freedom, 4.30265, times 0.5 and 1.5 over the root of 3.
    assert "| a | 3 | 3 | 0 | 0 | 0.5 [-0.7421, 1.742] | 1.5 s |" in done.stdout
    assert "| b | 3 | 3 | 0 | 0 | 1.5 [-2.226, 5.226] | 1.5 s |" in done.stdout


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_name_what_is_wrong_in_one_sentence_and_exit_2(tmp_path: Path, name: str) -> None:
    db = clean(tmp_path / "b.db", items=2)
    for arguments, message in [
        ((tmp_path / "gone.db", "predictions"), "There is no database"),
        ((db, "nosuch"), "There is no table 'nosuch'"),
        ((write(tmp_path / "e.db", "events", [{"a": 1}]),), "there are: events"),
        ((Path(__file__), "predictions"), "is not an SQLite database"),
    ]:
        done = script(name, *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    change(db, "DELETE FROM predictions")
    assert "no rows yet" in script(name, db, "predictions").stderr
    assert script(name).returncode == 2


def browsing(db: Path) -> "subprocess.Popen[str]":
    code = (
        "import sys; from pathlib import Path; from harness.tell.browse import browse\n"
        "sys.exit(browse([Path(sys.argv[1])], open_browser=False))"
    )
    return subprocess.Popen(
        [sys.executable, "-u", "-c", code, str(db)],
        env={**os.environ, "PYTHONPATH": str(PROJECT / "src"), "TMPDIR": str(db.parent)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def asked(url: str, **headers: str) -> int:
    """The status of an answer to somebody without the token."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_browse_answers_only_who_has_its_token_and_writes_nothing(db: Path) -> None:
    # A run has it open: what is in its write-ahead log must show, and stay untouched.
    with closing(sqlite3.connect(db)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("UPDATE predictions SET prediction = 'now'")
        writer.commit()
        before = _digest(db)
        there = {path.name for path in db.parent.iterdir()}
        server = browsing(db)
        try:
            link = _link(server)
            address, _, token = link.partition("/-/auth-token")
            assert address.startswith("http://127.0.0.1:")
            count = "benchmark.json?sql=select+count(*)+from+predictions+where+prediction='now'"
            # Another user of this machine, and a page whose name was made to point here.
            for page in ("", count, "benchmark.db", "-/databases.json"):
                assert asked(f"{address}/{page}") in (403, 404)
            assert asked(link, Host="evil.example") == 421
            opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
            opener.open(f"{address}/-/auth-token{token}").close()
            with opener.open(f"{address}/{count}") as answer:
                assert json.load(answer)["rows"] == [[200]]
            with pytest.raises(urllib.error.HTTPError):
                opener.open(f"{address}/benchmark.json?sql=delete+from+predictions")
            rebound = urllib.request.Request(f"{address}/{count}", headers={"Host": "evil.example"})
            with pytest.raises(urllib.error.HTTPError, match="421"):
                opener.open(rebound)
            server.terminate()
            assert server.wait(timeout=20) == 0
            with pytest.raises(urllib.error.URLError):
                urllib.request.urlopen(address)
        finally:
            server.kill()
            server.wait(timeout=20)
        assert _digest(db) == before
        assert {path.name for path in db.parent.iterdir()} == there


def _digest(db: Path) -> bytes:
    # In another process: closing the file here would drop the locks that sqlite3 holds on it.
    return subprocess.run(["sha256sum", str(db)], capture_output=True, check=True).stdout


def _link(server: "subprocess.Popen[str]") -> str:
    assert server.stdout is not None
    deadline = time.monotonic() + 30
    link = ""
    for line in server.stdout:
        if "/-/auth-token" in line:
            link = line.strip()
        if "running on" in line:
            return link
        assert time.monotonic() < deadline, line
    raise AssertionError("the server ended at once")


def test_browse_says_that_a_database_is_broken(tmp_path: Path) -> None:
    whole = clean(tmp_path / "whole.db").read_bytes()
    (tmp_path / "torn.db").write_bytes(whole[:5000])
    (tmp_path / "notes.db").write_text("no database, but long enough to be looked at" * 100)
    for name in ("torn.db", "notes.db"):
        with pytest.raises(HarnessError, match=rf"{name} cannot be read"):
            browse([tmp_path / name], open_browser=False)
    assert {path.name for path in tmp_path.iterdir()} == {"whole.db", "torn.db", "notes.db"}


def test_a_summary_replaces_no_database_and_needs_a_folder(db: Path, tmp_path: Path) -> None:
    before = db.read_bytes()
    for target, message in (
        (db, "is a database"),
        (tmp_path / "gone" / "summary.md", "There is no folder"),
        (tmp_path, "is a folder"),
    ):
        done = script("export_summary", db, "--out", target)
        assert (done.returncode, done.stdout) == (2, "")
        assert message in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr
    assert db.read_bytes() == before


@pytest.mark.parametrize("command", [reading.summary, reading.report])
def test_a_report_replaces_no_database_either(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., None]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("benchmark.toml").write_text('[benchmark]\nname = "b"\n', encoding="utf-8")
    results = tmp_path / "results"
    results.mkdir()
    recorded = Path(shutil.move(db, results / "benchmark.db"))
    before = recorded.read_bytes()
    for target, message in ((recorded, "is a database"), (tmp_path, "is a folder")):
        with pytest.raises(HarnessError, match=message) as error:
            command("e0.0.1", target)
        assert error.value.code == 2
    assert recorded.read_bytes() == before


def test_browse_needs_a_database(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="no results yet"):
        browse([])
    with pytest.raises(HarnessError, match="no database"):
        browse([tmp_path / "gone.db"])
