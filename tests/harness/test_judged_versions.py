"""Judgements and draws of aggregates go wherever the rows go that they are of."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.harness.project_fixture import Bench
from tests.harness.test_judging import JUDGE, PREDICT
from tests.harness.test_merge_driver import both_experiment, merged, ready_to_merge

METRICS = """
from harness import Score

SCORES = {
    "good": Score("proportion", better="higher"),
    "most": Score("mean", better="higher"),
    "least": Score("mean", better="higher"),
}


def score(row):
    verdicts = [each["verdict"] for each in row["judgements"]]
    return {"good": all(verdicts) if verdicts else None}


AGGREGATES = {
    "most": lambda rows: float(rows["prediction"].max()),
    "least": lambda rows: float(rows["prediction"].min()),
}
"""
TABLES = ("judgements", "judge_runs", "aggregate_resamples", "predictions", "metrics")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def _judged(make_module_bench: Callable[[], Bench]) -> Bench:
    """e0.0.1 on feat/try, then e0.0.2 there and e0.0.3 on exp/two; two aggregates each."""
    bench = make_module_bench()
    ready_to_merge(bench)
    bench.items(12)
    bench.predict(PREDICT)
    bench.score(METRICS)
    bench.file("src/benchmark/judge.py", JUDGE)
    bench.file("rubrics/strict.txt", "0.5")
    bench.commit()
    bench.experiment("e0.0.1")
    both_experiment(bench, ("e0.0.2", "e0.0.3"))
    return bench


@pytest.fixture
def judged(_judged: Bench, tmp_path: Path) -> Bench:
    return _judged.copy(tmp_path / "bench")


def content(root: Path) -> dict[tuple[str, str], list[str]]:
    """The rows of each table and experiment, in whichever file and under whichever layout."""
    found: dict[tuple[str, str], list[str]] = {}
    for path in sorted((root / "results").glob("*.db")):
        with closing(sqlite3.connect(path)) as con:
            con.row_factory = sqlite3.Row
            names = con.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            for (name,) in names:
                table = "predictions" if name.startswith("predictions") else name
                if table not in TABLES:
                    continue
                for row in con.execute(f'SELECT * FROM "{name}"'):
                    values: dict[str, Any] = dict(row)
                    experiment = values.pop("experiment_version")
                    text = repr(sorted((k, v) for k, v in values.items() if v is not None))
                    found.setdefault((table, experiment), []).append(text)
    return {key: sorted(rows) for key, rows in found.items()}


def test_they_are_merged_moved_renamed_and_given_another_tag(judged: Bench) -> None:
    here = content(judged.root)
    judged.git("switch", "-q", "exp/two")
    there = content(judged.root)
    judged.git("switch", "-q", "feat/try")
    assert {table for table, _ in there} == set(TABLES)
    assert len(there["aggregate_resamples", "e0.0.3"]) == 2

    done = merged(judged)
    assert done.returncode == 0, done.stdout + done.stderr
    whole = content(judged.root)
    assert whole == here | there

    for layout in ("database-per-experiment", "table-per-experiment", "append-only"):
        judged.run("layout", layout)
        judged.commit(layout)
        assert content(judged.root) == whole, layout
        judged.run("rescore", "e0.0.3")
        judged.git("checkout", "-q", "--", ".")

    judged.run("schema", "rename", "model", "name")
    renamed = content(judged.root)
    for table in ("judgements", "judge_runs", "aggregate_resamples"):
        for tag in ("e0.0.1", "e0.0.2", "e0.0.3"):
            assert renamed[table, tag] == whole[table, tag], "the judge has params of its own"
    assert renamed.keys() == whole.keys()


def test_rows_that_a_judge_judged_otherwise_are_listed_and_a_rebase_takes_them(
    judged: Bench, tmp_path: Path
) -> None:
    other = judged.copy(tmp_path / "other")
    other.file("rubrics/strict.txt", "0.9")
    other.commit()
    other.run("judge", "e0.0.2")
    other.commit("judged again")
    before = content(judged.root)
    theirs = str(other.db)
    refused = judged.run("merge", theirs, expect=1).said
    assert "of metrics differ from those in" in refused
    assert "make rebase" in refused
    assert content(judged.root) == before
    judged.run("rebase", theirs)
    assert content(judged.root) == content(other.root)


def test_the_same_rows_twice_are_one_and_a_discard_takes_them_along(judged: Bench) -> None:
    before = content(judged.root)
    assert "nothing new" in judged.run("merge", "e0.0.1").said
    assert content(judged.root) == before
    judged.items(13)
    judged.trace.with_name(judged.trace.name + ".away").touch()  # the judge fails from here on
    assert "judgements failed" in judged.experiment("e0.0.4", expect=1).said
    judged.run("retag", "e0.0.4", "e0.0.5")
    moved = content(judged.root)
    for table in ("judgements", "judge_runs", "predictions"):
        assert (table, "e0.0.4") not in moved
        assert moved[table, "e0.0.5"]
    judged.run("discard", "e0.0.5")
    kept = content(judged.root)
    assert {table for table, tag in kept if tag == "e0.0.5"} == {"judge_runs"}, "runs stay"
    assert kept.items() >= before.items()
