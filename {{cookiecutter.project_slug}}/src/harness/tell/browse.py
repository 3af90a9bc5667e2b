"""Explore the results in a browser, with Datasette: on this machine only, and read-only.

Whoever has an account here could ask a port of this machine, and so could a page on the internet
whose name is made to point here. So Datasette answers only who has opened the link that it prints,
which holds a token, and only under this machine's own name.
"""

import importlib.util
import json
import shutil
import signal
import socket
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from harness.console import err
from harness.errors import HarnessError, reason_of
from harness.record.database_file import set_strangers_aside

HOST, PORT = "127.0.0.1", 8001
_App = Callable[[Any, Any, Any], Awaitable[None]]


def browse(databases: Sequence[Path], *, open_browser: bool = True) -> int:
    """Serve the databases until Ctrl-C or SIGTERM; returns the exit code.

    Raises HarnessError where there is no database, one that cannot be read, or no Datasette.
    """
    if not databases or (missing := [path for path in databases if not path.is_file()]):
        raise HarnessError(
            f"There is no database {missing[0]}." if databases else "There are no results yet.",
            fix="make dev-run",
        )
    if importlib.util.find_spec("datasette") is None:
        raise HarnessError("Datasette is not installed.", fix="make setup")
    with tempfile.TemporaryDirectory(prefix="browse-") as folder:
        shown = [_readable(_not_in_use(path, Path(folder))) for path in databases]
        err.print("Open the link with the token. Ctrl-C ends it.", markup=False)
        before = signal.signal(signal.SIGTERM, _end)
        try:
            _serve(shown, Path(folder), _free_port(), open_browser)
        except KeyboardInterrupt:
            pass
        finally:
            signal.signal(signal.SIGTERM, before)
        return 0


def _end(number: int, frame: FrameType | None) -> None:
    """End as on Ctrl-C, so that copies are deleted."""
    raise KeyboardInterrupt


def _serve(databases: Sequence[Path], folder: Path, port: int, open_browser: bool) -> None:
    # In this process: one of its own could outlive it.
    from datasette import hookimpl
    from datasette.cli import cli
    from datasette.plugins import pm

    rules = folder / "rules.json"
    rules.write_text(json.dumps({"allow": {"id": "root"}}), encoding="utf-8")
    # Immutable means that Datasette takes no lock and can write nothing.
    files = [part for path in databases for part in ("--immutable", str(path))]
    settings = ["--setting", "sql_time_limit_ms", "10000", "--setting", "num_sql_threads", "2"]
    access = ["--root", "--metadata", str(rules), *(["--open"] if open_browser else [])]
    place = ["--host", HOST, "--port", str(port)]
    names = {f"{name}:{port}".encode() for name in (HOST, "localhost")}
    guard = ModuleType("own_names_only")
    guard.asgi_wrapper = hookimpl(lambda datasette: partial(_own_names_only, names))  # type: ignore[attr-defined]
    pm.register(guard)
    try:
        cli.main(["serve", *files, *settings, *access, *place], standalone_mode=False)
    finally:
        pm.unregister(guard)


def _own_names_only(names: set[bytes], app: _App) -> _App:
    """Datasette, answering under these names (`Host`) only."""

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or dict(scope["headers"]).get(b"host") in names:
            await app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 421, "headers": []})
        await send({"type": "http.response.body", "body": b"that is no name of this machine"})

    return guarded


def _not_in_use(path: Path, folder: Path) -> Path:
    """The file itself, or a copy where a run is writing to it or was killed doing so."""
    set_strangers_aside(path)
    if not path.with_name(path.name + "-wal").exists():
        return path
    copy = folder / path.name
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    # The copy is in the mode of its source, and a reader must not need files beside it.
    with closing(sqlite3.connect(copy)) as target:
        target.execute("PRAGMA journal_mode = delete")
    shutil.copystat(path, copy)
    err.print(f"{path} is in use: this shows a copy as of now.", markup=False, soft_wrap=True)
    return copy


def _readable(path: Path) -> Path:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?immutable=1", uri=True)) as con:
            con.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.Error as error:
        reason, fix = reason_of(error, path.name)
        raise HarnessError(f"{path} cannot be read: {reason}", fix=fix) from error
    return path


def _free_port() -> int:
    for port in (PORT, 0):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise HarnessError("There is no free port on this machine.")
