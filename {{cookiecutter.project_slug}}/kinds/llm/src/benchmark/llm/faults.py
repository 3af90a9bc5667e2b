"""What can go wrong, told apart: try again, ask more slowly, fix something, or leave this question.

Faults that pass are ConnectionError or TimeoutError, which [retry] in benchmark.toml lists;
PermanentError ends the run after a few. `may_cost` says whether the server may have answered all
the same, and charge for it.
"""

import os
import re
import ssl
from collections.abc import Mapping
from typing import Any

from benchmark.llm.endpoint import Endpoint
from benchmark.llm.request import TABLE
from benchmark.llm.waits import asked_wait
from harness import PermanentError, TransientError

# A server that wants to be left alone for longer has no quota left; to wait would look like a hang.
LONGEST_WAIT_SECONDS = 600.0
# OpenAI says it by a code, llama.cpp and vLLM in the message only.
_TOO_LONG = re.compile("context[ _](length|size|window)|prompt is too long")
# Azure and OpenAI on one question; to stop the others for it would be wrong.
_POLICY = re.compile(
    "content_filter|content_policy|invalid_prompt|ResponsibleAIPolicyViolation|"
    "content management policy|usage policy|safety system",
    re.IGNORECASE,
)
_NAMED = (
    r"unsupported (?:parameter|value): '([\w.]+)'",
    r"unrecognized request argument supplied: ([\w.]+)",
    r"\b([\w.]+): Extra inputs",  # Anthropic, Mistral, vLLM
    r"`([\w.]+)` is deprecated for this model",  # Anthropic
    r"unknown name \"([\w.]+)\"",  # Google
    r"property '([\w.]+)' is unsupported",  # Groq
)
_PARAMETER = re.compile("(?i)" + "|".join(_NAMED))
# The error names the setting itself; its message may name the value instead.
_DECLARED = frozenset({"unsupported_parameter", "unsupported_value", "unknown_parameter"})
# A setting as Request has it, by the words of the APIs.
_OURS = {
    "reasoning.effort": "reasoning_effort",
    "output_config.effort": "reasoning_effort",
    "output_config.format": "schema",
    "response_format": "schema",
    "text.format": "schema",
    "max_completion_tokens": "max_output_tokens",
    "stop_sequences": "stop",
}
_RETRIED = frozenset({408, 409, 425})
_SLOWER = frozenset({503, 529})


class RateLimited(TransientError):
    """The server asked to be called less often."""

    may_cost = False


class ServerFault(ConnectionError):
    """The server failed, the connection broke, or what came back was no answer."""

    def __init__(self, message: str, may_cost: bool = True) -> None:
        super().__init__(message)
        self.may_cost = may_cost


class SlowServer(TimeoutError):
    """Nothing came for timeout_seconds. What the server does with the question is not known."""

    may_cost = True


class Unanswerable(Exception):
    """The server will not take this one question (too long, or filtered), but others."""

    may_cost = False


def of_status(
    status: int, body: Any, headers: Mapping[str, str], said: str, endpoint: Endpoint, model: str
) -> Exception:
    """The fault that a status and the body of an error mean; `said` is what may be shown of it."""
    error = _error_in(body)
    code = str(error.get("code") or error.get("type") or "")
    wait = asked_wait(headers, body)
    if status in (401, 403):
        if not os.environ.get(endpoint.key_variable):
            missing = f"{endpoint.key_variable}, whose key is for {endpoint.where}, is not set"
            return PermanentError(f"the server wants a key, and {missing} ({said})")
        key = f"the key in {endpoint.key_variable}, which is for {endpoint.where}"
        return PermanentError(f"the server refused {key} ({said})")
    if status == 404:
        return PermanentError(f"no such model or address at {endpoint.url} ({said})")
    if 300 <= status < 400:
        return PermanentError(f"{endpoint.url} sends us elsewhere; declare that address ({said})")
    if code == "insufficient_quota" or (wait or 0) > LONGEST_WAIT_SECONDS:
        return PermanentError(f"the quota is used up; run the same command later ({said})")
    if status == 429 or status == 529 or (status in _SLOWER and wait is not None):
        return RateLimited(said, retry_after=wait)
    if status >= 500 or status in _RETRIED:
        return ServerFault(said, may_cost=False)  # it says itself that it gave no answer
    if status == 413 or _TOO_LONG.search(f"{code} {said}") or _POLICY.search(_codes(error) + said):
        return Unanswerable(said)
    if name := parameter_in(body, said):
        return PermanentError(_about(name, model, said, of_value=is_of_value(body, said)))
    return PermanentError(f"the server does not take the request ({said})")


def of_error_inside(
    error: Mapping[str, Any], said: str, endpoint: Endpoint, model: str
) -> Exception:
    """The fault that an error inside an answer of status 200 means."""
    code = str(error.get("code") or error.get("status") or "")
    if code.isdigit() and 400 <= int(code) < 600:
        return of_status(int(code), {"error": dict(error)}, {}, said, endpoint, model)
    if "rate_limit" in code or "overloaded" in f"{code} {error.get('type')}":
        return RateLimited(said)
    return ServerFault(said)


def of_connection(error: BaseException, endpoint: Endpoint, host: str, said: str) -> Exception:
    """The fault that a broken connection means; `said` is what may be shown of it."""
    causes: list[BaseException] = [error]
    while following := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(following)
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return PermanentError(f"{host} has no certificate that can be trusted ({said})")
    if any("Timeout" in type(cause).__name__ for cause in causes):
        return SlowServer(f"no answer from {host} for {endpoint.timeout:g} s")
    if any(isinstance(cause, ssl.SSLError) for cause in causes) and "EOF" not in said:
        return PermanentError(f"{host} does not speak TLS there ({said})")
    return ServerFault(f"the connection to {host} broke ({said})")


def parameter_in(body: Any, said: str) -> str:
    """The setting that a server says it does not take, in its own words; "" for none."""
    error = _error_in(body)
    if str(error.get("code")) in _DECLARED and error.get("param"):
        return str(error["param"])
    found = _PARAMETER.search(said)
    return next(filter(None, found.groups())) if found else ""


def is_of_value(body: Any, said: str) -> bool:
    """Whether it takes the setting, but not the value that was sent."""
    code = str(_error_in(body).get("code"))
    return code == "unsupported_value" or "unsupported value" in said.lower()


def message_in(body: Any) -> str:
    """What the body of an error says, "" where it says nothing."""
    error = _error_in(body)
    return str(error.get("message") or error.get("detail") or "")


def _error_in(body: Any) -> dict[str, Any]:
    """The error itself: some send it bare, Google in a list."""
    if isinstance(body, list):
        body = body[0] if body else {}
    if not isinstance(body, dict):
        return {}
    error = body.get("error", body)
    return error if isinstance(error, dict) else {"message": str(error)}


def _codes(error: Mapping[str, Any]) -> str:
    inner = error.get("innererror") or {}
    inner_code = inner.get("code") if isinstance(inner, dict) else ""
    return f"{error.get('code')} {error.get('type')} {inner_code} "


def _about(name: str, model: str, said: str, of_value: bool) -> str:
    ours, model = _OURS.get(name, name), model or "the model"
    if of_value:
        how = f"give another value or leave it unset in GRID; {TABLE} can say so before"
        return f"{model} does not take this {ours}: {how} ({said})"
    how = f'leave it unset in GRID, and add refuses = ["{ours}"] for it to {TABLE}'
    if name == "max_tokens":
        how = f'add chat = {{ max_output_tokens = "max_completion_tokens" }} for it to {TABLE}'
    return f"{model} does not take {ours}: {how} ({said})"
