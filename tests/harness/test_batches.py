"""predict_batch: many items at once, and still one row, one key, one cache entry a datapoint."""

from typing import Any

from tests.harness.project_fixture import Bench, once_each

BATCH = """
def predict_batch(items, params):
    note("batch", params.model, len(items))
    if any(item.get("bad") == 1 for item in items):
        raise ValueError("a bad item")
    found = [predict(item, params) for item in items]
    if any(item.get("bad") == 2 for item in items):
        return found[1:]
    return found
"""
RULE = """
if item.get("bad"):
    raise LookupError("bad")
if item["id"] == "i7":
    return {"error": "refused", "error_type": "Refusal"}
return {"prediction": item["x"] > params.threshold, "ground_truth": item["label"]}
"""
TIMES = {"track_id", "timestamp", "function_time", "latency", "latency_shared", "code_key"}
TIMES |= {"task_key", "cache"}


def with_batches(bench: Bench, executor: str, size: int) -> None:
    run = {"executor": executor, "workers": 2, "batch_size": size, "max_permanent_errors": 50}
    bench.settings(run=run)
    bench.items(12, bad="{3: 1, 9: 2}.get(n, 0)")
    bench.predict(RULE)
    path = bench.root / "src/benchmark/predict.py"
    bench.file("src/benchmark/predict.py", path.read_text() + BATCH)


def kept(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: row[name] for name in row if name not in TIMES} for row in rows]


def test_rows_are_those_of_single_items_under_every_executor(bench: Bench) -> None:
    """A bad item costs one row, whether it breaks its batch or is answered by too few results."""
    with_batches(bench, "serial", 1)
    bench.dev_run(expect=1)
    alone = bench.rows("dev")
    assert not bench.executed("batch")
    assert "latency_shared" not in alone[0]
    assert [r["input_id"] for r in alone if r["error"]] == ["i3", "i7", "i9"] * 2
    for executor in ("serial", "threads", "processes"):
        with_batches(bench, executor, 4)
        bench.forget()
        bench.run("dev-clean")
        bench.dev_run(expect=1)
        rows = bench.rows("dev")
        assert kept(rows) == kept(alone), executor
        assert {row["latency_shared"] for row in rows if row["error"]} == {None}
        assert {int(size) for _, size in bench.executed("batch")} == {4}
        shared = [row["input_id"] for row in rows if row["latency_shared"]]
        assert shared == ["i4", "i5", "i6"] * 2
    assert "6 of 24 latencies are of whole batches" in bench.run("summary", "dev").said
    # One cache entry a datapoint: only the failed ones are tried again.
    bench.forget()
    with_batches(bench, "serial", 1)
    bench.dev_run(expect=1)
    assert {item for _, item in bench.executed()} == {"i3", "i7", "i9"}


def test_the_size_is_found_by_time(bench: Bench) -> None:
    """A batch costs 20 ms however many items it has, so larger ones are faster, up to the end."""
    bench.params('[Params("low")]')
    bench.items(100)
    bench.file(
        "src/benchmark/predict.py",
        "import time\nfrom benchmark.trace import note\n\n\n"
        "def predict_batch(items, params):\n"
        '    note("batch", len(items))\n    time.sleep(0.02)\n'
        '    return [{"prediction": item["x"], "ground_truth": 1} for item in items]\n',
    )
    bench.dev_run()
    sizes = [int(words[0]) for words, _ in bench.traced("batch")]
    assert sizes[:4] == [2, 4, 8, 16]
    assert sum(sizes) == len(bench.rows("dev")) == 100


def test_predict_batch_alone_is_enough(bench: Bench) -> None:
    bench.settings(run={"batch_size": 1})
    bench.file(
        "src/benchmark/predict.py",
        "from benchmark.trace import note\n\n\n"
        "def predict_batch(items, params):\n"
        '    note("ran", params.model, items[0]["id"])\n'
        '    return [{"prediction": 1, "ground_truth": 1} for item in items]\n',
    )
    bench.dev_run()
    assert bench.executed() == once_each(["low", "high"], 4)
