"""Labels in a browser: a page on this machine that shows one answer at a time; a key gives a label.

As with `browse`, only who has opened the link with the token is answered, and only under this
machine's own name. What models answered is escaped, and the page may ask nobody else.
"""

import hmac
import secrets
import signal
import webbrowser
from collections.abc import Callable
from html import escape
from http import HTTPStatus
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import FrameType
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

from harness.console import err, visible

HOST = "127.0.0.1"
_STYLE = """
:root { color-scheme: light dark; } body { max-width: 52rem; margin: 2rem auto; padding: 0 1rem;
font: 1rem/1.5 system-ui, sans-serif; } pre { white-space: pre-wrap; overflow-wrap: anywhere;
border: 1px solid #8886; border-radius: .4rem; padding: .6rem; font: inherit; }
h2 { font-size: .9rem; margin: 1rem 0 .2rem; } button { font: inherit; padding: .5rem 1.2rem;
margin: .2rem .4rem .2rem 0; } .quiet { opacity: .7; }
"""
_SCRIPT = """
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const key = CSS.escape(event.key.toLowerCase());
  const button = document.querySelector(`button[data-key="${key}"]`);
  if (button) button.click();
});
"""


class Asked(Protocol):
    """What is asked about; `answer` names it, so that a page that is old labels nothing else."""

    @property
    def answer(self) -> str: ...
    @property
    def parts(self) -> dict[str, str]: ...
    @property
    def rules(self) -> tuple[str, ...]: ...


class Page:
    """The page's parts: what it asks, its keys with their words, and what a key does."""

    def __init__(
        self,
        now: Callable[[], Asked | None],
        keys: dict[str, str],
        press: Callable[[str], None],
        count: Callable[[], str],
    ) -> None:
        self.now, self.keys, self.press, self.count = now, keys, press, count
        self.token = secrets.token_urlsafe(24)

    def html(self, nonce: str) -> str:
        """The page as it is now."""
        asked = self.now()
        head = (
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>Label answers</title>'
            f"<style>{_STYLE}</style><h1>{_text(self.count())}</h1>"
        )
        if asked is None:
            return f"{head}<p>That was the last one. Ctrl-C in the terminal ends this.</p></html>"
        rules = "".join(
            f"<details><summary>Rubric</summary><pre>{_text(each)}</pre></details>"
            for each in asked.rules
        )
        parts = "".join(
            f"<h2>{_text(name)}</h2><pre>{_text(text)}</pre>" for name, text in asked.parts.items()
        )
        buttons = "".join(
            f'<button name="key" value="{_text(key)}" data-key="{_text(key)}">{_text(words)} '
            f'<span class="quiet">[{_text(key)}]</span></button>'
            for key, words in self.keys.items()
        )
        form = (
            '<form method="post" action="/">'
            f'<input type="hidden" name="token" value="{self.token}">'
            f'<input type="hidden" name="answer" value="{_text(asked.answer)}">{buttons}</form>'
        )
        return f'{head}{rules}{parts}{form}<script nonce="{nonce}">{_SCRIPT}</script></html>'


def _text(text: str) -> str:
    return escape(visible(text))


def serve(page: Page, *, open_browser: bool = True) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    server = HTTPServer((HOST, 0), _handler(page))
    address = f"http://{HOST}:{server.server_port}/?token={page.token}"
    err.print(f"{address}\nOpen this link. Ctrl-C ends it.", markup=False, soft_wrap=True)
    if open_browser:
        webbrowser.open(address)
    before = signal.signal(signal.SIGTERM, _end)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
        server.server_close()


def _end(number: int, frame: FrameType | None) -> None:
    """End as on Ctrl-C, so that what was labelled is said."""
    raise KeyboardInterrupt


def _handler(page: Page) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5  # browsers open connections ahead, and one that says nothing blocks the others

        def do_GET(self) -> None:
            if not self._is_own_name():
                return
            asked = parse_qs(urlsplit(self.path).query)
            if _same(asked.get("token", [""])[0], page.token):
                self._to_page(f"label={page.token}; HttpOnly; SameSite=Strict; Path=/")
            elif self._knows_token():
                nonce = secrets.token_urlsafe(16)
                rules = (
                    f"default-src 'none'; style-src 'unsafe-inline'; script-src 'nonce-{nonce}'; "
                    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
                )
                self._send(HTTPStatus.OK, page.html(nonce), rules)
            else:
                self._send(HTTPStatus.FORBIDDEN, "open the link that the terminal shows")

        def do_POST(self) -> None:
            if not self._is_own_name():
                return
            said = self.headers.get("Content-Length") or "0"
            length = min(int(said), 10_000) if said.isdecimal() else 0
            sent = parse_qs(self.rfile.read(length).decode("utf-8", "replace"))
            given = {name: values[0] for name, values in sent.items()}
            if not (self._knows_token() and _same(given.get("token", ""), page.token)):
                self._send(HTTPStatus.FORBIDDEN, "open the link that the terminal shows")
                return
            asked, key = page.now(), given.get("key", "")
            # A second click on an old page must not label the next answer.
            if asked is not None and asked.answer == given.get("answer") and key in page.keys:
                page.press(key)
            self._to_page()

        def _knows_token(self) -> bool:
            cookie = SimpleCookie(self.headers.get("Cookie") or "").get("label")
            return cookie is not None and _same(cookie.value, page.token)

        def _is_own_name(self) -> bool:
            assert isinstance(self.server, HTTPServer)
            port = self.server.server_port
            if self.headers.get("Host") in (f"{HOST}:{port}", f"localhost:{port}"):
                return True
            self._send(HTTPStatus.MISDIRECTED_REQUEST, "that is no name of this machine")
            return False

        def _to_page(self, cookie: str = "") -> None:
            self.send_response(HTTPStatus.SEE_OTHER)
            self.send_header("Location", "/")
            if cookie:
                self.send_header("Set-Cookie", cookie)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _send(self, status: HTTPStatus, text: str, rules: str = "default-src 'none'") -> None:
            body = text.encode("utf-8")
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Security-Policy", rules)
            self.send_header("Cache-Control", "no-store")
            self.send_header("Referrer-Policy", "no-referrer")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the terminal is the person's."""

    return Handler


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())
