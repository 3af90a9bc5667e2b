"""An attempt that gave nothing may be charged all the same: budget and rows count it."""

import pytest

from tests.harness.project_fixture import Bench

# Every call costs 0.01 as soon as it is made, whatever becomes of it.
FAILS = """
from pathlib import Path
import os
if Path(os.environ["BENCH_TRACE"] + ".away").exists():
    raise {error}
return {{"prediction": True, "ground_truth": True, "cost": 0.01}}
"""
HEAD = """
from harness import PermanentError, TransientError


def estimate(item, params):
    return 0.01
"""


def _bench(bench: Bench, error: str, executor: str = "threads", budget: float = 0.1) -> None:
    bench.params('[Params("one", 0.5)]')
    bench.items(12)
    bench.predict(FAILS.format(error=error), HEAD)
    bench.settings(
        run={"executor": executor, "workers": 4},
        retry={"attempts": 5, "wait_seconds": 0.001, "max_wait_seconds": 0.002},
        limits={"max_cost_usd": budget},
    )
    bench.commit()
    bench.trace.with_name(bench.trace.name + ".away").touch()


def _back(bench: Bench) -> None:
    bench.trace.with_name(bench.trace.name + ".away").unlink()


@pytest.mark.parametrize("executor", ["serial", "threads"])
def test_calls_that_timed_out_on_our_side_are_within_the_budget(
    bench: Bench, executor: str
) -> None:
    _bench(bench, 'TimeoutError("nothing came")', executor)
    done = bench.experiment("e0.0.1", expect=None)
    assert "could exceed the budget" in done.said
    calls = sum(bench.executed().values())
    assert 5 <= calls <= 10
    assert sum(row["cost_lost"] for row in bench.rows()) == pytest.approx(0.01 * calls)

    # What failed rows cost stays counted when others take their place.
    _back(bench)
    bench.experiment("e0.0.1", expect=None)
    assert sum(bench.executed().values()) <= 10

    bench.settings(run={"executor": executor}, limits={"max_cost_usd": 1.0})
    bench.experiment("e0.0.1")
    rows = bench.rows()
    assert {row["error_type"] for row in rows} == {None}
    assert sum(row["cost_lost"] or 0 for row in rows) == pytest.approx(0.01 * calls)
    assert sum(row["cost"] for row in rows) == pytest.approx(0.12)
    [paid] = bench.sql("SELECT sum(cost) AS cost FROM metrics")
    assert paid["cost"] == pytest.approx(0.12 + 0.01 * calls)
    assert sum(bench.executed().values()) == calls + 12


def test_a_first_failure_is_tried_again_as_far_as_the_budget_goes(bench: Bench) -> None:
    _bench(bench, 'TimeoutError("nothing came")', budget=0.02)
    bench.items(1)
    bench.commit()
    bench.experiment("e0.0.1", expect=None)
    # The first call and the one more that 0.02 pays for.
    assert sum(bench.executed().values()) == 2


def test_what_a_server_refused_costs_nothing(bench: Bench) -> None:
    _bench(bench, 'TransientError("busy")')
    bench.experiment("e0.0.1", expect=None)
    assert sum(bench.executed().values()) == 60
    assert "cost_lost" not in bench.rows()[0]


def test_processes_share_no_budget_so_they_leave_the_next_attempt_to_the_next_run(
    bench: Bench,
) -> None:
    _bench(bench, 'TimeoutError("nothing came")', "processes", budget=0.3)
    bench.experiment("e0.0.1", expect=None)
    assert sum(bench.executed().values()) == 12
    assert sum(row["cost_lost"] for row in bench.rows()) == pytest.approx(0.12)


def test_a_stop_at_the_budget_says_how_far_it_is_and_what_to_commit(bench: Bench) -> None:
    _bench(bench, "ValueError()", "serial", budget=0.045)
    _back(bench)
    before = bench.run("dry-run").said
    assert "max_cost_usd is 0.045, less than this may cost" in before
    stopped = bench.experiment("e0.0.1", expect=1).said
    assert "0.0400 USD of 0.0450 spent, and the next one may cost 0.0100" in stopped
    assert 'git commit -m "a larger budget" benchmark.toml' in stopped

    ready = bench.run("ready", expect=None).said
    assert "e0.0.1 is not finished: 4 of 12 datapoints are recorded (its last run: budget)" in ready
    assert "make experiment TAG=e0.0.1 goes on" in ready
    summary = bench.run("summary", "e0.0.1", expect=1).out
    assert "Not finished: 4 of 12 datapoints are recorded." in summary
    assert "0 datapoints" not in summary
    assert "4 of 12 datapoints are recorded" in bench.run("summary", expect=1).err, "no TAG"

    bench.settings(run={"executor": "serial"}, limits={"max_cost_usd": 1.0})
    bench.commit()
    bench.experiment("e0.0.1")
    assert "not finished" not in bench.run("ready", expect=None).said
