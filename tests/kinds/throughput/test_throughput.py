"""The kind `throughput` as a person uses it: generated, loaded, killed, resumed, reported."""

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from cookiecutter.main import cookiecutter

from tests.harness.load_fixture import known_server

REPOSITORY = Path(__file__).resolve().parents[3]
ALLOWED = "dev-run,tests,inspect,items,plan"
REQUEST = 'return Request(body=json.dumps({"pixels": item["pixels"]})) if "pixels" in item'


@dataclass
class LoadProject:
    """A generated repository, and the harness run in it as another process."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def setting(self, section: str, **values: str) -> None:
        """Change keys that stand in a section of benchmark.toml; values as TOML."""
        path = self.root / "benchmark.toml"
        before, head, rest = path.read_text("utf-8").partition(f"[{section}]\n")
        body, gap, after = rest.partition("\n[")
        for name, value in values.items():
            body, count = re.subn(rf"(?m)^{name} = [^#\n]*", f"{name} = {value}  ", body)
            assert count == 1, f"[{section}] has no {name}"
        path.write_text(before + head + body + gap + after, encoding="utf-8")

    def grid(self, *params: str) -> None:
        """Replace GRID."""
        path = self.root / "src/benchmark/params.py"
        text = re.sub(r"(?s)GRID = .*", f"GRID = [{', '.join(params)}]\n", path.read_text("utf-8"))
        path.write_text(text, encoding="utf-8")

    def ask(self, url: str) -> None:
        """Load this server; each request names its item in the path."""
        self.setting("throughput", url=json.dumps(url))
        path = self.root / "src/benchmark/predict.py"
        text = path.read_text("utf-8")
        assert REQUEST in text
        named = "return Request(path=f\"/number?n={int(item['id'])}\") if True"
        path.write_text(text.replace(REQUEST, named), encoding="utf-8")

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """`python -m harness …` under way."""
        return subprocess.Popen(
            [sys.executable, "-m", "harness", *arguments],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": str(self.root / "src"), **self.environment},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def harness(self, *arguments: str) -> tuple[int, str]:
        """Exit code and all that was said, in one line."""
        process = self.start(*arguments)
        said, _ = process.communicate(timeout=300)
        return process.returncode, " ".join(said.split())

    def experiment(self, tag: str = "e0.0.1") -> tuple[int, str]:
        """Commit, then run or resume an experiment without the gates of the dev phase."""
        self.commit()
        return self.harness("experiment", tag, f"--allow={ALLOWED}")

    def commit(self) -> None:
        """Commit all changes."""
        subprocess.run(["git", "add", "--all"], cwd=self.root, check=True)
        who = ["-c", "user.name=Tester", "-c", "user.email=tester@localhost"]
        command = ["git", *who, "commit", "--quiet", "--no-verify", "--allow-empty", "-m", "change"]
        subprocess.run(command, cwd=self.root, check=True)

    def rows(self, database: str = "results/benchmark.db") -> list[dict[str, Any]]:
        """Table predictions."""
        return self.table("predictions", database)

    def table(self, name: str, database: str = "results/benchmark.db") -> list[dict[str, Any]]:
        """A table at rest."""
        with contextlib.closing(sqlite3.connect(self.root / database)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(f"SELECT * FROM {name}")]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadProject:
    """A fresh project with one short load."""
    return generated(tmp_path, monkeypatch)


def generated(folder: Path, environment: pytest.MonkeyPatch) -> LoadProject:
    """A project in a folder, apart from the git settings of whoever tests."""
    environment.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    environment.setenv("GIT_CEILING_DIRECTORIES", str(folder))
    made = cookiecutter(
        str(REPOSITORY), no_input=True, extra_context={"kind": "throughput", "use_dvc": "no"},
        output_dir=str(folder), default_config=True, accept_hooks=True,
    )  # fmt: skip
    project = LoadProject(Path(made))
    project.grid("Params(requests=60, rate=60.0, warmup_seconds=0.2)")
    project.setting("run", repeats="1")  # each phase takes its time
    return project


def ours(root: Path) -> list[psutil.Process]:
    """Servers and generators that were started for a project."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        command = " ".join(process.info["cmdline"] or ())
        path = (process.info["environ"] or {}).get("PYTHONPATH", "")
        if "harness.load." in command and str(root) in path:
            found.append(process)
    return found


def gone(root: Path, seconds: float = 10.0) -> bool:
    """Whether none of them is left, or soon."""
    end = time.monotonic() + seconds
    while ours(root):
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


# -- with nothing configured


def test_a_dev_run_starts_a_real_server_and_stops_it(project: LoadProject) -> None:
    project.grid(
        "Params(requests=60, rate=60.0, warmup_seconds=0.2)",
        "Params(requests=40, mode='closed', users=2, warmup_seconds=0.2)",
    )
    code, said = project.harness("dev-run", "--items=60")
    assert code == 0, said
    rows = project.rows(".dev/benchmark.db")
    assert Counter(row["params_mode"] for row in rows) == {"open": 60, "closed": 40}
    assert {(row["error"], row["status"], row["cache"]) for row in rows} == {(None, 200, "")}
    assert sum(row["prediction"] == row["ground_truth"] for row in rows) > 80
    for row in rows:
        assert row["scheduled"] <= row["sent"] <= row["first_byte"] <= row["done"]
        assert row["latency"] == pytest.approx(row["done"] - row["scheduled"])
    sampled = [row for row in rows if row["server_cpu"] is not None]
    assert sampled
    assert all(10 < row["server_mib"] < 2000 and row["generator_mib"] < 200 for row in sampled)
    assert all(0 <= row["machine_cpu"] <= 100 for row in sampled)
    assert gone(project.root)


def test_a_server_that_does_not_start_is_said_with_its_last_words(project: LoadProject) -> None:
    server = project.root / "src/benchmark/server.py"
    server.write_text(server.read_text("utf-8") + "\nraise RuntimeError('no model here')\n")
    code, said = project.harness("dev-run")
    assert code == 2
    assert "the server benchmark.server:app did not start: RuntimeError: no model here" in said
    assert "edit src/benchmark/server.py" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda how: how.name
)
def test_nothing_is_left_running_however_a_run_ends(
    project: LoadProject, how: signal.Signals
) -> None:
    project.grid("Params(requests=3000, rate=30.0)")
    process = project.start("dev-run", "--items=3000")
    while len(ours(project.root)) < 2:  # the server and a generator
        assert process.poll() is None
        time.sleep(0.1)
    time.sleep(2.0)
    begin = time.monotonic()
    process.send_signal(how)
    process.communicate(timeout=60)
    assert gone(project.root)
    # What was handed over before it was due is sent; not the 90 seconds that were left.
    assert time.monotonic() - begin < 30


@pytest.mark.slow
def test_the_tests_that_are_shipped_hold_for_another_server_too(project: LoadProject) -> None:
    with known_server() as server:
        project.setting("throughput", url=json.dumps(f"{server.url}/bytes=3"))
        code, said = project.harness("test")
    assert code == 0, said
    assert "5 skipped" in said


# -- once, within the experiment


@pytest.mark.slow
def test_a_killed_load_resumes_with_what_is_missing_and_marks_the_seam(
    project: LoadProject,
) -> None:
    project.grid(
        "Params(requests=300, rate=100.0, warmup_seconds=0.0)",
        "Params(requests=200, mode='closed', users=2, warmup_seconds=0.0)",
    )
    with known_server(0.005) as server:
        project.ask(server.url)
        project.commit()
        for at_least in (60, 220, 420):
            process = project.start("experiment", "e0.0.1", f"--allow={ALLOWED}")
            while len(server.asked) < at_least:
                assert process.poll() is None, process.communicate()[0]
                time.sleep(0.05)
            process.kill()
            process.communicate()
            assert gone(project.root)
        code, said = project.experiment()
        assert code == 0, said
        asked = len(server.asked)
    rows = project.rows()
    assert len(rows) == len({row["task_key"] for row in rows}) == 500
    assert Counter(row["params_mode"] for row in rows) == {"open": 300, "closed": 200}
    assert {row["raw_response"] for row in rows} == {f"answer {n}" for n in range(300)}
    # Asked twice is at most what was under way or in the last moment before each kill.
    assert 500 <= asked <= 500 + 3 * 60
    assert len({row["track_id"] for row in rows}) == 4
    report = (project.root / "results/reports/e0.0.1.html").read_text("utf-8")
    assert "resumed, in" in report
    tags = subprocess.run(["git", "tag"], cwd=project.root, capture_output=True, text=True).stdout
    assert tags.split() == ["e0.0.1"]


@pytest.mark.slow
def test_nothing_is_taken_from_another_experiment(project: LoadProject) -> None:
    with known_server() as server:
        project.ask(server.url)
        for number, tag in enumerate(("e0.0.1", "e0.0.2"), start=1):
            code, said = project.experiment(tag)
            assert code == 0, said
            deadline = time.monotonic() + 5
            while len(server.finished) < 60 and time.monotonic() < deadline:
                time.sleep(0.05)
            assert len(server.asked) >= number * 60
    rows = project.rows()
    assert len(rows) == 120
    assert {row["cache"] for row in rows} == {""}


@pytest.mark.slow
def test_a_failed_request_is_a_result_and_is_not_asked_again(project: LoadProject) -> None:
    """Alone, after the load, it would succeed: that would be another measurement."""
    project.grid(
        "Params(requests=40, rate=100.0, warmup_seconds=0.0, connections=1)",
        "Params(requests=300, rate=100.0, warmup_seconds=0.0)",
    )
    project.setting("run", timeout_seconds="1.0")
    with known_server(0.001, stall_number=20, stall_seconds=1.5) as server:
        project.ask(server.url)
        project.commit()
        process = project.start("experiment", "e0.0.1", f"--allow={ALLOWED}")
        while len(server.asked) < 120:
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.05)
        process.kill()
        process.communicate()
        code, said = project.experiment()
        assert code == 0, said
    rows = project.rows()
    assert len(rows) == 340
    failed = [row for row in rows if row["params_connections"] == 1 and row["error_type"]]
    assert {row["error_type"] for row in failed} == {"PredictionTimeout"}
    assert {row["answered_in_time"] for row in failed} == {None}
    runs = [run["track_id"] for run in project.table("runs")]
    assert {row["track_id"] for row in failed} == {runs[0]}


# -- what must be said


@pytest.mark.slow
def test_the_report_shows_load_over_time_by_rate_and_spread(project: LoadProject) -> None:
    project.setting("run", repeats="4")
    project.grid(
        "Params(requests=40, rate=20.0, warmup_seconds=0.2)",
        "Params(requests=100, rate=300.0, warmup_seconds=0.2)",
        "Params(requests=40, rate=200.0, warmup_seconds=0.2, connections=9)",
        "Params(requests=40, mode='closed', users=2, warmup_seconds=0.2)",
    )
    with known_server(0.01) as server:  # one at a time: at most 100 per second
        project.ask(server.url)
        code, said = project.experiment()
        assert code == 0, said
    report = (project.root / "results/reports/e0.0.1.html").read_text("utf-8")
    for title in ("Load", "Latency by rate", "Latency over time", "How latencies are spread"):
        assert f"{title}</h2>" in report
    # What varies beside the load is told apart: each has a saturation point of its own.
    alike = "connections=100: Saturation lies between 20 and 300: at 300 requests per second "
    assert re.search(rf"{alike}\d", report)
    assert "connections=9: Saturated at the lowest rate tried: at 200 requests" in report
    assert "200/s, connections=9: median" in report
    assert "Latency by rate, connections=100." in report
    # 160 requests: too few for a p99 (368) and a p99.9, however little they depend on each other.
    assert "n too small, needs 368" in report
    assert "[no interval: latencies rise]" in report
    assert "n too small, needs 3688" in report
    rows = {row["params_rate"]: row for row in project.table("metrics")}
    assert rows[20.0]["achieved_rate"] == pytest.approx(20, rel=0.25)
    assert rows[300.0]["achieved_rate"] < 100
    assert rows[20.0]["latency_p99"] is None
    assert rows[300.0]["latency_p50"] is not None
    assert rows[300.0]["latency_p50_low"] is None
    for each in rows.values():
        # By the last answer alone the lower bound would be the estimate itself.
        assert each["achieved_rate_low"] < each["achieved_rate"] < each["achieved_rate_high"]
        mine = [row for row in project.rows() if row["params_rate"] == each["params_rate"]]
        assert {row["cluster"] for row in mine} == {f"phase {n}" for n in range(4)}
        seconds = sum(
            max(row["done"] for row in mine if row["repeat"] == repeat) for repeat in range(4)
        )
        assert each["achieved_rate"] == pytest.approx(len(mine) / seconds)
    # Phases of all loads take turns, and each has other arrivals.
    starts = sorted({(row["phase_start"], row["repeat"]) for row in project.rows()})
    assert [repeat for _, repeat in starts] == sorted([0, 1, 2, 3] * 4)
    firsts = {row["scheduled"] for row in project.rows() if row["params_rate"] == 20.0
              and row["input_id"] == "0000000"}  # fmt: skip
    assert len(firsts) == 4
    # What git keeps says it too, but for the drawings.
    summary = (project.root / "results/e0.0.1.md").read_text("utf-8")
    assert "Saturation lies between 20 and 300" in summary
    assert "n too small, needs 3688" in summary


def test_one_by_one_is_a_look_without_a_load(project: LoadProject) -> None:
    project.setting("run", executor='"serial"')
    with known_server() as server:
        project.ask(server.url)
        code, said = project.harness("dev-run", "--items=3")
        assert code == 0, said
        assert len(server.asked) == 3
    assert [row["achieved_rate"] for row in project.table("metrics", ".dev/benchmark.db")] == [None]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LoadProject, str]]:
    """A project whose e0.0.1 is recorded, and the port of the server that it asks."""
    with pytest.MonkeyPatch.context() as environment, known_server() as server:
        project = generated(tmp_path_factory.mktemp("recorded"), environment)
        project.ask(server.url)
        code, said = project.experiment("e0.0.1")
        assert code == 0, said
        yield project, server.url.rpartition(":")[2]


@pytest.mark.parametrize(
    ("settings", "grid", "said"),
    [
        ({"url": '"http://no-such-host.invalid/"'}, "", "there is no host 'no-such-host.invalid'"),
        ({"url": '"https://127.0.0.1:{port}/"'}, "", "TLS with 127.0.0.1:"),
        ({"url": '"http://127.0.0.1:1/"'}, "", "nothing answers at 127.0.0.1:1"),
        ({"headers": '{ A = "${NO_SUCH}" }'}, "", "names ${NO_SUCH}, which is not set"),
        ({}, "Params(requests=5, rate=-5.0)", "rate is -5; requests per second must be above 0"),
        pytest.param(
            {},
            "at(-5.0, seconds=10)",
            "rate is -5; requests per second must be above 0",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {},
            "Params(requests=5, mode='shut')",
            "mode is 'shut'; there are open and closed",
            marks=pytest.mark.slow,
        ),
        ({"cache": "true"}, "", "[run] cache is true; a request is never answered from the cache"),
        ({"order": '"interleaved"'}, "", "[run] order is 'interleaved'"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2_and_rows_are_kept(
    recorded: tuple[LoadProject, str], settings: dict[str, str], grid: str, said: str
) -> None:
    project, port = recorded
    subprocess.run(["git", "reset", "-q", "--hard", "e0.0.1"], cwd=project.root, check=True)
    filled = {name: value.replace("{port}", port) for name, value in settings.items()}
    of_run = filled.keys() & {"cache", "order"}
    project.setting("run" if of_run else "throughput", **filled)
    if grid:
        project.grid(grid)
    code, told = project.experiment("e0.0.2")
    assert code == 2, told
    assert said in told
    assert "Traceback" not in told
    assert len(project.rows()) == 60


def test_a_key_is_in_no_row_report_or_commit(project: LoadProject) -> None:
    project.environment["A_KEY"] = "marker-5f1c0a7be2"
    project.setting("throughput", headers='{ Authorization = "Bearer ${A_KEY}" }')
    with known_server() as server:
        project.ask(server.url)
        predict = project.root / "src/benchmark/predict.py"
        predict.write_text(predict.read_text("utf-8").replace("/number?n=", "/echo?n="))
        code, said = project.experiment()
        assert code == 0, said
        assert "marker" not in said
    assert "Authorization: Bearer [key]" in project.rows()[0]["raw_response"]
    for path in project.root.rglob("*"):
        if path.is_file():
            assert b"marker-5f1c0a7be2" not in path.read_bytes(), path
