"""A server that speaks each family's API, fails by a script, and logs all that it was asked.

What a question meets depends on its text and on how often it was asked, so that a run can be
repeated: `script(prompt)` gives the faults of its first, second, … attempt; after them it is
answered. Every answer has an id of its own, which is in the response and, before it is sent, in
the log.

A program of its own too: python -m tests.kinds.llm.fault_server LOG [LATENCY_SECONDS] prints its
address and serves until it is ended. It then answers everything, which is what a benchmark needs.
"""

import asyncio
import contextlib
import json
import ssl
import sys
import threading
import time
import zlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from tests.kinds.llm.families import (
    api_of,
    question,
    refusal_of,
    reply_of,
    said_of,
    stream_of,
)

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
        refuses: Collection[str] = (),
    ) -> None:
        """`crowd`: nobody is answered until so many calls have been inside at once.

        `refuses`: what a body must not have.
        """
        self.refuses = frozenset(refuses)
        self.log, self.script, self.latency, self.tls = log, script, latency, tls
        self.answer, self.crowd = answer, crowd
        self.asked: Counter[str] = Counter()
        self.arrivals: list[float] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
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
                    line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line
                )
                headers = {name.lower(): value for name, value in headers.items()}
                body = json.loads(await reader.readexactly(int(headers.get("content-length", 0))))
                self.arrivals.append(time.monotonic())
                self.headers.append(headers)
                self.paths.append(head.split(" ")[1])
                self.inside += 1
                self.most_inside = max(self.most_inside, self.inside)
                try:
                    going_on = await self._reply(head.split(" ")[1], body, headers, writer)
                finally:
                    self.inside -= 1
                if not going_on:
                    break
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError, ssl.SSLError):
            pass
        writer.transport.abort()

    async def _reply(
        self,
        path: str,
        body: dict[str, Any],
        headers: dict[str, str],
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Answer one request; False where the connection is to be dropped."""
        api = api_of(path)
        prompt = question(api, body)
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
        await asyncio.sleep(self.latency + (float(argument) if kind == "slow" else 0.0))
        name = f"answer-{zlib.crc32(prompt.encode()):08x}-{attempt}"
        said = said_of(kind, argument, self.answer, headers)
        said.tokens = tokens(prompt), said.tokens[1]
        status, extra, given = 200, "", name
        content = json.dumps(reply_of(api, name, said))
        if refused := sorted(self.refuses & body.keys()):
            kind, argument = "400", ""
            fault = f"Unsupported parameter: '{refused[0]}' is not supported with this model."
        if kind.isdigit():
            status, given = int(kind), ""
            extra, content = refusal_of(status, argument, fault, headers)
        elif kind in ("drop", "drop_midway", "malformed", "truncated", "no_choices", "broken_off"):
            given = ""
            whole = content
            content = {"malformed": "<html>busy</html>", "truncated": whole[: len(whole) // 2]}.get(
                kind, json.dumps({"error": {"message": "busy"}}) if kind == "no_choices" else whole
            )
        elif kind in ("finish_error", "two"):
            given = ""
        if body.get("stream") and status == 200 and kind != "malformed":
            parts = stream_of(api, name, said, kind)
            content = "".join(parts if kind != "truncated" else parts[:2])
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
