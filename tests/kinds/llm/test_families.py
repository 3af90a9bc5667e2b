"""Every family of servers: its words for a request, its answers, and its ways of giving none."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness import PermanentError
from harness.errors import HarnessError
from tests.kinds.llm.asking import QUESTION, ask, asked, client_for
from tests.kinds.llm.fault_server import FaultServer

APIS = ("chat", "responses", "completions", "anthropic")
ALL = pytest.mark.parametrize("api", APIS)
STREAMS = pytest.mark.parametrize("stream", [False, True])


@ALL
@STREAMS
def test_the_same_question_gets_the_same_answer(
    kind: Any, tmp_path: Path, api: str, stream: bool
) -> None:
    answer = ask(kind, tmp_path, api=api, stream=stream)
    assert (answer.text, answer.said.usage.prompt, answer.said.usage.completion) == (
        "positive", 1, 2
    )  # fmt: skip
    assert (answer.time_to_first_token is not None) == stream
    assert answer.said.model == "faulty-1"


@pytest.mark.parametrize("api", ["chat", "responses", "anthropic"])
@STREAMS
def test_what_was_cached_and_what_was_thought_is_counted(
    kind: Any, tmp_path: Path, api: str, stream: bool
) -> None:
    usage = ask(kind, tmp_path, "counted:1,7", api=api, stream=stream).said.usage
    assert (usage.prompt, usage.cached, usage.completion) == (1, 1, 9)
    assert usage.reasoning == (None if api == "anthropic" else 7)


@pytest.mark.parametrize("api", ["chat", "responses", "anthropic"])
@STREAMS
def test_a_call_of_a_tool_is_part_of_the_turn(
    kind: Any, tmp_path: Path, api: str, stream: bool
) -> None:
    said = ask(kind, tmp_path, 'call:look_up:{"word": "ok"}', api=api, stream=stream).said
    assert said.turn_has_calls
    assert "look_up" in json.dumps(said.turn)
    assert '"word": "ok"' in json.dumps(said.turn).replace('\\"', '"')


@ALL
def test_what_is_unset_is_not_sent(kind: Any, tmp_path: Path, api: str) -> None:
    sent = json.loads(ask(kind, tmp_path, api=api).request)
    assert not sent.keys() & {"temperature", "seed", "top_p", "stop", "max_completion_tokens"}


@pytest.mark.parametrize(
    ("api", "model", "word"),
    [
        ("chat", "llama-3", "max_tokens"),
        ("chat", "gpt-5-mini", "max_completion_tokens"),
        ("chat", "openai/o3", "max_completion_tokens"),
        ("responses", "gpt-5", "max_output_tokens"),
        ("completions", "gemma", "max_tokens"),
        ("anthropic", "claude", "max_tokens"),
    ],
)
def test_the_longest_answer_has_the_name_that_the_api_knows(
    kind: Any, api: str, model: str, word: str
) -> None:
    endpoint = kind.endpoint.Endpoint("one", "http://one/v1", api=api)
    kind.endpoint.ENDPOINTS["one"] = endpoint
    request = kind.request.Request(endpoint="one", model=model, max_output_tokens=99)
    assert kind.request.body_of(request, QUESTION)[word] == 99


def test_settings_go_into_the_body_in_the_words_of_the_api(kind: Any) -> None:
    kind.endpoint.ENDPOINTS["two"] = kind.endpoint.Endpoint("two", "http://two/v1", "m")
    make = kind.request.Request
    body = kind.request.body_of(
        make(endpoint="two", temperature=0.8, stop="\n", seed=5, extra='{"top_k": 40}'),
        QUESTION,
        repeat=2,
    )
    assert (body["temperature"], body["stop"], body["seed"], body["top_k"]) == (0.8, ["\n"], 7, 40)
    chat = make(endpoint="two", reasoning_effort="low")
    assert kind.request.body_of(chat, QUESTION)["reasoning_effort"] == "low"
    responses = make(endpoint="two", api="responses", reasoning_effort="low")
    assert kind.request.body_of(responses, QUESTION)["reasoning"] == {"effort": "low"}
    system = [{"role": "system", "content": "Be short."}, *QUESTION]
    claude = make(endpoint="two", api="anthropic", max_output_tokens=9, stop="END")
    body = kind.request.body_of(claude, system)
    assert (body["system"], body["messages"]) == ("Be short.", QUESTION)
    assert body["stop_sequences"] == ["END"]


def test_effort_and_schema_stand_in_one_object_at_anthropic(kind: Any) -> None:
    kind.endpoint.ENDPOINTS["two"] = kind.endpoint.Endpoint("two", "http://two/v1", "m")
    schema = kind.request.file_of("one")
    schema.write_text('{"type": "object"}', encoding="utf-8")
    claude = kind.request.Request(
        endpoint="two", api="anthropic", max_output_tokens=9, reasoning_effort="low", schema="one"
    )
    assert kind.request.body_of(claude, QUESTION)["output_config"] == {
        "effort": "low",
        "format": {"type": "json_schema", "schema": {"type": "object"}},
    }


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("gpt-5-chat-latest", {"temperature": 0.3}),
        ("gpt-5.2", {"temperature": 0.0}),
        ("gpt-6-luna", {"temperature": 0.0, "reasoning_effort": "none"}),
        ("claude-sonnet-4-5", {"top_p": 0.9}),
        ("claude-opus-4-6", {"temperature": 0.5, "reasoning_effort": "low"}),
    ],
)
def test_what_depends_on_another_setting_is_refused_only_with_it(
    kind: Any, model: str, settings: dict[str, Any]
) -> None:
    kind.endpoint.ENDPOINTS["three"] = kind.endpoint.Endpoint("three", "http://three/v1")
    assert kind.request.Request(endpoint="three", model=model, **settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model": "gpt-5", "temperature": 0.0}, r"gpt-5 takes no temperature \(models.toml"),
        ({"model": "gpt-6-luna", "temperature": 0.0}, "while it reasons; where .* is none, it may"),
        ({"model": "gpt-5.1", "top_p": 0.5, "reasoning_effort": "low"}, "is none or unset, it may"),
        ({"model": "claude-sonnet-5", "temperature": 0.0}, "claude-sonnet-5 takes no temperature"),
        ({"model": "gpt-6-astra", "top_p": 0.5, "reasoning_effort": "none"}, "takes no top_p"),
        ({"model": "claude-haiku-4-5", "temperature": 0.0, "top_p": 0.9}, "beside top_p"),
        ({"model": "m", "api": "responses", "seed": 1}, "the API responses has no seed"),
        ({"model": "m", "api": "anthropic"}, "needs a longest answer"),
        ({"model": "m", "api": "chatty"}, "api='chatty'"),
        ({"model": "m", "extra": "[1]"}, "no JSON object"),
        ({"model": ""}, "names no model"),
        ({"model": "m", "endpoint": "nobody"}, "no endpoint is called 'nobody'"),
        ({"model": "m", "endpoint": "https://me:hidden@h/v1"}, "does not declare"),
    ],
)
def test_what_cannot_be_sent_is_said_before_anything_is(
    kind: Any, settings: dict[str, Any], words: str
) -> None:
    kind.endpoint.ENDPOINTS["three"] = kind.endpoint.Endpoint("three", "http://three/v1")
    with pytest.raises(HarnessError, match=words) as refused:
        kind.request.Request(**{"endpoint": "three"} | settings)
    assert "hidden" not in refused.value.message
    assert refused.value.fix


def test_a_wrong_guess_costs_one_call_and_names_the_setting(kind: Any, tmp_path: Path) -> None:
    with FaultServer(tmp_path / "log", refuses=["temperature"]) as server:
        client = client_for(kind, server.url)
        for _ in range(9):
            with pytest.raises(PermanentError, match="faulty-1 does not take temperature: leave"):
                asked(kind, client, temperature=0.5)
        assert len(server.arrivals) == 1
        assert asked(kind, client).text == "positive"


@pytest.mark.parametrize(
    ("said", "setting"),
    [
        ("`temperature` is deprecated for this model.", "temperature"),
        ("Unrecognized request argument supplied: seed", "seed"),
        ("seed: Extra inputs are not permitted", "seed"),
        ('Invalid JSON payload received. Unknown name "seed": Cannot find field.', "seed"),
        ("property 'top_p' is unsupported", "top_p"),
        ({"code": "unsupported_value", "param": "reasoning.effort",
          "message": "Unsupported value: 'minimal' is not supported with the 'm' model."},
         "this reasoning_effort: give another value"),
        ("`temperature` and `top_p` cannot both be specified for this model.", ""),
    ],
)  # fmt: skip
def test_a_refusal_names_the_setting_in_every_dialect(
    kind: Any, said: str | dict[str, str], setting: str
) -> None:
    error = said if isinstance(said, dict) else {"message": said}
    endpoint = kind.endpoint.Endpoint("four", "http://four/v1")
    body = {"error": error}
    fault = kind.faults.of_status(400, body, {}, f"400: {error['message']}", endpoint, "m")
    assert isinstance(fault, PermanentError)
    assert f"m does not take {setting}" in str(fault) or not setting


def test_a_value_that_is_refused_leaves_other_settings_alone(kind: Any, tmp_path: Path) -> None:
    words = "400:unsupported_value Unsupported value: 'temperature' does not support 0.5"
    with FaultServer(tmp_path / "log", lambda _: [words]) as server:
        client = client_for(kind, server.url)
        for _ in range(3):
            with pytest.raises(PermanentError, match="does not take this temperature"):
                asked(kind, client, temperature=0.5)
        assert len(server.arrivals) == 1
        calm = asked(kind, client, temperature=0.5, reasoning_effort="none")
        assert calm.text == "positive"


def test_a_server_that_refuses_stream_options_is_asked_without(kind: Any, tmp_path: Path) -> None:
    with FaultServer(tmp_path / "log", refuses=["stream_options"]) as server:
        client = client_for(kind, server.url)
        assert [asked(kind, client, stream=True).text for _ in range(3)] == ["positive"] * 3
        assert len(server.arrivals) == 4


def test_a_stream_that_says_why_it_stops_is_whole_without_done(kind: Any, tmp_path: Path) -> None:
    assert ask(kind, tmp_path, "no_done", stream=True).text == "positive"


@STREAMS
def test_an_error_inside_a_200_is_a_fault_of_the_server(
    kind: Any, tmp_path: Path, stream: bool
) -> None:
    with pytest.raises(ConnectionError, match='finish_reason is "error"'):
        ask(kind, tmp_path, "finish_error", stream=stream)


def test_two_answers_to_one_question_are_none(kind: Any, tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=r"several answers to one question; .*repeats"):
        ask(kind, tmp_path, "two", extra='{"n": 2}')


@pytest.mark.parametrize("api", ["chat", "responses", "anthropic"])
def test_an_answer_that_reasoning_used_up_says_what_to_raise(
    kind: Any, tmp_path: Path, api: str
) -> None:
    row = ask(kind, tmp_path, "cut", api=api).columns()
    assert row["error_type"] == "AnswerCutShort"
    assert "raise max_output_tokens" in row["error"]
    assert row["completion_tokens"] == 16


@pytest.mark.parametrize(
    ("said", "text", "reasoning"),
    [
        ("<think>Is it good?</think>\n\npositive", "positive", "Is it good?"),
        ("Is it good?\n</think>\n\npositive", "positive", "Is it good?"),  # begun by the prompt
        ("<think>Is it positive or", "", "Is it positive or"),  # cut by the longest answer
        ("positive", "positive", None),
    ],
)
def test_what_a_local_model_thought_aloud_is_not_what_it_says(
    kind: Any, tmp_path: Path, said: str, text: str, reasoning: str | None
) -> None:
    answer = ask(kind, tmp_path, f"say:{said}")
    assert (answer.text, answer.columns()["reasoning"]) == (text, reasoning)


def test_what_a_model_says_on_its_way_is_not_its_answer(kind: Any) -> None:
    def message(phase: str, text: str) -> dict[str, Any]:
        return {
            "type": "message", "role": "assistant", "phase": phase,
            "content": [{"type": "output_text", "text": text}],
        }  # fmt: skip

    way, answer = message("commentary", "Let me look."), message("final_answer", "positive")
    for output, text in (([way, answer], "positive"), ([way], "Let me look.")):
        said = kind.answer.read("responses", [{"output": output, "status": "completed"}])
        assert said.text == text
        assert said.turn == output  # the next turn has all of it


def test_azure_gets_its_header_its_query_and_no_bearer(kind: Any, tmp_path: Path) -> None:
    with FaultServer(tmp_path / "log") as server:
        client = client_for(
            kind, server.url, key_header="api-key", query=(("api-version", "2026-01-01"),)
        )
        asked(kind, client)
        assert "api-version=2026-01-01" in client.endpoint.server
        assert server.headers[0]["api-key"].startswith("sk-marker")
        assert "authorization" not in server.headers[0]
        assert server.paths == ["/v1/chat/completions?api-version=2026-01-01"]
