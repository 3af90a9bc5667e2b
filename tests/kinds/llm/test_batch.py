"""Questions in batches: each answered once, whatever is killed, lost or expired on the way."""

import time
from pathlib import Path

import pytest

from tests.kinds.llm.batch_server import BatchServer
from tests.kinds.llm.conftest import LlmProject
from tests.kinds.llm.fault_server import FaultServer

JUDGE = """
from dataclasses import dataclass
from typing import Any

from benchmark.llm.client import Client, connect
from benchmark.llm.request import Request
from benchmark.llm.verdict import one_of

READS = ("text", "prediction")


@dataclass(frozen=True, slots=True)
class Params(Request):
    pass


GRID = [Params(endpoint="ENDPOINT", max_output_tokens=9)]


def load(params: Params) -> Client:
    return connect(params.endpoint)


def judge(answer: dict, params: Params, client: Client) -> dict[str, Any]:
    asked = f"Is this right? {answer['text']} Answer: {answer['prediction']}"
    reply = client.ask(params, [{"role": "user", "content": asked}])
    return {"verdict": one_of(reply, ("positive", "negative")), **reply.columns()}
"""
PRICE = """
[[price]]
endpoint = "batched"
model = "batched-1"
input = 100.0
output = 100.0
batch = 0.5
as_of = "2026-11-26"
source = "a test"
"""


def _batched(project: LlmProject, server: BatchServer, api: str = "chat") -> LlmProject:
    project.endpoint(
        "batched", server.url, api=api, api_key_env="BATCH_KEY", model="batched-1", batch=True,
        batch_poll_seconds=0.05,
    )  # fmt: skip
    project.setting("run", executor="batch")
    project.grid('[Params("guide", 0, endpoint="batched", max_output_tokens=9)]')
    with (project.root / "prices.toml").open("a", encoding="utf-8") as file:
        file.write(PRICE)
    return project


@pytest.mark.slow
def test_a_batch_is_paid_for_at_its_price_and_what_expired_is_asked_again(
    project: LlmProject,
) -> None:
    with BatchServer(expires="sound|battery", refuses="screen") as server:
        _batched(project, server)
        code, printed = project.harness("dry-run")
        assert code == 0, printed
        code, printed = project.experiment()
        assert code == 1, printed
        assert "x Unanswerable" in printed
        rows = project.rows("results/benchmark.db")
        good = [row for row in rows if row["error_type"] is None]
        assert {row["error_type"] for row in rows} == {None, "Unanswerable"}
        assert len(rows) == 240
        assert set(server.answered.values()) == {1}
        assert len(server.answered) == len(good)
        # At half the price, and without a latency.
        row = good[0]
        assert row["cost"] == pytest.approx((row["prompt_tokens"] + 2) * 100e-6 / 2)
        assert {row["latency"] for row in good} == {None}
        assert len({row["batch"] for row in good}) == 2
        code, printed = project.harness("prices", "e0.0.1")
        assert "0 of" in printed


@pytest.mark.slow
@pytest.mark.parametrize("api", ["chat", "anthropic"])
def test_a_killed_run_finds_its_batches_by_their_id_and_asks_nothing_twice(
    project: LlmProject, api: str
) -> None:
    with BatchServer(loses=1) as server:
        _batched(project, server, api)
        project.commit()
        allowed = "--allow=dev-run,tests,inspect,items,plan,power"
        server.held.set()
        for _ in range(2):
            process = project.start("experiment", "e0.0.1", allowed)
            end = time.monotonic() + 200
            journal = project.root / ".cache/batches.jsonl"
            while not (journal.exists() and b"created" in journal.read_bytes()):
                assert time.monotonic() < end
                assert process.poll() is None, process.communicate()[0]
                time.sleep(0.05)
            process.kill()
            process.communicate()
        # A kill between the request for a batch and the word of its id.
        lines = journal.read_text().splitlines()
        journal.write_text("\n".join(each for each in lines if "created" not in each) + "\n")
        server.held.clear()
        code, printed = project.experiment()
        assert code == 0, printed
        assert len(server.batches) == 1
        assert set(server.answered.values()) == {1}
        assert len(project.rows("results/benchmark.db")) == 240


@pytest.mark.slow
def test_a_judges_batch_is_found_after_a_kill_and_no_candidate_is_asked_again(
    project: LlmProject,
) -> None:
    with BatchServer() as server:
        _batched(project, server)
        judge = JUDGE.replace("ENDPOINT", "batched")
        (project.root / "src/benchmark/judge.py").write_text(judge, encoding="utf-8")
        metrics = project.root / "src/benchmark/metrics.py"
        said = metrics.read_text().replace(", label=", ", judged=False, label=")
        metrics.write_text(said, encoding="utf-8")
        project.commit()
        allowed = "--allow=dev-run,tests,inspect,items,plan,power"
        process = project.start("experiment", "e0.0.1", allowed)
        end = time.monotonic() + 250
        while len(server.batches) < 2:
            if len(server.answered) == 240:
                server.held.set()  # the judge's batch shall not end before the kill
            assert time.monotonic() < end
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.01)
        process.kill()
        process.communicate()
        server.held.clear()
        code, printed = project.experiment()
        assert code == 0, printed
        assert len(server.batches) == 2
        assert set(server.answered.values()) == {1}
    judgements = project.rows("results/benchmark.db", "judgements")
    assert len(judgements) == len(server.answered) - 240
    assert {row["batch"] for row in judgements} == {"batch_1"}
    assert judgements[0]["cost"] == pytest.approx((judgements[0]["prompt_tokens"] + 2) * 100e-6 / 2)


@pytest.mark.slow
@pytest.mark.parametrize("batched", ["candidate", "judge"])
def test_only_one_of_candidate_and_judge_may_go_in_batches(
    project: LlmProject, tmp_path: Path, batched: str
) -> None:
    with BatchServer() as server, FaultServer(tmp_path / "log") as plain:
        _batched(project, server)
        project.endpoint("plain", plain.url, api_key_env="PLAIN_KEY", model="plain-1")
        candidate, judge = ("batched", "plain") if batched == "candidate" else ("plain", "batched")
        source = JUDGE.replace("ENDPOINT", judge)
        (project.root / "src/benchmark/judge.py").write_text(source, encoding="utf-8")
        project.grid(f'[Params("guide", 0, endpoint="{candidate}", max_output_tokens=9)]')
        code, printed = project.harness("dev-run", "--items=4")
        assert code == 0, printed
        assert len(server.batches) == 1
        assert sum(plain.asked.values()) == len(server.answered) == 4


@pytest.mark.slow
def test_a_budget_sends_what_it_can_pay_for_and_an_endpoint_without_batches_is_refused(
    project: LlmProject,
) -> None:
    with BatchServer() as server:
        _batched(project, server)
        project.setting("limits", max_cost_usd=0.3)
        code, printed = project.experiment()
        assert code == 1
        assert "max_cost_usd" in printed
        assert 0 < len(server.answered) < 240
        spent = sum(row["cost"] for row in project.rows("results/benchmark.db"))
        assert spent <= 0.3
    settings = project.root / "benchmark.toml"
    settings.write_text(settings.read_text().replace("batch = true", "batch = false"))
    code, printed = project.harness("dev-run")
    assert code == 2
    assert "no endpoint in GRID of params.py or judge.py has batches" in printed


@pytest.mark.slow
def test_a_run_that_stops_for_its_errors_sends_no_batch(
    project: LlmProject, tmp_path: Path
) -> None:
    with BatchServer() as server, FaultServer(tmp_path / "log", lambda _: ("401",)) as refusing:
        _batched(project, server)
        project.endpoint("plain", refusing.url, api_key_env="PLAIN_KEY", model="plain-1")
        project.environment |= {"PLAIN_KEY": "sk-of-nobody-4711"}
        project.grid(
            '[Params("guide", 0, endpoint="batched", max_output_tokens=9),'
            ' Params("guide", 0, endpoint="plain", max_output_tokens=9)]'
        )
        code, printed = project.experiment()
        assert code == 1, printed
        assert "stopped" in printed
        assert not server.batches
