"""The load generator: a process that sends requests when they are due and reports each outcome.

The executor exchanges pickled frames with it over a socket on its standard input. When that closes,
its owner has ended in some way, and it ends too.

    in:   the options, then lists of (index, due, payload), then None
    out:  [] when it is up, then lists of tuples as `Exchange.result` gives them, then None

All times are seconds of the machine's monotonic clock, which all processes share.
"""

import asyncio
import contextlib
import gc
import os
import pickle
import select
import selectors
import signal
import socket
import ssl
from collections import deque
from time import monotonic
from typing import Any

from harness import system
from harness.load.connection import Connection, Exchange, Finished

WARMUP = -1  # the index of requests whose results are dropped
_FLUSH_SECONDS, _FLUSH_RESULTS = 0.02, 200
_BURST = 64  # requests sent before answers are looked at again


class PreciseSelector(selectors.DefaultSelector):
    """epoll counts whole milliseconds, so requests would leave up to 1 ms late; select does not."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0 and hasattr(select, "epoll"):
            select.select([self.fileno()], [], [], timeout)
            timeout = 0
        return super().select(timeout)


class Load:
    """Requests that are not yet due, wait for a connection, or are under way.

    Options: closed_loop; limit of connections; keep, the bytes of a body to return; start, until
    when a closed loop sends `warmup`; timeout in seconds from when a request was due (0: none).
    """

    def __init__(self, options: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        self.closed_loop = options["closed_loop"]
        self.limit = options["limit"]
        self.start = options["start"]
        self.timeout = options["timeout"]
        self.keep = options["keep"]
        self.warmup: deque[bytes] = deque(options["warmup"])
        self.host, self.port = options["address"]
        self.name = options["host"] if options["tls"] else None
        self.tls = _tls(options) if options["tls"] else None
        self.loop = asyncio.get_running_loop()
        self.writer = writer
        self.work: deque[tuple[int, float, bytes]] = deque()
        self.waiting: deque[Exchange] = deque()
        self.free: list[Connection] = []
        self.opening: set[asyncio.Task[None]] = set()
        self.results: list[Finished] = []
        self.open = self.under_way = 0
        self.ending = False
        self.over = asyncio.Event()
        self.starved: float | None = None
        self.alarm: asyncio.TimerHandle | None = None
        self.flushing: asyncio.TimerHandle | None = None

    def add(self, work: list[tuple[int, float, bytes]] | None) -> None:
        """Take requests, in the order in which they are due; None: there are no more."""
        self.ending = work is None
        self.work.extend(work or ())
        self.pump()

    def pump(self) -> None:
        """Send what is due (open loop), or as much as there are users free for (closed loop)."""
        if self.closed_loop:
            while self.under_way < self.limit and self._send_as_user():
                pass
        else:
            for _ in range(_BURST):
                if not self.work or self.work[0][1] > (now := monotonic()):
                    break
                index, due, payload = self.work.popleft()
                self.dispatch(Exchange(index, due, now - due, payload))
            if self.alarm is not None:
                self.alarm.cancel()
            self.alarm = self.loop.call_at(self.work[0][1], self.pump) if self.work else None
        if self.ending and not self.work and not self.under_way:
            self.over.set()

    def _send_as_user(self) -> bool:
        now = monotonic()
        if now < self.start and self.warmup:
            self.warmup.rotate()
            self.dispatch(Exchange(WARMUP, now, 0.0, self.warmup[0]))
        elif self.work:
            index, _, payload = self.work.popleft()
            lag = now - self.starved if self.starved else 0.0
            self.starved = None
            self.dispatch(Exchange(index, now, lag, payload))
        else:
            self.starved = self.starved or now
            return False
        return True

    def dispatch(self, exchange: Exchange) -> None:
        """Send over a free connection, or wait for one."""
        self.under_way += 1
        if self.timeout:
            limit = exchange.scheduled + self.timeout
            exchange.timer = self.loop.call_at(limit, self.expire, exchange)
        while self.free:
            connection = self.free.pop()
            if not connection.lost and not connection.transport.is_closing():
                connection.send(exchange)
                return
        self.waiting.append(exchange)
        self.connect()

    def connect(self) -> None:
        """Open connections while more requests wait than are being opened."""
        while len(self.opening) < len(self.waiting) and self.open + len(self.opening) < self.limit:
            task = self.loop.create_task(self._connect())
            self.opening.add(task)
            task.add_done_callback(self.opened)

    async def _connect(self) -> None:
        try:
            _, connection = await self.loop.create_connection(
                lambda: Connection(self),
                self.host,
                self.port,
                ssl=self.tls,
                server_hostname=self.name,
            )
        except OSError as error:
            if exchange := self.next_waiting():
                self.finished(exchange, type(error).__name__, str(error))
            return
        exchange = self.next_waiting()
        if exchange is None:
            self.free.append(connection)
        elif connection.lost:
            self.finished(exchange, "ConnectionClosed", "the server closed the connection at once")
        else:
            connection.send(exchange)

    def opened(self, task: asyncio.Task[None]) -> None:
        self.opening.discard(task)
        self.connect()

    def next_waiting(self) -> Exchange | None:
        """The request that has waited longest for a connection, except those that timed out."""
        while self.waiting:
            exchange = self.waiting.popleft()
            if not exchange.done:
                return exchange
        return None

    def expire(self, exchange: Exchange) -> None:
        reason = "PredictionTimeout", f"took longer than {self.timeout:g} s ([run] timeout_seconds)"
        if exchange.connection is not None:
            exchange.connection.end(*reason)
        else:
            self.finished(exchange, *reason)

    def finished(self, exchange: Exchange, error_type: str = "", error: str = "") -> None:
        """Keep the result and give the connection to the next that waits."""
        exchange.done = monotonic()
        exchange.error_type = error_type
        exchange.error = error
        if exchange.timer is not None:
            exchange.timer.cancel()
        self.under_way -= 1
        if exchange.index != WARMUP:
            self.results.append(exchange.result())
            if len(self.results) >= _FLUSH_RESULTS:
                self.flush()
            elif self.flushing is None:
                self.flushing = self.loop.call_later(_FLUSH_SECONDS, self.flush)
        connection = exchange.connection
        exchange.connection = None
        if connection is not None and not connection.lost:
            if waiting := self.next_waiting():
                connection.send(waiting)
            else:
                self.free.append(connection)
        self.connect()
        if self.closed_loop or self.ending:
            self.pump()

    def flush(self) -> None:
        if self.flushing is not None:
            self.flushing.cancel()
            self.flushing = None
        if self.results:
            self.writer.write(framed(self.results))
            self.results = []


def framed(content: object) -> bytes:
    """A frame as multiprocessing.connection reads and writes it: its length, then a pickle."""
    encoded = pickle.dumps(content)
    return len(encoded).to_bytes(4, "big") + encoded


def _tls(options: dict[str, Any]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=options["ca_file"] or None)


async def _main() -> None:
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=0))

    async def frame() -> Any:
        size = int.from_bytes(await reader.readexactly(4), "big")
        return pickle.loads(await reader.readexactly(size))

    async def take() -> None:
        try:
            while True:
                load.add(await frame())
        except (asyncio.IncompleteReadError, OSError):
            os._exit(1)  # the owner is gone: stop sending at once

    writer.write(framed([]))  # ready
    load = Load(await frame(), writer)
    gc.freeze()
    taking = asyncio.create_task(take())
    over = asyncio.create_task(load.over.wait())
    await asyncio.wait([taking, over], return_when=asyncio.FIRST_COMPLETED)
    if taking.done():
        taking.result()
    taking.cancel()
    load.flush()
    writer.write(framed(None))
    with contextlib.suppress(OSError):  # the owner no longer listens
        writer.close()
        await writer.wait_closed()


if __name__ == "__main__":
    system.allow_files()  # one for each connection
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the owner, who then ends this
    with asyncio.Runner(
        loop_factory=lambda: asyncio.SelectorEventLoop(PreciseSelector())
    ) as runner:
        runner.run(_main())
