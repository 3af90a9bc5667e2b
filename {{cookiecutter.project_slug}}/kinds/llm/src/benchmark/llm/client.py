"""Asking a server, and telling its faults apart: try again, try again more slowly, or give up.

Faults that pass are ConnectionError or TimeoutError, which [retry] in benchmark.toml lists;
TransientError says that the server asked for patience; PermanentError ends the run after a few.
"""

import json
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import openai

from benchmark.llm import canned
from benchmark.llm.endpoint import CANNED, CONFIGURED
from benchmark.llm.secret import read_key, without_key
from harness import PermanentError, TransientError
from harness.console import err, styled

# A server that wants to be left alone for longer has no quota left; to wait would look like a hang.
LONGEST_WAIT_SECONDS = 600.0
_NO_KEY = "none"
# OpenAI says it by a code, llama.cpp and vLLM in the message only.
_TOO_LONG = re.compile("context[ _](length|size|window)")
_clients: dict[tuple[int, str], openai.OpenAI] = {}
_building = threading.Lock()


class RateLimited(TransientError):
    """The server asked to be called less often (429, or 503 with Retry-After)."""


class ServerFault(ConnectionError):
    """The server failed, the connection broke, or what came back was no answer."""


class SlowServer(TimeoutError):
    """Nothing came for [llm] timeout_seconds."""


class Unanswerable(Exception):
    """The server will not take this one question (too long, or filtered), but others."""


@dataclass(slots=True)
class Answer:
    """What came back. `body` and `request` are JSON as received and as sent; times in seconds."""

    text: str | None
    body: str
    request: str
    finish_reason: str | None
    refusal: str | None
    model: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    latency: float
    time_to_first_token: float | None


def connect(endpoint: str) -> openai.OpenAI:
    """A client for the endpoint, shared by the threads of a process; raises PermanentError.

    Its own retries are off: the harness retries, so that each attempt is counted and paced.
    """
    with _building:
        place = (os.getpid(), endpoint)
        if place not in _clients:
            key, url = _NO_KEY, endpoint
            if endpoint == CANNED:
                url = canned.start()
                err.print(
                    styled(
                        ("The answers are canned:", "bold yellow"),
                        " no server is configured, and a rule in src/benchmark/llm/canned.py "
                        "answers. docs/llm.md says how to ask a real one.",
                    )
                )
            else:
                key = read_key(CONFIGURED.key_variable) or _NO_KEY
                _look_for(url)
            _clients[place] = openai.OpenAI(
                base_url=url, api_key=key, max_retries=0, timeout=CONFIGURED.timeout
            )
        return _clients[place]


def ask(client: openai.OpenAI, request: dict[str, Any], api: str) -> Answer:
    """Send one request. Raises the errors above, none of which carries the key."""
    calls = client.chat.completions if api == "chat" else client.completions
    stream = bool(request.get("stream"))
    started = time.perf_counter()
    try:
        with calls.with_streaming_response.create(**request) as response:
            sent = response.http_request.content.decode()
            try:
                body, first = _read(response, stream, started)
            except Exception as error:  # of whichever HTTP library the client is built on
                raise _broken(error, client) from None
    except openai.APIStatusError as error:
        raise _status_fault(error, client) from None
    except openai.APIConnectionError as error:
        raise _broken(error, client) from None
    latency = time.perf_counter() - started
    body = without_key(body, client.api_key)
    try:
        events = [json.loads(line) for line in (body.split("\n") if stream else [body])]
        return _answer(events, body, without_key(sent, client.api_key), latency, first)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ServerFault(
            f"not an answer ({type(error).__name__}: {error}): {body[:200]}"
        ) from None


def _read(response: Any, stream: bool, started: float) -> tuple[str, float | None]:
    """The body, and for a stream the seconds until the first word: its events, one JSON a line."""
    if not stream:
        return response.read().decode("utf-8", "replace"), None
    events: list[str] = []
    first = None
    for line in _lines(response.iter_bytes()):
        if line.startswith("data:"):
            events.append(line.removeprefix("data:").strip())
            if first is None and events[-1] != "[DONE]" and any(_words(json.loads(events[-1]))):
                first = time.perf_counter() - started
    if events[-1:] != ["[DONE]"]:
        raise ServerFault(f"the stream ended early, after {len(events)} events")
    return "\n".join(events[:-1]), first


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Lines that a line feed ends; httpx's own end at U+2028 too, which an answer may hold."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.decode("utf-8", "replace") for line in whole)
    yield rest.decode("utf-8", "replace")


def _words(event: dict[str, Any]) -> Iterator[str]:
    for choice in event.get("choices") or ():
        part = choice.get("delta") or choice.get("message") or choice
        said = part.get("content") or part.get("text") or ""
        yield said if isinstance(said, str) else "".join(each.get("text") or "" for each in said)


def _answer(
    events: list[dict[str, Any]], body: str, request: str, latency: float, first: float | None
) -> Answer:
    choices = [choice for event in events for choice in event.get("choices") or ()]
    if broken := [event["error"] for event in events if event.get("error")]:
        raise ValueError(f"the server broke off: {broken[0]}")
    if not choices:
        raise ValueError("no choices")
    parts = [choice.get("delta") or choice.get("message") or {} for choice in choices]
    usage: dict[str, Any] = next(
        (event["usage"] for event in reversed(events) if event.get("usage")), {}
    )
    counted = {name: n for name, n in usage.items() if isinstance(n, int)}
    return Answer(
        text="".join(word for event in events for word in _words(event)),
        body=body,
        request=request,
        finish_reason=next((c["finish_reason"] for c in choices if c.get("finish_reason")), None),
        refusal="".join(part.get("refusal") or "" for part in parts) or None,
        model=events[0].get("model"),
        prompt_tokens=counted.get("prompt_tokens"),
        completion_tokens=counted.get("completion_tokens"),
        total_tokens=counted.get("total_tokens"),
        latency=latency,
        time_to_first_token=first,
    )


def _status_fault(error: openai.APIStatusError, client: openai.OpenAI) -> Exception:
    status, body = error.status_code, error.body if isinstance(error.body, dict) else {}
    words = f"{status}: {body.get('message') or error.message}"
    said = without_key(words, client.api_key)[:500]
    wait = _retry_after(error.response.headers)
    code = body.get("code")
    if status == 401 or status == 403:
        return PermanentError(f"the server refused the key in {CONFIGURED.key_variable} ({said})")
    if status == 404:
        return PermanentError(f"no such model or address at {client.base_url} ({said})")
    if code == "insufficient_quota" or (wait or 0) > LONGEST_WAIT_SECONDS:
        return PermanentError(f"the quota is used up; run the same command later ({said})")
    if status == 429 or (status == 503 and wait is not None):
        return RateLimited(said, retry_after=wait)
    if status >= 500 or status in (408, 409, 425):
        return ServerFault(said)
    if status == 413 or code == "content_filter" or _TOO_LONG.search(f"{code} {words}"):
        return Unanswerable(said)
    return PermanentError(f"the server does not take the request ({said})")


def _broken(error: BaseException, client: openai.OpenAI) -> Exception:
    if isinstance(error, ServerFault):
        return error
    if isinstance(error, ValueError) and type(error).__module__.startswith("json"):
        return ServerFault(f"the stream is no JSON ({error})")
    causes: list[BaseException] = [error]
    while following := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(following)
    host = urlsplit(str(client.base_url)).hostname
    said = without_key(str(causes[-1]) or type(error).__name__, client.api_key)[:300]
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return PermanentError(f"{host} has no certificate that can be trusted ({said})")
    if any("Timeout" in type(cause).__name__ for cause in causes):
        return SlowServer(f"no answer from {host} for {CONFIGURED.timeout:g} s")
    if any(isinstance(cause, ssl.SSLError) for cause in causes) and "EOF" not in said:
        return PermanentError(f"{host} does not speak TLS there ({said})")
    return ServerFault(f"the connection to {host} broke ({said})")


def _retry_after(headers: Any) -> float | None:
    """Seconds that Retry-After (a number or a date, RFC 9110, 10.2.3) asks for; None without it."""
    text = headers.get("retry-after")
    if text is None:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _look_for(url: str) -> None:
    """Raise PermanentError where no server is at `url`, before each datapoint finds that out."""
    parts = urlsplit(url)
    if {parts.scheme, "all"} & getproxies().keys():
        return
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), timeout=10).close()
    except socket.gaierror as error:
        raise PermanentError(f"there is no host {parts.hostname} ({error.strerror})") from None
    except OSError as error:
        raise PermanentError(f"no server answers at {url} ({error})") from None
