"""A server with canned answers, for the time before a real one is configured.

It speaks enough of the OpenAI API for this benchmark, over real HTTP on this machine only. A rule
of a few words answers, not a model: its numbers say that the pipeline works, and nothing else.
"""

import json
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

GOOD = {"amazing", "awesome", "best", "easy", "excellent", "good", "great", "happy", "love", "nice"}
BAD = {"bad", "broke", "froze", "hard", "never", "no", "not", "poor", "problem", "slow", "wrong"}


def start() -> str:
    """Start it on a free port; it ends with this process. Returns its base URL."""
    server = _Server(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}/v1"


def answer(prompt: str) -> str:
    """What the rule says to the last paragraph of a prompt.

    Told no more than the question it chats, and now and then says something that names no label.
    """
    instruction, *cases = prompt.split("\n\n")
    cases = cases or [instruction]  # another task's question may be one paragraph
    words = set(cases[-1].lower().replace(",", " ").replace(".", " ").split())
    good, bad = len(words & GOOD), len(words & BAD)
    guided = len(cases) > 1 or "when" in instruction
    label = "positive" if good > bad else "negative" if bad else "neutral" if guided else "positive"
    if guided:
        return f" {label}"
    doubtful = zlib.crc32(cases[-1].encode()) % 10 == 0
    return "I could read this both ways." if doubtful else f"This sounds {label}."


def _text(content: Any) -> str:
    """A message's words, without its images."""
    if isinstance(content, list):
        return "\n\n".join(str(part.get("text") or "") for part in content)
    return str(content or "")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        chat = "messages" in request
        prompt = _text(request["messages"][-1]["content"] if chat else request["prompt"])
        text = answer(prompt)
        counts = len(prompt.split()), len(text.split())
        usage = {"prompt_tokens": counts[0], "completion_tokens": counts[1]}
        body: dict[str, Any] = {"id": "canned", "object": "canned", "model": "canned"}
        if request.get("stream"):
            part = {"delta": {"content": text}} if chat else {"text": text}
            last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
            events = [body | {"choices": [{"index": 0, **part}]}, body | last]
            events.append(body | {"choices": [], "usage": usage | {"total_tokens": sum(counts)}})
            lines = [f"data: {json.dumps(event)}\n\n" for event in events]
            self._send("text/event-stream", "".join([*lines, "data: [DONE]\n\n"]))
            return
        part = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        body["choices"] = [{"index": 0, "finish_reason": "stop", **part}]
        self._send(
            "application/json", json.dumps(body | {"usage": usage | {"total_tokens": sum(counts)}})
        )

    def _send(self, kind: str, text: str) -> None:
        content = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Rows tell what was asked; a line for each call would hide the progress."""
