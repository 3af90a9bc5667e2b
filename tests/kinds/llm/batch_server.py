"""A server of batches that takes its time: OpenAI's files and Anthropic's message batches.

It counts what it was asked to answer, by the question. `expires` are questions that their first
batch does not come to, `refuses` those that it calls wrong; `loses` says how many replies to the
creation of a batch are cut off after the batch has begun.
"""

import json
import re
import threading
from collections import Counter
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]


# Lines that no server promises: they say nothing, and the others are read.
ODD = [
    "{", "[1]", "[" * 99_999, '{"custom_id": 5}', '{"custom_id": "x", "response": "y"}',
    '{"custom_id": "x", "response": {"status_code": "y"}}', '{"custom_id": "x", "result": [1]}',
    '{"custom_id": "x", "response": {"status_code": 200}}',
    '{"custom_id": "x", "result": {"type": "succeeded", "message": "y"}}',
]  # fmt: skip


class BatchServer:
    """Serves while the `with` lasts; a batch ends once it was looked at `looks` times."""

    def __init__(self, looks: int = 2, expires: str = "$^", refuses: str = "$^", loses: int = 0):
        self.looks, self.loses = looks, loses
        self.expires, self.refuses = re.compile(expires), re.compile(refuses)
        self.answered: Counter[str] = Counter()
        self.tried: set[str] = set()
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, Json] = {}
        self.held = threading.Event()  # while it is set, no batch ends
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))

    def __enter__(self) -> "BatchServer":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The address of an endpoint."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def begin(self, requests: list[Json], metadata: Json | None) -> Json:
        """A new batch; one of messages has no metadata."""
        name = f"batch_{len(self.batches)}"
        self.batches[name] = {
            "requests": requests, "metadata": metadata or {}, "looks": 0,
            "messages": metadata is None,
        }  # fmt: skip
        return self.state(name)

    def look(self, name: str) -> Json:
        """The state of a batch, which has gone on by one look."""
        batch = self.batches[name]
        batch["looks"] += not self.held.is_set()
        if batch["looks"] == self.looks:
            batch["results"] = [self._result(each) for each in batch["requests"]]
        return self.state(name)

    def state(self, name: str) -> Json:
        """As both servers say it, in one."""
        batch = self.batches[name]
        ended = "results" in batch
        begun: float | str = "2096-10-02T07:06:40Z" if batch["messages"] else 4e9
        expired = ended and any(kind == "expired" for _, kind, _ in batch["results"])
        state: Json = {
            "id": name, "created_at": begun, "metadata": batch["metadata"],
            "status": ("expired" if expired else "completed") if ended else "in_progress",
            "processing_status": "ended" if ended else "in_progress",
            "request_counts": {"processing": len(batch["requests"])},
        }  # fmt: skip
        if ended:
            state |= {"output_file_id": f"out-{name}", "error_file_id": f"err-{name}"}
        return state

    def _result(self, request: Json) -> tuple[str, str, str]:
        body = request.get("body") or request["params"]
        question = str(body["messages"][-1]["content"])
        first = question not in self.tried
        self.tried.add(question)
        if self.refuses.search(question):
            return request["custom_id"], "errored", question
        if first and self.expires.search(question):
            return request["custom_id"], "expired", question
        self.answered[question] += 1
        return request["custom_id"], "succeeded", question

    def lines(self, name: str, good: bool) -> bytes:
        """A file of OpenAI's results."""
        out = [*ODD]
        for key, kind, question in self.batches[name]["results"]:
            line: Json = {"custom_id": key, "response": None, "error": None}
            if kind == "succeeded":
                line["response"] = {"status_code": 200, "body": _chat(question)}
            elif kind == "errored":
                error = {"message": "context length exceeded: context_length_exceeded"}
                line["response"] = {"status_code": 400, "body": {"error": error}}
            else:
                line["error"] = {"code": "batch_expired", "message": "it was not come to in time"}
            if good == (kind == "succeeded"):
                out.append(json.dumps(line))
        return "\n".join(out).encode()

    def results(self, name: str) -> bytes:
        """Anthropic's results."""
        out = [*ODD]
        for key, kind, question in self.batches[name]["results"]:
            result: Json = {"type": kind}
            if kind == "succeeded":
                result["message"] = _message(question)
            elif kind == "errored":
                inner = {"type": "invalid_request_error", "message": "prompt is too long"}
                result["error"] = {"type": "error", "error": inner}
            out.append(json.dumps({"custom_id": key, "result": result}))
        return "\n".join(out).encode()


def _chat(question: str) -> Json:
    usage = {"prompt_tokens": len(question) // 4, "completion_tokens": 2}
    choice = {"index": 0, "finish_reason": "stop", "message": {"content": "positive"}}
    return {"id": "a", "model": "batched-1", "choices": [choice], "usage": usage}


def _message(question: str) -> Json:
    usage = {"input_tokens": len(question) // 4, "output_tokens": 2}
    content = [{"type": "text", "text": "positive"}]
    return {
        "type": "message", "role": "assistant", "model": "batched-1", "content": content,
        "stop_reason": "end_turn", "usage": usage,
    }  # fmt: skip


def _handler(server: BatchServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path.endswith("/files"):
                kind = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
                whole = BytesParser(policy=HTTP).parsebytes(kind + data)
                file = next(part for part in whole.walk() if part.get_filename())
                name = f"file-{len(server.files)}"
                found = file.get_payload(decode=True)
                assert isinstance(found, bytes)
                server.files[name] = found
                self._send({"id": name, "object": "file", "purpose": "batch"})
                return
            asked = json.loads(data)
            if "requests" in asked:
                made = server.begin(asked["requests"], None)
            else:
                lines = server.files[asked["input_file_id"]].splitlines()
                made = server.begin([json.loads(each) for each in lines], asked["metadata"])
            if server.loses:
                server.loses -= 1
                self.close_connection = True
                self.connection.close()
                return
            self._send(made)

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            name = path.rpartition("/")[2]
            if path.endswith("/batches"):
                self._send({"data": [server.state(each) for each in server.batches]})
            elif path.endswith("/content"):
                file = path.split("/")[-2]
                kind, _, batch = file.partition("-")
                self._send(server.lines(batch, kind == "out"))
            elif path.endswith("/results"):
                self._send(server.results(path.split("/")[-2]))
            else:
                self._send(server.look(name))

        def _send(self, found: Json | bytes) -> None:
            data = found if isinstance(found, bytes) else json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler
