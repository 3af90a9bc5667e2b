"""`harness.load`: requests leave when they are due, and every one comes back as an outcome."""

import base64
import hashlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import psutil
import pytest

from harness.errors import HarnessError, PermanentError, TransientError
from harness.load import Request, Response, Target, load_options
from harness.load.schedule import Shape, arrivals, sent_late
from harness.run.job import Outcome
from tests.harness.load_fixture import (
    KnownServer,
    Params,
    known_server,
    numbered,
    row,
    send_load,
    written,
)


@pytest.fixture(scope="module")
def server() -> Iterator[KnownServer]:
    with known_server() as started:
        yield started


def ask(root: Path, server: KnownServer, *paths: str, **more: Any) -> list[Outcome]:
    """One outcome per path, in its order."""
    items = [{"id": str(number), "path": path} for number, path in enumerate(paths)]
    phase = Params(rate=50, arrival="constant")
    found = list(send_load(root, server.url, [(phase, items)], **more))
    return sorted(found, key=lambda outcome: int(outcome.job.task.item["id"]))


# -- schedule


def test_poisson_arrivals_have_the_rate_and_the_spread_of_a_poisson_process() -> None:
    times = arrivals(200.0, "poisson", seed=3)
    gaps = np.diff([next(times) for _ in range(20_000)])
    assert gaps.min() > 0
    # Exponential gaps: mean and standard deviation are both 1/rate.
    assert gaps.mean() == pytest.approx(1 / 200, rel=0.03)
    assert gaps.std() == pytest.approx(1 / 200, rel=0.03)


def test_a_seed_gives_the_same_pattern_at_every_rate() -> None:
    slow, fast = arrivals(10.0, "poisson", 5), arrivals(1000.0, "poisson", 5)
    other = arrivals(10.0, "poisson", 6)
    assert [next(slow) for _ in range(2000)] == pytest.approx(
        [100 * next(fast) for _ in range(2000)]
    )
    assert next(slow) != next(other)


def test_constant_arrivals_are_evenly_spaced_and_do_not_drift() -> None:
    times = arrivals(3.0, "constant", 0, start=-1.0)
    assert [next(times) for _ in range(4)] == pytest.approx([-1, -2 / 3, -1 / 3, 0])
    assert [next(times) for _ in range(100_000)][-1] == pytest.approx((100_003) / 3 - 1)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"rate": -5.0}, "rate is -5; requests per second must be above 0"),
        ({"rate": 0.0}, "rate is 0;"),
        ({"rate": "fast"}, "rate is 'fast', not a number"),
        ({"rate": float("nan")}, "rate is nan, not a number"),
        ({"mode": "opened"}, "mode is 'opened'; there are open and closed"),
        ({"arrival": "bursty"}, "arrival is 'bursty'; there are poisson and constant"),
        ({"mode": "closed"}, "users is 0; a closed loop needs at least 1"),
        ({"connections": 0}, "connections is 0; at least 1 is needed"),
        ({"connections": 2.5}, "connections is 2.5, not a whole number"),
        ({"warmup_seconds": -1}, "warmup_seconds and seed may not be negative"),
    ],
)
def test_a_load_that_cannot_be_is_refused_in_one_sentence(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(HarnessError) as raised:
        Shape.of(Params(**wrong))
    assert said in raised.value.message
    assert raised.value.code == 2


def test_params_without_these_fields_have_their_defaults_and_all_problems_are_named(
    tmp_path: Path, server: KnownServer
) -> None:
    with pytest.raises(HarnessError, match="rate is 0"):
        Shape.of(object())
    phases = [(Params(rate=-1), numbered(1)), (Params(mode="no"), numbered(1))]
    with pytest.raises(HarnessError) as raised:
        list(send_load(tmp_path, server.url, phases))
    assert "rate is -1" in raised.value.message
    assert "mode is 'no'" in raised.value.message


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (Params(rate=1e12), "rate is 1e+12; this machine sends"),
        (Params(connections=10**9), "connections is 1,000,000,000; a process may open"),
        (Params(mode="closed", users=10**9), "users is 1,000,000,000; a process may open"),
    ],
)
def test_a_load_beyond_any_machine_is_refused_before_a_request(
    tmp_path: Path, server: KnownServer, wrong: Params, said: str
) -> None:
    before = len(server.asked)
    with pytest.raises(HarnessError) as raised:
        list(send_load(tmp_path, server.url, [(wrong, numbered(1))]))
    assert said in raised.value.message
    assert raised.value.code == 2
    assert len(server.asked) == before


# -- one request, one outcome


def test_every_request_is_sent_once_and_has_one_outcome(
    tmp_path: Path, server: KnownServer
) -> None:
    before = len(server.asked)
    found = list(send_load(tmp_path, server.url, [(Params(rate=400), numbered(300))]))
    assert sorted(int(o.job.task.item["id"]) for o in found) == list(range(300))
    assert all(o.result.error is None for o in found)
    assert {row(o)["status"] for o in found} == {200}
    assert [row(o)["raw_response"] for o in found] == [
        f"answer {o.job.task.item['id']}" for o in found
    ]
    assert len(server.asked) - before == 300


def test_times_are_in_order_and_latency_counts_from_when_the_request_was_due(
    tmp_path: Path, server: KnownServer
) -> None:
    wall = time.time()
    found = list(send_load(tmp_path, server.url, [(Params(rate=200, seed=4), numbered(100))]))
    planned = arrivals(200, "poisson", 4)
    due = {str(number): next(planned) for number in range(100)}
    for outcome in found:
        times = row(outcome)
        assert times["scheduled"] == pytest.approx(due[outcome.job.task.item["id"]], abs=1e-6)
        assert times["scheduled"] <= times["sent"] <= times["first_byte"] <= times["done"]
        assert times["send_lag"] >= 0
        latency = outcome.result.latency
        assert latency == pytest.approx(times["done"] - times["scheduled"], abs=1e-6)
        assert wall < times["phase_start"] < time.time()


def test_phases_follow_each_other_and_never_overlap(tmp_path: Path, server: KnownServer) -> None:
    phases = [
        (Params(rate=100), numbered(20)),
        (Params(mode="closed", users=2, rate=0), numbered(20)),
        (Params(rate=200), numbered(20)),
    ]
    found = list(send_load(tmp_path, server.url, phases))
    assert [o.job.task.configuration.digest for o in found] == [b"0"] * 20 + [b"1"] * 20 + [
        b"2"
    ] * 20
    ends, starts = [], []
    for place in range(3):
        rows = [row(o) for o in found[20 * place : 20 * place + 20]]
        starts.append(min(r["phase_start"] + r["scheduled"] for r in rows))
        ends.append(max(r["phase_start"] + r["done"] for r in rows))
    assert ends[0] < starts[1]
    assert ends[1] < starts[2]


def test_no_phase_is_begun_once_the_run_was_stopped(tmp_path: Path, server: KnownServer) -> None:
    phases = [(Params(rate=100, warmup_seconds=0.2), numbered(20)) for _ in range(2)]
    found: list[Outcome] = []
    asked = len(server.asked)
    # As by Ctrl-C in the first, when the first request of the second is known already.
    load = send_load(tmp_path, server.url, phases, stopped=lambda: bool(found))
    for outcome in load:
        found.append(outcome)
    assert {o.job.task.configuration.digest for o in found} == {b"0"}
    assert len(found) == 20
    assert len(server.asked) - asked < 60  # nor is it warmed up for


def test_outcomes_arrive_while_the_load_runs(tmp_path: Path, server: KnownServer) -> None:
    load = send_load(tmp_path, server.url, [(Params(rate=20, arrival="constant"), numbered(40))])
    first = row(next(load))
    age = time.time() - first["phase_start"]
    assert age < 1.0  # the phase lasts two seconds
    assert len(list(load)) == 39


def test_a_consumer_that_writes_slowly_does_not_disturb_the_sending(
    tmp_path: Path, server: KnownServer
) -> None:
    load = send_load(tmp_path, server.url, [(Params(rate=100, arrival="constant"), numbered(100))])
    found = []
    for outcome in load:
        found.append(outcome)
        if len(found) == 10:
            time.sleep(0.7)
    sent = sorted(row(o)["sent"] for o in found)
    assert max(np.diff(sent)) < 0.3


def test_the_warm_up_is_load_without_rows(tmp_path: Path, server: KnownServer) -> None:
    for params in (
        Params(rate=100, arrival="constant", warmup_seconds=0.5),
        Params(mode="closed", users=2, rate=0, warmup_seconds=0.3),
    ):
        before = len(server.asked)
        found = list(send_load(tmp_path, server.url, [(params, numbered(10))]))
        assert len(found) == 10
        assert min(row(o)["scheduled"] for o in found) >= 0
        warmed = len(server.asked) - before - 10
        assert warmed == 50 if params.mode == "open" else warmed > 10


# -- answers of every kind


def test_every_kind_of_answer_becomes_a_row(tmp_path: Path, server: KnownServer) -> None:
    good = {
        "/chunked": (200, 11, "hello world"),
        "/until-close": (200, 12, "all there is"),
        "/close": (200, 3, "bye"),
        "/bytes=0": (200, 0, ""),
        "/status=302": (302, 11, "as you wish"),
    }
    for path, outcome in zip(good, ask(tmp_path, server, *good), strict=True):
        assert outcome.result.error is None, path
        found = row(outcome)
        assert (found["status"], found["bytes"], found["raw_response"]) == good[path]
    bad = {
        "/status=404": ("HTTP 404", "as you wish"),
        "/status=503": ("HTTP 503", "as you wish"),
        "/drop": ("ConnectionClosed", "the server closed the connection before it had answered"),
        "/garbage": ("MalformedResponse", "the response is not HTTP/1.1"),
    }
    for path, outcome in zip(bad, ask(tmp_path, server, *bad), strict=True):
        assert outcome.result.error_type == bad[path][0]
        assert outcome.result.error is not None
        assert outcome.result.error.startswith(bad[path][1])
        assert outcome.result.attempts == 1
        assert outcome.result.latency is not None


def test_a_request_without_an_answer_in_time_has_failed_and_frees_its_place(
    tmp_path: Path, server: KnownServer
) -> None:
    items = [{"id": "0", "path": "/slow=5"}, {"id": "1", "path": "/bytes=1"}]
    phase = Params(rate=50, arrival="constant", connections=1)
    found = list(send_load(tmp_path, server.url, [(phase, items)], timeout_seconds=0.5))
    first, second = sorted(found, key=lambda o: str(o.job.task.item["id"]))
    assert first.result.error_type == "PredictionTimeout"
    assert first.result.latency == pytest.approx(0.5, abs=0.2)
    # It waited behind the first one, over the only connection.
    assert second.result.error_type in (None, "PredictionTimeout")
    assert row(second)["sent"] is None or row(second)["sent"] > 0.4


def test_a_head_request_has_no_body_and_does_not_hang(tmp_path: Path, server: KnownServer) -> None:
    items = [{"id": str(n), "path": "/bytes=9", "more": {"method": "HEAD"}} for n in range(3)]
    found = list(send_load(tmp_path, server.url, [(Params(rate=50), items)], timeout_seconds=2))
    assert [(row(o)["status"], row(o)["bytes"]) for o in found] == [(200, 0)] * 3
    assert [o.result.error for o in found] == [None] * 3


def test_a_connection_that_the_server_closes_carries_no_second_request(
    tmp_path: Path, server: KnownServer
) -> None:
    items = [{"id": str(number), "path": "/close"} for number in range(20)]
    one_user = Params(mode="closed", users=1, rate=0)
    found = list(send_load(tmp_path, server.url, [(one_user, items)]))
    assert [o.result.error for o in found] == [None] * 20


def test_of_a_long_answer_the_beginning_and_the_hash_are_kept(
    tmp_path: Path, server: KnownServer
) -> None:
    [outcome] = ask(tmp_path, server, "/bytes=300000", throughput="keep_bytes = 20")
    found = row(outcome)
    digest = hashlib.sha256(b"x" * 300_000).hexdigest()
    assert found["bytes"] == 300_000
    assert found["raw_response"] == "x" * 20 + f"… (300000 bytes, sha256 {digest})"


def test_what_answer_returns_becomes_columns_and_what_it_raises_an_error(
    tmp_path: Path, server: KnownServer
) -> None:
    def answer(item: dict[str, Any], params: Any, response: Response) -> dict[str, Any]:
        said: dict[str, dict[str, Any]] = {
            "0": {"prediction": response.text, "latency": 99.0, "input_id": "0"},
            "1": {"status": "mine"},
            "2": {"task_key": "mine"},
            "4": {"error": "the answer is wrong", "error_type": "Wrong", "prediction": 1},
        }
        if item["id"] == "3":
            raise ValueError("no JSON")
        return said[item["id"]]

    found = ask(tmp_path, server, *["/bytes=3"] * 5, answer=answer)
    assert row(found[0])["prediction"] == "xxx"
    assert found[0].result.latency != 99.0
    assert not {"latency", "input_id", "error", "error_type"} & (
        row(found[0]).keys() | row(found[4])
    )
    assert [o.result.error_type for o in found[1:]] == [
        "InvalidResult", "InvalidResult", "ValueError", "Wrong",
    ]  # fmt: skip
    assert "status" in str(found[1].result.error)
    assert [o.result.permanent for o in found[1:]] == [True, True, False, False]
    assert found[3].result.error == "no JSON"
    assert row(found[4])["prediction"] == 1
    assert all(row(o)["raw_response"] == "xxx" for o in found)


def test_a_request_that_cannot_be_built_names_the_item(tmp_path: Path, server: KnownServer) -> None:
    def request(item: dict[str, Any], params: Any) -> Request:
        raise KeyError("pixels")

    with pytest.raises(HarnessError, match=r"request in predict\.py failed on input_id '0'"):
        ask(tmp_path, server, "/", request=request)


# -- what is sent


def test_what_a_request_leaves_out_comes_from_the_settings(
    tmp_path: Path, server: KnownServer
) -> None:
    settings = 'method = "PUT"\nbody = "from settings"\n'
    settings += 'headers = { x-one = "1", content-type = "text/x" }'
    before = len(server.asked)
    items: list[dict[str, Any]] = [
        {"id": "0", "path": "/bytes=1"},
        {"id": "1", "path": "/bytes=1", "more": {"body": "own", "method": "POST"}},
        {"id": "2", "path": "/echo", "more": {"headers": {"X-One": "2", "X-Two": "2"}}},
    ]
    phase = Params(rate=20, arrival="constant")
    found = list(send_load(tmp_path, server.url, [(phase, items)], throughput=settings))
    assert server.asked[before:] == [
        "PUT /bytes=1 from settings", "POST /bytes=1 own", "PUT /echo from settings",
    ]  # fmt: skip
    headers = row(found[2])["raw_response"]
    assert "X-One: 2" in headers
    assert headers.lower().count("x-one:") == headers.lower().count("content-type:") == 1
    assert "X-Two: 2" in headers
    assert f"Host: {server.url.removeprefix('http://')}" in headers


SECRET = "s3cret/value+of_32.letters~long!"


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("A_KEY", f"{SECRET}\n")  # as a file's content has it
    return 'headers = { X-Sent = "${A_KEY}" }'


def forms(word: str) -> dict[str, str]:
    """A word as servers write it."""
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in word)
    return {
        "plain": word,
        "json": escaped,
        "json in json": json.dumps(escaped)[1:-1],
        "address": "".join(f"%{ord(letter):02x}" for letter in word),
        "base64": base64.b64encode(f"Bearer {word}".encode()).decode(),
        "hex": word.encode().hex(),
    }


@pytest.mark.parametrize("form", forms(SECRET))
def test_a_key_is_taken_out_of_answers_however_they_write_it(
    tmp_path: Path, server: KnownServer, secret: str, form: str
) -> None:
    quoted = forms(SECRET)[form]
    said = quote(f'{{"you sent": "{quoted}!"}}')
    [outcome] = ask(tmp_path, server, f"/say={said}", throughput=secret)
    kept = row(outcome)["raw_response"]
    assert kept.startswith('{"you sent": "')
    assert "[key]" in kept
    pieces = {kept[at : at + 12] for at in range(len(kept))}
    assert not {quoted[at : at + 12] for at in range(12, len(quoted) - 11)} & pieces


@pytest.mark.parametrize("form", ["plain", "json in json"])
def test_a_key_quoted_around_the_edge_of_what_is_kept_does_not_come_into_view(
    tmp_path: Path, server: KnownServer, secret: str, form: str
) -> None:
    quoted = forms(SECRET)[form]
    said = f"{quoted} and {quoted} and {quoted}"
    edge = len(quoted) + 9  # within the second one
    [outcome] = ask(
        tmp_path, server, f"/say={quote(said)}", throughput=f"{secret}\nkeep_bytes = {edge}"
    )
    assert row(outcome)["raw_response"].startswith("[key] and [key]… (")
    options = load_options(tmp_path)
    for keep in range(len(said)):
        target = Target(server.url, options | {"keep_bytes": keep})
        body = said.encode()[: target.kept_bytes]
        kept = target.response(200, len(said), body, "x", 0.0).body.decode()
        assert "[key] and [key] and [key]".startswith(kept), (keep, kept)


def test_a_key_in_the_query_of_the_url_is_sent_and_never_kept(
    tmp_path: Path, server: KnownServer, secret: str
) -> None:
    target = Target(f"{server.url}/bytes?q=${{A_KEY}}&n=3", load_options(written(tmp_path, secret)))
    assert target.query == f"?q={quote(SECRET, safe='')}&n=3"
    assert target.response(200, 40, f"no such page: {target.query}".encode(), "", 0.1).text == (
        "no such page: ?q=[key]&n=3"
    )


def test_a_key_that_is_not_there_or_too_short_to_be_found_is_refused(
    tmp_path: Path, server: KnownServer, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", "short")
    with pytest.raises(HarnessError, match=r"\$\{A_KEY\} has fewer than 8 letters"):
        ask(tmp_path, server, "/echo", throughput='headers = { X-Token = "${A_KEY}" }')
    monkeypatch.delenv("A_KEY")
    with pytest.raises(HarnessError, match=r"names \$\{A_KEY\}, which is not set"):
        ask(tmp_path, server, "/echo", throughput=secret)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ('headers = { Authorization = "Bearer h1dden-word" }', 'write Authorization = "Bearer ${'),
        ('headers = { X-Api-Key = "h1dden-word" }', 'write X-Api-Key = "${NAME}"'),
        ('body = \'{"api_key": "h1dden-word"}\'', "api_key looks like a key"),
        ('url = "http://host/v1?access_token=h1dden-word"', "write …?access_token=${NAME}"),
        ('url = "http://me:h1dden-word@host/v1"', "a user and a password must not be in git"),
    ],
)
def test_a_key_that_is_written_into_the_settings_is_refused_and_not_repeated(
    tmp_path: Path, settings: str, said: str
) -> None:
    with pytest.raises(HarnessError) as refused:
        load_options(written(tmp_path, settings))
    assert said in refused.value.message
    assert "h1dden" not in f"{refused.value.message} {refused.value.fix}"


def test_what_only_looks_a_little_like_a_key_is_no_secret(tmp_path: Path) -> None:
    settings = """
    url = "http://host/v1?model=m&key=${A_KEY}"
    headers = { Accept = "text/plain", Authorization = "Bearer ${A_KEY}" }
    body = '{"max_tokens": 5, "keywords": ["a"], "password": "${A_KEY}", "stop_token": "x"}'
    """
    assert load_options(written(tmp_path, settings))["body"]


def test_a_line_break_cannot_smuggle_a_second_request(tmp_path: Path, server: KnownServer) -> None:
    with pytest.raises(HarnessError, match="line break"):
        ask(tmp_path, server, "/ HTTP/1.1\r\n\r\nGET /bytes=1")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("urls = 1", "throughput.urls: no such setting"),
        ("keep_bytes = -1", "throughput.keep_bytes: Input should be greater than or equal to 0"),
        ('processes = "two"', "throughput.processes: Input should be a valid integer"),
        ("headers = 3", "throughput.headers: Input should be a valid dictionary"),
    ],
)
def test_wrong_settings_are_named(
    tmp_path: Path, server: KnownServer, settings: str, said: str
) -> None:
    with pytest.raises(HarnessError) as raised:
        ask(tmp_path, server, "/", throughput=settings)
    assert said in raised.value.message


def test_a_single_call_gives_the_same_answer_as_a_load(tmp_path: Path, server: KnownServer) -> None:
    [loaded] = ask(tmp_path, server, "/bytes=900")
    target = Target(server.url, load_options(tmp_path))
    single = target.send(Request(path="/bytes=900"))
    assert single.text == row(loaded)["raw_response"]
    assert (single.status, single.size) == (200, 900)
    with pytest.raises(TransientError, match="HTTP 503: as you wish"):
        target.send(Request(path="/status=503"))
    with pytest.raises(PermanentError, match="HTTP 404: as you wish"):
        target.send(Request(path="/status=404"))


# -- open and closed loop


def test_no_more_requests_are_under_way_than_there_are_connections(tmp_path: Path) -> None:
    with known_server(0.02) as slow:
        phase = Params(rate=200, connections=3)
        found = list(send_load(tmp_path, slow.url, [(phase, numbered(60))]))
    spans = [(row(o)["sent"], 1) for o in found] + [(row(o)["done"], -1) for o in found]
    under_way = np.cumsum([step for _, step in sorted(spans)])
    assert under_way.max() == 3
    # 60 requests come within 0.3 s and take 1.2 s: the wait for a connection is latency.
    assert max(o.result.latency or 0 for o in found) > 0.7
    assert max(row(o)["send_lag"] for o in found) < 0.3


def test_a_closed_loop_keeps_each_user_busy_and_waits_for_answers(tmp_path: Path) -> None:
    with known_server(0.01) as slow:
        phase = Params(mode="closed", users=4, rate=0)
        found = list(send_load(tmp_path, slow.url, [(phase, numbered(100))]))
    rows = [row(o) for o in found]
    spans = [(r["sent"], 1) for r in rows] + [(r["done"], -1) for r in rows]
    under_way = np.cumsum([step for _, step in sorted(spans)])
    assert under_way.max() == 4
    assert np.median(under_way) >= 3
    # One at a time, 10 ms each: four users see 40 ms, and 100 requests per second at most.
    assert np.median([o.result.latency for o in found]) == pytest.approx(0.04, rel=0.4)
    assert 60 < len(rows) / max(r["done"] for r in rows) < 101


def test_several_generators_share_one_schedule(tmp_path: Path, server: KnownServer) -> None:
    one, two = (
        list(
            send_load(
                tmp_path, server.url, [(Params(rate=300), numbered(150))],
                throughput=f"processes = {count}",
            )
        )
        for count in (1, 2)
    )  # fmt: skip

    def schedule(found: list[Outcome]) -> dict[str, float]:
        return {o.job.task.item["id"]: round(row(o)["scheduled"], 6) for o in found}

    assert len(two) == 150
    assert schedule(one) == pytest.approx(schedule(two))


# -- targets that are not there


def test_a_host_that_does_not_exist_stops_the_run_before_a_request(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"there is no host 'no-such-host\.invalid'") as raised:
        list(send_load(tmp_path, "http://no-such-host.invalid/", [(Params(), numbered(1))]))
    assert "benchmark.toml" in raised.value.fix


def test_a_port_where_nobody_listens_stops_the_run_before_a_request(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
        with pytest.raises(HarnessError, match=r"nothing answers at 127\.0\.0\.1:"):
            list(send_load(tmp_path, url, [(Params(), numbered(1))]))


@pytest.mark.parametrize("url", ["ftp://host/", "localhost:80", "http://", "http://host:99999/"])
def test_a_url_that_is_none_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(HarnessError, match=r"\[throughput\] url"):
        list(send_load(tmp_path, url, [(Params(), numbered(1))]))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
            "-keyout", "key.pem", "-out", "cert.pem",
        ],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return folder / "cert.pem"


def test_tls_works_with_a_known_authority_and_is_refused_in_words_without(
    tmp_path: Path, certificate: Path
) -> None:
    command = [sys.executable, str(Path(__file__).with_name("load_server.py")), "0", "-1", "0"]
    command += [str(certificate), str(certificate.with_name("key.pem"))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        tls = KnownServer(process)
        url = tls.url.replace("http://127.0.0.1", "https://localhost")
        with pytest.raises(HarnessError, match=r"TLS with localhost:\d+ failed: self") as raised:
            list(send_load(tmp_path, url, [(Params(), numbered(1))]))
        assert "ca_file" in raised.value.fix
        trusting = f'ca_file = "{certificate}"'
        load = send_load(tmp_path, url, [(Params(), numbered(20))], throughput=trusting)
        assert [o.result.error for o in load] == [None] * 20
    finally:
        process.kill()
        process.wait()


def test_a_server_that_dies_during_the_load_makes_failed_rows_and_stops_the_next_phase(
    tmp_path: Path,
) -> None:
    with known_server() as dying:
        phases = [(Params(rate=100), numbered(100)), (Params(rate=50), numbered(10))]
        load = send_load(tmp_path, dying.url, phases)
        found = [next(load)]
        dying.process.kill()
        with pytest.raises(HarnessError, match="nothing answers at"):
            found.extend(load)
    assert len(found) == 100
    failed = [o for o in found if o.result.error]
    assert len(failed) > 50
    assert {o.result.error_type for o in failed} <= {
        "ConnectionRefusedError", "ConnectionResetError", "ConnectionClosed",
    }  # fmt: skip


# -- a generator that cannot follow


def test_a_request_is_late_where_the_generator_is_a_notable_part_of_its_latency() -> None:
    assert sent_late(lag=0.002, latency=0.010)
    assert not sent_late(lag=0.0009, latency=0.001)  # within what any machine does
    assert not sent_late(lag=0.002, latency=1.0)  # it matters to nobody


def the_generator() -> psutil.Process:
    """The generator process that this process started."""
    [found] = [
        child
        for child in psutil.Process().children()
        if "harness.load.generator" in child.cmdline()
    ]
    return found


def held_up(load: Iterator[Outcome], seconds: float) -> list[Outcome]:
    """The outcomes of a load whose generator gets no CPU for so long after its first answer."""
    found = [next(load)]
    generator = the_generator()
    generator.suspend()
    time.sleep(seconds)
    generator.resume()
    found.extend(load)
    return found


def test_a_generator_that_was_held_up_for_a_moment_warns(
    tmp_path: Path, server: KnownServer, capsys: pytest.CaptureFixture[str]
) -> None:
    phase = Params(rate=100, arrival="constant")
    found = held_up(send_load(tmp_path, server.url, [(phase, numbered(100))]), 0.3)
    assert len(found) == 100
    assert max(row(o)["send_lag"] for o in found) > 0.2
    assert "the load generator was a bottleneck" in capsys.readouterr().err


def test_a_rate_that_this_machine_cannot_generate_is_a_finding_and_rows_are_kept(
    tmp_path: Path, server: KnownServer
) -> None:
    # Too slow for the schedule until its end, as at a rate that is too high.
    phases = [(Params(rate=100, arrival="constant"), numbered(50)), (Params(), numbered(5))]
    load = send_load(tmp_path, server.url, phases)
    found: list[Outcome] = []

    def watched() -> Iterator[Outcome]:
        for outcome in load:
            found.append(outcome)
            yield outcome

    with pytest.raises(HarnessError, match="could not generate the load of") as raised:
        held_up(watched(), 1.0)
    assert raised.value.code == 1
    assert "rate=100" in raised.value.message
    assert raised.value.message.count("Params") == 1  # the second phase was fine
    assert len(found) == 55


def test_a_load_that_falls_ever_further_behind_is_given_up(
    tmp_path: Path, server: KnownServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.load.executor._GIVE_UP_SECONDS", 0.4)
    monkeypatch.setattr("harness.load.executor._HOPELESS", 1000)
    phase = Params(rate=1e6, connections=2)
    load = send_load(tmp_path, server.url, [(phase, numbered(150_000))], timeout_seconds=0.01)
    found: list[Outcome] = []
    with pytest.raises(HarnessError, match="could not generate the load of"):
        found.extend(load)
    assert 0 < len(found) < 150_000
    with pytest.raises(ValueError, match="not enough values to unpack"):
        the_generator()


def test_a_long_warm_up_is_handed_over_as_it_becomes_due(
    tmp_path: Path, server: KnownServer
) -> None:
    two_million = Params(rate=200, warmup_seconds=10_000)
    load = send_load(tmp_path, server.url, [(two_million, numbered(1))])
    before, asked = psutil.Process().memory_info().rss, len(server.asked)

    def watch() -> None:
        while len(server.asked) == asked:
            time.sleep(0.05)
        grown.append(psutil.Process().memory_info().rss - before)
        the_generator().kill()

    grown: list[int] = []
    threading.Thread(target=watch, daemon=True).start()
    with pytest.raises(HarnessError, match="a load generator ended early"):
        list(load)
    assert grown[0] < 50e6


def test_a_generator_that_dies_stops_the_run_in_words(tmp_path: Path, server: KnownServer) -> None:
    load = send_load(tmp_path, server.url, [(Params(rate=100), numbered(100))])
    next(load)
    the_generator().kill()
    with pytest.raises(HarnessError, match="a load generator ended early") as raised:
        list(load)
    assert raised.value.code == 1
