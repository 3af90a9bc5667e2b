"""A plan with [looks]: the experiment ends once every hypothesis is decided, and says so."""

import json
from collections.abc import Callable
from pathlib import Path

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
PRICE = """
def estimate(item, params):
    return 0.01
"""
FOUR = "at = [0.25, 0.5, 0.75, 1.0]"


def planned(bench: Bench, looks: str = FOUR, smallest: float = 0.4) -> None:
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
    ended.run("report", "e0.0.1", "--out", "report.html")
    report = ended.root / "report.html"
    assert said in report.read_text()
    report.unlink()
    assert f"e0.0.1: {said}" in ended.run("validate").said


def test_killed_before_its_tag_it_takes_no_look_again(ended: Bench, tmp_path: Path) -> None:
    bench = ended.copy(tmp_path / "bench")
    bench.untag("e0.0.1")
    said = bench.run("experiment", "e0.0.1", "--allow", OPENED).said
    assert "Ended by its plan at look 2 of 4" in said
    assert "items: H1" not in said
    assert not bench.trace.exists()
    found = looked(bench)
    assert [(row["look"], row["ended"]) for row in found] == [(1, ""), *[(2, "decided")] * 2]
    assert found[1]["hypotheses"] == found[2]["hypotheses"]


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


def test_a_budget_that_the_next_look_would_pass_ends_it_at_the_last(bench: Bench) -> None:
    make(bench, looks="count = 2", smallest=0.69)
    bench.predict(RULE.replace('"x"}', '"x", "cost": 0.01}'), head=PRICE)
    bench.settings(limits={"max_cost_usd": 3.0})
    said = bench.experiment("e0.0.1").said
    assert (
        "Ended by its plan at look 1 of 2, after 100 of 200 items: the next look would not fit in "
        "the budget. That saved 200 of 400 predictions (50%)"
    ) in said
    assert looked(bench)[-1]["ended"] == "budget"
    assert "not decided at look 1 of 2" in bench.run("summary", "e0.0.1").said
    assert "row_count" not in bench.run("validate").said


def test_a_plan_or_a_score_that_changes_between_looks_is_refused(bench: Bench) -> None:
    make(bench, looks="count = 2", smallest=0.65)
    # Stopped after the first look, as by a budget.
    bench.predict(RULE.replace('"x"}', '"x", "cost": 0.01}'), head=PRICE)
    bench.settings(limits={"max_cost_usd": 2.5})
    bench.experiment("e0.0.1")
    bench.untag("e0.0.1")
    before = bench.rows()
    planned(bench, looks="count = 2", smallest=0.3)
    said = bench.experiment("e0.0.1", expect=1).said
    assert "PLAN.toml changed since e0.0.1 began, and its plan has [looks]" in said
    assert "git checkout" in said
    planned(bench, looks="count = 2", smallest=0.65)
    path = bench.root / "src/benchmark/metrics.py"
    bench.score(path.read_text() + "\n# other scores\n")
    said = bench.experiment("e0.0.1", expect=1).said
    assert "src/benchmark/metrics.py changed since e0.0.1 began" in said
    assert bench.rows() == before
    assert not bench.git("tag", "-l")


@pytest.mark.parametrize(
    ("looks", "words"),
    [
        ("at = [0.5, 0.5, 1.0]", "at needs shares above 0 that grow from look to look"),
        ("at = [0.5]", "the last of which is 1.0"),
        ("at = [0.5, 1.0]\ncount = 2", "looks need either at or count"),
        ("cuont = 2", "the keys are at, count, seed"),
    ],
)
def test_looks_that_cannot_be_made(bench: Bench, looks: str, words: str) -> None:
    planned(bench, looks=looks)
    assert words in bench.experiment("e0.0.1", expect=2).said
    assert not bench.db.exists()


def test_what_cannot_be_looked_at_is_refused_and_cannot_be_overridden(bench: Bench) -> None:
    make(bench)
    bench.score(
        """
        from harness import Score

        SCORES = {"wrong": Score("mean", better="lower")}
        AGGREGATES = {"correct": lambda rows: float(rows["prediction"].mean())}


        def score(row):
            return {"wrong": row["prediction"] != row["ground_truth"]}
        """
    )
    said = bench.experiment("e0.0.1", allow=f"{OPENED},plan", expect=1).said
    assert "[looks] need a score of each item, and correct is an aggregate" in said
    bench.predict("return {}", head="def fit(params, fold):\n    return 1\n", resource=True)
    assert "fit makes its models from all of them" in bench.experiment("e0.0.1", expect=1).said
    assert not bench.db.exists()


PHASES = """
from harness.project.kind import Executor, Kind
from harness.run.executors import compute
from harness.run.attempt import Worker

KIND = Kind(executors={"load": Executor("benchmark.kind:execute", phases=True)})


def execute(project, jobs, limiter, stopped):
    worker = Worker(project, limiter)
    for job in jobs:
        yield compute(worker, job)
"""


def test_phases_of_load_are_not_looked_at(bench: Bench) -> None:
    make(bench)
    bench.file("src/benchmark/kind.py", PHASES)
    bench.settings(run={"executor": "load"})
    said = bench.experiment("e0.0.1", allow=f"{OPENED},plan", expect=1).said
    assert "a phase of load is one as a whole" in said
    assert "remove [looks] from PLAN.toml" in said
    assert not bench.db.exists()
    assert not bench.trace.exists()
    bench.file("PLAN.toml", PLAN.format(looks="", smallest=0.4).replace("[looks]", ""))
    bench.experiment("e0.0.1")
    assert len(bench.rows()) == 2 * ITEMS


def test_clusters_come_whole_and_dry_run_says_when_it_looks(bench: Bench) -> None:
    make(bench)
    bench.settings(data={"cluster": "passage"})
    bench.items(ITEMS, n="n", passage="f'passage {n // 4}'")
    assert "looks at 52, 100, 152, 200 items" in bench.run("dry-run").said
    bench.experiment("e0.0.1")
    counted = "SELECT cluster, count(DISTINCT planned_look) AS n FROM predictions GROUP BY 1"
    looks = bench.sql(counted)
    assert {row["n"] for row in looks} == {1}
    spread = bench.sql("SELECT DISTINCT planned_look FROM predictions")
    assert len(spread) == len(looked(bench)) < 4


def test_a_margin_of_0_shows_no_equivalence(bench: Bench) -> None:
    text = PLAN.format(looks=FOUR, smallest=0).replace("better =", "this =")
    bench.file("PLAN.toml", text + 'kind = "equivalent"\n')
    said = bench.experiment("e0.0.1", expect=2).said
    assert "no number of items shows that there is no difference at all" in said
    assert "above 0: how large a difference would still not matter" in said
    assert not bench.db.exists()
