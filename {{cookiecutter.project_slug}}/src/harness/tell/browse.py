"""Explore the results in a browser, with Datasette: on this machine only, and read-only."""

import importlib.util
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from harness.console import err
from harness.errors import HarnessError, reason_of
from harness.record.database_file import set_strangers_aside

HOST, PORT = "127.0.0.1", 8001


def browse(databases: Sequence[Path], *, open_browser: bool = True) -> int:
    """Serve the databases until Ctrl-C; returns the exit code.

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
        err.print("Ctrl-C ends it.", markup=False)
        try:
            return subprocess.run(
                _command(shown, _free_port(), open_browser), check=False
            ).returncode
        except KeyboardInterrupt:
            return 0


def _command(databases: Sequence[Path], port: int, open_browser: bool) -> list[str]:
    # Immutable means that Datasette takes no lock and can write nothing.
    files = [part for path in databases for part in ("--immutable", str(path))]
    settings = ["--setting", "sql_time_limit_ms", "10000", "--setting", "num_sql_threads", "2"]
    command = [sys.executable, "-m", "datasette", "serve", *files, *settings]
    return [*command, "--host", HOST, "--port", str(port), *(["--open"] if open_browser else [])]


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
