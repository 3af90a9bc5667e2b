"""What runs inside a Dask worker: it keeps the project's files and its own processes.

Dask sends this module by value, so that a worker needs neither the harness nor the project: only
the standard library, distributed and psutil are used here. Predict never runs in the worker itself
but in processes that it starts (`cluster_process`): a crash, a time limit or too much memory ends
one datapoint, and two projects on one cluster cannot mix.
"""

import contextlib
import hashlib
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from distributed import WorkerPlugin, get_worker

_LOOK_SECONDS = 0.05
_HEADER = 8  # bytes that say how long a message is
# Bytes of a message that any pipe takes at once: sending it ahead cannot block.
_AHEAD = 4000


class Project(WorkerPlugin):  # type: ignore[misc]
    """A project on one worker.

    `files`: content by path from the top of the repository; `root`: the benchmark's folder there;
    `hello`: what each process is asked to check; `memory`: its limit in bytes (0: none).
    """

    def __init__(
        self,
        name: str,
        files: dict[str, bytes],
        root: str,
        path: list[str],
        hello: bytes,
        memory: int,
    ) -> None:
        self.name = name
        self.files = files
        self.root = root
        self.path = path
        self.hello = hello
        self.memory = memory

    def __getstate__(self) -> dict[str, Any]:
        names = ("name", "files", "root", "path", "hello", "memory")
        return {name: getattr(self, name) for name in names}

    def setup(self, worker: Any) -> None:
        """Unpack the files."""
        self.folder = Path(tempfile.mkdtemp(prefix="bench-", dir=worker.local_directory))
        for name, content in self.files.items():
            _write(self.folder / name, content)
        self.files = {}
        # Beside the files, which a fingerprint looks through.
        self.marks = Path(tempfile.mkdtemp(prefix="bench-marks-", dir=worker.local_directory))
        self.idle: list[Process] = []
        self.all: list[Process] = []

    def teardown(self, worker: Any) -> None:
        """End the processes and delete the files."""
        for process in self.all:
            process.end()
        for folder in (self.folder, self.marks):
            shutil.rmtree(folder, ignore_errors=True)

    def run(self, groups: list[bytes], sizes: list[int], wanted: dict[str, str]) -> Any:
        """The answers to `groups`, or ("missing", names) or ("refused", why).

        `wanted`: SHA-256 of the files that they need, by path from the root.
        """
        here = self.folder / self.root
        missing = [name for name, digest in wanted.items() if not _is_there(here / name, digest)]
        if missing:
            return "missing", missing
        answers: list[Any] = []
        process: Process | None = None
        ahead = False
        for index, size in enumerate(sizes):
            if process is None:
                process = self.idle.pop() if self.idle else self._start()
            if process.refused:
                return "refused", process.refused
            if not ahead:
                process.send(groups[index])
            # A process that has its next message need not wait until this one gets a turn.
            ahead = index + 1 < len(groups) and len(groups[index + 1]) <= _AHEAD
            if ahead:
                process.send(groups[index + 1])
            answer = process.receive()
            answers.append((size, answer))
            # One that has a message ahead and died since gives no answer to that, as it should.
            if answer[0] == "died" or not (ahead or process.alive):
                self.all.remove(process)
                process, ahead = None, False
        if process is not None:
            self.idle.append(process)
        return "done", answers

    def keep(self, files: dict[str, bytes]) -> None:
        """Write files that were missing, by path from the root."""
        for name, content in files.items():
            _write(self.folder / self.root / name, content)

    def _start(self) -> "Process":
        path = [self.folder / each for each in self.path]
        process = Process(self.folder / self.root, path, self.marks)
        process.begin(self.hello)
        if not process.refused:
            self.all.append(process)
            if self.memory:
                process.watch(self.memory)
        return process


class Process:
    """A process of the project; it answers one message after another.

    `marks`: the folder in which its watchdog says what it ended.
    """

    def __init__(self, root: Path, path: list[Path], marks: Path) -> None:
        self.refused = ""
        self.hungry = False
        self.marks = marks
        self.process = subprocess.Popen(
            [sys.executable, "-m", "harness.run.cluster_process", str(marks)],
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))},
        )

    @property
    def alive(self) -> bool:
        """Whether it can be asked again."""
        return self.process.poll() is None

    def begin(self, hello: bytes) -> None:
        """Let it check that it would compute what the driver's keys say."""
        self.send(hello)
        kind, *rest = self.receive()
        if kind != "ready":
            self.refused = rest[-1] if kind == "refused" else _not_started(rest[0])
            self.end()

    def send(self, message: bytes) -> None:
        """Give it a message; it answers them in their order."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it is gone, as `receive` will say
            self.process.stdin.write(len(message).to_bytes(_HEADER, "big") + message)
            self.process.stdin.flush()

    def receive(self) -> tuple[Any, ...]:
        """Its answer, or ("died", exit code, why): why is "time", "memory" or ""."""
        assert self.process.stdout is not None
        try:
            header = self.process.stdout.read(_HEADER)
            if len(header) == _HEADER:
                size = int.from_bytes(header, "big")
                content = self.process.stdout.read(size)
                if len(content) == size:
                    answer: tuple[Any, ...] = pickle.loads(content)
                    return answer
        except OSError:
            pass  # it is gone, as below
        code = self.process.wait()
        return "died", code, "memory" if self.hungry else "time" if self._overran() else ""

    def watch(self, limit: int) -> None:
        """End it where it takes more than `limit` bytes."""
        threading.Thread(target=self._watch, args=(limit,), daemon=True).start()

    def end(self) -> None:
        """Kill it and wait for that."""
        with contextlib.suppress(OSError):
            self.process.kill()
        self.process.wait()

    def _watch(self, limit: int) -> None:
        try:
            found = psutil.Process(self.process.pid)
            while self.alive:
                if found.memory_info().rss > limit:
                    self.hungry = True
                    self.process.kill()
                    return
                threading.Event().wait(_LOOK_SECONDS)
        except psutil.Error:
            return  # it has ended

    def _overran(self) -> bool:
        """Whether its own watchdog ended it, see time_limit.ended_by_watchdog."""
        file = self.marks / f"watchdog-{self.process.pid}"
        try:
            return bool(file.read_bytes())
        except OSError:
            return False
        finally:
            with contextlib.suppress(OSError):
                file.unlink()


def _not_started(code: object) -> str:
    """Where not even the question was understood: a Python too old for the harness, say."""
    asked = [sys.executable, "--version"]
    python = subprocess.run(asked, capture_output=True, encoding="utf-8").stdout.strip()
    return f"the harness does not start under {python} there (exit code {code}; see its log)"


def _is_there(path: Path, digest: str) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == digest
    except OSError:
        return False


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all: another task of this worker may read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{threading.get_ident()}.part")
    part.write_bytes(content)
    part.replace(path)


def task() -> Callable[..., tuple[str, Any, str]]:
    """The function that Dask calls.

    A local one: in a graph, Dask sends a module's function by its name, and the scheduler would
    have to import the harness.
    """

    def compute(
        name: str,
        chunk: str,
        groups: list[bytes],
        sizes: list[int],
        wanted: dict[str, str],
        files: dict[str, bytes],
    ) -> tuple[str, Any, str]:
        worker = get_worker()
        # Said first: where this worker is lost, the driver knows that it had begun.
        worker.log_event(name, chunk)
        project = worker.plugins[name]
        project.keep(files)
        kind, found = project.run(groups, sizes, wanted)
        return kind, found, worker.address

    return compute
