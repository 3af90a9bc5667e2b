"""Whole runs against a server that fails: nothing is lost, asked twice, or over a limit."""

import base64
import json
import math
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.kinds.llm.conftest import KEY, LlmProject
from tests.kinds.llm.fault_server import FaultServer, by_turns, tokens

TASKS = 960  # of an experiment: 240 items, two prompts, two numbers of shots
RESULTS = "results/benchmark.db"
STORM = by_turns(
    (), (), (), (), ("429",), ("429:0",), ("500",), ("503", "500"), ("drop",), ("drop_midway",),
    ("truncated",), ("malformed",), ("no_choices",), ("slow:1.3",), ("refusal",), ("empty",),
    ("429", "drop", "500", "malformed"),
)  # fmt: skip


def _faults(prompt: str) -> list[str]:
    """What a question meets before it is answered; a refusal is an answer."""
    return [fault for fault in STORM(prompt) if fault not in ("refusal", "empty")]


def _attempts(prompt: str) -> tuple[int, int]:
    """Attempts until a question is answered; how often the last one was asked for patience."""
    made, refused = 1, 0
    for fault in _faults(prompt):
        if fault.startswith("429"):
            refused += 1
        else:
            made, refused = made + 1, 0
    return made, refused


def _prompt(row: dict[str, Any]) -> str:
    return str(json.loads(row["request"])["messages"][0]["content"])


def _answer(row: dict[str, Any]) -> str:
    return str(json.loads(row["raw_response"])["id"])


def test_every_answer_is_in_a_row_and_none_is_asked_for_twice(
    project: LlmProject, tmp_path: Path
) -> None:
    project.setting("run", workers=64)
    with FaultServer(tmp_path / "log", STORM, latency=0.01) as server:
        project.ask(server.url)
        code, printed = project.harness("dev-run", "--items=120")
        assert code == 0, printed
        answers, asked, most = server.answers(), server.asked, server.most_inside
    rows = project.rows()
    assert len(rows) == len({row["task_key"] for row in rows}) == 480
    # An answer that came after the client had given up on it is not in a row: it never arrived.
    late = {name for name, prompt in answers.items() if _is_late(name, prompt)}
    assert {_answer(row) for row in rows} == set(answers) - late
    assert {prompt: len(_faults(prompt)) + 1 for prompt in asked} == asked
    assert {_prompt(row): (row["attempts"], row["rate_limited"]) for row in rows} == {
        prompt: _attempts(prompt) for prompt in asked
    }
    assert most <= 64
    retried = [row for row in rows if row["attempts"] > 1]
    assert len(retried) > 150
    assert all(row["correct_first_try"] is None for row in retried)
    assert any(row["correct_retried"] is not None for row in retried)


def test_all_workers_call_at_once_and_no_more(project: LlmProject, tmp_path: Path) -> None:
    project.setting("run", workers=64)
    project.setting("llm", timeout_seconds=60)
    # The first answer waits for the 64th call; a 65th would come while the others take their time.
    with FaultServer(tmp_path / "log", latency=0.3, crowd=64) as server:
        project.ask(server.url)
        code, printed = project.harness("dev-run", "--items=48")
        assert code == 0, printed
        assert server.most_inside == 64
        assert len(server.arrivals) == 192


def _is_late(name: str, prompt: str) -> bool:
    attempt = int(name.rpartition("-")[2])
    return STORM(prompt)[attempt : attempt + 1] == ("slow:1.3",)


@pytest.mark.slow
def test_a_killed_experiment_goes_on_and_loses_what_was_in_flight_at_most(
    project: LlmProject, tmp_path: Path
) -> None:
    project.setting("run", workers=64)
    choose = random.Random(3)
    kills: list[float] = []
    with FaultServer(tmp_path / "log", by_turns((), (), ("429",), ("500",)), 0.05) as server:
        project.ask(server.url)
        project.commit()
        while len(kills) < 5:
            process = project.start(
                "experiment", "e0.0.1", "--allow=dev-run,tests,inspect,items,plan"
            )
            goal = len(server.arrivals) + choose.randint(30, 180)
            while len(server.arrivals) < goal and process.poll() is None:
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
            kills.append(time.time())
            process.communicate()
        code, printed = project.experiment()
        assert code == 0, printed
        entries = [entry for entry in server.entries() if entry["answer"]]
    rows = project.rows(RESULTS)
    assert len(rows) == len({row["task_key"] for row in rows}) == TASKS
    in_rows = {_answer(row) for row in rows}
    lost = [entry for entry in entries if entry["answer"] not in in_rows]
    assert len(entries) == TASKS + len(lost)
    for entry in lost:  # asked again, because the first answer fell to a kill
        assert min(kill - entry["time"] for kill in kills if kill > entry["time"] - 0.1) < 0.5
    assert len(lost) <= 2 * 64 * len(kills)


@pytest.mark.slow
def test_no_second_sees_more_calls_than_its_part_of_the_minute(
    project: LlmProject, tmp_path: Path
) -> None:
    project.setting("run", workers=64)
    project.setting("llm", requests_per_minute=6000)
    with FaultServer(tmp_path / "log") as server:
        project.ask(server.url)
        assert project.harness("dev-run", "--items=200")[0] == 0
        assert len(server.arrivals) == 800
        # One call every 61/6000 s, and up to a second late: what 60 s never see more than 6000 of.
        assert server.most_within(4.0) <= math.ceil((4.0 + 1.0) * 6000 / 61)
        assert server.arrivals[-1] - server.arrivals[0] > 799 * 61 / 6000 - 1


HOSTILE = "422:\x1b]52;c;aGk\x07[/x]"


@pytest.mark.parametrize("fault", ["401", "404", "400", "429:86400", HOSTILE])
def test_a_permanent_fault_ends_the_run_after_a_few_calls(
    project: LlmProject, tmp_path: Path, fault: str
) -> None:
    with FaultServer(tmp_path / "log", lambda _: [fault] * 9) as server:
        project.ask(server.url)
        code, printed = project.harness("dev-run", "--items=240")
        assert code != 0
        assert "max_permanent_errors" in printed
        assert not set("\x1b\x07") & set(printed)
        assert len(server.arrivals) <= 3 + 16
    assert {row["error_type"] for row in project.rows()} == {"PermanentError"}


def test_a_host_that_is_not_there_ends_the_run(project: LlmProject) -> None:
    project.ask("http://nowhere.invalid/v1")
    code, printed = project.harness("dev-run", "--items=240")
    assert code != 0
    assert "there is no host nowhere.invalid" in printed


def test_a_template_with_an_unknown_field_is_found_before_anything_is_asked(
    project: LlmProject, tmp_path: Path
) -> None:
    with (project.root / "prompts/guide.txt").open("a") as file:
        file.write("{tone}\n")
    with FaultServer(tmp_path / "log") as server:
        project.ask(server.url)
        code, printed = project.harness("dev-run")
        assert code == 2
        assert "prompts/guide.txt has the unknown field {tone}" in printed
        assert not server.arrivals


def test_answers_that_no_parser_understands_are_counted(
    project: LlmProject, tmp_path: Path
) -> None:
    with FaultServer(tmp_path / "log", answer="it depends") as server:
        project.ask(server.url)
        code, printed = project.harness("dev-run")
    assert code == 0, printed
    rows = project.rows()
    assert {row["correct"] for row in rows} == {None}
    assert {row["unparsed"] for row in rows} == {1}
    metrics = project.rows(table="metrics")
    assert {(row["correct"], row["correct_n"]) for row in metrics} == {(0.0, 20)}
    assert {row["correct_of_read_n"] for row in metrics} == {0}


def test_the_key_is_written_nowhere(project: LlmProject, tmp_path: Path) -> None:
    quotes = by_turns(("quote_key",), ("401",), ("quote_coded",))
    with FaultServer(tmp_path / "log", quotes) as server:
        project.ask(server.url)
        project.setting("run", max_permanent_errors=1000, max_errors=0)
        printed = [project.harness("dev-run", "--items=40")[1]]
        assert any("bearer" in entry["prompt"] or entry["answer"] for entry in server.entries())
    printed += [project.harness(command)[1] for command in ("dry-run", "inspect", "report")]
    rows = project.rows()
    assert any("bearer [key]" in (row["raw_response"] or "") for row in rows)
    assert any("bearer [key]" in (row["error"] or "") for row in rows)
    subprocess.run(["git", "add", "--all", "--force", "."], cwd=project.root, check=True)
    project.commit()
    written = {str(path): path.read_bytes() for path in project.root.rglob("*") if path.is_file()}
    assert any(path.endswith(".dev/benchmark.db") for path in written)
    written |= {"printed": "".join(printed).encode(), "git": _all_of_git(project.root)}
    assert b"[key]" in written["git"]  # where files are packed
    coded = base64.b64encode(f"bearer {KEY}".encode())
    for secret in (KEY.encode(), KEY[:11].encode(), coded, coded[12:24]):
        assert not [path for path, content in written.items() if secret in content]


def _all_of_git(root: Path) -> bytes:
    every = ["git", "cat-file", "--batch", "--batch-all-objects"]
    return subprocess.run(every, cwd=root, check=True, capture_output=True).stdout


def _price(project: LlmProject, url: str) -> None:
    """0.001 USD for a token of a question, and nothing for the answer."""
    with (project.root / "prices.toml").open("a") as file:
        file.write(
            f'\n[[price]]\nendpoint = "{url}"\nmodel = "faulty-1"\ninput = 1000.0\noutput = 0.0\n'
            'as_of = "2026-01-01"\nsource = "the test"\n'
        )


@pytest.mark.slow
def test_the_budget_is_not_exceeded_and_the_run_goes_on_when_it_is_raised(
    project: LlmProject, tmp_path: Path
) -> None:
    project.setting("llm", timeout_seconds=60)  # a call that times out counts as paid
    with FaultServer(tmp_path / "log", by_turns((), ("500",))) as server:
        project.ask(server.url)
        _price(project, server.url)
        project.setting("limits", max_cost_usd=9.0)

        def paid() -> float:
            return 0.001 * sum(tokens(prompt) for prompt in server.answers().values())

        code, printed = project.experiment()
        assert code != 0
        assert "could exceed the budget" in printed
        assert 7.0 < paid() <= 9.0
        assert sum(row["cost"] for row in project.rows(RESULTS)) == pytest.approx(paid())

        assert project.experiment()[0] != 0
        assert paid() <= 9.0  # what was spent before counts

        project.setting("limits", max_cost_usd=1000.0)
        code, printed = project.experiment()
        assert code == 0, printed
        assert len(server.answers()) == TASKS


@pytest.mark.slow
def test_a_budget_is_kept_over_runs_where_the_server_counts_no_tokens(
    project: LlmProject, tmp_path: Path
) -> None:
    project.setting("llm", timeout_seconds=60)
    with FaultServer(tmp_path / "log", lambda _: ["uncounted"]) as server:
        project.ask(server.url)
        _price(project, server.url)
        project.setting("limits", max_cost_usd=2.0)
        for _ in range(3):
            assert "could exceed the budget" in project.experiment()[1]
            assert 0.001 * sum(tokens(prompt) for prompt in server.answers().values()) <= 2.0
    rows = project.rows(RESULTS)
    assert {row["cost"] for row in rows} == {None}
    assert 1.8 < sum(row["cost_estimate"] for row in rows) <= 2.0


def test_a_model_without_a_price_further_on_costs_no_answer_that_was_paid_for(
    project: LlmProject, tmp_path: Path
) -> None:
    project.grid(
        '[Params("guide", 0, max_output_tokens=9, model=m) for m in ("faulty-1", "faulty-2")]'
    )
    project.setting("run", workers=64)
    with FaultServer(tmp_path / "log", latency=0.2) as server:
        project.ask(server.url)
        _price(project, server.url)
        project.setting("limits", max_cost_usd=1000.0)
        code, printed = project.harness("dev-run", "--items=40")
        assert code == 2
        assert "what a call costs is not known" in printed
        assert {_answer(row) for row in project.rows()} == set(server.answers())
        assert len(server.answers()) <= 1  # the models take turns
    assert [run["ended_how"] for run in project.rows(table="runs")] == ["error"]


def test_a_budget_without_a_price_is_refused(project: LlmProject, tmp_path: Path) -> None:
    with FaultServer(tmp_path / "log") as server:
        project.ask(server.url)
        project.setting("limits", max_cost_usd=0.2)
        code, printed = project.harness("dev-run")
        assert code == 2
        assert "what a call costs is not known" in printed
        assert not server.arrivals


def test_an_unknown_price_is_null(project: LlmProject, tmp_path: Path) -> None:
    with FaultServer(tmp_path / "log") as server:
        project.ask(server.url)
        assert project.harness("dev-run", "--items=2")[0] == 0
        assert {(row["cost"], row["price_as_of"]) for row in project.rows()} == {(None, None)}
        _price(project, server.url)
        assert "8 of 8 rows have another cost" in project.harness("prices", "dev")[1]
        for row in project.rows():
            assert row["cost"] == pytest.approx(0.001 * row["prompt_tokens"])
        # A model that the environment names now was never tried, and the gate says so.
        project.ask(server.url, "faulty-2")
        assert "model = faulty-2 has not been dev-run" in project.harness("ready")[1]


def test_the_forecast_counts_what_is_new_and_what_it_costs(
    project: LlmProject, tmp_path: Path
) -> None:
    with FaultServer(tmp_path / "log") as server:
        project.ask(server.url)
        _price(project, server.url)
        code, printed = project.harness("dry-run")
        assert code == 0, printed
        assert "all 960 new, 0 cached" in printed
        assert not server.arrivals


def test_changing_a_prompt_asks_only_its_own_questions_again(
    project: LlmProject, tmp_path: Path
) -> None:
    with FaultServer(tmp_path / "log") as server:
        project.ask(server.url)
        assert project.harness("dev-run", "--items=10")[0] == 0
        path = project.root / "prompts/guide.txt"
        path.write_text(path.read_text().replace("one word", "a single word"))
        assert project.harness("dev-run", "--items=10")[0] == 0
    asked = Counter("a single word" in prompt for prompt in server.asked)
    assert asked == {False: 40, True: 20}


@pytest.mark.slow
def test_an_answer_is_never_taken_for_another_servers_or_models(
    project: LlmProject, tmp_path: Path
) -> None:
    assert project.harness("dev-run", "--items=5")[0] == 0  # canned
    with FaultServer(tmp_path / "log") as server:
        for model in ("faulty-1", "faulty-2"):
            project.ask(server.url, model)
            assert project.harness("dev-run", "--items=5")[0] == 0
        assert len(server.arrivals) == 40


@pytest.mark.parametrize(
    "executor",
    ["threads", *(pytest.param(each, marks=pytest.mark.slow) for each in ("processes", "serial"))],
)
def test_canned_answers_say_so_and_need_nothing(project: LlmProject, executor: str) -> None:
    project.setting("run", executor=executor, workers=2)
    code, printed = project.harness("dev-run", "--items=4")
    assert code == 0, printed
    assert "The answers are canned" in printed
    rows = project.rows()
    assert len(rows) == 16
    assert {(row["canned"], row["params_endpoint"], row["cost"]) for row in rows} == {
        (1, "canned", 0.0)
    }


@pytest.mark.slow
def test_wherever_numbers_of_canned_answers_are_shown_it_is_said(project: LlmProject) -> None:
    words = "All 16 answers are canned: a rule gave them and no model was asked"
    assert words in project.harness("dev-run", "--items=4")[1]
    assert words in project.harness("dev-run", "--items=4")[1]  # from the cache: no server starts
    assert words in project.harness("summary", "dev")[1]
    project.harness("report", "dev")
    assert words in (project.root / "results/reports/dev.html").read_text("utf-8")


@pytest.mark.slow
def test_a_better_parser_asks_nothing_again(project: LlmProject, tmp_path: Path) -> None:
    with FaultServer(tmp_path / "log", answer="thumbs up") as server:
        project.ask(server.url)
        assert project.harness("dev-run", "--items=5")[0] == 0
        assert {row["unparsed"] for row in project.rows()} == {1}
        path = project.root / "src/benchmark/metrics.py"
        better = path.read_text().replace(
            '(answer or "")', '(answer or "").replace("thumbs up", "positive")'
        )
        path.write_text(better)
        code, printed = project.harness("dev-run", "--items=5")
        assert code == 0, printed
        assert len(server.arrivals) == 20
        assert {row["unparsed"] for row in project.rows()} == {0}
        path.write_text(better.replace("thumbs up", "thumbs down"))
        assert project.harness("rescore", "dev")[0] == 0
        assert len(server.arrivals) == 20
    assert {row["unparsed"] for row in project.rows()} == {1}
    path.write_text(better)
    assert project.harness("rescore", "dev")[0] == 0  # there is no server any more
    assert {row["unparsed"] for row in project.rows()} == {0}
    assert sum(row["correct"] for row in project.rows()) > 0
