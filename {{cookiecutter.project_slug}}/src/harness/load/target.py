"""What is measured: the url of [throughput] in benchmark.toml, or the repository's own server.

Builds requests and limits answers, for the load generator and for single calls.
`${NAME}` in headers, body or the query of the url is taken from the environment, and [key] stands
in its place in everything that is kept.
"""

import contextlib
import hashlib
import http.client
import importlib.util
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.parse
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from harness.errors import HarnessError, PermanentError, TransientError
from harness.load.settings import Throughput
from harness.project.inputs import secret
from harness.redact import MARGIN, SHORTEST, names_secret, without_keys
from harness.steps import Step

LoadOptions: TypeAlias = dict[str, Any]
"""[throughput] of benchmark.toml with its defaults, and `timeout` in seconds."""
_FIX = "edit [throughput] in benchmark.toml"
_STARTUP_SECONDS, _STOP_SECONDS = 300.0, 5.0  # an app may load a large model first


@dataclass(frozen=True, slots=True)
class Request:
    """What to send. Fields left out come from [throughput]; `path` is added to the url's own."""

    body: str | bytes | None = None
    method: str = ""
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: HTTP status, the body's size in bytes, its first `keep_bytes`, and seconds taken.

    `sha256` is that of the whole body where only its beginning is kept, else ''.
    """

    status: int
    size: int
    body: bytes
    sha256: str
    latency: float

    @property
    def text(self) -> str:
        """What is kept of the body, for `raw_response`; it says so where that is not all."""
        text = self.body.decode("utf-8", "replace")
        return f"{text}… ({self.size} bytes, sha256 {self.sha256})" if self.sha256 else text


def project_root() -> Path:
    """The repository that the package `benchmark` belongs to."""
    found = importlib.util.find_spec("benchmark")
    places = list(found.submodule_search_locations or ()) if found else []
    return Path(places[0]).resolve().parents[1] if places else Path.cwd()


def load_options(root: Path | None = None) -> LoadOptions:
    """[throughput] of benchmark.toml with its defaults, and the time limit.

    Raises HarnessError for what cannot be.
    """
    from harness.project.settings import load_settings

    settings = load_settings(root or project_root())
    if settings.run.cache:  # an earlier answer says nothing about the server now
        raise HarnessError(
            "[run] cache is true; a request is never answered from the cache",
            fix="edit benchmark.toml",
        )
    options = settings.options("throughput", Throughput)
    return {**options.model_dump(), "timeout": settings.run.timeout_seconds}


class Target:
    """A server to ask, and its process where the repository's own was started for the run."""

    def __init__(
        self, url: str, options: LoadOptions, server: "subprocess.Popen[bytes] | None" = None
    ) -> None:
        self.options = options
        self.server = server
        self.secrets = set[str]()
        try:
            parts = urllib.parse.urlsplit(url)
            self.port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError as error:
            raise HarnessError(f"[throughput] url: {error}", fix=_FIX) from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise HarnessError(
                "[throughput] url must look like http://host:port/path, without a user or password",
                fix='write keys as headers = { Authorization = "Bearer ${NAME}" }',
            )
        self.address = (parts.hostname, self.port)
        self.host = parts.hostname
        self.authority = parts.netloc
        self.tls = parts.scheme == "https"
        self.path = parts.path
        query = self._expanded(parts.query, in_address=True)
        self.query = f"?{query}" if query else ""
        self.headers = {
            name: self._expanded(str(value), name) for name, value in options["headers"].items()
        }
        self.body = self._expanded(options["body"])

    def _expanded(self, text: str, header: str = "", in_address: bool = False) -> str:
        def value(match: re.Match[str]) -> str:
            name = match[1]
            found = secret(name).strip()  # a line break comes along with a file's content
            if not found:
                raise HarnessError(
                    f"[throughput] names ${{{name}}}, which is not set in the environment",
                    fix=f"export {name}=… before the run",
                )
            if len(found) < SHORTEST and names_secret(header or name):
                raise HarnessError(
                    f"${{{name}}} has fewer than {SHORTEST} letters, too few to be found and taken "
                    "out where an answer quotes it",
                    fix="use a longer key for this server",
                )
            self.secrets.add(found)
            return urllib.parse.quote(found, safe="") if in_address else found

        return re.sub(r"\$\{(\w+)\}", value, text)

    def parts(self, request: Request) -> tuple[str, str, dict[str, str], bytes]:
        """Method, path, headers and body as they are sent."""
        body = self.body if request.body is None else request.body
        encoded = body.encode() if isinstance(body, str) else body
        method = request.method or self.options["method"] or ("POST" if encoded else "GET")
        path = (self.path.rstrip("/") + request.path if request.path else self.path) or "/"
        headers = {"Host": self.authority}
        if encoded:
            headers["Content-Type"] = "application/json"
        sized = encoded or method in ("POST", "PUT", "PATCH")
        length = {"Content-Length": str(len(encoded))} if sized else {}
        for more in (self.headers, request.headers, length):
            for name in more:  # names ignore case, and the later value counts
                headers = {k: v for k, v in headers.items() if k.lower() != name.lower()}
            headers |= more
        line = f"{method} {path}{self.query}"
        if re.search(r"[\r\n]", line + "".join(f"{k}{v}" for k, v in headers.items())):
            raise HarnessError("a request has a line break in its path or headers", fix=_FIX)
        return method, path + self.query, headers, encoded

    def payload(self, request: Request) -> bytes:
        """The bytes of an HTTP/1.1 request."""
        method, path, headers, body = self.parts(request)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body

    @cached_property
    def kept_bytes(self) -> int:
        """How much of a body is read for `response`: a key must not be cut in two."""
        return int(self.options["keep_bytes"]) + (MARGIN if self.secrets else 0)

    @cached_property
    def _keys(self) -> tuple[str, ...]:
        """The secrets as they stand in a body of which each byte is read as one letter."""
        coded = {key.encode().decode("latin-1") for key in self.secrets}
        return tuple(coded | self.secrets)

    def response(
        self, status: int, size: int, body: bytes, sha256: str, latency: float
    ) -> Response:
        """An answer as it may be kept, from the first `kept_bytes` of its body."""
        keep = self.options["keep_bytes"]
        if size > keep and not sha256:
            sha256 = hashlib.sha256(body).hexdigest()
        if self.secrets:
            # As latin-1, where a byte is a letter: what is cut stays cut where it was.
            body = without_keys(body.decode("latin-1"), self._keys, keep).encode("latin-1")
        return Response(status, size, body if self.secrets else body[:keep], sha256, latency)

    def send(self, request: Request) -> Response:
        """Ask once. Raises TransientError for 429 and 5xx, PermanentError for other 4xx."""
        method, path, headers, body = self.parts(request)
        timeout = self.options["timeout"] or None
        start = time.perf_counter()
        connection = self._connection(timeout)
        try:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        took = time.perf_counter() - start
        sha256 = hashlib.sha256(content).hexdigest() if len(content) > self.kept_bytes else ""
        result = self.response(
            answer.status, len(content), content[: self.kept_bytes], sha256, took
        )
        if answer.status >= 400:
            kind = TransientError if answer.status in (429, *range(500, 600)) else PermanentError
            raise kind(f"HTTP {answer.status}: {result.text}")
        return result

    def _connection(self, timeout: float | None) -> http.client.HTTPConnection:
        if not self.tls:
            return http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        context = ssl.create_default_context(cafile=self.options["ca_file"] or None)
        return http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=context)

    def check(self) -> None:
        """Connect once. Raises HarnessError: no such host, no server there, TLS fails."""
        where = f"{self.host}:{self.port}"
        try:
            connection = self._connection(10.0)
            connection.connect()
            # Where the generator connects to, without asking for the name again each time.
            self.address = connection.sock.getpeername()[:2]
            connection.close()
        except socket.gaierror as error:
            raise HarnessError(
                f"there is no host {self.host!r}: {error.strerror}", fix=_FIX
            ) from None
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", "") or error.reason or error
            raise HarnessError(
                f"TLS with {where} failed: {reason}",
                fix="for a private authority name its certificate in [throughput] ca_file",
            ) from None
        except OSError as error:
            raise HarnessError(f"nothing answers at {where}: {error}", fix=_FIX) from None

    def close(self) -> None:
        """Stop the server, where this started one."""
        if self.server is None or self.server.stdin is None:
            return
        self.server.stdin.close()  # so that it knows that its owner is gone
        try:
            self.server.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()


_open: dict[str, Target] = {}


def open_target(app: str) -> Target:
    """The url of [throughput]; where that is "", the ASGI app `app` on a free loopback port.

    A server that runs is used again, and ends with this process. Raises HarnessError where the app
    does not start.
    """
    options = load_options()
    if options["url"]:
        return Target(options["url"], options)
    if app not in _open:
        close_targets()
        _open[app] = _start(app, options)
    return _open[app]


def close_targets() -> None:
    """Stop what `open_target` started."""
    while _open:
        _open.popitem()[1].close()


def _start(app: str, options: LoadOptions) -> Target:
    with socket.socket() as listener, tempfile.TemporaryFile() as log:
        listener.bind(("127.0.0.1", 0))
        address = listener.getsockname()
        server = subprocess.Popen(
            [sys.executable, "-m", "harness.load.serve", app, str(listener.fileno())],
            stdin=subprocess.PIPE, stdout=log, stderr=log, pass_fds=[listener.fileno()],
            start_new_session=True, env=environment(),
        )  # fmt: skip
        target = Target("http://{}:{}/".format(*address), options, server)
        deadline = time.monotonic() + _STARTUP_SECONDS
        with Step(f"starting the server {app}"):
            while server.poll() is None and time.monotonic() < deadline:
                with contextlib.suppress(OSError):
                    # It listens when the app is ready.
                    socket.create_connection(address, 1.0).close()
                    return target
                time.sleep(0.05)
        late = f" within {_STARTUP_SECONDS:.0f} s" if server.poll() is None else ""
        target.close()
        log.seek(0)
        said = [line for line in log.read().decode("utf-8", "replace").split("\n") if line.strip()]
        raise HarnessError(
            f"the server {app} did not start{late}: {said[-1] if said else 'it said nothing'}",
            fix=f"edit src/{app.partition(':')[0].replace('.', '/')}.py",
        )


def environment() -> dict[str, str]:
    """The environment in which a child imports what this process imports."""
    paths = [str(Path(__file__).resolve().parents[2]), str(project_root() / "src")]
    paths += filter(None, [os.environ.get("PYTHONPATH")])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}
