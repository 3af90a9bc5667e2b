"""The bytes of a call: headers with the key, and a reply read to its end."""

import json
import socket
import time
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import openai

from benchmark.llm.answer import is_complete, words_of
from benchmark.llm.endpoint import Endpoint
from benchmark.llm.faults import ServerFault
from benchmark.llm.request import Json
from benchmark.llm.secret import read_key
from harness import PermanentError

_KEY_HEADERS = {"anthropic": "x-api-key"}


def headers_of(endpoint: Endpoint, key: str) -> tuple[dict[str, Any], list[str]]:
    """The headers of every call, and the secrets among their values."""
    headers: dict[str, Any] = {}
    secrets = []
    for name, value in endpoint.headers:
        if value.startswith("$"):
            value = read_key(value[1:])
            secrets.append(value)
        headers[name] = value
    own = endpoint.key_header or _KEY_HEADERS.get(endpoint.api, "")
    if own and key:
        headers[own] = key
    if endpoint.api == "anthropic":
        headers.setdefault("anthropic-version", "2023-06-01")
    if urlsplit(endpoint.url).hostname != "api.openai.com":
        # OPENAI_ORG_ID and OPENAI_PROJECT_ID are for that server alone.
        headers |= {name: openai.Omit() for name in ("OpenAI-Organization", "OpenAI-Project")}
    return headers, secrets


def received(reply: Any, api: str, stream: bool, started: float) -> tuple[str, float | None]:
    """The body, and for a stream the seconds until the first word: its events, one JSON a line."""
    if not stream:
        return b"".join(reply.iter_bytes()).decode("utf-8", "replace"), None
    events: list[str] = []
    parsed: list[Json] = []
    first = None
    for line in _lines(reply.iter_bytes()):
        text = line.removeprefix("data:").strip()
        if not line.startswith("data:") or not text:
            continue
        if text == "[DONE]":
            return "\n".join(events), first
        events.append(text)
        try:
            parsed.append(json.loads(text))
        except ValueError as error:
            raise ServerFault(f"the stream is no JSON ({error})") from None
        if first is None and words_of(api, parsed[-1]):
            first = time.perf_counter() - started
    if not is_complete(api, parsed) and not any(event.get("error") for event in parsed):
        raise ServerFault(f"the stream ended early, after {len(events)} events")
    return "\n".join(events), first


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Lines that a line feed ends; httpx's own end at U+2028 too, which an answer may hold."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.decode("utf-8", "replace") for line in whole)
    yield rest.decode("utf-8", "replace")


def look_for(url: str) -> None:
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
