"""`harness.load.checks`: what the rows say of the generator."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

from harness.findings import Finding
from harness.load.checks import load_measured
from harness.read.facts import read_facts
from harness.read.views import connect

COLUMNS = (
    "task_key TEXT, code_key TEXT, experiment_version TEXT, input_id TEXT, params_mode TEXT, "
    "params_rate REAL, phase_start REAL, scheduled REAL, send_lag REAL, latency REAL, "
    "error TEXT, cache TEXT"
)


def recorded(
    folder: Path, *phases: tuple[str, float, list[float], float], error: str | None = None
) -> Path:
    """A database with phases of (mode, rate, the lag of each request, their latency)."""
    path = folder / "benchmark.db"
    with contextlib.closing(sqlite3.connect(path)) as con, con:
        con.execute(f"CREATE TABLE predictions ({COLUMNS})")
        for start, (mode, rate, lags, latency) in enumerate(phases):
            for number, lag in enumerate(lags):
                row: tuple[Any, ...] = (
                    f"{start}-{number}", "code", "e0.0.1", str(number), mode, rate,
                    float(start), number / rate, lag, latency, error, "",
                )  # fmt: skip
                con.execute(f"INSERT INTO predictions VALUES ({', '.join('?' * 12)})", row)
    return path


def check(path: Path) -> list[Finding]:
    with contextlib.closing(connect([path])) as con:
        return load_measured(read_facts(con))


def test_a_load_that_left_in_time_has_no_finding(tmp_path: Path) -> None:
    steady = [0.0001] * 1000
    late_but_long = ("open", 10.0, [0.05] * 1000, 2.0)  # a fortieth of each latency
    a_few = ("open", 20.0, steady[:-10] + [0.02] * 3 + [0.0001] * 7, 0.03)
    assert check(recorded(tmp_path, ("open", 5.0, steady, 0.01), late_but_long, a_few)) == []


def test_requests_that_left_late_are_counted_by_configuration(tmp_path: Path) -> None:
    some = [0.02] * 50 + [0.0001] * 950
    path = recorded(tmp_path, ("open", 5.0, some, 0.03), ("open", 9.0, [0.0001] * 1000, 0.03))
    [found] = check(path)
    assert (found.severity, found.count) == ("warning", 50)
    assert "e0.0.1: rate=5.0: 50 of 1000 requests left late" in found.message


def test_a_rate_that_was_not_generated_is_an_error(tmp_path: Path) -> None:
    behind = [0.001 * number for number in range(1000)]
    [found] = check(recorded(tmp_path, ("open", 1000.0, behind, 1.0)))
    assert found.severity == "error"
    assert found.message == (
        "e0.0.1: the only configuration: the rate was not generated, the last request left 1 s late"
    )
    assert "lower the rate" in found.fix


def test_a_closed_loop_cannot_fall_behind_a_schedule(tmp_path: Path) -> None:
    assert check(recorded(tmp_path, ("closed", 1.0, [0.0] * 99 + [30.0], 1.0))) == []


def test_a_load_that_nobody_answered_is_an_error(tmp_path: Path) -> None:
    [found] = check(recorded(tmp_path, ("open", 5.0, [0.0] * 30, 0.01), error="refused"))
    assert found.severity == "error"
    assert "none of 30 requests was answered" in found.message


def test_a_load_that_was_resumed_is_noted_as_such(tmp_path: Path) -> None:
    again, once = ("open", 5.0, [0.0001] * 40, 0.03), ("open", 9.0, [0.0001] * 40, 0.03)
    [found] = check(recorded(tmp_path, again, once, again))
    assert (found.severity, found.check) == ("note", "load_measured")
    assert "e0.0.1: rate=5.0: resumed, a phase in 2 goes" in found.message


def test_rows_of_other_kinds_are_not_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "benchmark.db"
    with contextlib.closing(sqlite3.connect(path)) as con, con:
        con.execute("CREATE TABLE predictions (input_id TEXT, latency REAL)")
        con.execute("INSERT INTO predictions VALUES ('1', 0.5)")
    assert check(path) == []
