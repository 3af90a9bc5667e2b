"""A plan with [looks]: the experiment ends once every hypothesis is decided, and says so."""

import json
from collections.abc import Callable

import pytest

from tests.harness.project_fixture import OPENED, Bench

ITEMS = 200
PLAN = """
[looks]
{looks}

[[hypotheses]]
id = "H1"
claim = "low is better than high"
metric = "correct"
better = {{ model = "low" }}
than = {{ model = "high" }}
direction = "higher"
smallest_difference = {smallest}
"""
# low is right on nine items of ten, high on two.
RULE = """
right = item["n"] % 10 > 0 if params.model == "low" else item["n"] % 10 < 2
return {"prediction": right, "ground_truth": True, "raw_response": "x"}
"""
FOUR = "at = [0.25, 0.5, 0.75, 1.0]"


def planned(bench: Bench, looks: str = FOUR, smallest: float = 0.05) -> None:
    bench.file("PLAN.toml", PLAN.format(looks=looks, smallest=smallest))


def looked(bench: Bench, tag: str = "e0.0.1") -> list[dict[str, object]]:
    rows = bench.sql(f"SELECT * FROM runs WHERE experiment_version = '{tag}' ORDER BY sequence")
    return [json.loads(row["looked"]) | {"ended": row["ended_by_plan"]} for row in rows]


def make(bench: Bench, **plan: object) -> Bench:
    bench.items(ITEMS, n="n")
    bench.predict(RULE)
    planned(bench, **plan)  # type: ignore[arg-type]
    bench.commit()
    return bench


@pytest.fixture(scope="module")
def ended(make_module_bench: Callable[[], Bench]) -> Bench:
    bench = make(make_module_bench())
    bench.experiment("e0.0.1")
    return bench


def test_it_ends_at_the_look_that_decides_and_runs_nothing_more(ended: Bench) -> None:
    found = looked(ended)
    assert [row["look"] for row in found] == [1, 2]
    assert [row["ended"] for row in found] == ["", "decided"]
    items = {row["input_id"] for row in ended.rows()}
    assert len(items) == 100
    assert ended.executed() == {(model, i): 1 for model in ("low", "high") for i in items}
    # Drawn, not taken from the top of the file.
    assert len(items & {f"i{n}" for n in range(100)}) < 70


def test_tag_summary_report_and_validate_say_so_and_what_it_saved(ended: Bench) -> None:
    said = (
        "Ended by its plan at look 2 of 4, after 100 of 200 items: every hypothesis is decided. "
        "That saved 200 of 400 predictions (50%)"
    )
    assert said in ended.git("tag", "-n99", "-l", "e0.0.1")
    summary = ended.run("summary", "e0.0.1").said
    assert said in summary
    assert "decided at look 2 of 4" in summary
    ended.run("report", "e0.0.1")
    assert said in (ended.root / "results/e0.0.1.html").read_text()
    assert f"e0.0.1: {said}" in ended.run("validate").said


def test_a_run_that_stopped_goes_on_at_the_same_look(bench: Bench) -> None:
    make(bench, looks="count = 4", smallest=0.65)
    bench.params('[Params("low", 0.25), Params("high", 0.75)]')
    trap = 'import os\nif os.environ.get("BROKEN") and item["n"] % 7 == 0:\n    raise ValueError\n'
    bench.predict(trap + RULE)
    bench.settings(key={"harmless": ["BENCH_TRACE", "HOLD_AT", "BROKEN"]})
    bench.commit()
    said = bench.run("experiment", "e0.0.1", "--allow", OPENED, BROKEN="1", expect=1).said
    assert "datapoints failed" in said
    assert "look 1 of 4" not in said
    bench.run("experiment", "e0.0.1", "--allow", OPENED)
    looks = [row for row in bench.sql("SELECT looked FROM runs ORDER BY sequence")]
    assert [row["looked"] and json.loads(row["looked"])["look"] for row in looks] == [
        *(None, 1, 2, 3, 4)
    ]
    assert len(bench.rows()) == 2 * ITEMS
    assert "Ended by its plan" not in bench.run("summary", "e0.0.1").said
