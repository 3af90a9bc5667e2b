"""Params of every shape on their way through tables, tags, selectors and the plan."""

from pathlib import Path
from typing import Any

import pytest

from harness.project.hypotheses import matches, parse_plan, plan_findings
from harness.read import views
from harness.tell.compare import compare
from tests.harness.project_fixture import Bench
from tests.harness.scored_results import metrics_for, record, rows_for, run_for

CONDITIONAL = """
from dataclasses import dataclass


@dataclass(frozen=True)
class Ridge:
    alpha: float = 1.0
    low: float = 0.1
    n: int = 3


@dataclass(frozen=True)
class Lasso:
    alpha: float = 1.0
    iterations: int = 100


@dataclass(frozen=True)
class Params:
    model: str
    threshold: float = 0.5
    kind: Ridge | Lasso | None = None
    range: float = 0.5
    range_low: str = "a"
    range_n: int = 0


GRID = [
    *(Params("a", kind=Lasso()), Params("b", kind=Ridge())),
    *(Params("c"), Params("d", kind=Ridge(2))),
]
"""


def test_conditional_params_and_fields_called_like_bounds_run_to_a_tag(bench: Bench) -> None:
    bench.items(40)
    bench.file("src/benchmark/params.py", CONDITIONAL)
    bench.predict(
        'right = isinstance(params.kind, type(None)) or item["label"]\n'
        'return {"prediction": right, "ground_truth": True, "raw_response": "x"}'
    )
    bench.file(
        "PLAN.toml",
        """
        [[hypotheses]]
        id = "H1"
        claim = "none at all is better than Ridge"
        metric = "correct"
        better = { kind = "None" }
        than = { kind = "Ridge", "kind.alpha" = 2.0 }
        direction = "higher"
        smallest_difference = 0.1
        """,
    )
    done = bench.dev_run()
    assert "kind_iterations" in done.out
    assert "Ridge" in done.out
    bench.run("inspect", expect=None)
    bench.experiment("e0.0.1")
    words = bench.git("for-each-ref", "--format=%(contents)", "refs/tags").splitlines()
    assert words[0].startswith("model=c threshold=0.5 kind=None range=0.5 range_low=a range_n=0 | ")
    assert [line.partition(" threshold")[0] for line in words[2:6]] == [
        "model=a", "model=b", "model=c", "model=d"
    ]  # fmt: skip
    assert "kind=Ridge kind_alpha=1.0 kind_low=0.1 kind_n=3 range=0.5" in words[3]
    text = bench.run("summary").out
    assert "Hypotheses: 1 supported." in text
    assert "| 1 | model=c, kind=None | 40 |" in text
    assert "kind=Lasso, kind\\_alpha=1.0, kind\\_iterations=100" in text
    bench.run("report")
    assert "no findings" in bench.run("validate").out
    ridges = bench.run("compare", "e0.0.1:kind=Ridge", "e0.0.1:kind=None").out
    assert "mean of 2 with" in ridges
    bench.run("rescore")
    # The same configurations in another experiment, with one more: each stands against itself.
    bench.file("src/benchmark/params.py", CONDITIONAL.replace("GRID = [", 'GRID = [Params("e"), '))
    bench.experiment("e0.0.2")
    assert bench.run("compare", "e0.0.1", "e0.0.2").out.count("exact McNemar") == 4


def test_a_param_that_is_none_is_one_value_and_no_wildcard(tmp_path: Path) -> None:
    """Two forests of any depth, and trees of depth 2: pooled, they would be better than trees."""
    rows, grid = [], []
    for tag in ("e0.0.1", "e0.0.2"):
        for depth, good in ((None, 50), (2, 90), (8, 50)):
            scores = [{"correct": int(i < good)} for i in range(100)]
            rows += rows_for(tag, {"depth": depth, "model": "forest"}, scores)
            grid.append({"params_depth": depth, "params_model": "forest"})
    runs = [run_for(tag, grid=grid[:3]) for tag in ("e0.0.1", "e0.0.2")]
    db = record(tmp_path / "r.db", rows, metrics_for(rows, ["correct"]), runs)
    with views.connect([db]) as con:
        both = compare(con, "e0.0.1", "e0.0.2").pairs
        alone = compare(con, "e0.0.1:depth=None", "e0.0.1:depth=2").pairs
        every = compare(con, "e0.0.1:model=forest", "e0.0.1:depth=8.0").pairs
    assert [(pair.a, pair.b) for pair in both] == [
        (f"e0.0.1: depth={depth}", f"e0.0.2: depth={depth}") for depth in (None, 2, 8)
    ]
    assert [pair.outcome for pair in both] == ["undecided"] * 3
    assert (alone[0].a, alone[0].outcome) == ("depth=None", "better")
    assert every[0].a == "mean of 3"


@pytest.mark.parametrize(
    ("wanted", "matched"),
    [
        ({"depth": "None"}, ["none"]),
        ({"depth": "'None'"}, ["text"]),
        ({"depth": 2}, ["two"]),
        ({}, ["none", "text", "two", "absent"]),
    ],
)
def test_a_plan_names_a_param_that_is_none(wanted: dict[str, Any], matched: list[str]) -> None:
    there: dict[str, dict[str, Any]] = {
        "none": {"depth": None},
        "text": {"depth": "None"},
        "two": {"depth": 2},
        "absent": {},
    }
    assert [name for name, params in there.items() if matches(params, wanted)] == matched
    plan = parse_plan(
        {
            "hypotheses": [
                {
                    "id": "H1", "claim": "c", "metric": "m", "better": {"depth": "None"},
                    "than": {"depth": 2}, "direction": "higher", "smallest_difference": 0,
                }
            ]
        }
    )  # fmt: skip
    assert plan_findings(plan, set(), {"m"}, [{"depth": None}, {"depth": 2}]) == []
    assert "is no configuration in GRID" in plan_findings(plan, set(), {"m"}, [{"depth": 2}])[0]


def test_a_param_of_twenty_thousand_characters_is_shortened_and_the_tag_keeps_its_scores(
    bench: Bench,
) -> None:
    bench.items(40)
    bench.params('[Params("m", "x" * 20_000 + end) for end in "ab"]', "model: str\nthreshold: str")
    bench.predict(
        'right = params.threshold.endswith("a") or item["label"]\n'
        'return {"prediction": right, "ground_truth": True, "raw_response": "x"}'
    )
    done = bench.dev_run()
    assert len(done.out) < 20_000
    bench.experiment("e0.0.1")
    words = bench.git("for-each-ref", "--format=%(contents)", "refs/tags")
    assert len(words) < 1000
    first, _, *lines = words.splitlines()[:4]
    assert "x… [20,001 characters, " in first
    assert "correct=1 " in first
    assert [line.rpartition(" ")[2] for line in lines] == ["correct=1", "correct=0.5"]
    assert lines[0].partition(" | ")[0] != lines[1].partition(" | ")[0]
    text = bench.run("summary").out
    assert len(text) < 20_000
    assert "Best by correct, ahead of all others: " in text
    assert len(bench.run("compare", "e0.0.1").out) < 20_000
    bench.run("report")
    assert (bench.root / "results/reports/e0.0.1.html").stat().st_size < 200_000


def test_four_hundred_and_eighty_columns_are_inspected(bench: Bench) -> None:
    bench.items(12)
    bench.predict(
        'many = {f"c{n}": item["x"] * n + params.threshold for n in range(480)}\n'
        'return {"prediction": item["x"] > params.threshold, "ground_truth": item["label"], '
        '"raw_response": item["id"], "never": None, **many}'
    )
    bench.dev_run()
    found = bench.run("inspect")
    assert "note constant: never is empty in all 24 rows" in found.said
    assert "the dev-run: no findings" in found.said


def test_a_score_that_is_the_same_everywhere_is_a_note(bench: Bench) -> None:
    bench.items(12)
    bench.predict(
        'return {"prediction": item["label"], "ground_truth": item["label"], '
        '"raw_response": item["id"]}'
    )
    bench.dev_run()
    assert "note constant: correct is 1 in all 24 rows" in bench.run("inspect").said
