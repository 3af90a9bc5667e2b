"""What was sent in batches: .cache/batches.jsonl, a line for each step, on the disk before it.

    {"sent": "9f86…", "endpoint": "openai", "api": "chat", "keys": ["…"], "at": 1764200000.0}
    {"created": "9f86…", "batch": "batch_abc"}
    {"ended": "9f86…", "failed": ["…"]}
    {"done": "9f86…"}      all of its answers are in rows, or there was no such batch

A batch without `created` was asked for when something stopped us: the server is asked whether it
has it.
"""

import json
import os
import secrets
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Sent:
    """A batch: the questions (`keys`) that are in it, and what is known of it.

    `batch` is the server's id, "" as long as that is not known; `failed` got no answer.
    """

    token: str
    endpoint: str
    api: str
    keys: tuple[str, ...]
    at: float
    batch: str = ""
    failed: set[str] = field(default_factory=set)


class Journal:
    """The batches that are not done, of this run and of those before it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sent: dict[str, Sent] = {}
        self._ours: set[str] = set()
        if path.exists():
            *lines, _ = path.read_bytes().split(b"\n")  # a last line without its end is none
            for line in lines:
                self._read(json.loads(line))

    def _read(self, line: dict[str, Any]) -> None:
        if "sent" in line:
            named = (line["sent"], line["endpoint"], line["api"], tuple(line["keys"]), line["at"])
            self._sent[line["sent"]] = Sent(*named)
        elif "created" in line and line["created"] in self._sent:
            self._sent[line["created"]].batch = line["batch"]
        elif "ended" in line and line["ended"] in self._sent:
            self._sent[line["ended"]].failed.update(line["failed"])
        elif "done" in line:
            self._sent.pop(line["done"], None)

    def intend(self, endpoint: str, api: str, keys: Iterable[str]) -> Sent:
        """Note a batch that is about to be created."""
        made = Sent(secrets.token_hex(12), endpoint, api, tuple(keys), time.time())
        self._write(
            {"sent": made.token, "endpoint": endpoint, "api": api, "keys": made.keys, "at": made.at}
        )
        self._sent[made.token] = made
        return made

    def created(self, sent: Sent, batch: str) -> None:
        """Note the id that the server gave it."""
        sent.batch = batch
        self._write({"created": sent.token, "batch": batch})

    def ended(self, sent: Sent, failed: Collection[str]) -> None:
        """Note which of its questions got no answer."""
        if new := sorted(set(failed) - sent.failed):
            sent.failed.update(new)
            self._write({"ended": sent.token, "failed": new})

    def never(self, sent: Sent) -> None:
        """Note that the server has no such batch."""
        self._write({"done": sent.token})
        self._sent.pop(sent.token, None)

    def done(self) -> None:
        """Forget the batches that this run has read: what they answered is in rows."""
        for token in sorted(self._ours & self._sent.keys()):
            self._write({"done": token})
            del self._sent[token]

    def in_batches(self) -> set[str]:
        """The questions to which a batch may have an answer, or may yet get one."""
        return {k for each in self._sent.values() for k in each.keys if k not in each.failed}

    def attempts(self, key: str) -> int:
        """In how many batches it got no answer."""
        return sum(key in each.failed for each in self._sent.values())

    def with_any(self, keys: Collection[str]) -> list[Sent]:
        """The batches that have one of the questions, or may get an answer to it."""
        found = [
            each
            for each in self._sent.values()
            if any(key in keys and key not in each.failed for key in each.keys)
        ]
        self._ours.update(each.token for each in found)
        return found

    def known_batches(self) -> set[str]:
        """The ids of all of them."""
        return {each.batch for each in self._sent.values() if each.batch}

    def _write(self, line: dict[str, Any]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        there = self._path.read_bytes() if self._path.exists() else b""
        with self._path.open("ab") as file:
            if not there.endswith(b"\n"):
                file.truncate(there.rfind(b"\n") + 1)
            file.write(json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
