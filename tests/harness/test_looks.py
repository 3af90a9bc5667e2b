"""What could be seen before it was written is no prediction, and the report counts the looks."""

from pathlib import Path
from typing import Any

import pytest

from harness.read import views
from harness.tell.section import to_markdown
from harness.tell.summary import Summary, summarise_experiment
from tests.harness.project_fixture import Bench
from tests.harness.scored_results import CORRECT, Row, metrics_for, record, rows_for, run_for

FIRST, SECOND = "e0.0.1", "e0.0.2"


def claim(**other: Any) -> dict[str, Any]:
    return {
        "id": "H1", "claim": "deep beats flat", "metric": "correct", "better": {"depth": 8},
        "than": {"depth": 2}, "direction": "higher", "smallest_difference": 0.05,
    } | other  # fmt: skip


def rows(name: str, depths: tuple[int, ...], items: range = range(60)) -> list[Row]:
    found = []
    for depth in depths:
        made = rows_for(name, {"depth": depth}, [{"correct": int(i % 10 < depth)} for i in items])
        for row, item in zip(made, items, strict=True):
            row["input_id"] = f"item{item:06d}"
        found += made
    return found


def read(folder: Path, made: list[Row], *runs: Row, name: str = SECOND) -> Summary:
    db = record(folder / "r.db", made, metrics_for(made, ["correct"]), runs, CORRECT)
    with views.connect([db]) as con:
        return summarise_experiment(con, name)


def two(folder: Path, first: list[Row], plan: Any, **second: Any) -> Summary:
    runs = [run_for(FIRST, plan), run_for(SECOND, {"hypotheses": [claim()]}, **second)]
    return read(folder, first + rows(SECOND, (2, 8)), *runs)


def test_a_plan_written_after_its_cells_were_there_is_exploratory(tmp_path: Path) -> None:
    found = two(tmp_path, rows(FIRST, (2, 4, 8)), None)
    assert [(each.outcome, each.verdict) for each in found.judged] == [
        ("supported", "supported (exploratory)")
    ]
    text = to_markdown("t", found.sections)
    assert "Hypotheses: 1 exploratory." in text
    assert "As planned before the run" not in text
    assert "both sides ran on 60 of these items in e0.0.1, before a plan said this" in text
    assert "Looks at these items: 1 earlier experiment (e0.0.1), 2 plans, 1 hypothesis" in text


@pytest.mark.parametrize(
    ("first", "plan"),
    [
        (rows(FIRST, (2, 8)), {"hypotheses": [claim(id="other", claim="in other words")]}),
        (rows(FIRST, (2, 4)), None),
        (rows(FIRST, (2, 8), range(100, 160)), None),
    ],
    ids=["planned then", "one side only", "other items"],
)
def test_what_could_not_be_seen_is_a_prediction(
    tmp_path: Path, first: list[Row], plan: Any
) -> None:
    found = two(tmp_path, first, plan)
    assert found.judged[0].verdict == "supported"
    assert "As planned before the run" in to_markdown("t", found.sections)


def test_a_margin_that_was_moved_afterwards_makes_another_hypothesis(tmp_path: Path) -> None:
    found = two(tmp_path, rows(FIRST, (2, 8)), {"hypotheses": [claim(smallest_difference=0.3)]})
    assert found.judged[0].verdict == "supported (exploratory)"
    assert "2 hypotheses" in to_markdown("t", found.sections)


def test_the_first_experiment_and_other_data_are_no_looks(tmp_path: Path) -> None:
    plan = {"hypotheses": [claim()]}
    alone = read(tmp_path / "a", rows(FIRST, (2, 8)), run_for(FIRST, plan), name=FIRST)
    assert "Looks at these items" not in to_markdown("t", alone.sections)
    other = two(tmp_path / "b", rows(FIRST, (2,), range(100, 160)), None, data_version="d2")
    assert "Looks at these items" not in to_markdown("t", other.sections)


PLAN = """
[[hypotheses]]
id = "h1"
claim = "high beats low"
metric = "correct"
better = { model = "high" }
than = { model = "low" }
direction = "higher"
smallest_difference = 0.01
"""


def test_nothing_executed_and_a_plan_afterwards_is_no_support(bench: Bench) -> None:
    bench.items(40)
    bench.experiment("e0.0.1")
    for _ in range(2):
        bench.run("compare", "e0.0.1", "--metric", "correct")
    assert not bench.git("status", "--porcelain"), "a look leaves the tree as it is"
    bench.file("PLAN.toml", PLAN)
    done = bench.experiment("e0.0.2")
    assert "0 executed" in done.said
    assert "h1 undecided (exploratory)" in bench.git("tag", "-n99", "-l", "e0.0.2")
    assert "exploratory" in bench.run("show", "e0.0.2").said
    summary = bench.run("summary", "e0.0.2").out
    assert "1 earlier experiment (e0.0.1), 2 plans, 1 hypothesis, 1 comparison in this" in summary
