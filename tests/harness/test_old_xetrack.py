"""Databases that xetrack's older scripts wrote: one table `events`, by either engine."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.test_scripts import script

# As xetrack's guides had it: a Tracker a configuration, params among what is tracked.
TRACKED = """
import sys
from duckdb_extensions import import_extension
from xetrack import Tracker

import_extension("sqlite_scanner")
for regularization in (0.1, 1.0):
    params = {"model": "ridge", "params_regularization": regularization}
    tracker = Tracker(sys.argv[1], engine=sys.argv[2], table="events", params=params)
    for n in range(10):
        failed = n == 9
        tracker.log({
            %s
            "prediction": "dog" if n < 2 else "cat", "ground_truth": "cat",
            "latency": 0.25 + n / 100, "error": "RateLimit: slow down" if failed else "",
        })
"""


@pytest.fixture(scope="module", params=["sqlite", "duckdb"])
def old(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    db = tmp_path_factory.mktemp("old") / "old.db"
    code = TRACKED % '"input_id": f"i{n}",'
    subprocess.run(
        [sys.executable, "-c", code, str(db), request.param], check=True, capture_output=True
    )
    return db


def test_each_script_says_what_there_is_without_being_given_the_table(old: Path) -> None:
    before = old.read_bytes()
    found = script("validate_benchmark", old)
    assert found.returncode == 1
    assert "warning failures: 2 rows failed: RateLimit" in found.stdout
    hits = script("analyze_cache_hits", old)
    assert "0 of 20 rows reused (0.0%); 20 executed, 2 failed" in hits.stdout
    text = script("export_summary", old).stdout
    for line in (
        "- Recorded from 20",
        "- Tried model: ridge.",
        "- Tried regularization: 0.1, 1.0.",
        "- Latency of 18 executed rows (s): mean 0.29, from 0.25 to 0.33, sd 0.02",
        "- Most frequent errors: RateLimit (2).",
        "- prediction is ground\\_truth in 0.778 \\[0.548, 0.91\\], n 18.",
    ):
        assert line in text
    assert old.read_bytes() == before


def test_a_param_is_no_score_where_no_column_names_the_item(tmp_path: Path) -> None:
    db = tmp_path / "old.db"
    subprocess.run(
        [sys.executable, "-c", TRACKED % "", str(db), "sqlite"], check=True, capture_output=True
    )
    text = script("export_summary", db).stdout
    [heads] = [line for line in text.splitlines() if line.startswith("| ") and " n |" in line]
    assert heads.count("regularization") == 1
    assert "| 0.1 | " in text
