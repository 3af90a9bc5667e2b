"""One HTTP/1.1 connection of the load generator, and one request and response on it."""

import asyncio
import hashlib
from time import monotonic
from typing import Protocol, TypeAlias

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

Finished: TypeAlias = tuple[int, float, float, float, float, float, int, int, str, str, bytes, str]
"""The outcome of an exchange, see `Exchange.result`."""


class Exchange:
    """One request and its response. `lag` is how late the generator was, in seconds."""

    __slots__ = (
        "body", "bytes", "connection", "done", "error", "error_type", "first_byte", "hash", "index",
        "lag", "payload", "scheduled", "sent", "status", "timer",
    )  # fmt: skip

    def __init__(self, index: int, scheduled: float, lag: float, payload: bytes) -> None:
        self.index = index
        self.scheduled = scheduled
        self.lag = lag
        self.payload = payload
        self.sent = self.first_byte = self.done = 0.0
        self.status = self.bytes = 0
        self.error_type = self.error = ""
        self.body = bytearray()
        self.hash: hashlib._Hash | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.connection: Connection | None = None

    def result(self) -> Finished:
        """Times are 0 where it did not come to that; the hash is '' where the body is whole."""
        return (
            self.index, self.scheduled, self.lag, self.sent, self.first_byte, self.done,
            self.status, self.bytes, self.error_type, self.error, bytes(self.body),
            self.hash.hexdigest() if self.hash else "",
        )  # fmt: skip


class Owner(Protocol):
    """Whose connections these are: `open` of them; of a body it wants the first `keep` bytes."""

    open: int
    keep: int

    def finished(self, exchange: Exchange, error_type: str = "", error: str = "") -> None:
        """An exchange has ended: with an answer, or with an error."""


class Connection(asyncio.Protocol):
    """A kept-alive HTTP/1.1 connection with at most one request under way."""

    def __init__(self, load: Owner) -> None:
        self.load = load
        self.exchange: Exchange | None = None
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.parser = HttpResponseParser(self)
        self.load.open += 1

    def send(self, exchange: Exchange) -> None:
        """Write a request. `load.finished` is called once when it has ended, however it did."""
        self.exchange = exchange
        exchange.connection = self
        self.complete = False
        self.framed = False
        self.reusable = True
        exchange.sent = monotonic()
        self.transport.write(exchange.payload)

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:  # an answer that was not asked for
            self.transport.abort()
            return
        if not exchange.first_byte:
            exchange.first_byte = monotonic()
        try:
            self.parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self.reusable = False
            if not self.complete:
                self.end("MalformedResponse", f"the response is not HTTP/1.1: {error}")
        if self.complete:
            self.end()

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(name) in (14, 17) and name.lower() in (b"content-length", b"transfer-encoding"):
            self.framed = True

    def on_headers_complete(self) -> None:
        if self.exchange is not None and not self.complete:
            self.exchange.status = self.parser.get_status_code()
            if self.exchange.payload.startswith(b"HEAD "):  # announces a body and sends none
                self.complete = True
                self.reusable = False

    def on_body(self, body: bytes) -> None:
        exchange, keep = self.exchange, self.load.keep
        if exchange is None or self.complete:
            return
        exchange.bytes += len(body)
        if exchange.hash is None and exchange.bytes > keep:
            exchange.hash = hashlib.sha256(exchange.body)
        if exchange.hash is not None:
            exchange.hash.update(body)
        exchange.body += body[: keep - len(exchange.body)]

    def on_message_complete(self) -> None:
        if self.exchange is not None and self.exchange.status >= 200:  # 1xx announce another one
            self.complete = True
            self.reusable = self.reusable and self.parser.should_keep_alive()

    def connection_lost(self, error: Exception | None) -> None:
        self.reusable = False
        if error is not None:
            self.end(type(error).__name__, str(error))
        elif self.exchange is not None and self.exchange.status and not self.framed:
            self.end()  # a body that ends with the connection
        else:
            self.end("ConnectionClosed", "the server closed the connection before it had answered")

    def end(self, error_type: str = "", error: str = "") -> None:
        """Hand in the exchange under way; drop the connection unless it can carry another."""
        exchange, self.exchange = self.exchange, None
        if (error_type or not self.reusable) and not self.lost:
            self.lost = True
            self.load.open -= 1
            self.transport.abort()
        if exchange is not None:
            self.load.finished(exchange, error_type, error)
