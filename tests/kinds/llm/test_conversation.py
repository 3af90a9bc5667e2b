"""Several turns with tools and images are one datapoint, and no turn of it is paid for twice."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.run.attempt import attempt_number
from tests.kinds.llm.asking import client_for
from tests.kinds.llm.conftest import LlmProject
from tests.kinds.llm.fault_server import FaultServer

APIS = pytest.mark.parametrize("api", ["chat", "responses", "anthropic"])
CALL = 'call:rating:{"word": "fine"}'


def _conversation(kind: Any, url: str, api: str = "chat", **settings: Any) -> Any:
    client = client_for(kind, url, api=api)
    settings = {"max_output_tokens": 99} | settings
    request = kind.request.Request(endpoint=client.endpoint.name, **settings)
    return kind.conversation.Conversation(client, request, system="Be short.")


@APIS
@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_is_called_and_its_result_is_answered(
    kind: Any, tmp_path: Path, api: str, stream: bool
) -> None:
    asked = []

    def rating(word: str) -> dict[str, float]:
        asked.append(word)
        return {"rating": 1.5}

    with FaultServer(tmp_path / "log", lambda _: [CALL]) as server:
        talk = _conversation(kind, server.url, api, stream=stream)
        talk.say("How good is fine?")
        answer = talk.use_tools({"rating": rating})
        assert len(server.arrivals) == 2
    assert (asked, answer.text) == (["fine"], "positive")
    row = talk.columns()
    assert (row["turns"], row["total_tokens"]) == (2, 2 * (len("How good is fine?") // 4 + 2))
    first, second = json.loads(row["calls"])
    assert row["latency"] == pytest.approx(first["latency"] + second["latency"])
    assert "1.5" in second["request"]
    assert "call-1" in second["request"]


@pytest.mark.parametrize(
    ("tools", "words"),
    [({}, "there is no tool rating"), ({"rating": lambda: 1}, "error: TypeError")],
)
def test_a_tool_that_fails_is_answered_with_its_error(
    kind: Any, tmp_path: Path, tools: Any, words: str
) -> None:
    with FaultServer(tmp_path / "log", lambda _: [CALL]) as server:
        talk = _conversation(kind, server.url)
        talk.say("How good is fine?")
        assert talk.use_tools(tools).text == "positive"
    assert words in json.loads(talk.columns()["calls"])[1]["request"]


def test_a_model_that_never_stops_calling_is_stopped(kind: Any, tmp_path: Path) -> None:
    with FaultServer(tmp_path / "log", lambda _: [CALL] * 99) as server:
        talk = _conversation(kind, server.url)
        talk.say("How good is fine?")
        assert talk.use_tools({"rating": lambda word: 1}, most=3).said.turn_has_calls
        assert len(server.arrivals) == 4


@APIS
def test_an_image_goes_along_as_the_api_takes_it(kind: Any, tmp_path: Path, api: str) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG")
    content = kind.conversation._content(api, "What is it?", (picture,))
    assert "iVBORw==" in json.dumps(content[0])
    assert content[1]["text"] == "What is it?"


def test_a_person_reads_who_said_what(kind: Any, tmp_path: Path) -> None:
    with FaultServer(tmp_path / "log", lambda prompt: [f"say:{prompt.upper()}"]) as server:
        talk = _conversation(kind, server.url)
        talk.say("one")
        talk.say("two")
    assert talk.columns()["transcript"] == (
        "system: Be short.\n\nuser: one\n\nassistant: ONE\n\nuser: two\n\nassistant: TWO"
    )


def test_a_retry_goes_on_where_the_conversation_broke(kind: Any, tmp_path: Path) -> None:
    script = {"two": ["500"], "three": ["drop"]}
    with FaultServer(tmp_path / "log", lambda prompt: script.get(prompt, ())) as server:
        paid = []
        for attempt in (1, 2, 3):
            attempt_number.set(attempt)
            talk = _conversation(kind, server.url)
            try:
                for words in ("one", "two", "three"):
                    talk.say(words)
                break
            except ConnectionError as error:
                paid.append(error.columns["turns"])  # type: ignore[attr-defined]
        assert paid == [1, 2]
        assert server.asked == {"one": 1, "two": 2, "three": 2}
        assert talk.columns()["turns"] == 3
        # The first attempt of another datapoint begins anew.
        attempt_number.set(1)
        _conversation(kind, server.url).say("one")
        assert server.asked["one"] == 2


PREDICT = """
from typing import Any

from benchmark.llm.client import Client, connect
from benchmark.llm.conversation import Conversation
from benchmark.params import Params


def load(params: Params) -> Client:
    return connect(params.endpoint)


def predict(item: dict, params: Params, client: Client) -> dict[str, Any]:
    talk = Conversation(client, params, system="You sort sentences.")
    talk.say(f"Look up what you need for: {item['text']}")
    talk.use_tools({"rating": lambda word: len(word)})
    answer = talk.say(f"So is it positive, negative or neutral? {item['id']}")
    return {"prediction": answer.text, "ground_truth": item["label"], **talk.columns()}
"""


def _faults(prompt: str) -> list[str]:
    """The first question calls a tool; every other datapoint breaks at its last turn."""
    if prompt.startswith("Look up"):
        return [CALL]
    return ["500", "drop"] if int(prompt.rpartition("-")[2]) % 2 else []


def test_three_turns_with_a_tool_are_one_row(project: LlmProject, tmp_path: Path) -> None:
    (project.root / "src/benchmark/predict.py").write_text(PREDICT, encoding="utf-8")
    project.grid('[Params("guide", 0, max_output_tokens=99)]')
    with FaultServer(tmp_path / "log", _faults) as server:
        project.ask(server.url)
        code, printed = project.harness("dev-run", "--items=12")
        assert code == 0, printed
        first = {prompt: n for prompt, n in server.asked.items() if prompt.startswith("Look up")}
        assert set(first.values()) == {2}  # the question and the tool's result, once each
    rows = project.rows()
    assert len(rows) == 12
    assert {row["turns"] for row in rows} == {3}
    assert {row["attempts"] for row in rows} == {1, 3}
    code, printed = project.harness("sql", "--file=sql/calls.sql", "--phase=dev", "--format=csv")
    assert code == 0, printed
    assert printed.count(",tool_calls,") == 12
