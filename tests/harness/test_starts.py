"""A command loads what it uses, and a prediction runs as it would anywhere."""

import gc
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.harness.project_fixture import Bench

PLAN = """
[[hypotheses]]
id = "H1"
claim = "high is right more often"
metric = "share"
better = { model = "high" }
than = { model = "low" }
direction = "higher"
smallest_difference = 0.2
"""
METRICS = """
from harness import Score

SCORES = {name: Score("proportion", better="higher") for name in ("correct", "share")}


def score(row):
    return {"correct": row["prediction"] == row["ground_truth"]}


def share(rows):
    return float(rows["correct"].mean())


AGGREGATES = {"share": share}
"""
PREDICT = """
import gc

right = item["x"] > params.threshold
return {"prediction": right, "ground_truth": item["label"], "keen": gc.get_threshold()[0]}
"""
# Each takes about as long to load as all the rest that the command does.
HEAVY = ("asyncio", "distributed", "pandas", "psutil", "scipy.stats", "stamina", "xetrack")
READY = f"""
import sys
from harness.cli import main
try:
    main(["ready"])
except SystemExit:
    print("loaded:", *sorted({{*{HEAVY}}} & sys.modules.keys()))
"""


@pytest.fixture(scope="module")
def tried(make_module_bench: Callable[..., Bench]) -> Bench:
    """A benchmark with an aggregate that its plan asks about, after a dev-run."""
    bench = make_module_bench()
    bench.items(40)
    bench.predict(PREDICT)
    bench.score(METRICS)
    bench.file("PLAN.toml", PLAN)
    bench.commit()
    bench.dev_run()
    return bench


def test_what_is_ready_is_said_without_the_libraries_of_a_run(tried: Bench) -> None:
    environment = tried.environment()
    del environment["PYTHONPYCACHEPREFIX"]  # nobody waits for their bytecode here
    done = subprocess.run(
        [sys.executable, "-c", READY],
        cwd=tried.root, env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip

    assert "H1 (share): 40 items" in done.stdout
    assert done.stdout.splitlines()[-1] == "loaded:"


def test_a_prediction_has_the_garbage_collector_that_it_has_anywhere(tried: Bench) -> None:
    assert {row["keen"] for row in tried.rows("dev")} == {gc.get_threshold()[0]}
