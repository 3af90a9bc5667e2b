"""What a check finds concerns one experiment, one dev-run or one configuration, and no other."""

import json
import sqlite3

import pytest

from tests.harness.project_fixture import Bench

FAILS_ONCE = """
from pathlib import Path
if item["id"] == "i1" and not Path("repaired").exists():
    raise ValueError("broken")
return {"prediction": True, "ground_truth": item["label"], "raw_response": "yes"}
"""


def change(bench: Bench, statement: str) -> None:
    connection = sqlite3.connect(bench.db)
    connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("input_id = 'i2' WHERE input_id = 'i3'", "2 tasks stand in more than one row"),
        ("cache = 'other', error = 'x' WHERE input_id = 'i3'", "2 rows took a failure from the"),
    ],
    ids=["executed_twice", "reused_failure"],
)
def test_every_error_that_validation_finds_in_an_experiment_keeps_it_from_its_tag(
    bench: Bench, fault: str, words: str
) -> None:
    bench.predict(FAILS_ONCE)
    bench.experiment("e0.0.1", expect=1)
    change(bench, f"UPDATE predictions SET {fault}")
    bench.file("repaired", "")
    refused = bench.experiment("e0.0.1", expect=1)
    assert f"e0.0.1 is not tagged: e0.0.1: {words}" in refused.said
    # Another experiment is not kept back by it.
    bench.experiment("e0.0.2")
    assert bench.git("tag", "--list") == "e0.0.2"
    [found] = [
        each
        for each in json.loads(bench.run("validate", "--json", expect=1).out)["findings"]
        if each["severity"] == "error"
    ]
    assert found["experiment"] == "e0.0.1"
