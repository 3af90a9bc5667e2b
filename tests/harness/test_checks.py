"""The checks of recorded results: each finds all planted faults and stays silent without."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.findings import Finding, exit_code
from harness.read.validate import CHECKS, validate
from tests.harness.recorded import GRID, change, clean, prediction, run, summary, write


def found(db: Path, check: str, table: str | None = None) -> list[Finding]:
    """What this check found; no other check may have found an error."""
    return [each for each in validate([db], table) if each.check == check]


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A clean database: e0.0.1 executed, e0.0.2 from its cache."""
    return clean(tmp_path / "benchmark.db")


def test_are_silent_on_a_clean_database(db: Path) -> None:
    assert validate([db]) == []
    assert exit_code([]) == 0


def test_are_silent_on_one_table_of_a_clean_database_and_on_one_item_under_two_params(
    tmp_path: Path,
) -> None:
    db = tmp_path / "b.db"
    for tag in ("e0.0.1", "e0.0.2"):
        rows = [prediction(tag, i, c, code_key=f"code of {tag}") for i in range(9) for c in (0, 1)]
        write(db, f"predictions_{tag.replace('.', '_')}", rows)
    write(db, "runs", [run("e0.0.1", 18), run("e0.0.2", 18)])
    assert validate([db]) == []
    assert validate([db], "predictions_e0_0_1") == []


def test_find_every_task_that_was_executed_twice(db: Path) -> None:
    again = [
        prediction("e0.0.1", item, 1, task_key=f"other-{item}", timestamp="2027", track_id="late")
        for item in (3, 4, 5)
    ]
    write(db, "predictions", again)
    (finding,) = found(db, "executed_twice")
    assert (finding.severity, finding.count) == ("error", 3)
    assert finding.examples == tuple(f"e0.0.1: item i{i}: 2 rows" for i in (3, 4, 5))


def test_allow_repeats_and_earlier_code_of_the_dev_phase(tmp_path: Path) -> None:
    repeats = [prediction("e0.0.1", 1, 0, repeat=r, task_key=f"{r}") for r in range(3)]
    dev = [prediction("dev", 1, 0, task_key=f"dev-{v}", code_key=f"code-{v}") for v in range(3)]
    db = write(tmp_path / "b.db", "predictions", repeats + dev)
    write(db, "runs", [run("e0.0.1", 3), run("dev", 1)])
    assert validate([db]) == []


def test_find_rows_that_are_missing_or_too_many(db: Path) -> None:
    change(db, "DELETE FROM predictions WHERE experiment_version = 'e0.0.1' AND input_id = 'i7'")
    write(db, "predictions", [prediction("e0.0.2", 999, 0)])
    findings = found(db, "row_count")
    assert [(each.severity, each.count) for each in findings] == [("error", 2), ("error", 1)]
    assert "e0.0.1: 98 rows of 100 planned" in findings[0].message


def test_find_an_experiment_whose_rows_are_all_gone(db: Path) -> None:
    change(db, "DELETE FROM predictions WHERE experiment_version = 'e0.0.2'")
    assert [each.count for each in found(db, "row_count")] == [100]


def test_tell_an_unfinished_run_from_a_wrong_count(db: Path) -> None:
    change(
        db,
        "UPDATE runs SET ended_how = NULL WHERE experiment_version = 'e0.0.2'",
        "DELETE FROM predictions WHERE experiment_version = 'e0.0.2' AND params_depth = 4",
    )
    (finding,) = found(db, "row_count")
    assert (finding.severity, finding.count) == ("warning", 50)
    assert "resumes" in finding.fix


def test_find_rows_without_params(db: Path) -> None:
    change(
        db,
        "UPDATE predictions SET params_model = NULL, params_depth = NULL "
        "WHERE experiment_version = 'e0.0.2' AND input_id IN ('i1', 'i2')",
        "UPDATE predictions SET params_depth = NULL WHERE input_id = 'i3' "
        "AND track_id = 'run-e0.0.1'",
    )
    one, two = found(db, "missing_params")
    assert (one.count, one.examples) == (2, ('"params_depth" is NULL in 2 rows',))
    assert two.count == 4
    assert "e0.0.2: 4 rows without params" in two.message


def test_allow_a_configuration_whose_only_param_is_none(tmp_path: Path) -> None:
    rows = [prediction("e0.0.1", i, c) for i in range(9) for c in (0, 1)]
    for row in rows:
        row["params_prompt"] = "be brief" if row.pop("params_depth") == 4 else None
        del row["params_model"]
    db = write(tmp_path / "b.db", "predictions", rows)
    grid = json.dumps([{"params_prompt": None}, {"params_prompt": "be brief"}])
    write(db, "runs", [run("e0.0.1", 18, grid=grid)])
    assert validate([db]) == []


def test_a_param_that_the_grid_leaves_empty_is_not_missing(db: Path) -> None:
    grid = json.dumps([{"params_model": "a", "params_depth": None}, {"params_model": "b"}])
    change(
        db,
        f"UPDATE runs SET grid = '{grid}'",
        "UPDATE predictions SET params_depth = NULL WHERE input_id IN ('i1', 'i2')",
    )
    assert not found(db, "missing_params")
    change(db, "UPDATE predictions SET params_model = NULL WHERE input_id = 'i1'")
    assert all("params_model" in each.examples[0] for each in found(db, "missing_params"))


def test_count_failures_by_type(db: Path) -> None:
    change(
        db,
        "UPDATE predictions SET error = 'Timeout: 3 s', error_type = 'Timeout', "
        "raw_response = NULL WHERE experiment_version = 'e0.0.1' AND input_id IN ('i1', 'i2')",
        "UPDATE predictions SET error = 'ValueError: no', error_type = NULL "
        "WHERE experiment_version = 'e0.0.1' AND input_id = 'i3'",
    )
    timeouts, values = found(db, "failures")
    assert (timeouts.severity, timeouts.count, values.count) == ("warning", 4, 2)
    assert timeouts.message == "e0.0.1: 4 rows failed: Timeout"
    assert values.message == "e0.0.1: 2 rows failed: ValueError"
    assert found(db, "no_raw_output") == []


def test_find_failures_that_came_from_the_cache(db: Path) -> None:
    change(db, "UPDATE predictions SET error = 'x' WHERE cache <> '' AND input_id = 'i4'")
    assert [each.count for each in found(db, "reused_failure")] == [2]


@pytest.mark.parametrize("empty", ["NULL", "''", "'  '"])
def test_find_results_without_raw_output(db: Path, empty: str) -> None:
    change(db, f"UPDATE predictions SET raw_response = {empty} WHERE task_key = 'key-8-1'")
    assert [(each.count, each.examples) for each in found(db, "no_raw_output")] == [
        (1, ("item i8",)),
        (1, ("item i8",)),
    ]


def test_find_reuse_of_a_result_that_other_code_computed(db: Path) -> None:
    change(
        db,
        # Two rows that claim newer code than their origin has, and one whose origin was older.
        "UPDATE predictions SET code_key = 'code-2' WHERE experiment_version = 'e0.0.2' "
        "AND task_key IN ('key-1-0', 'key-2-0')",
        "UPDATE predictions SET code_key = 'code-0' WHERE experiment_version = 'e0.0.1' "
        "AND task_key = 'key-5-0'",
    )
    findings = found(db, "stale_reuse")
    assert {each.severity for each in findings} == {"error"}
    assert sum(each.count for each in findings) == 3


def test_note_reuse_from_a_run_that_is_not_recorded(db: Path) -> None:
    change(
        db,
        "UPDATE predictions SET cache = 'gone' WHERE cache <> '' AND task_key = 'key-1-0'",
        "DELETE FROM runs WHERE track_id = 'gone'",
    )
    (finding,) = found(db, "stale_reuse")
    assert (finding.severity, finding.count) == ("note", 1)
    assert exit_code([finding]) == 0


def test_find_two_code_versions_in_one_experiment(db: Path) -> None:
    change(db, "UPDATE predictions SET code_key = 'code-2' WHERE task_key = 'key-9-0'")
    first, second = found(db, "mixed_code")
    assert (first.severity, first.count) == ("error", 2)
    assert first.examples == ("code-1: 99 rows", "code-2: 1 rows")
    assert second.message.startswith("e0.0.2")


@pytest.mark.parametrize(
    ("planted", "stated"),
    [
        ("latency_n = 50, latency_p50 = 0.01", "over 50 rows, 0 rows were executed"),
        ("latency_p50 = 0.01", "0 rows were executed"),
    ],
)
def test_find_cached_rows_inside_latency_figures(db: Path, planted: str, stated: str) -> None:
    change(
        db,
        f"UPDATE metrics SET {planted} WHERE experiment_version = 'e0.0.2' AND params_depth = 4",
    )
    (finding,) = found(db, "cached_latency")
    assert stated in finding.message


def test_find_a_percentile_that_is_of_all_rows_though_it_states_the_executed_ones(
    tmp_path: Path,
) -> None:
    rows = [prediction("e0.0.1", i, 0) for i in range(11)]
    for row in rows[6:]:
        row |= {"cache": "run-e0.0.0", "latency": 9.0}
    db = write(tmp_path / "b.db", "predictions", rows)
    write(db, "metrics", [summary("e0.0.1", 0, 11, latency_n=6, latency_p50=rows[5]["latency"])])
    assert len(found(db, "cached_latency")) == 1
    change(
        db, f"UPDATE metrics SET latency_p50 = {rows[2]['latency'] / 2 + rows[3]['latency'] / 2}"
    )
    assert found(db, "cached_latency") == []


TRACKED = """
import sys
from xetrack import Tracker
for model in ("a", "b"):
    tracker = Tracker(sys.argv[1], engine="sqlite", table=sys.argv[2], params={{"model": model}})
    for i in range(30):
        if (model, i) in {skip}:
            continue
        tracker.log({{"input_id": i, "raw_response": f"text {{i}}", "score": i / 2, "error": ""}})
        if (model, i) in {twice}:
            tracker.log({{"input_id": i, "raw_response": "other", "score": 1.0, "error": None}})
"""


def tracked(path: Path, table: str, skip: str = "()", twice: str = "()") -> Path:
    """A table that xetrack itself wrote, in a process of its own."""
    code = TRACKED.format(skip=skip, twice=twice)
    subprocess.run([sys.executable, "-c", code, str(path), table], check=True, capture_output=True)
    return path


CACHED = """
import sys
from dataclasses import dataclass
from xetrack import Tracker

@dataclass(frozen=True)
class Params:
    depth: int

def predict(i: int, params: Params):
    return {"input_id": i, "raw_response": "text"}

for version in ("first", "again"):
    given = {"experiment_version": version}
    tracker = Tracker(sys.argv[1], engine="sqlite", table="events", cache=sys.argv[2], params=given)
    for i in range(6):
        tracker.track(predict, args=[i, Params(3)])
"""


def test_find_the_params_that_xetracks_own_cache_loses(tmp_path: Path) -> None:
    db = tmp_path / "track.db"
    command = [sys.executable, "-c", CACHED, str(db), str(tmp_path / "cache")]
    subprocess.run(command, check=True, capture_output=True)
    (finding,) = found(db, "missing_params", "events")
    assert finding.message == "again: 6 rows without params"


def test_take_no_load_of_the_machine_for_a_setting(tmp_path: Path) -> None:
    rows = [
        {"track_id": run, "input_id": i, "model": "a", "disk_percent": disk, "score": i / 2}
        for run, disk in (("one", 26), ("two", 27))
        for i in range(5)
    ]
    (finding,) = found(write(tmp_path / "t.db", "events", rows), "executed_twice", "events")
    assert finding.count == 5


@pytest.mark.parametrize("table", ["default", "events"])
def test_are_silent_but_for_notes_on_a_plain_xetrack_table(tmp_path: Path, table: str) -> None:
    db = tracked(tmp_path / "track.db", table)
    assert [each for each in validate([db], table) if each.severity != "note"] == []


def test_find_faults_in_a_plain_xetrack_table(tmp_path: Path) -> None:
    db = tracked(
        tmp_path / "track.db", "events", skip="{('b', 4)}", twice="{('a', 1), ('b', 1), ('b', 2)}"
    )
    change(db, "UPDATE events SET raw_response = '' WHERE input_id = 9")
    findings = {each.check: each for each in validate([db], "events") if each.severity != "note"}
    assert {name: each.count for name, each in findings.items()} == {
        "executed_twice": 3,
        "row_count": 1,
        "no_raw_output": 2,
    }
    assert findings["row_count"].examples == ("b: 29 items of 30",)


def test_take_the_columns_of_a_task_from_the_person(tmp_path: Path) -> None:
    rows = [{"sample": "x", "model": m, "score": 1.0} for m in ("a", "a", "b")]
    db = write(tmp_path / "plain.db", "older", rows)
    assert {each.severity for each in validate([db], "older")} == {"note"}
    (twice,) = [e for e in validate([db], "older", ["sample", "model"]) if e.severity == "error"]
    assert (twice.check, twice.count) == ("executed_twice", 1)
    with pytest.raises(HarnessError, match="no column 'nosuch'"):
        validate([db], "older", ["nosuch"])


def test_say_so_where_there_is_nothing_to_check(tmp_path: Path) -> None:
    db = write(tmp_path / "b.db", "predictions", [prediction("e0.0.1", 1, 0)])
    change(db, "DELETE FROM predictions")
    with pytest.raises(HarnessError, match="no rows yet") as error:
        validate([db])
    assert error.value.code == 2


def test_each_say_why_they_exist() -> None:
    assert all(check.__doc__ for check in CHECKS)
    assert len(GRID) == 2
