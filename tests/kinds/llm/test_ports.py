"""Other tasks, by editing the person's files alone; the tests that ship still hold."""

import json
from pathlib import Path

import pytest

from tests.kinds.llm.conftest import LlmProject
from tests.kinds.llm.fault_server import FaultServer

DATASET = """
def load():
    return [
        {"id": f"q{n}", "question": f"What is {n} and {n}?", "answer": 2 * n} for n in range(12)
    ]
"""
PARAMS = """
from dataclasses import dataclass
from pathlib import Path

from benchmark.llm.request import Request, files_of


@dataclass(frozen=True, slots=True)
class Params(Request):
    style: str


def files(params: Params) -> list[Path]:
    return files_of(params)


GRID = [Params("plain", max_output_tokens=64)]
"""
PREDICT = """
from typing import Any

from benchmark.llm.client import Client, connect
from benchmark.llm.prices import price_of
from benchmark.params import Params


def load(params: Params) -> Client:
    return connect(params.endpoint)


def ask(item: dict) -> str:
    return "QUESTION"


def predict(item: dict, params: Params, client: Client) -> dict[str, Any]:
    answer = client.ask(params, [{"role": "user", "content": ask(item)}])
    return {"prediction": answer.text, "ground_truth": str(item["answer"]), **answer.columns()}


def estimate(item: dict, params: Params) -> float | None:
    price = price_of(params.endpoint, params.model)
    return price.most(len(ask(item)), params.max_output_tokens) if price else None
"""
CHOICE = '''f"{item['question']}\\nA: {item['answer']} B: 0\\nAnswer with a letter."'''
CHOICE_METRICS = """
from harness import Score

SCORES = {"right": Score("proportion", better="higher")}


def score(row):
    letter = (row["prediction"] or "").strip()[:1]
    return {"right": letter == "A" if letter in ("A", "B") else None}
"""
FIELDS_METRICS = """
import json

from harness import Score

SCORES = {"field_f1": Score("mean", better="higher", low=0, high=1)}
WANTED = {"sum", "unit"}


def score(row):
    try:
        found = json.loads(row["prediction"] or "")
    except ValueError:
        return {"field_f1": None}
    if not isinstance(found, dict):
        return {"field_f1": None}
    hits = len(WANTED & found.keys())
    return {"field_f1": 2 * hits / (len(WANTED) + len(found))}
"""
SAMPLES_METRICS = """
from math import comb

from harness import Score


def pass_at_2(rows):
    found = []
    for _, group in rows.groupby("input_id"):
        n, good = len(group), int(group["right"].sum())
        found.append(1 - comb(n - good, 2) / comb(n, 2))
    return sum(found) / len(found)


SCORES = {"right": Score("proportion", better="higher")}
AGGREGATES = {"pass_at_2": pass_at_2}


def score(row):
    return {"right": "positive" in (row["prediction"] or "")}
"""


def _port(project: LlmProject, metrics: str, question: str, grid: str) -> None:
    source = project.root / "src/benchmark"
    for name, text in {
        "dataset.py": DATASET,
        "params.py": PARAMS,
        "predict.py": PREDICT.replace('"QUESTION"', question),
        "metrics.py": metrics,
    }.items():
        (source / name).write_text(text, encoding="utf-8")
    (project.root / "PLAN.toml").write_text('questions = ["Is it right?"]\n', encoding="utf-8")
    project.grid(grid)
    project.commit()
    code, printed = project.harness("test")
    assert code == 0, printed


def _dev_run(project: LlmProject, tmp_path: Path, *faults: str) -> FaultServer:
    with FaultServer(tmp_path / "log", lambda _: faults) as server:
        project.ask(server.url)
        code, printed = project.harness("dev-run", "--items=12")
        assert code == 0, printed
    return server


@pytest.mark.slow
def test_multiple_choice(project: LlmProject, tmp_path: Path) -> None:
    _port(project, CHOICE_METRICS, CHOICE, '[Params("plain", max_output_tokens=4)]')
    _dev_run(project, tmp_path, "say:A")
    assert {row["right"] for row in project.rows()} == {1}


@pytest.mark.slow
def test_a_json_schema_with_the_f1_of_its_fields(project: LlmProject, tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"sum": {"type": "number"}}}
    (project.root / "prompts/sum.json").write_text(json.dumps(schema), encoding="utf-8")
    grid = '[Params("plain", schema="sum", max_output_tokens=64)]'
    _port(project, FIELDS_METRICS, 'item["question"]', grid)
    _dev_run(project, tmp_path, 'say:{"sum": 2}')
    rows = project.rows()
    assert {round(row["field_f1"], 3) for row in rows} == {0.667}
    sent = json.loads(rows[0]["request"])["response_format"]
    assert sent["json_schema"]["schema"] == schema


@pytest.mark.slow
def test_samples_at_a_temperature(project: LlmProject, tmp_path: Path) -> None:
    grid = '[Params("plain", temperature=0.8, max_output_tokens=64)]'
    _port(project, SAMPLES_METRICS, 'item["question"]', grid)
    project.setting("run", repeats=4)
    with FaultServer(tmp_path / "log", lambda _: ("say:no", "ok", "say:no")) as server:
        project.ask(server.url)
        code, printed = project.experiment()
    assert code == 0, printed
    rows = project.rows("results/benchmark.db")
    assert len(rows) == 48
    assert {json.loads(row["request"])["temperature"] for row in rows} == {0.8}
    assert sum(row["right"] for row in rows) == 24
    [metrics] = project.rows("results/benchmark.db", "metrics")
    assert metrics["pass_at_2"] == pytest.approx(5 / 6)
