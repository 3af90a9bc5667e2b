"""`doctor`: a verdict on each part that a benchmark stands on, and the command that fixes it."""

import json
from typing import Any

from tests.harness.project_fixture import Bench

PARTS = ["environment", "lock", "settings", "git", "hooks", "DVC", "remote", "database", "cache"]
PARTS += ["disk", "cluster", "time", "locale"]


def verdicts(bench: Bench, expect: int) -> dict[str, dict[str, Any]]:
    done = bench.run("doctor", "--json", expect=expect)
    found = json.loads(done.out)["verdicts"]
    assert all(each["fix"] for each in found if each["state"] == "bad")
    return {each["part"]: each for each in found}


def test_each_part_has_a_verdict_and_what_is_wrong_a_fix(bench: Bench) -> None:
    bench.file("requirements.lock", "duckdb==0.1.0 \\\n    --hash=sha256:ab\nabsent-package==1\n")
    bench.file("results/benchmark.db", b"SQLite format 3\0" + b"\xff" * 4096)
    bench.file(".pre-commit-config.yaml", "repos: []\n")
    bench.settings(run={"executor": "dask", "scheduler": "tcp://127.0.0.1:1"})
    found = verdicts(bench, expect=1)
    assert list(found) == PARTS
    assert "duckdb" in found["lock"]["message"]
    assert "absent-package is not installed" in found["lock"]["message"]
    assert found["lock"]["fix"] == "make setup"
    assert found["hooks"]["state"] == "bad"
    assert "results/benchmark.db is damaged" in found["database"]["message"]
    assert found["git"]["message"].startswith("on feat/try")
    assert found["disk"]["state"] == "ok"
    text = bench.run("doctor", expect=1)
    assert "-> make setup" in text.said


def test_where_all_is_well_it_ends_with_0(bench: Bench) -> None:
    bench.file("requirements.lock", "")
    bench.dev_run()
    found = verdicts(bench, expect=0)
    assert {name for name, each in found.items() if each["state"] == "bad"} == set()
    assert found["database"]["message"] == "1 whole"


def test_settings_that_cannot_be_read_are_the_last_verdict(bench: Bench) -> None:
    bench.file("requirements.lock", "")
    bench.file("benchmark.toml", "[run]\nworkers = 'many'\n")
    found = verdicts(bench, expect=1)
    assert "benchmark.toml, line 2" in found["settings"]["message"]
