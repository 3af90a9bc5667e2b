"""Before a run: is the data what the benchmark expects?

The same content under two ids counts twice; the same content in train and test, or the answer
inside the input, measures memory. One item under two configurations is the design, not a finding.

Items are read once. A temporary file keeps what is needed later, so that memory does not grow with
the texts: 8 bytes for each item and band are sorted at a time.
"""

import hashlib
import json
import re
import sqlite3
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from harness.errors import HarnessError
from harness.findings import Finding, many
from harness.project.contract import Item

if TYPE_CHECKING:
    from datasketch import MinHash

ANSWERS = ("ground_truth", "label", "answer", "target", "expected")
# Names, not content: two items that differ in nothing else are the same.
_NAMES = frozenset({"id", "split", "fold", "weight"})
_SHINGLE, _BANDS, _ROWS = 4, 42, 3
_SHORTEST = 8  # words; below that a changed word makes another text
_ALIKE = 0.75  # share of the words, counted exactly, of pairs that MinHash proposes
_LABELS = 50  # answers; more than that are no class labels but free text
_LIFT = 3.0  # how many times more often a label is in its own items than in the others
_LONG_ENOUGH = 4  # characters, from which an answer is no coincidence
_ANNOUNCED = r"(?:answer|label|target|class|solution|truth)"
_SHOWN = 5
_WORD = re.compile(r"\w+")


def text_of_item(item: Item) -> str:
    """All texts of an item except names and answers, as one; '' for items of numbers or files."""
    texts = (
        value
        for name, value in item.items()
        if name not in _NAMES and name not in ANSWERS and isinstance(value, str)
    )
    return "\n".join(texts)


def check_dataset(items: Iterable[Item]) -> list[Finding]:
    """What is wrong with the items, each a dict with an `id` as `dataset.load` yields it.

    Near-duplicates are proposed by MinHash over character 4-grams (Broder 1997), banded for texts
    that share 40 % of them, and confirmed by the words shared; below eight words only equality is
    looked for.
    """
    with tempfile.TemporaryDirectory() as folder:
        con = sqlite3.connect(Path(folder) / "items.db", isolation_level=None)
        try:
            con.executescript(
                "PRAGMA journal_mode = off; PRAGMA synchronous = off; BEGIN;"
                "CREATE TABLE items (n INTEGER PRIMARY KEY, id TEXT, part TEXT, content BLOB, "
                "text TEXT, answer TEXT)"
            )
            bands = _read(con, items, Path(folder) / "bands")
            return [
                *_same_content(con),
                *_near_duplicates(con, bands),
                *_answers_inside(con),
            ]
        finally:
            con.close()


def _read(
    con: sqlite3.Connection,
    items: Iterable[Item],
    file: Path,
) -> npt.NDArray[np.uint64]:
    """Fill the table `items`; returns (items with text, number and band hashes)."""
    with file.open("wb") as out:
        for n, item in enumerate(items):
            words = _WORD.findall(text_of_item(item).lower())
            plain = " ".join(words)
            con.execute(
                "INSERT INTO items VALUES (?, ?, ?, ?, ?, ?)",
                (n, str(item.get("id")), _part(item), _content(item), plain, _answer(item)),
            )
            if len(words) >= _SHORTEST:
                out.write(np.uint64(n).tobytes() + _band_hashes(plain).tobytes())
    con.execute("CREATE INDEX same ON items (content)")
    if file.stat().st_size == 0:
        return np.empty((0, _BANDS + 1), np.uint64)
    return np.memmap(file, np.uint64, "r").reshape(-1, _BANDS + 1)


def _part(item: Item) -> str | None:
    """The part of the data an item belongs to: its split, or the fold it is tested in."""
    named = [f"{name} {item[name]}" for name in ("split", "fold") if item.get(name) is not None]
    return ", ".join(named) or None


def _answer(item: Item) -> str:
    values = (item[name] for name in ANSWERS if isinstance(item.get(name), (str, int, float)))
    return " ".join(_WORD.findall(str(next(values, "")).lower()))


def _content(item: Item) -> bytes:
    digest = hashlib.sha256()
    for name in sorted(item.keys() - _NAMES - set(ANSWERS)):
        value = item[name]
        if isinstance(value, Path):
            try:
                with value.open("rb") as file:
                    value = "file:" + hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise HarnessError(
                    f"item {item.get('id')!r}: {value} cannot be read ({error.strerror})",
                    fix="put the file there (make pull), or drop the item from dataset.py",
                ) from error
        digest.update(json.dumps([name, value], sort_keys=True, default=str).encode() + b"\n")
    return digest.digest()


def _shingles(text: str) -> set[bytes]:
    raw = text.encode()
    return {raw[i : i + _SHINGLE] for i in range(max(1, len(raw) - _SHINGLE + 1))}


@cache
def _empty_sketch() -> "MinHash":
    # Imported here, because a command that checks no data should not wait for it.
    from datasketch import MinHash

    return MinHash(num_perm=_BANDS * _ROWS, seed=1, hashfunc=zlib.crc32)


def _band_hashes(text: str) -> npt.NDArray[np.uint64]:
    sketch = _empty_sketch().copy()
    sketch.update_batch(_shingles(text))
    values = sketch.hashvalues.astype(np.uint64).reshape(_BANDS, _ROWS)
    mixed = np.zeros(_BANDS, np.uint64)
    for column in values.T:
        mixed = (mixed ^ column) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return mixed


def _words_shared(one: str, other: str) -> float:
    left = Counter(one.split())
    right = Counter(other.split())
    return (left & right).total() / max(left.total(), right.total())


def _same_content(con: sqlite3.Connection) -> Iterator[Finding]:
    groups = con.execute(
        "SELECT count(*), count(DISTINCT part), "
        "group_concat(id || coalesce(' (' || part || ')', ''), ' = ') "
        "FROM (SELECT * FROM items ORDER BY n) GROUP BY content HAVING count(*) > 1 ORDER BY min(n)"
    )
    leaked = _Tally()
    doubled = _Tally()
    for size, parts, names in groups:
        (leaked if parts > 1 else doubled).add(size - 1, _short(names))
    if leaked.count:
        yield Finding(
            "train_test_leak",
            "error",
            f"{many(leaked.count, 'item')} repeat content of another split or fold",
            leaked.count,
            tuple(leaked.examples),
            "keep each content on one side in dataset.py",
        )
    if doubled.count:
        yield Finding(
            "same_content",
            "warning",
            f"{many(doubled.count, 'item')} repeat content that another id has",
            doubled.count,
            tuple(doubled.examples),
            "drop them in dataset.py, or say in the README why they count twice",
        )


def _near_duplicates(con: sqlite3.Connection, bands: npt.NDArray[np.uint64]) -> Iterator[Finding]:
    leaked = _Tally()
    doubled = _Tally()
    seen: set[int] = set()
    for band in range(_BANDS):
        for one, other in _pairs(bands, band):
            if other in seen:
                continue
            (a, part_a, content_a, text_a), (b, part_b, content_b, text_b) = (
                con.execute("SELECT id, part, content, text FROM items WHERE n = ?", [n]).fetchone()
                for n in (one, other)
            )
            alike = _words_shared(text_a, text_b)
            if content_a == content_b or alike < _ALIKE:
                continue
            seen.add(other)
            (leaked if part_a != part_b else doubled).add(
                1, f"{a} ~ {b} ({alike:.0%} of the words)"
            )
    if leaked.count:
        yield Finding(
            "near_duplicate_leak",
            "warning",
            f"{many(leaked.count, 'item')} nearly repeat an item of another split or fold",
            leaked.count,
            tuple(leaked.examples),
            "keep near-duplicates on one side in dataset.py",
        )
    if doubled.count:
        yield Finding(
            "near_duplicate",
            "warning",
            f"{many(doubled.count, 'item')} nearly repeat another",
            doubled.count,
            tuple(doubled.examples),
            "look at them; drop them in dataset.py, or say in the README why they stay",
        )


def _pairs(bands: npt.NDArray[np.uint64], band: int) -> Iterator[tuple[int, int]]:
    """Pairs of item numbers, the earlier first, whose hashes agree in this band."""
    hashes = np.asarray(bands[:, band + 1])
    order = np.argsort(hashes, kind="stable")
    numbers, ordered = bands[order, 0], hashes[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    ends = np.r_[starts[1:], len(ordered)]
    for start, end in zip(starts[ends - starts > 1], ends[ends - starts > 1], strict=True):
        # A run of n alike needs n - 1 comparisons with its neighbours and first, not n squared.
        for i in range(start + 1, end):
            yield int(numbers[i - 1]), int(numbers[i])
            if i - start > 1:
                yield int(numbers[start]), int(numbers[i])


def _answers_inside(con: sqlite3.Connection) -> Iterator[Finding]:
    """Answers that are in their own item's text more often than by chance."""
    having = "FROM items WHERE answer <> '' AND text <> ''"
    labels: dict[str, list[int]] = {}
    if con.execute(f"SELECT count(DISTINCT answer) {having}").fetchone()[0] <= _LABELS:
        # For a class label: items with it, with it inside, others, and others with it inside. A
        # prompt that lists all options, or a word that every review uses, is no leak.
        labels = {row[0]: [0] * 4 for row in con.execute(f"SELECT DISTINCT answer {having}")}
        for answer, text in con.execute(f"SELECT answer, text {having}"):
            for label, counts in labels.items():
                counts[0 if label == answer else 2] += 1
                counts[1 if label == answer else 3] += _is_in(label, text)
    found = _Tally()
    for name, answer, text in con.execute(f"SELECT id, answer, text {having} ORDER BY n"):
        own, inside, others, elsewhere = labels.get(answer, [1, 1, 0, 0])
        suspicious = others == 0 or inside / own >= _LIFT * (elsewhere + 0.5) / (others + 1)
        if suspicious and _is_in(answer, text):
            found.add(1, f"{name}: {answer!r} in {_short(text)!r}")
    if found.count:
        yield Finding(
            "answer_in_input",
            "warning",
            f"{many(found.count, 'item')} hold their answer in the input",
            found.count,
            tuple(found.examples),
            "take it out in dataset.py; where the task is to find it there, this is the design",
        )


def _is_in(answer: str, text: str) -> bool:
    """Whether a text contains the words of an answer; short ones only where announced as answer."""
    if len(answer) >= _LONG_ENOUGH and not (answer.isdigit() and len(answer) <= _LONG_ENOUGH):
        return f" {answer} " in f" {text} "
    if f" {answer} " not in f" {text} ":
        return False
    return re.search(rf"\b{_ANNOUNCED} (?:is |was )?{re.escape(answer)}\b", text) is not None


class _Tally:
    """How many, and the first few."""

    def __init__(self) -> None:
        self.count = 0
        self.examples: list[str] = []

    def add(self, count: int, example: str) -> None:
        self.count += count
        if len(self.examples) < _SHOWN:
            self.examples.append(example)


def _short(text: str) -> str:
    return text if len(text) <= 100 else text[:99] + "…"
