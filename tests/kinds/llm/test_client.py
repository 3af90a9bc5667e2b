"""What the client makes of each fault that a server can have."""

import base64
import json
import shutil
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from harness import PermanentError, TransientError
from harness.errors import HarnessError
from harness.project.kind import load_kind
from tests.kinds.llm.asking import QUESTION, ask, asked, client_for
from tests.kinds.llm.conftest import KEY
from tests.kinds.llm.fault_server import FaultServer


def test_an_answer_comes_with_all_that_is_known_of_it(kind: Any, tmp_path: Path) -> None:
    answer = ask(kind, tmp_path)
    row = answer.columns()
    assert (answer.text, row["finish_reason"], row["model_reported"]) == (
        "positive", "stop", "faulty-1"
    )  # fmt: skip
    assert (row["prompt_tokens"], row["completion_tokens"], row["total_tokens"]) == (1, 2, 3)
    assert json.loads(answer.request) == {"model": "faulty-1", "messages": QUESTION}
    assert json.loads(answer.body)["id"].startswith("answer-")


def test_a_stream_gives_the_same_and_the_time_of_its_first_word(kind: Any, tmp_path: Path) -> None:
    answer = ask(kind, tmp_path, stream=True)
    assert (answer.text, answer.said.finish_reason) == ("positive", "stop")
    assert answer.said.usage.total == 3
    assert 0 < answer.time_to_first_token <= answer.latency
    assert len(answer.body.split("\n")) == 3


def test_an_answer_may_hold_what_some_take_for_the_end_of_a_line(kind: Any, tmp_path: Path) -> None:
    answer = ask(kind, tmp_path, "say:one\u2028two\u0085three", stream=True)
    assert answer.text == "one\u2028two\u0085three"
    assert len(answer.body.split("\n")) == 3


def test_a_stream_that_the_server_breaks_off_is_no_answer(kind: Any, tmp_path: Path) -> None:
    with pytest.raises(ConnectionError, match=r"the server broke off: .*out of memory"):
        ask(kind, tmp_path, "broken_off", stream=True)


@pytest.mark.parametrize("fault", ["uncounted", "counted_in_words"])
def test_tokens_that_the_server_does_not_count_are_not_known(
    kind: Any, tmp_path: Path, fault: str
) -> None:
    answer = ask(kind, tmp_path, fault)
    assert answer.text == "positive"
    assert (answer.said.usage.prompt, answer.said.usage.total) == (None, None)


def test_an_answer_in_parts_is_put_together(kind: Any, tmp_path: Path) -> None:
    assert ask(kind, tmp_path, "in_parts").text == "positive"


def _seconds_from_now(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": format_datetime(_seconds_from_now(3000), usegmt=True)}, 3000.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"x-ratelimit-reset-requests": "1s"}, 1.0),
        ({"x-ratelimit-reset-tokens": "6m0s"}, 360.0),
        ({"x-ratelimit-reset-requests": "120ms", "x-ratelimit-remaining-requests": "0",
          "x-ratelimit-reset-tokens": "5m", "x-ratelimit-remaining-tokens": "9"}, 0.12),
        ({"x-ratelimit-reset": str(int(1000 * _seconds_from_now(3000).timestamp()))}, 3000.0),
        ({"anthropic-ratelimit-requests-reset": _seconds_from_now(3000).isoformat()}, 3000.0),
        ({"ratelimit-reset": "7"}, 7.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_a_wait_is_read_in_every_dialect(
    kind: Any, headers: dict[str, str], seconds: float | None
) -> None:
    wait = kind.waits.asked_wait(headers, None)
    # The dates among them were written when the tests were collected, up to 40 minutes ago.
    late = 2400 if seconds == 3000.0 else 0
    assert wait == (
        seconds if seconds is None else pytest.approx(seconds - late / 2, abs=60 + late / 2)
    )
    if seconds is not None and seconds < 60:
        assert wait == seconds


def test_the_wait_that_google_asks_for_stands_in_the_body(kind: Any) -> None:
    details = [{"@type": "x"}, {"@type": "y", "retryDelay": "34.07s"}]
    body = [{"error": {"code": 429, "details": details}}]
    assert kind.waits.asked_wait({}, body) == 34.07


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "fault",
    ["429", "429:0.05", "503:0.05", "529:0.05", "529", "429:retry-after-ms=50",
     "429:x-ratelimit-reset-requests=50ms", "429:gemini=0.05s", "503:gemini=0.05s"],
)  # fmt: skip
def test_a_server_that_asks_for_patience_is_given_it(
    kind: Any, tmp_path: Path, fault: str, stream: bool
) -> None:
    answer = ask(kind, tmp_path, fault, fault, stream=stream)
    assert answer.text == "positive"
    assert answer.refusals == 2


def test_patience_for_hours_means_that_the_quota_is_used_up(kind: Any, tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="the quota is used up; run the same command later"):
        ask(kind, tmp_path, "429:86400")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "fault", ["500", "502", "503", "drop", "drop_midway", "truncated", "malformed", "no_choices"]
)
def test_a_fault_that_passes_is_a_connection_error(
    kind: Any, tmp_path: Path, fault: str, stream: bool
) -> None:
    if fault == "no_choices" and stream:
        fault = "malformed"
    with pytest.raises(ConnectionError) as caught:
        ask(kind, tmp_path, fault, stream=stream)
    assert type(caught.value).__name__ == "ServerFault"


def test_silence_is_a_timeout(kind: Any, tmp_path: Path) -> None:
    with pytest.raises(TimeoutError, match="no answer from localhost for 1 s"):
        ask(kind, tmp_path, "slow:1.5")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("401", "the server refused the key in OPENAI_API_KEY"),
        ("403", "the server refused the key in OPENAI_API_KEY"),
        ("404", "no such model or address"),
        ("400", "the server does not take the request"),
        ("422", "the server does not take the request"),
        ("429:insufficient_quota", "the quota is used up"),
    ],
)
def test_what_trying_again_cannot_fix_is_permanent(
    kind: Any, tmp_path: Path, fault: str, message: str
) -> None:
    with pytest.raises(PermanentError, match=message):
        ask(kind, tmp_path, fault)


@pytest.mark.parametrize(
    "fault",
    [
        "400:content_filter",
        "400:context_length_exceeded",
        "400:400 request (5002 tokens) exceeds the available context size (2048 tokens)",
        "400:invalid_prompt",
        "400:ResponsibleAIPolicyViolation",
        "400:400 This model's maximum context length is 2048 tokens.",
        "413",
    ],
)
def test_a_question_that_is_not_taken_does_not_stop_the_others(
    kind: Any, tmp_path: Path, fault: str
) -> None:
    with pytest.raises(kind.faults.Unanswerable) as caught:
        ask(kind, tmp_path, fault)
    assert not isinstance(caught.value, (PermanentError, TransientError, OSError))


@pytest.mark.parametrize("fault", ["refusal", "empty", "null", "filter"])
def test_an_answer_without_a_word_is_an_answer(kind: Any, tmp_path: Path, fault: str) -> None:
    answer = ask(kind, tmp_path, fault)
    assert bool(answer.said.refusal) == (fault == "refusal")
    assert answer.said.finish_reason == ("content_filter" if fault == "filter" else "stop")
    row = {"prediction": answer.text, "ground_truth": "positive", "attempts": 1}
    scores = kind.metrics.score(row)
    assert scores["correct"] is None
    assert scores["unparsed"] is True


def test_a_key_that_the_server_quotes_is_taken_out(kind: Any, tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=r"no such key: bearer \[key\]") as caught:
        ask(kind, tmp_path, "401")
    assert KEY not in repr(caught.value)
    assert caught.value.__cause__ is None
    answer = ask(kind, tmp_path, "quote_key")
    assert answer.text == "you sent bearer [key]"
    assert KEY not in repr(answer)


@pytest.mark.parametrize("before", ["", "1", "12"])
def test_a_part_of_the_key_and_its_base64_are_taken_out_too(
    kind: Any, tmp_path: Path, before: str
) -> None:
    answer = ask(kind, tmp_path, f"quote_coded:{before}")
    coded = base64.b64encode(f"{before}bearer {KEY}".encode()).decode()
    kept = max((coded[i:j] for j in range(len(coded) + 1) for i in range(j)
                if coded[i:j] in answer.text), key=len)  # fmt: skip
    assert b"sk-m" not in base64.b64decode(kept[: len(kept) // 4 * 4])
    assert KEY[:16] not in answer.text
    assert answer.text.count("[key]") == 2


@pytest.mark.parametrize("key", ["x", "e", "none", "ollama"])
def test_a_word_that_is_no_key_leaves_answers_as_they_are(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    answer = ask(kind, tmp_path, f"say:{key}")
    assert answer.text == key
    assert "[key]" not in answer.body


def test_the_end_of_a_line_is_no_part_of_a_key(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\r\n")
    assert ask(kind, tmp_path, "quote_key").text == "you sent bearer [key]"


@pytest.mark.parametrize("key", [f"\u201c{KEY}\u201d", f"{KEY}\n{KEY}"])
def test_a_key_that_cannot_be_sent_is_named_and_not_shown(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(PermanentError, match="the key in OPENAI_API_KEY") as caught:
        ask(kind, tmp_path)
    assert KEY not in repr(caught.value)


def test_a_host_that_is_not_there_is_named(kind: Any) -> None:
    with pytest.raises(PermanentError, match=r"there is no host nowhere\.invalid"):
        client_for(kind, "http://nowhere.invalid/v1")


def test_a_port_where_nothing_listens_is_named(kind: Any) -> None:
    with pytest.raises(PermanentError, match=r"no server answers at http://127\.0\.0\.1:9/v1"):
        client_for(kind, "http://127.0.0.1:9/v1")


@pytest.fixture
def certificate(tmp_path: Path) -> ssl.SSLContext:
    """For localhost, signed by itself."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    names = [tmp_path / "key.pem", tmp_path / "certificate.pem"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-keyout", names[0], "-out", names[1]],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(names[1], names[0])
    return context


def test_a_certificate_that_nobody_vouches_for_is_permanent(
    kind: Any, tmp_path: Path, certificate: ssl.SSLContext
) -> None:
    with FaultServer(tmp_path / "log", tls=certificate) as server:
        client = client_for(kind, server.url)
        with pytest.raises(
            PermanentError, match="localhost has no certificate that can be trusted"
        ):
            asked(kind, client)


def test_a_server_without_tls_is_permanent(kind: Any, tmp_path: Path) -> None:
    with FaultServer(tmp_path / "log") as server:
        client = client_for(kind, server.url.replace("http:", "https:"))
        with pytest.raises(PermanentError, match="localhost does not speak TLS there"):
            asked(kind, client)


@pytest.mark.parametrize(
    ("section", "environment", "complaint"),
    [
        ({"api_key": "sk-1"}, {}, "no such setting api_key"),
        ({"base_url": "api.openai.com"}, {}, "not an address"),
        ({"api_key_env": "sk-1"}, {}, "not the name of a variable"),
        ({"api_key_env": "hf_secret"}, {}, "not the name of a variable"),
        ({"base_url": "https://host:port/v1", "model": "m"}, {}, "not an address"),
        ({"base_url": "https://me:secret@host:99999/v1", "model": "m"}, {}, "not an address"),
        ({"base_url": "https://[::1/v1", "model": "m"}, {}, "not an address"),
        ({"base_url": "https://host/v1#secret", "model": "m"}, {}, "carries a password"),
        ({"base_url": "https://me:secret@host/v1", "model": "m"}, {}, "carries a password"),
        ({"base_url": "https://host/v1?key=secret", "model": "m"}, {}, "carries a password"),
        ({"base_url": "https://host/v1"}, {}, "names no model"),
        ({"model": "m"}, {}, "names no base_url"),
        ({}, {"OPENAI_MODEL": "m"}, "names no base_url"),
        ({"api": "chatty"}, {}, "api = 'chatty'"),
        ({"headers": {"x-token": "secret"}}, {}, "looks like a key"),
        ({"requests_per_minute": -1}, {}, "0 or more"),
        ({"timeout_seconds": 0}, {}, "more than 0"),
    ],
)
def test_settings_that_cannot_be_used_are_named(
    kind: Any, section: dict[str, Any], environment: dict[str, str], complaint: str
) -> None:
    with pytest.raises(HarnessError, match=complaint) as refused:
        kind.endpoint.configured(section, environment)
    assert "secret" not in refused.value.message
    assert "sk-1" not in refused.value.message
    assert refused.value.fix


def test_the_settings_have_the_defaults_that_are_used(kind: Any) -> None:
    form = load_kind(kind.root).settings["llm"]
    own = {"base_url": "", "endpoints": {}}
    assert form().model_dump() == kind.endpoint._DEFAULTS | own


def test_a_key_alone_asks_nobody(kind: Any) -> None:
    assert kind.endpoint.configured({}, {"OPENAI_API_KEY": KEY}).url == "canned"


def test_the_environment_comes_before_the_file(kind: Any) -> None:
    file = {"base_url": "https://file/v1", "model": "file"}
    environment = {"OPENAI_BASE_URL": "https://environment/v1/", "OPENAI_MODEL": "environment"}
    chosen = kind.endpoint.configured(file, environment)
    assert (chosen.url, chosen.model) == ("https://environment/v1", "environment")
    assert kind.endpoint.configured(file, {}).url == "https://file/v1"


def _price(kind: Any, endpoint: str = "https://api.openai.com/v1") -> Any:
    kind.prices._price.cache_clear()
    kind.endpoint.ENDPOINTS[endpoint] = kind.endpoint.Endpoint(endpoint, endpoint)
    return kind.prices.price_of(endpoint, "gpt-4o-mini")


def test_a_cost_is_known_only_with_a_price_and_with_tokens(kind: Any) -> None:
    price = _price(kind)
    usage = kind.answer.Usage
    assert price.cost(usage(1_000_000, 1_000_000)) == pytest.approx(0.75)
    assert price.cost(usage(None, 3)) is None
    assert _price(kind, "http://localhost/v1") is None


def test_what_the_server_had_cached_costs_what_the_table_says(kind: Any, tmp_path: Path) -> None:
    price = _price(kind)
    usage = kind.answer.Usage(1_000_000, 0, cached=800_000)
    assert price.cost(usage) == pytest.approx(0.2 * 0.15 + 0.8 * 0.075)


@pytest.mark.parametrize("amount", ["-1.0", "nan", "inf", '"free"'])
def test_a_price_that_is_none_is_refused(kind: Any, tmp_path: Path, amount: str) -> None:
    table = (kind.root / "prices.toml").read_text("utf-8")
    (tmp_path / "prices.toml").write_text(table.replace("0.15", amount), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind.prices, "ROOT", tmp_path)
        with pytest.raises(HarnessError, match=r"prices\.toml cannot be used"):
            _price(kind)


def test_the_day_of_a_price_may_be_a_date(kind: Any, tmp_path: Path) -> None:
    table = (kind.root / "prices.toml").read_text("utf-8").replace('"2024-07-18"', "2024-07-18")
    (tmp_path / "prices.toml").write_text(table, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind.prices, "ROOT", tmp_path)
        price = _price(kind)
    assert price.as_of == "2024-07-18"
