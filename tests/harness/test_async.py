"""async def predict: many calls at once on one core, with the limits and rows of threads."""

from tests.harness.project_fixture import Bench, once_each
from tests.harness.test_batches import kept

SETTINGS = {"wait_seconds": 0.01}
PREDICT = """
import asyncio
import os
from benchmark.params import Params
from benchmark.trace import note
from harness import TransientError

counts = {}
here = []
everybody = asyncio.Event()


async def predict(item, params):
    note("ran", params.model, item["id"])
    n = int(item["id"][1:])
    await asyncio.sleep(0.01)
    if n == 1:
        raise LookupError("nobody")
    if n == 2:
        tries = counts[params.model] = counts.get(params.model, 0) + 1
        if tries < 2:
            raise TransientError("busy")
    if n == 3:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(60)
    if n == 4:
        os.environ.get("SEEN_BY_FOUR")
    return {"prediction": item["x"] > params.threshold, "ground_truth": item["label"]}
"""
WAIT = "await asyncio.sleep(0.01)"
# Nobody goes on before all 60 calls are under way.
MEET = """here.append(n)
    if len(here) >= 60:
        everybody.set()
    await everybody.wait()"""


def asynchronous(bench: Bench, executor: str, workers: int) -> None:
    run = {"executor": executor, "workers": workers, "timeout_seconds": 1}
    bench.settings(run={**run, "max_permanent_errors": 50}, retry=SETTINGS)
    bench.items(30)
    bench.file("src/benchmark/predict.py", PREDICT)


def test_calls_wait_together_and_give_the_rows_of_processes(bench: Bench) -> None:
    asynchronous(bench, "async", 60)
    path = bench.root / "src/benchmark/predict.py"
    bench.file(path.relative_to(bench.root).as_posix(), path.read_text().replace(WAIT, MEET))
    done = bench.dev_run(expect=1)
    rows = bench.rows("dev")
    types = {row["input_id"]: row["error_type"] for row in rows if row["error"]}
    assert types == {"i1": "LookupError", "i3": "PredictionTimeout"}
    assert [row["attempts"] for row in rows if row["input_id"] == "i2"] == [2, 2]
    assert done.said.count("variable SEEN_BY_FOUR") == 1
    bench.forget()
    bench.run("dev-clean")
    asynchronous(bench, "processes", 8)
    bench.dev_run(expect=1)
    assert kept(bench.rows("dev")) == kept(rows)
    assert sum(bench.executed().values()) == 2 * (30 + 1)


def test_a_call_that_blocks_the_loop_is_said(bench: Bench) -> None:
    bench.settings(run={"executor": "async", "workers": 4})
    bench.file(
        "src/benchmark/predict.py",
        PREDICT.replace(WAIT, "import time; time.sleep(0.8)"),
    )
    bench.items(1)
    assert "held the event loop" in bench.dev_run().said


def test_a_plain_predict_is_refused_before_anything_runs(bench: Bench) -> None:
    bench.settings(run={"executor": "async"})
    assert "needs an async predict" in bench.dev_run(expect=2).said


def test_an_async_predict_runs_one_after_another_too(bench: Bench) -> None:
    bench.items(2)
    bench.file("src/benchmark/predict.py", PREDICT.replace("if n == 1", "if n == 99"))
    bench.dev_run()
    assert bench.executed() == once_each(["low", "high"], 2)
