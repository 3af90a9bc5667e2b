"""An OpenAI-compatible server that fails on purpose, by a script, and logs all that it was asked.

What a question meets depends on its text and on how often it was asked, so that a run can be
repeated: `script(prompt)` gives the faults of its first, second, … attempt; after them it is
answered. Every answer has an id of its own, which is in the response and, before it is sent, in
the log.

A program of its own too: python fault_server.py LOG [LATENCY_SECONDS] prints its port and serves
until it is ended. It then answers everything, which is what a benchmark needs.
"""

import asyncio
import base64
import contextlib
import json
import ssl
import sys
import threading
import time
import zlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

Script = Callable[[str], Sequence[str]]


def answers_everything(_: str) -> Sequence[str]:
    """A script without faults."""
    return ()


def by_turns(*scripts: Sequence[str]) -> Script:
    """Each question gets one of the scripts, by a hash of its text."""
    return lambda prompt: scripts[zlib.crc32(prompt.encode()) % len(scripts)]


def tokens(prompt: str) -> int:
    """What the server counts: four letters each, as in English."""
    return len(prompt) // 4


class FaultServer:
    """Serves on a thread of its own while the `with` lasts."""

    def __init__(
        self,
        log: Path,
        script: Script = answers_everything,
        latency: float = 0.0,
        tls: ssl.SSLContext | None = None,
        answer: str = "positive",
        crowd: int = 0,
    ) -> None:
        """`crowd`: nobody is answered until so many calls have been inside at once."""
        self.log, self.script, self.latency, self.tls = log, script, latency, tls
        self.answer, self.crowd = answer, crowd
        self.asked: Counter[str] = Counter()
        self.arrivals: list[float] = []
        self.inside = self.most_inside = 0
        self._file: TextIO
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._port = 0

    def __enter__(self) -> "FaultServer":
        self._file = self.log.open("a", encoding="utf-8")
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()
        self._file.close()

    @property
    def url(self) -> str:
        """What OPENAI_BASE_URL is to be."""
        return f"{'https' if self.tls else 'http'}://localhost:{self._port}/v1"

    def entries(self) -> list[dict[str, Any]]:
        """The log: time, prompt, attempt (0-based), what it met, and the id of the answer given."""
        self._file.flush()
        return [json.loads(line) for line in self.log.read_text("utf-8").splitlines()]

    def answers(self) -> dict[str, str]:
        """Answers given in full: id -> prompt."""
        return {entry["answer"]: entry["prompt"] for entry in self.entries() if entry["answer"]}

    def most_within(self, seconds: float) -> int:
        """Calls in the fullest half-open window of that length."""
        times = sorted(self.arrivals)
        return max(bisect_left(times, t + seconds) - i for i, t in enumerate(times))

    async def _run(self) -> None:
        self._ended, self._crowded = asyncio.Event(), asyncio.Event()
        server = await asyncio.start_server(
            self._connected, "127.0.0.1", 0, ssl=self.tls, backlog=512
        )
        self._port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._ended.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                first = await reader.readexactly(1)
                if first == b"\x16":  # the begin of TLS, where there is none
                    writer.write(b"HTTP/1.1 400 X\r\n\r\n")
                    await writer.drain()
                    break
                head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                headers = dict(
                    line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line
                )
                body = json.loads(await reader.readexactly(int(headers.get("content-length", 0))))
                self.arrivals.append(time.monotonic())
                self.inside += 1
                self.most_inside = max(self.most_inside, self.inside)
                try:
                    going_on = await self._reply(body, headers, writer)
                finally:
                    self.inside -= 1
                if not going_on:
                    break
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError, ssl.SSLError):
            pass
        writer.transport.abort()

    async def _reply(
        self, body: dict[str, Any], headers: dict[str, str], writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request; False where the connection is to be dropped."""
        chat = "messages" in body
        prompt = body["messages"][-1]["content"] if chat else body["prompt"]
        attempt = self.asked[prompt]
        self.asked[prompt] += 1
        faults = self.script(prompt)
        fault = faults[attempt] if attempt < len(faults) else "ok"
        kind, _, argument = fault.partition(":")
        if self.inside >= self.crowd:
            self._crowded.set()
        with contextlib.suppress(TimeoutError):  # the caller sees most_inside
            await asyncio.wait_for(self._crowded.wait(), 20)
        self._crowded.set()
        if self.latency:
            await asyncio.sleep(self.latency)
        number = zlib.crc32(prompt.encode())
        name = f"answer-{number:08x}-{attempt}"
        text, finish = self.answer, "stop"
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if kind == "say":
            message["content"] = text = argument
        if kind == "refusal":
            message |= {"content": None, "refusal": "I would rather not."}
        if kind == "empty":
            message["content"] = text = ""
        if kind == "null":
            message["content"] = None
        if kind == "filter":
            finish, message["content"] = "content_filter", ""
        if kind == "quote_key":
            message["content"] = text = f"you sent {headers.get('authorization')}"
        if kind == "quote_coded":
            sent = headers.get("authorization", "")
            coded = base64.b64encode(f"{argument}{sent}".encode()).decode()
            message["content"] = text = f"{sent[7:23]}... ({coded})"
        if kind == "slow":
            await asyncio.sleep(float(argument))
        reply: dict[str, Any] = {
            "id": name,
            "object": "chat.completion" if chat else "text_completion",
            "model": "faulty-1",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": finish,
                    **({"message": message} if chat else {"text": text}),
                }
            ],
            "usage": {
                "prompt_tokens": tokens(prompt),
                "completion_tokens": 2,
                "total_tokens": tokens(prompt) + 2,
            },
        }
        if kind == "uncounted":
            del reply["usage"]
        if kind == "counted_in_words":
            reply["usage"] = {"prompt_tokens": "a few"}
        if kind == "in_parts":
            message["content"] = [{"type": "text", "text": text[:3]}, {"text": text[3:]}]
        whole = json.dumps(reply)
        status, extra, content, given = 200, "", whole, name
        if kind.isdigit():
            status, given = int(kind), ""
            error = {"message": f"fault {fault}", "code": argument.partition(" ")[0] or None}
            if kind == "401":
                error["message"] = f"no such key: {headers.get('authorization')}"
            if kind in ("429", "503") and argument:
                extra = f"Retry-After: {argument}\r\n"
            content = json.dumps({"error": error})
        elif kind in ("drop", "drop_midway", "malformed", "truncated", "no_choices"):
            given = ""
            content = {"malformed": "<html>busy</html>", "truncated": whole[: len(whole) // 2]}.get(
                kind, json.dumps({"error": {"message": "busy"}}) if kind == "no_choices" else whole
            )
        if body.get("stream") and status == 200 and kind != "malformed":
            events = [reply | {"choices": [{"index": 0, "delta": {"content": part}}], "usage": None}
                      for part in (text[:3], text[3:])]  # fmt: skip
            events.append(reply | {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
            if kind == "broken_off":
                events[-1] = {"error": {"message": "out of memory"}}
            parts = [f"data: {json.dumps(event, ensure_ascii=False)}\n\n" for event in events]
            content = "".join(parts if kind != "truncated" else parts[:2])
            content += "data: [DONE]\n\n" if kind != "truncated" else ""
        self._note(prompt, attempt, fault, given)
        if kind == "drop":
            return False
        data = content.encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{extra}"
        writer.write(f"{head}Content-Length: {len(data)}\r\n\r\n".encode())
        writer.write(data[: len(data) // 2] if kind == "drop_midway" else data)
        await writer.drain()
        return kind != "drop_midway"

    def _note(self, prompt: str, attempt: int, fault: str, given: str) -> None:
        entry = {
            "time": time.time(),
            "prompt": prompt,
            "attempt": attempt,
            "fault": fault,
            "answer": given,
        }
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()


if __name__ == "__main__":
    with FaultServer(Path(sys.argv[1]), latency=float((sys.argv[2:] or ["0"])[0])) as running:
        print(running.url, flush=True)
        sys.stdin.read()
