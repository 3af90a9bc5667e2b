"""The process that runs harness.load.generator, seen from the side of the executor."""

import socket
import subprocess
import sys
from multiprocessing.connection import Connection

from harness.errors import HarnessError
from harness.load.connection import Finished
from harness.load.target import environment

BATCH = 64
_STOP_SECONDS = 5.0
Work = tuple[int, float, bytes]  # index, due in seconds from the start, request


class GeneratorProcess:
    """A generator process and the pipe to it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "harness.load.generator"]
        with theirs:
            self.process = subprocess.Popen(command, stdin=theirs.fileno(), env=environment())
        self.pipe = Connection(ours.detach())
        self.ending = self.over = False

    def send(self, content: object) -> None:
        try:
            self.pipe.send(content)
        except OSError:
            raise self._died() from None

    def hand_over(self, start: float, work: list[Work], ended: bool = False) -> None:
        """Requests, in pieces that do not hold up the sending; `ended`: there will be no more."""
        for first in range(0, len(work), BATCH):
            piece = work[first : first + BATCH]
            self.send([(index, start + due, payload) for index, due, payload in piece])
        if ended and not self.ending:
            self.ending = True
            self.send(None)

    def receive(self) -> list[Finished]:
        """The next results, waited for; none when it is up and when it is done."""
        try:
            found: list[Finished] | None = self.pipe.recv()
        except (EOFError, OSError):
            raise self._died() from None
        self.over = found is None
        return found or []

    def _died(self) -> HarnessError:
        return HarnessError(
            f"a load generator ended early (exit code {self.process.wait()})",
            fix="the same command goes on with what is missing",
            code=1,
        )

    def close(self) -> None:
        self.pipe.close()  # it ends when this does
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
