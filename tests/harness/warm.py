"""Processes that have imported the libraries already: each command is a fork of one warm process.

Half of a short run is importing pandas and SciPy. A fork is a process as good as any other, but for
one thing: Python's hash seed is the parent's. Tests about several processes start real ones.

As a program: reads a request a line on standard input, and answers each with its exit code.
"""

import atexit
import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import Any

LIBRARIES = (
    "asyncio",
    "cloudpickle",
    "concurrent.futures.process",
    "datasketch",
    "diskcache",
    "duckdb_extensions",
    "filelock",
    "jinja2",
    "matplotlib.backends.backend_svg",
    "matplotlib.figure",
    "orjson",
    "pandas",
    "psutil",
    "pydantic",
    "rich.progress",
    "rich.table",
    "scipy.optimize",
    "scipy.stats",
    "stamina",
    "typer",
    "xetrack.cli",
)


class WarmProcess:
    """Runs `python -m harness …` or a Python text in forks of one process."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def run(
        self,
        arguments: list[str],
        folder: Path,
        environment: dict[str, str],
        seconds: float,
        source: str = "",
    ) -> tuple[int, bytes, bytes]:
        """Exit code, standard output and standard error; a run that takes longer is ended (-9).

        `source` is run instead of the harness where it is given.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryDirectory() as place:
            request = {
                "source": source,
                "arguments": arguments,
                "folder": str(folder),
                "environment": environment,
                "out": f"{place}/out",
                "err": f"{place}/err",
            }
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            child = int(self._process.stdout.readline())
            watch = threading.Timer(seconds, os.kill, (child, 9))
            watch.start()
            code = int(self._process.stdout.readline())
            watch.cancel()
            said = [Path(place, name).read_bytes() for name in ("out", "err")]
        return code, said[0], said[1]

    def close(self) -> None:
        """End the warm process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def _become(request: dict[str, Any]) -> None:
    """Turn this fork into the program, in the request's folder and environment."""
    for number, name, flags in (
        (0, "/dev/null", os.O_RDONLY),
        (1, request["out"], os.O_WRONLY | os.O_CREAT),
        (2, request["err"], os.O_WRONLY | os.O_CREAT),
    ):
        file = os.open(name, flags)
        os.dup2(file, number)
        os.close(file)
    os.setpgid(0, 0)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    paths = request["environment"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[0:1] = [request["folder"], *(path for path in paths if path not in sys.path)]
    sys.argv = ["harness", *request["arguments"]]
    if request["source"]:
        exec(compile(request["source"], "<source>", "exec"), {"__name__": "__main__"})
    else:
        runpy.run_module("harness", run_name="__main__", alter_sys=True)


def _code_of(request: dict[str, Any]) -> int:
    try:
        _become(request)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(bool(leaving.code))
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _end(code: int) -> None:
    """Leave as Python does, but without C++ destructors for threads that only the parent has."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _serve() -> None:
    for library in LIBRARIES:
        importlib.import_module(library)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _end(_code_of(json.loads(line)))
        os.write(1, f"{child}\n".encode())
        _, status = os.waitpid(child, 0)
        os.write(1, f"{os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    _serve()
