"""A model judges what another one answered: each answer once, at an endpoint of its own."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.kinds.llm.asking import ask
from tests.kinds.llm.conftest import LlmProject
from tests.kinds.llm.fault_server import FaultServer

JUDGE = """
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.llm.client import Client, connect
from benchmark.llm.request import Request
from benchmark.llm.verdict import on_scale

READS = ("input_id", "text", "prediction")
RUBRICS = Path(__file__).parents[2] / "rubrics"


@dataclass(frozen=True, slots=True)
class Params(Request):
    rubric: str


GRID = [Params("helpful", endpoint="judge", max_output_tokens=99)]


def files(params: Params) -> list[Path]:
    return [RUBRICS / f"{params.rubric}.txt"]


def load(params: Params) -> Client:
    return connect(params.endpoint)


def judge(answer: dict, params: Params, client: Client) -> dict[str, Any]:
    rubric = (RUBRICS / f"{params.rubric}.txt").read_text(encoding="utf-8")
    reply = client.ask(params, [{"role": "user", "content": rubric.format_map(answer)}])
    return {"verdict": on_scale(reply, 1, 5), **reply.columns()}
"""
METRICS = """
from harness import Score

SCORES = {"rating": Score("mean", better="higher", low=1, high=5)}


def score(row):
    verdicts = [each["verdict"] for each in row["judgements"]]
    return {"rating": sum(verdicts) / len(verdicts) if verdicts else None}
"""
RUBRIC = "Rate from 1 to 5 how helpful this is.\n{text}\nAnswer: {prediction}\n"


def _faults(prompt: str) -> list[str]:
    """Every third judgement is off the scale at first, every other meets a refusal."""
    third = len(prompt) % 3 == 0
    return ["429", "say:9" if third else "say:a clear 4", "say:I say 4"]


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ("4", 4.0),
        ("Between 1 and 5: 3", 3.0),
        ("2.5", 2.5),
        ("I would say 4/5.", 4.0),
        ("**Rating:** 3 out of 5", 3.0),
        ("5/5", 5.0),
        ("4.0 / 5.0", 4.0),
        ("2 (on a scale of 1-5)", 2.0),
        ("It has 3 flaws.\nRating: 2", 2.0),
        ("Rating: 4\nBecause it is clear.", 4.0),
    ],
)
def test_a_verdict_is_the_number_of_the_last_line_that_has_one(
    kind: Any, tmp_path: Path, said: str, verdict: float
) -> None:
    assert kind.verdict.on_scale(ask(kind, tmp_path, f"say:{said}"), 1, 5) == verdict


@pytest.mark.parametrize("said", ["", "none", "6", "-1", "great", "4. It has 3 flaws", "1 to 5"])
def test_a_verdict_off_the_scale_is_an_error_that_keeps_its_cost(
    kind: Any, tmp_path: Path, said: str
) -> None:
    answer = ask(kind, tmp_path, f"say:{said}")
    with pytest.raises(ValueError, match="not a number from 1 to 5") as caught:
        kind.verdict.on_scale(answer, 1, 5)
    assert caught.value.columns["total_tokens"] == 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("said", "choice"),
    [("Reasons…\nYes.", "yes"), ("no", "no"), ("yes or no", None), ("yesterday", None)],
)
def test_a_choice_is_the_one_that_the_last_line_names(
    kind: Any, tmp_path: Path, said: str, choice: str | None
) -> None:
    answer = ask(kind, tmp_path, f"say:{said}")
    if choice is not None:
        assert kind.verdict.one_of(answer, ("yes", "no")) == choice
        return
    with pytest.raises(ValueError, match="not one of yes, no"):
        kind.verdict.one_of(answer, ("yes", "no"))


def test_a_choice_that_is_part_of_another_one_is_not_named_by_it(kind: Any, tmp_path: Path) -> None:
    answer = ask(kind, tmp_path, "say:It is not helpful.")
    assert kind.verdict.one_of(answer, ("helpful", "not helpful")) == "not helpful"


@pytest.mark.slow
def test_a_judge_is_asked_again_where_it_failed_and_the_candidate_never(
    project: LlmProject, tmp_path: Path
) -> None:
    (project.root / "src/benchmark/judge.py").write_text(JUDGE, encoding="utf-8")
    (project.root / "src/benchmark/metrics.py").write_text(METRICS, encoding="utf-8")
    rubric = project.root / "rubrics/helpful.txt"
    rubric.parent.mkdir()
    rubric.write_text(RUBRIC, encoding="utf-8")
    project.grid('[Params("guide", 0, max_output_tokens=9)]')
    judge = FaultServer(tmp_path / "judge", _faults)
    with FaultServer(tmp_path / "log") as server, judge:
        project.ask(server.url)
        project.endpoint("judge", judge.url, api_key_env="JUDGE_KEY", model="j")
        code, printed = project.experiment()
        assert code == 1
        assert "judgements failed" in printed
        assert "the judge answered '9', which is not a number from 1 to 5" in printed
        failed = sum(len(prompt) % 3 == 0 for prompt in judge.asked)
        assert 0 < failed < 240
        code, printed = project.experiment()
        assert code == 0, printed
        assert set(server.asked.values()) == {1}
        assert Counter(judge.asked.values()) == {2: 240 - failed, 3: failed}
    rows = project.rows("results/benchmark.db")
    assert {row["rating"] for row in rows} == {4.0}
    judgements = project.rows("results/benchmark.db", "judgements")
    assert len(judgements) == 240
    assert {row["rate_limited"] for row in judgements} == {0, 1}
