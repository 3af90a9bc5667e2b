"""An answer of any size is a row like others: it can be validated, and so tagged."""

from pathlib import Path

import pytest

from harness.read.validate import validate
from tests.harness.project_fixture import Bench
from tests.harness.recorded import change, clean

LARGE = 75_000_000


def test_a_large_failure_is_validated_and_its_example_is_short(tmp_path: Path) -> None:
    db = clean(tmp_path / "benchmark.db")
    change(
        db,
        f"UPDATE predictions SET error_type = 'ValueError', error = hex(zeroblob({LARGE // 2})) "
        "WHERE task_key = 'key-1-0' AND experiment_version = 'e0.0.1'",
    )
    examples = [each.examples for each in validate([db]) if "ValueError" in each.message]
    assert [len(example) for (example,) in examples] == [200]


@pytest.mark.slow
def test_a_large_answer_is_tagged(bench: Bench) -> None:
    bench.items(2)
    bench.params('[Params("only")]')
    text = f'"ü" * {LARGE} if item["id"] == "i1" else "short"'
    bench.predict(f'return {{"prediction": 1, "ground_truth": 1, "raw_response": {text}}}')
    bench.experiment("e0.0.1")
    assert bench.git("tag") == "e0.0.1"
    for name in ("e0.0.1.json", "e0.0.1.md", "reports/e0.0.1.html"):
        assert (bench.root / "results" / name).stat().st_size < 1_000_000
