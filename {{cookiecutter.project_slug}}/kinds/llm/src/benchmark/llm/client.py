"""Asking a server, at its pace, and keeping what it answered."""

import json
import os
import random
import threading
import time
import tomllib
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import urlsplit

import openai

from benchmark.llm import canned, faults
from benchmark.llm.answer import NoAnswer, Said, TwoAnswers, read
from benchmark.llm.endpoint import CANNED, ROOT, Endpoint, endpoint
from benchmark.llm.faults import LONGEST_WAIT_SECONDS, RateLimited, ServerFault
from benchmark.llm.pace import pace_of
from benchmark.llm.prices import price_of
from benchmark.llm.request import PATHS, Json, Request, body_of
from benchmark.llm.secret import read_key
from benchmark.llm.wire import headers_of, look_for, received
from harness import PermanentError
from harness.console import err, styled
from harness.redact import json_without_keys, without_keys


class Box(Protocol):
    """Takes the questions of a thread, where they go in batches; see batch.py."""

    def ask(self, client: "Client", request: Request, messages: list[Json], repeat: int) -> Any:
        """The answer; raises where there is none yet."""


in_batch: ContextVar[Box | None] = ContextVar("in_batch", default=None)
_NO_KEY = "none"
_clients: dict[tuple[int, str], "Client"] = {}
_building = threading.Lock()


@dataclass(slots=True)
class Answer:
    """One answer. `body` and `request` are JSON as received and as sent; times in seconds.

    `batch` is the id of the one that the answer was in; such an answer has no latency (NaN).
    `refusals` counts how often the server asked for patience before it answered, in this attempt.
    """

    said: Said
    body: str
    request: str
    latency: float
    time_to_first_token: float | None
    cost: float | None
    price_as_of: str | None
    canned: bool
    refusals: int = 0
    batch: str | None = None

    @property
    def text(self) -> str:
        """What was said, without what was thought."""
        return self.said.text

    def columns(self) -> dict[str, Any]:
        """All of it as columns of a row."""
        said, usage = self.said, self.said.usage
        row = {
            "raw_response": self.body,
            "request": self.request,
            "finish_reason": said.finish_reason,
            "refusal": said.refusal,
            "reasoning": said.reasoning,
            "model_reported": said.model,
            "canned": self.canned,
            "prompt_tokens": usage.prompt,
            "cached_tokens": usage.cached,
            "completion_tokens": usage.completion,
            "reasoning_tokens": usage.reasoning,
            "total_tokens": usage.total,
            "cost": self.cost,
            "price_as_of": self.price_as_of,
            "latency": self.latency,
            "time_to_first_token": self.time_to_first_token,
            "rate_limited": self.refusals,
            "batch": self.batch,
        }
        if said.is_nothing:
            row["error"] = (
                f"the longest answer ({usage.completion} tokens) was used up before a word was "
                "said: raise max_output_tokens in GRID, or lower reasoning_effort"
            )
            row["error_type"] = "AnswerCutShort"
        return row


class Client:
    """Asks one endpoint; shared by the threads of a process."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.pace = pace_of(endpoint)
        url = endpoint.url
        key = ""
        if url == CANNED:
            url = canned.start()
            err.print(
                styled(
                    ("The answers are canned:", "bold yellow"),
                    " no server is configured, and a rule in src/benchmark/llm/canned.py "
                    "answers. docs/llm.md says how to ask a real one.",
                )
            )
        else:
            key = read_key(endpoint.key_variable)
            look_for(url)
        headers, secrets = headers_of(endpoint, key)
        bearer = key and key not in headers.values()
        # Only so, with each call, does the library send none.
        self._each = {} if bearer else {"Authorization": openai.Omit()}
        self._keys = tuple(secret for secret in (key, *secrets) if secret)
        # What a server does not take: (model, setting), or all settings where it minds a value.
        self._refused: dict[tuple[str, str], str] = {}
        self._no_stream_options = False
        self._sdk = openai.OpenAI(
            base_url=url,
            api_key=key or _NO_KEY,
            # Its own retries are off: the harness retries, so that each attempt is counted.
            max_retries=0,
            timeout=endpoint.timeout,
            default_headers=headers,
            default_query=dict(endpoint.query),
            # A key, and a question, go to the declared address and not to where it points.
            http_client=openai.DefaultHttpxClient(follow_redirects=False),
        )

    def ask(self, request: Request, messages: list[Json], repeat: int = 0) -> Answer:
        """Send one question; raises what faults.py describes, none of which carries a key.

        Where the server asks for patience, the question is sent again when it says. That is no
        attempt of the prediction; ten minutes of it are too long.
        """
        if (box := in_batch.get()) is not None and self.endpoint.batch:
            found: Answer = box.ask(self, request, messages, repeat)
            return found
        body = body_of(request, messages, repeat)
        if self._no_stream_options:
            body.pop("stream_options", None)
        for (model, name), words in list(self._refused.items()):  # other threads add to it
            if model == request.model and (name == _settings(body) or _has(body, name)):
                raise PermanentError(words)
        expected = len(json.dumps(body)) / 4 + (request.max_output_tokens or 0)
        began = time.monotonic()
        refusals = 0
        while True:
            entry = self.pace.acquire(expected)
            try:
                answer = self._send(request, body)
            except RateLimited as error:
                self.pace.settle(entry, 0)
                wait = error.retry_after if error.retry_after is not None else _backoff(refusals)
                self.pace.limiter.throttled(error.retry_after)
                if time.monotonic() + wait - began > LONGEST_WAIT_SECONDS:
                    minutes = LONGEST_WAIT_SECONDS / 60
                    raise PermanentError(
                        f"the server has asked for patience for {minutes:g} minutes; "
                        f"run the same command later ({error})"
                    ) from None
                refusals += 1
                time.sleep(wait)
                continue
            except BaseException as error:
                self.pace.limiter.failed()
                if self._learned(error, body):
                    self.pace.settle(entry, 0)
                    continue
                raise
            self.pace.limiter.succeeded()
            self.pace.settle(entry, answer.said.usage.total)
            answer.refusals = refusals
            return answer

    def of_batch(self, request: Request, body: Json, reply: Json, batch: str) -> Answer:
        """The answer that a batch had; it has no latency, and costs what `batch` in prices says."""
        text = json.dumps(reply, ensure_ascii=False)
        said, text = self._understood(request, text, stream=False)
        price = price_of(request.endpoint, request.model, batch=True)
        return Answer(
            said,
            text,
            without_keys(json.dumps(body, ensure_ascii=False), self._keys),
            float("nan"),
            None,
            price.cost(said.usage) if price else None,
            price.as_of if price else None,
            canned=False,
            batch=batch,
        )

    def call(self, function: Callable[[openai.OpenAI, Any], Any]) -> Any:
        """What the server answers to something that is no question, such as how a batch goes.

        Raises ServerFault where it may answer later, PermanentError where it will not.
        """
        try:
            return function(self._sdk, self._each)
        except openai.APIStatusError as error:
            fault = self._status_fault(error, None)
            if isinstance(fault, RateLimited):
                raise ServerFault(str(fault), may_cost=False) from None
            raise fault from None
        except openai.APIConnectionError as error:
            raise self._broken(error) from None

    def fault_in_batch(self, status: int, error: Json) -> Exception:
        """Why a question in a batch got no answer, by the status of its own."""
        words = str(error.get("message") or error.get("code") or error.get("type") or "no reason")
        said = without_keys(words, self._keys)[:500]
        if status < 400:  # expired or cancelled
            return ServerFault(said, may_cost=False)
        return faults.of_status(status, {"error": error}, {}, said, self.endpoint, "")

    def _learned(self, error: BaseException, body: Json) -> bool:
        """Whether the request may go again without something that we put in unasked."""
        unasked = "stream_options"
        if (
            unasked not in body
            or not isinstance(error, PermanentError)
            or unasked not in str(error)
        ):
            return False
        self._no_stream_options = True
        del body[unasked]
        return True

    def _send(self, request: Request, body: Json) -> Answer:
        stream = bool(body.get("stream"))
        started = time.perf_counter()
        try:
            # As a stream in any case: its bytes are read here, where their faults are known.
            reply = self._sdk.post(
                PATHS[request.api],
                cast_to=object,
                body=body,
                options={"headers": self._each},
                stream=True,
                stream_cls=openai.Stream[object],
            ).response
        except openai.APIStatusError as error:
            raise self._status_fault(error, request) from None
        except openai.APIConnectionError as error:
            raise self._broken(error) from None
        try:
            text, first = received(reply, request.api, stream, started)
        except ServerFault:
            raise
        except Exception as error:  # of whichever HTTP library the client is built on
            raise self._broken(error) from None
        finally:
            reply.close()
        latency = time.perf_counter() - started
        sent = without_keys(reply.request.content.decode(), self._keys)
        said, text = self._understood(request, text, stream)
        price = price_of(request.endpoint, request.model)
        return Answer(
            said,
            text,
            sent,
            latency,
            first,
            price.cost(said.usage) if price else None,
            price.as_of if price else None,
            self.endpoint.url == CANNED,
        )

    def _understood(self, request: Request, text: str, stream: bool) -> tuple[Said, str]:
        """What was said, and the text to keep, both without a key."""
        try:
            events = [json.loads(line) for line in (text.split("\n") if stream else [text])]
            events, text = json_without_keys(events, text, self._keys)
            return read(request.api, events), text
        except TwoAnswers as error:
            raise PermanentError(
                f"{error}; ask for one, and for more with `repeats` in [run]"
            ) from None
        except NoAnswer as error:
            said = without_keys(str(error), self._keys)[:500]
            if error.error:
                raise faults.of_error_inside(
                    error.error, said, self.endpoint, request.model
                ) from None
            raise ServerFault(f"not an answer ({said}): {text[:200]}") from None
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            kept = without_keys(text, self._keys)[:200]
            raise ServerFault(f"not an answer ({type(error).__name__}: {error}): {kept}") from None

    def _status_fault(self, error: openai.APIStatusError, request: Request | None) -> Exception:
        try:
            body = error.response.json()
        except ValueError:
            body = None
        words = faults.message_in(body) or error.response.text or error.message
        said = without_keys(f"{error.status_code}: {words}", self._keys)[:500]
        model = request.model if request else ""
        fault = faults.of_status(
            error.status_code, body, error.response.headers, said, self.endpoint, model
        )
        if request is None:
            return fault
        name = faults.parameter_in(body, said)
        if isinstance(fault, PermanentError) and name:
            sent = json.loads(error.request.content)
            known = _settings(sent) if faults.is_of_value(body, said) else name
            self._refused[request.model, known] = str(fault)
        return fault

    def _broken(self, error: BaseException) -> Exception:
        last = error
        while following := last.__cause__ or last.__context__:
            last = following
        said = without_keys(str(last) or type(error).__name__, self._keys)[:300]
        host = urlsplit(str(self._sdk.base_url)).hostname or ""
        return faults.of_connection(error, self.endpoint, host, said)


def connect(name: str) -> Client:
    """The client of an endpoint; raises PermanentError where no server is there."""
    with _building:
        place = (os.getpid(), name)
        if place not in _clients:
            _clients[place] = Client(endpoint(name))
        return _clients[place]


def _settings(body: Json) -> str:
    """All of a request but its question."""
    question = {"messages", "input", "prompt", "system"}
    return json.dumps({name: value for name, value in body.items() if name not in question})


def _has(body: Json, name: str) -> bool:
    """Whether a request has a setting, such as `output_config.effort`; any part of a list."""
    found: Any = body
    for part in name.split("."):
        if not isinstance(found, dict):
            break
        if part not in found:
            return False
        found = found[part]
    return True


def _backoff(refusals: int) -> float:
    """Seconds to wait where the server named none: [retry] of benchmark.toml, with jitter."""
    least, most = _waits()
    return min(most, least * 2**refusals) * random.uniform(0.5, 1.0)


@lru_cache
def _waits() -> tuple[float, float]:
    retry = tomllib.loads((ROOT / "benchmark.toml").read_text(encoding="utf-8")).get("retry", {})
    return float(retry.get("wait_seconds", 0.5)), float(retry.get("max_wait_seconds", 30.0))
