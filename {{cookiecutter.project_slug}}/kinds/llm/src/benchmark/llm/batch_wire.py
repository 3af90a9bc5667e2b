"""Batches in each server's words: OpenAI's files of requests, Anthropic's message batches."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

import openai

from benchmark.llm.batch_journal import Sent
from benchmark.llm.client import Client
from benchmark.llm.faults import RateLimited, ServerFault
from benchmark.llm.request import PATHS, Json
from harness import PermanentError

# What came of each question: the body of its answer, or why there is none.
Replies = dict[str, Json | Exception]
_SLACK_SECONDS = 300.0  # by which the server's clock may be behind ours
_ENDED = frozenset({"completed", "expired", "cancelled"})


class Wire(Protocol):
    """What a server of batches is asked for. Each raises ServerFault where it did not answer."""

    def create(self, sent: Sent, bodies: dict[str, Json]) -> str:
        """Begin a batch; returns its id."""

    def find(self, sent: Sent, others: set[str]) -> str | None:
        """The id of a batch that may have been begun; `others` are known to be other ones."""

    def results(self, sent: Sent) -> Replies | None:
        """What came of its questions; None as long as it is under way."""


def wire_of(client: Client, api: str) -> Wire:
    """How to speak with the server of a client."""
    return _Messages(client) if api == "anthropic" else _Files(client, api)


class _Files:
    """A file of requests is uploaded, and files of answers and errors come back."""

    def __init__(self, client: Client, api: str) -> None:
        self._client, self._path = client, f"/v1{PATHS[api]}"

    def create(self, sent: Sent, bodies: dict[str, Json]) -> str:
        lines = [
            {"custom_id": key, "method": "POST", "url": self._path, "body": body}
            for key, body in bodies.items()
        ]
        data = "\n".join(json.dumps(each, ensure_ascii=False) for each in lines).encode()
        file = self._client.call(
            lambda sdk, headers: sdk.files.create(
                file=(f"{sent.token}.jsonl", data), purpose="batch", extra_headers=headers
            )
        )
        batch = self._client.call(
            lambda sdk, headers: sdk.post(
                "/batches",
                cast_to=object,
                body={
                    "input_file_id": file.id,
                    "endpoint": self._path,
                    "completion_window": "24h",
                    "metadata": {"benchmark": sent.token},
                },
                options={"headers": headers},
            )
        )
        return str(batch["id"])

    def find(self, sent: Sent, others: set[str]) -> str | None:
        after = ""
        while True:
            page = self._get(f"/batches?limit=100{f'&after={after}' if after else ''}")
            found = page.get("data") or []
            for each in found:
                if (each.get("metadata") or {}).get("benchmark") == sent.token:
                    return str(each["id"])
            # The newest come first, so older ones than ours cannot be it.
            if not page.get("has_more") or found[-1].get("created_at", 0) < sent.at - 3600:
                return None
            after = found[-1]["id"]

    def results(self, sent: Sent) -> Replies | None:
        batch = self._get(f"/batches/{sent.batch}")
        status = str(batch.get("status"))
        if status == "failed":
            errors = (batch.get("errors") or {}).get("data") or [{}]
            raise PermanentError(
                f"batch {sent.batch} failed: {errors[0].get('message') or 'no reason is given'}"
            )
        if status not in _ENDED:
            return None
        found: Replies = {}
        for name in ("error_file_id", "output_file_id"):
            if batch.get(name):
                found |= self._lines(str(batch[name]))
        return found

    def _lines(self, file: str) -> Replies:
        text = self._client.call(
            lambda sdk, headers: sdk.files.content(file, extra_headers=headers).content
        )
        return _each(text, self._reply)

    def _reply(self, line: Json) -> Json | Exception:
        reply = line.get("response") or {}
        status = int(reply.get("status_code") or 0)
        if status == 200:
            return _object(reply["body"])
        error = line.get("error") or (reply.get("body") or {}).get("error") or {}
        return self._client.fault_in_batch(status, error)

    def _get(self, path: str) -> Json:
        found: Json = self._client.call(
            lambda sdk, headers: sdk.get(path, cast_to=object, options={"headers": headers})
        )
        return found


class _Messages:
    """A list of requests is sent, and a file of results comes back."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(self, sent: Sent, bodies: dict[str, Json]) -> str:
        requests = [{"custom_id": key, "params": body} for key, body in bodies.items()]
        batch = self._client.call(
            lambda sdk, headers: sdk.post(
                "/messages/batches",
                cast_to=object,
                body={"requests": requests},
                options={"headers": headers},
            )
        )
        return str(batch["id"])

    def find(self, sent: Sent, others: set[str]) -> str | None:
        # They carry no mark of ours: one of this size and time that nobody else of us has may be
        # it, and its results will tell.
        for each in self._get("/messages/batches?limit=100").get("data") or ():
            counts = each.get("request_counts") or {}
            size = sum(number for number in counts.values() if isinstance(number, int))
            begun = datetime.fromisoformat(str(each["created_at"]).replace("Z", "+00:00"))
            late = begun.timestamp() >= sent.at - _SLACK_SECONDS
            if late and size == len(sent.keys) and each["id"] not in others:
                return str(each["id"])
        return None

    def results(self, sent: Sent) -> Replies | None:
        if self._get(f"/messages/batches/{sent.batch}").get("processing_status") != "ended":
            return None
        text = self._client.call(
            lambda sdk, headers: (
                sdk.get(
                    f"/messages/batches/{sent.batch}/results",
                    cast_to=openai._legacy_response.HttpxBinaryResponseContent,
                    options={"headers": headers},
                ).content
            )
        )
        return _each(text, self._reply)

    def _reply(self, line: Json) -> Json | Exception:
        result = line.get("result") or {}
        if result.get("type") == "succeeded":
            return _object(result["message"])
        error = (result.get("error") or {}).get("error") or result.get("error") or {}
        said = error or {"type": f"batch_{result.get('type')}"}
        status = 400 if said.get("type") == "invalid_request_error" else 0
        return self._client.fault_in_batch(status, said)

    def _get(self, path: str) -> Json:
        found: Json = self._client.call(
            lambda sdk, headers: sdk.get(path, cast_to=object, options={"headers": headers})
        )
        return found


def _each(text: bytes, reply: Callable[[Json], Json | Exception]) -> Replies:
    """What each line of a file of results says; an odd line says nothing about its question."""
    found: Replies = {}
    for line in text.split(b"\n"):
        try:
            read = _object(json.loads(line))
            found[str(read["custom_id"])] = reply(read)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            continue
    return found


def _object(value: Any) -> Json:
    """A JSON object. Raises TypeError where it is something else."""
    if not isinstance(value, dict):
        raise TypeError(type(value).__name__)
    return value


def passes(fault: Exception) -> bool:
    """Whether the same question may be answered in another batch."""
    return isinstance(fault, (ServerFault, RateLimited))
