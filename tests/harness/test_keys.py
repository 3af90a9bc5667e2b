"""The key of a datapoint: equal where everything is the same, different where anything differs."""

import dataclasses
import json
import math
import subprocess
import sys
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.project.keys import item_digest, params_digest, read_context, task_key
from harness.project.settings import Key, Settings
from tests.harness.project_fixture import SOURCE

HERE = Path(__file__).parent
# What JSON can hold. Surrogates and numbers beyond 64 bits are refused, which has a test below.
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
names = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(names, inner), max_leaves=8
)
items = st.dictionaries(names, json_values, max_size=5)


def canonical(value: Any) -> str:
    """A text that two values share exactly if a program could not tell them apart."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{k!r}:{canonical(v)}" for k, v in sorted(value.items())) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(canonical, value)) + "]"
    return f"{type(value).__name__}:{value!r}"


@given(items, items)
def test_items_have_the_same_digest_exactly_if_they_are_the_same(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    same = canonical(first) == canonical(second)
    assert (item_digest(first, HERE) == item_digest(second, HERE)) == same


@given(items, st.data())
def test_any_change_of_one_value_changes_the_digest(item: dict[str, Any], data: Any) -> None:
    if not item:
        return
    name = data.draw(st.sampled_from(sorted(item)))
    value = data.draw(json_values)
    changed = {**item, name: value}
    same = canonical(changed) == canonical(item)
    assert (item_digest(changed, HERE) == item_digest(item, HERE)) == same


@given(items)
def test_the_order_of_names_does_not_matter(item: dict[str, Any]) -> None:
    turned = dict(reversed(list(item.items())))
    assert item_digest(turned, HERE) == item_digest(item, HERE)


@given(items)
def test_the_digest_is_that_of_what_a_file_of_json_gives_back(item: dict[str, Any]) -> None:
    assert item_digest(json.loads(json.dumps(item)), HERE) == item_digest(item, HERE)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, [1, {"deep": math.nan}]])
def test_an_item_with_no_number_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        item_digest({"id": 1, "x": value}, HERE)


@pytest.mark.parametrize("beside", [1, None, 2**70])
@pytest.mark.parametrize(
    "value", [{1, 2}, object(), b"bytes", 1j, "\ud800", date(2026, 1, 2), datetime(2026, 1, 2)]
)
def test_what_json_cannot_hold_is_refused(value: Any, beside: int | None) -> None:
    with pytest.raises((TypeError, ValueError)):
        item_digest({"id": 1, "x": value, "beside": beside}, HERE)


@pytest.mark.parametrize("beside", [1, None, 2**70])
def test_enums_and_uuids_are_taken_whatever_stands_beside_them(beside: int | None) -> None:
    class Kind(Enum):
        GOOD, BAD = 1, 2

    def digest(value: Any) -> bytes:
        return item_digest({"id": 1, "x": value, "beside": beside}, HERE)

    assert digest(Kind.GOOD) != digest(Kind.BAD)
    assert digest(UUID(int=1)) != digest(UUID(int=2))


def test_numbers_beyond_64_bits_are_json_too() -> None:
    assert item_digest({"id": 1, "x": 2**70}, HERE) != item_digest({"id": 1, "x": 2**70 + 1}, HERE)


# -- files that items point to


def test_a_path_stands_for_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one")
    before = item_digest({"id": 1, "file": Path("a.txt")}, tmp_path)
    assert item_digest({"id": 1, "file": tmp_path / "a.txt"}, tmp_path) == before
    (tmp_path / "a.txt").write_bytes(b"two")
    assert item_digest({"id": 1, "file": Path("a.txt")}, tmp_path) != before
    (tmp_path / "a.txt").write_bytes(b"one")
    assert item_digest({"id": 1, "file": Path("a.txt")}, tmp_path) == before


def test_the_place_of_a_file_counts_but_not_that_of_the_repository(tmp_path: Path) -> None:
    """A folder's name is often the label of what is in it, and predict sees the path."""
    found = {}
    for name in ("here/cat/1.jpg", "here/dog/1.jpg", "there/cat/1.jpg"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"the same picture")
        root = tmp_path / name.partition("/")[0]
        found[name] = item_digest({"id": 1, "file": tmp_path / name}, root)
    assert found["here/cat/1.jpg"] != found["here/dog/1.jpg"]
    assert found["here/cat/1.jpg"] == found["there/cat/1.jpg"]
    here = tmp_path / "here"
    (here / "data").mkdir()
    roundabout = item_digest({"id": 1, "file": Path("data/../cat/1.jpg")}, here)
    assert roundabout == found["here/cat/1.jpg"]
    outside = [
        item_digest({"id": 1, "file": tmp_path / f"here/{name}/1.jpg"}, tmp_path / "there")
        for name in ("cat", "dog")
    ]
    assert outside[0] != outside[1]


def test_a_path_deep_inside_an_item_counts(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one")
    item = {"id": 1, "pages": [{"scan": Path("a.txt")}]}
    before = item_digest(item, tmp_path)
    (tmp_path / "a.txt").write_bytes(b"two")
    assert item_digest(item, tmp_path) != before


def test_two_paths_of_equal_size_and_time_are_told_apart(tmp_path: Path) -> None:
    import os

    (tmp_path / "a.txt").write_bytes(b"one")
    os.utime(tmp_path / "a.txt", ns=(10**18, 10**18))
    before = item_digest({"id": 1, "file": Path("a.txt")}, tmp_path)
    (tmp_path / "a.txt").write_bytes(b"two")
    os.utime(tmp_path / "a.txt", ns=(10**18, 10**18))
    assert item_digest({"id": 1, "file": Path("a.txt")}, tmp_path) != before


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"gone\.txt") as caught:
        item_digest({"id": 1, "file": Path("gone.txt")}, tmp_path)
    assert "make pull" in caught.value.fix


# -- params


@dataclass(frozen=True)
class Tree:
    size: float = 1.0


@dataclass(frozen=True)
class Forest:
    size: float = 1.0


@dataclass(frozen=True)
class Params:
    model: Any = None
    weight: Any = None


plain_params = st.builds(
    Params,
    model=scalars | st.tuples(scalars, scalars),
    weight=scalars | st.builds(Tree, st.floats(allow_nan=False, allow_infinity=False)),
)


@given(plain_params, plain_params)
def test_params_have_the_same_digest_exactly_if_they_are_the_same(
    first: Params, second: Params
) -> None:
    same = canonical(dataclasses.asdict(first)) == canonical(dataclasses.asdict(second))
    assert (params_digest(first) == params_digest(second)) == same


def test_the_class_of_a_nested_configuration_counts() -> None:
    """Tree(1.0) and Forest(1.0) have the same fields, and are not the same model."""
    assert params_digest(Params(Tree())) != params_digest(Params(Forest()))


def test_numbers_of_numpy_count_as_the_numbers_they_are() -> None:
    """A grid is often made by numpy.linspace."""
    assert params_digest(Params(np.float64(0.5))) == params_digest(Params(0.5))
    assert params_digest(Params(np.float64(0.5), None)) != params_digest(Params(np.float64(0.25)))


def test_params_beyond_64_bits_have_a_digest() -> None:
    assert params_digest(Params(2**70)) != params_digest(Params(2**70 + 1))


# -- tasks

digests = st.binary(min_size=32, max_size=32)


@given(digests, digests, digests, st.integers(0, 2**40))
def test_every_part_of_a_task_counts(
    prefix: bytes, params: bytes, item: bytes, repeat: int
) -> None:
    key = task_key(prefix, params, item, repeat)
    assert len(bytes.fromhex(key)) == 32
    assert key == task_key(prefix, params, item, repeat)
    assert key != task_key(prefix, params, item, repeat + 1)
    other = bytes([prefix[0] ^ 1]) + prefix[1:]
    assert key != task_key(other, params, item, repeat)
    if params != item:
        assert key != task_key(prefix, item, params, repeat)


@settings(max_examples=3, deadline=None)
@given(items)
def test_a_key_is_the_same_in_another_process(item: dict[str, Any]) -> None:
    """Python salts hash() in every process, so nothing of it may be in a key."""
    source = (
        "import json, sys, pathlib; from harness.project.keys import item_digest;"
        "print(item_digest(json.load(sys.stdin), pathlib.Path('.')).hex())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", source],
            input=json.dumps(item),
            env={"PYTHONPATH": str(SOURCE), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert seen == {item_digest(item, HERE).hex()}


# -- what all keys of a run share


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository, and a package `made-up` in a folder of installed packages."""
    package = tmp_path / "src/benchmark"
    package.mkdir(parents=True)
    (package / "predict.py").write_text("import made_up\ndef predict(item, params): return {}\n")
    site = tmp_path / "site-packages"
    install(site, "1.0")
    monkeypatch.syspath_prepend(str(site))
    return tmp_path


def install(site: Path, version: str) -> None:
    info = site / "made_up-0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: made-up\nVersion: {version}\n")
    (info / "top_level.txt").write_text("made_up\n")
    (info / "RECORD").write_text("made_up.py,,\n")
    (site / "made_up.py").write_text("")


def test_the_version_of_an_imported_package_counts(root: Path) -> None:
    before = read_context(root, Settings())
    assert before.environment["package made-up"] == "1.0"
    install(root / "site-packages", "1.1")
    assert read_context(root, Settings()).prefix != before.prefix


def test_the_version_of_a_declared_package_counts(root: Path) -> None:
    (root / "src/benchmark/predict.py").write_text("def predict(item, params): return {}\n")
    silent = read_context(root, Settings())
    assert "package made-up" not in silent.environment
    declared = Settings(key=Key(packages=["made-up"]))
    before = read_context(root, declared)
    assert before.prefix != silent.prefix
    install(root / "site-packages", "1.1")
    assert read_context(root, declared).prefix != before.prefix


def test_a_declared_package_that_is_not_installed_is_named(root: Path) -> None:
    with pytest.raises(HarnessError, match="nothing-such") as caught:
        read_context(root, Settings(key=Key(packages=["nothing-such"])))
    assert "requirements-benchmark.in" in caught.value.fix


def test_declared_files_count(root: Path) -> None:
    (root / "prompts").mkdir()
    (root / "prompts/a.txt").write_text("one")
    declared = Settings(key=Key(files=["prompts/*.txt"]))
    before = read_context(root, declared)
    (root / "prompts/a.txt").write_text("two")
    edited = read_context(root, declared)
    (root / "prompts/b.txt").write_text("new")
    assert len({before.prefix, edited.prefix, read_context(root, declared).prefix}) == 3


def test_a_pattern_that_matches_nothing_is_named(root: Path) -> None:
    with pytest.raises(HarnessError, match=r"prompts/\*\.txt"):
        read_context(root, Settings(key=Key(files=["prompts/*.txt"])))


def test_settings_that_cannot_change_a_result_do_not_count(root: Path) -> None:
    from harness.project.settings import Run

    for run in (Run(executor="processes"), Run(workers=9), Run(timeout_seconds=3)):
        assert read_context(root, Settings(run=run)).prefix == read_context(root, Settings()).prefix
