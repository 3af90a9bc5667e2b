"""Items that nobody sees before the end: shut for every run but one."""

from collections.abc import Callable

import pytest

from tests.harness.project_fixture import OPENED, Bench

ITEMS = 40
PLAN = """
[[hypotheses]]
id = "H1"
claim = "{claim}"
metric = "correct"
better = {{ model = "high" }}
than = {{ model = "low" }}
direction = "higher"
smallest_difference = 0.05
"""


def final(bench: Bench, tag: str, expect: int = 0) -> str:
    bench.commit()
    return bench.run("experiment", tag, "--final", "--allow", OPENED, expect=expect).said


def seen(bench: Bench, tag: str) -> set[str]:
    return {row["input_id"] for row in bench.rows(tag)}


@pytest.fixture(scope="module")
def opened(make_module_bench: Callable[[], Bench]) -> Bench:
    bench = make_module_bench()
    bench.settings(data={"holdout": 0.3, "cluster": "passage"})
    bench.items(ITEMS, passage="f'passage {n // 2}'")
    bench.file("PLAN.toml", PLAN.format(claim="First."))
    bench.dev_run(1000)
    bench.experiment("e0.0.1")
    final(bench, "e0.0.2")
    return bench


def test_dev_runs_and_ordinary_experiments_never_see_it(opened: Bench) -> None:
    held, others = seen(opened, "e0.0.2"), seen(opened, "e0.0.1")
    assert held | others == {f"i{n}" for n in range(ITEMS)}
    assert not held & others
    assert 0.1 * ITEMS < len(held) < 0.5 * ITEMS
    assert seen(opened, "dev") == others
    assert {item for _, item in opened.executed()} == held | others


def test_clusters_stay_together(opened: Bench) -> None:
    held, others = seen(opened, "e0.0.2"), seen(opened, "e0.0.1")
    assert not {int(i[1:]) // 2 for i in held} & {int(i[1:]) // 2 for i in others}


def test_runs_say_which_part_they_saw(opened: Bench) -> None:
    found = opened.sql("SELECT experiment_version, holdout FROM runs ORDER BY 1")
    assert [tuple(row.values()) for row in found] == [("e0.0.1", "kept"), ("e0.0.2", "opened")]
    said = opened.run("summary", "e0.0.2", expect=None).said
    assert "On the holdout, opened once under this plan." in said
    assert "On the holdout" not in opened.run("summary", "e0.0.1", expect=None).said


def test_a_plan_opens_it_once(opened: Bench) -> None:
    said = final(opened, "e0.0.3", expect=1)
    assert "gate holdout: e0.0.2 opened the holdout already, under the same plan" in said
    assert not seen(opened, "e0.0.3")
    opened.file("PLAN.toml", PLAN.format(claim="Another one."))
    final(opened, "e0.0.4")
    assert seen(opened, "e0.0.4") == seen(opened, "e0.0.2")


@pytest.mark.parametrize(
    ("data", "head", "words"),
    [
        ({}, "", "FINAL=1 opens the holdout, and there is none"),
        ({"holdout": 0.3}, "def fit(params, fold):\n    return 1", "for benchmarks that fit noth"),
        ({"holdout": 1.0}, "", "data.holdout: Input should be less than 1"),
    ],
)
def test_a_holdout_that_cannot_be_is_refused(
    bench: Bench, data: dict[str, float], head: str, words: str
) -> None:
    bench.settings(data=data)
    if head:
        bench.predict("return {'prediction': 1}", head=head, resource=True)
    assert words in final(bench, "e0.0.1", expect=2)
    assert not bench.trace.exists()
