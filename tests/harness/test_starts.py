"""A command loads what it uses, and a prediction runs as it would anywhere."""

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

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
import gc, os

right = item["x"] > params.threshold
return {
    "prediction": right,
    "ground_truth": item["label"],
    "keen": gc.get_threshold()[0] * gc.isenabled(),
    "spins": os.environ.get("OPENBLAS_THREAD_TIMEOUT", "as usual"),
}
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


# A program that starts before every command, and says at its end what that loaded and was given.
WATCH = """
import atexit, os, sys

def say():
    lean = os.environ.get("OPENBLAS_THREAD_TIMEOUT", "none")
    print("scipy" if "scipy" in sys.modules else "no scipy", lean, file=sys.stderr)

atexit.register(say)
"""


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


def test_predict_has_the_threads_that_it_has_anywhere(tried: Bench) -> None:
    assert {row["spins"] for row in tried.rows("dev")} == {"as usual"}


def test_a_short_command_starts_lean_unless_the_person_has_chosen(
    make_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    bench = make_bench()
    bench.items(40)
    bench.commit()
    bench.experiment("e0.0.1")
    bench.predict("return {'prediction': True, 'ground_truth': item['label']}")
    bench.commit()
    bench.experiment("e0.0.2")
    (tmp_path / "sitecustomize.py").write_text(WATCH)
    watched = bench.environment()
    watched["PYTHONPATH"] = os.pathsep.join([str(tmp_path), watched["PYTHONPATH"]])

    def said(**more: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "harness", "diff", "e0.0.1", "e0.0.2"],
            cwd=bench.root, env=watched | more, check=True, capture_output=True, text=True,
        )  # fmt: skip
        assert "Verdicts" in done.stdout
        return done.stderr.splitlines()[-1]

    assert said() == "no scipy 4"  # shares are compared without it
    assert said(OPENBLAS_THREAD_TIMEOUT="26") == "no scipy 26"
