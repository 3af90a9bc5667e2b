"""A key reaches the endpoint that it was declared for, and nothing that is kept."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness import PermanentError
from tests.kinds.llm.asking import ask, asked, client_for
from tests.kinds.llm.conftest import KEY, LlmProject
from tests.kinds.llm.fault_server import FaultServer

APIS = pytest.mark.parametrize("api", ["chat", "responses", "completions", "anthropic"])


@APIS
def test_a_key_that_comes_back_in_pieces_is_taken_out(
    kind: Any, tmp_path: Path, api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = ask(kind, tmp_path, f"say:you sent {KEY}, did you?", api=api, stream=True)
    assert answer.text == "you sent [key], did you?"
    kept = answer.body + repr(answer.said)
    pieces = [kept[at : at + 8] for at in range(len(kept))]
    assert not {KEY[at : at + 8] for at in range(len(KEY) - 7)} & set(pieces)
    words = "".join(
        str(each) for each in _strings([json.loads(x) for x in answer.body.split("\n")])
    )
    assert KEY[:8] not in words


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for each in inside for text in _strings(each)]


@pytest.mark.parametrize("form", ["reversed", "hex", "part"])
@pytest.mark.parametrize("key", [KEY, "k3y-98x_Qz"])
def test_a_key_is_known_backwards_in_hex_and_by_a_part_when_short(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, key: str
) -> None:
    if form == "part" and key == KEY:
        key = "short-key-of-16b"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    assert ask(kind, tmp_path, f"quote_form:{form}").text == "<[key]>"


def test_a_key_in_the_escapes_of_json_is_taken_out(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = 'quo"te\\key/1234'
    monkeypatch.setenv("OPENAI_API_KEY", key)
    answer = ask(kind, tmp_path, f"say:{key}")
    assert answer.text == "[key]"
    assert json.dumps(key)[1:-1] not in answer.body


def test_the_value_of_a_secret_header_is_as_secret_as_a_key(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENANT", "tenant-0123456789")
    with FaultServer(tmp_path / "log", lambda _: ["say:tenant-0123456789"]) as server:
        client = client_for(kind, server.url, headers=(("X-Tenant", "$TENANT"),))
        assert asked(kind, client).text == "[key]"
        assert server.headers[0]["x-tenant"] == "tenant-0123456789"


def test_a_server_that_sends_us_elsewhere_is_not_followed(kind: Any, tmp_path: Path) -> None:
    with FaultServer(tmp_path / "elsewhere") as elsewhere:
        there = f"{elsewhere.url}/chat/completions"
        with FaultServer(tmp_path / "log", lambda _: [f"307:{there}"]) as server:
            client = client_for(kind, server.url)
            with pytest.raises(PermanentError, match="declare that address"):
                asked(kind, client)
        assert not elsewhere.arrivals


def test_the_organisation_of_openai_is_told_to_nobody_else(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-ours")
    with FaultServer(tmp_path / "log") as server:
        asked(kind, client_for(kind, server.url))
        assert "openai-organization" not in server.headers[0]


@pytest.mark.parametrize(
    ("section", "environment", "key"),
    [
        ({"base_url": "https://ours/v1", "model": "m", "api_key_env": "OUR_KEY"}, {}, "OUR_KEY"),
        # The address of the environment takes the place of that in the file: our key is not for it.
        (
            {"base_url": "https://ours/v1", "model": "m", "api_key_env": "OUR_KEY"},
            {"OPENAI_BASE_URL": "https://theirs/v1"},
            "OPENAI_API_KEY",
        ),
        (
            {"model": "m", "api_key_env": "OUR_KEY"},
            {"OPENAI_BASE_URL": "https://theirs/v1"},
            "OUR_KEY",
        ),
    ],
)
def test_the_key_of_the_file_is_for_the_address_in_the_file(
    kind: Any, section: dict[str, Any], environment: dict[str, str], key: str
) -> None:
    assert kind.endpoint.configured(section, environment).key_variable == key


def test_two_endpoints_in_one_grid_get_each_its_own_key(
    project: LlmProject, tmp_path: Path
) -> None:
    with FaultServer(tmp_path / "one") as one, FaultServer(tmp_path / "two") as two:
        project.endpoint("first", one.url, api_key_env="FIRST_KEY", model="m-1")
        project.endpoint("second", two.url, api_key_env="SECOND_KEY", api="anthropic", model="m-2")
        project.environment |= {"FIRST_KEY": "key-of-the-first", "SECOND_KEY": "key-of-second"}
        project.environment["OPENAI_API_KEY"] = KEY
        project.grid(
            '[Params("guide", 0, endpoint=name, max_output_tokens=9) for name in '
            '("first", "second")]'
        )
        code, printed = project.harness("dev-run", "--items=6")
        assert code == 0, printed
        assert {h.get("authorization") for h in one.headers} == {"Bearer key-of-the-first"}
        assert {h.get("x-api-key") for h in two.headers} == {"key-of-second"}
        assert {h.get("authorization") for h in two.headers} == {None}
        assert (len(one.arrivals), len(two.arrivals)) == (6, 6)
        assert "no key holds" not in printed
        # Interleaved: neither waits for the other to be done.
        assert min(two.arrivals) < max(one.arrivals)
        assert min(one.arrivals) < max(two.arrivals)
    rows = project.rows()
    assert {
        (row["params_endpoint"], row["params_model"], row["params_server"]) for row in rows
    } == {
        ("first", "m-1", one.url),
        ("second", "m-2", two.url),
    }


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("nobody", "no endpoint is called 'nobody' (there are: canned)"),
        ("https://me:hunter22@host/v1", "an address that benchmark.toml does not declare"),
    ],
)
def test_an_endpoint_that_is_not_declared_is_one_sentence(
    project: LlmProject, endpoint: str, words: str
) -> None:
    project.grid(f'[Params("guide", 0, endpoint="{endpoint}", model="m")]')
    code, printed = project.harness("dry-run")
    assert code == 2
    assert words in printed
    assert "hunter22" not in printed


def test_the_key_that_is_missing_is_named_with_its_endpoint(
    project: LlmProject, tmp_path: Path
) -> None:
    with FaultServer(tmp_path / "log", lambda _: ["401"] * 9) as server:
        project.endpoint("first", server.url, api_key_env="FIRST_KEY", model="m")
        project.grid('[Params("guide", 0, endpoint="first")]')
        code, printed = project.harness("dev-run", "--items=4")
    assert code != 0
    assert "FIRST_KEY, which is for [llm.endpoints.first]" in printed
