"""`harness.gates.dataset_check`: duplicates, leaks and answers in the data, before a run."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.findings import Finding
from harness.gates.dataset_check import check_dataset

RANDOM = random.Random(20261123)
WORDS = ["".join(RANDOM.choices("etaoinshrdlucm", k=RANDOM.randint(2, 9))) for _ in range(4000)]


def sentence(words: int) -> str:
    return " ".join(RANDOM.choices(WORDS, k=words))


def clean(n: int = 300) -> list[dict[str, Any]]:
    """Items of which no two are alike, with both of two labels."""
    return [
        {"id": f"i{i}", "text": sentence(25), "label": ("negative", "positive")[i % 2]}
        for i in range(n)
    ]


def by_check(items: list[dict[str, Any]]) -> dict[str, Finding]:
    return {finding.check: finding for finding in check_dataset(iter(items))}


def test_is_silent_on_clean_data() -> None:
    assert check_dataset(clean()) == []


def test_is_silent_on_numbers_and_on_short_texts_that_differ_in_a_word() -> None:
    numbers = [{"id": i, "features": [i, i / 2], "label": i % 3} for i in range(200)]
    capitals = [{"id": i, "text": f"What is the capital of {w}?"} for i, w in enumerate(WORDS[:99])]
    assert check_dataset(numbers + capitals) == []


def test_finds_all_content_that_stands_under_two_ids() -> None:
    items = clean()
    again = [{**item, "id": f"again {item['id']}"} for item in items[:40]]
    finding = by_check(items + again)["same_content"]
    assert (finding.severity, finding.count) == ("warning", 40)
    assert finding.examples[0] == "i0 = again i0"


def test_compares_files_by_their_bytes(tmp_path: Path) -> None:
    for name, data in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        (tmp_path / name).write_bytes(data)
    items = [{"id": name, "image": tmp_path / name} for name in "abc"]
    assert by_check(items)["same_content"].examples == ("a = b",)
    with pytest.raises(HarnessError, match=r"'d': .*cannot be read"):
        check_dataset([{"id": "d", "image": tmp_path / "gone"}])


@pytest.mark.parametrize("part", ["split", "fold"])
def test_finds_all_content_of_train_in_test(part: str) -> None:
    items = [{**item, part: "train"} for item in clean()]
    leaked = [{**item, "id": f"t{i}", part: "test"} for i, item in enumerate(items[:30])]
    finding = by_check(items + leaked)["train_test_leak"]
    assert (finding.severity, finding.count) == ("error", 30)
    assert finding.examples[0] == f"i0 ({part} train) = t0 ({part} test)"


@pytest.mark.parametrize(("words", "changed"), [(10, 1), (10, 2), (15, 3), (25, 3), (60, 5)])
def test_finds_at_least_95_percent_of_near_duplicates(words: int, changed: int) -> None:
    texts = [sentence(words).split() for _ in range(400)]
    items = [{"id": f"i{i}", "text": " ".join(text)} for i, text in enumerate(texts)]
    for i, text in enumerate(texts[:200]):
        for place in RANDOM.sample(range(words), changed):
            text[place] = RANDOM.choice(WORDS)
        items.append({"id": f"n{i}", "text": " ".join(text)})
    finding = by_check(items)["near_duplicate"]
    assert 190 <= finding.count <= 200


def test_tells_a_near_duplicate_across_splits_from_one_within() -> None:
    text = sentence(20)
    items = [
        {"id": "a", "text": text, "split": "train"},
        {"id": "b", "text": text + " indeed", "split": "test"},
    ]
    assert by_check(items).keys() == {"near_duplicate_leak"}


def test_finds_a_label_inside_its_own_text() -> None:
    items = clean()
    for item in items[:9]:
        item["text"] += f" and this is {item['label'].upper()}."
    finding = by_check(items)["answer_in_input"]
    assert (finding.severity, finding.count) == ("warning", 9)


def test_finds_free_answers_and_announced_short_ones() -> None:
    long: list[dict[str, Any]] = [
        {"id": i, "text": sentence(12), "answer": sentence(3)} for i in range(100)
    ]
    long[7]["text"] += f", so {long[7]['answer']}!"
    assert by_check(long)["answer_in_input"].examples[0].startswith("7: ")
    short: list[dict[str, Any]] = [
        {"id": i, "text": sentence(12) + f" {i % 7}", "answer": i % 7} for i in range(100)
    ]
    assert by_check(short) == {}
    short[3]["text"] += " Answer: 3"
    assert by_check(short)["answer_in_input"].count == 1


def test_is_silent_where_every_input_lists_all_options() -> None:
    items = clean()
    for item in items:
        item["text"] += " Options: positive, negative."
    assert by_check(items) == {}


def test_reads_a_stream_once() -> None:
    def stream() -> Iterator[dict[str, Any]]:
        yield from clean(50)

    assert check_dataset(stream()) == []
    assert check_dataset([]) == []
