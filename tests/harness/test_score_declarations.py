"""metrics.py says once what a score is: it is checked, shown, and kept with the experiment."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from harness.project.declarations import settle
from harness.project.hypotheses import Plan, parse_plan
from harness.project.scores import Score
from tests.harness.project_fixture import OPENED, Bench

HEAD = "from harness import Score\n"
BODY = """
def score(row):
    return {"correct": row["prediction"] == row["ground_truth"], "size": 0.5}
"""


def declaring(bench: Bench, scores: str, body: str = BODY) -> None:
    bench.file("src/benchmark/metrics.py", f"{HEAD}\nSCORES = {scores}\n\n{body}")


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"kind": "share"}, 'kind = \'share\': "proportion", "mean", "rate" or "time"'),
        ({"kind": "mean", "better": "more"}, '"higher", "lower" or "neither"'),
        ({"kind": "mean", "low": 1.0, "high": 1.0}, "low = 1 is not below high = 1"),
        ({"kind": "mean", "low": float("nan")}, "low = nan is not a finite number"),
        ({"kind": "mean", "high": True}, "high = True is not a finite number"),
        ({"kind": "proportion", "high": 100}, "a proportion lies between 0 and 1"),
        ({"kind": "mean", "better": "lower", "failure": "worst"}, "say high = …"),
        ({"kind": "mean", "better": "higher", "missing": "worst"}, "say low = …"),
        ({"kind": "mean", "better": "neither", "failure": "worst"}, "only describes"),
        ({"kind": "mean", "missing": "given"}, '"worst" or "left out", or a number'),
        ({"kind": "mean", "failure": "skip"}, '"worst", "left out" or "given", or a number'),
        ({"kind": "time", "failure": -1.0}, "failure = -1 lies outside the score's bounds"),
        ({"kind": "mean", "label": "two\nlines"}, "not one line of 40 characters"),
    ],
)
def test_a_declaration_that_contradicts_itself_says_how(
    declared: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        Score(**declared)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("scores", "words", "more"),
    [
        ('{"correct": "proportion"}', ["SCORES", "'correct'", "'proportion'"], ""),
        ('["correct"]', ["SCORES", "is a list, not a dict"], ""),
        ('{1: Score("mean")}', ["SCORES", "1 has the value"], ""),
        ('{"latency": Score("time")}', ["the harness measures latency itself"], ""),
        ('{"correct": Score("mean", failure="given")}', ["given", "is for AGGREGATES"], ""),
        (
            '{"f1": Score("mean", missing=0)}',
            ["an aggregate gets rows"],
            'AGGREGATES = {"f1": len}',
        ),
        (
            '{"a": Score("mean", label="b"), "b": Score("mean")}',
            ['SCORES["a"] is called b', "another"],
            "",
        ),
        ("{}", ["AGGREGATES", "'f1' has the value 3"], 'AGGREGATES = {"f1": 3}'),
        ('{"a": Score("share")}', ["metrics.py does not import", "line 3", '"mean"'], ""),
    ],
)
def test_what_metrics_py_declares_is_checked_before_anything_runs(
    bench: Bench, scores: str, words: list[str], more: str
) -> None:
    declaring(bench, scores, f"{BODY}\n{more}\n")
    refused = bench.dev_run(expect=2)
    for word in (*words, "fix:"):
        assert word in refused.said, refused.said
    assert "Traceback" not in refused.said
    assert not bench.executed()


def rule(score: Score | None, plan: Plan | None = None, **other: Any) -> Any:
    declared = {} if score is None else {"s": score}
    return settle(plan or Plan(), declared, ["s"], other.get("boolean", ()), ())[0]


def plan(direction: str) -> Plan:
    hypothesis = {
        "id": "H1", "claim": "c", "metric": "s", "better": {"a": 1}, "than": {"a": 2},
        "direction": direction, "smallest_difference": 0,
    }  # fmt: skip
    return parse_plan({"hypotheses": [hypothesis]})


def test_none_and_failures_count_as_the_worst_where_it_is_known_else_they_are_left_out() -> None:
    def counts(*arguments: Any, **named: Any) -> tuple[Any, Any]:
        found = rule(Score(*arguments, **named), named.pop("plan", None))
        return found.missing, found.failure

    assert counts("proportion", better="higher") == (0.0, 0.0)
    assert counts("proportion", better="lower") == (1.0, 1.0)
    assert counts("proportion") == (None, None)
    assert counts("mean", better="lower", low=0) == (None, None)
    assert counts("mean", better="lower", high=34.5) == (34.5, 34.5)
    assert counts("time", better="higher") == (0.0, 0.0)
    assert counts("proportion", better="higher", missing="left out", failure=0.25) == (None, 0.25)
    by_plan = rule(Score("proportion", failure="worst"), plan("lower"))
    assert (by_plan.better, by_plan.missing, by_plan.failure) == ("lower", 1.0, 1.0)


def test_what_is_not_declared_is_a_proportion_by_its_type_alone_and_has_no_direction() -> None:
    by_type = rule(None, boolean=["s"])
    assert (by_type.kind, by_type.better, by_type.failure) == ("proportion", None, None)
    other = rule(None)
    assert (other.kind, other.better, other.low, other.high) == ("mean", None, None, None)
    assert rule(None, plan("lower")).better == "lower"


def test_how_scores_are_counted_is_shown_and_undeclared_ones_get_the_line_to_add(
    bench: Bench,
) -> None:
    declaring(bench, '{"correct": Score("proportion", better="higher", label="accuracy")}')
    bench.items(20)
    line = '"size": Score("mean", better="higher"),'
    assert line in bench.dev_run().err
    found = bench.run("inspect", expect=1).said
    assert "warning undeclared_score: nothing says which way size is better" in found
    assert line in found
    text = bench.run("summary", "dev").out
    assert (
        "| accuracy (correct) | proportion | 0 to 1 | higher | 0 (default) | 0 (default) |" in text
    )
    assert "| size | mean |  | not declared | left out (default) | left out (default) |" in text
    declaring(
        bench,
        '{"correct": Score("proportion", better="higher"), "size": Score("mean", better="neither"),'
        ' "sise": Score("mean", better="lower")}',
    )
    assert "which way" not in bench.dev_run().err
    found = bench.run("inspect", expect=1).said
    assert "undeclared_score: SCORES declares sise, which no row has" in found
    assert "which way" not in found


def test_a_plan_that_contradicts_the_declaration_blocks_its_gate(bench: Bench) -> None:
    hypothesis = """
        [[hypotheses]]
        id = "{}"
        claim = "c"
        metric = "{}"
        better = {{ model = "low" }}
        than = {{ model = "high" }}
        direction = "{}"
        smallest_difference = 0.1
        """
    declaring(bench, '{"correct": Score("proportion", better="higher")}')
    bench.file(
        "PLAN.toml",
        hypothesis.format("H1", "correct", "lower")
        + hypothesis.format("H2", "size", "lower")
        + hypothesis.format("H3", "size", "higher"),
    )
    bench.dev_run()
    refused = bench.experiment("e0.0.1", expect=1).said
    assert "gate plan:" in refused
    assert "a hypothesis wants correct lower, SCORES in metrics.py says that higher is" in refused
    assert "hypotheses want size higher, and lower too" in refused


def test_leaving_failures_out_is_no_setting_any_more(bench: Bench) -> None:
    bench.settings(run={"on_error": "skip"})
    refused = bench.dev_run(expect=2).said
    assert "line 2: run.on_error:" in refused
    assert 'failure="left out"' in refused
    assert "SCORES of src/benchmark/metrics.py" in refused


def test_an_old_experiment_is_read_as_it_was_declared_then_until_it_is_rescored(
    bench: Bench,
) -> None:
    bench.items(40)
    bench.predict(
        'if item["x"] < 0.25:\n    raise ValueError("no")\n'
        'return {"prediction": 1, "ground_truth": 1}'
    )
    accept = f"{OPENED},failures"
    strict = '{"correct": Score("proportion", better="higher")}'
    lenient = '{"correct": Score("proportion", better="higher", failure="left out")}'
    declaring(bench, strict)
    bench.experiment("e0.0.1", allow=accept)
    declaring(bench, lenient)
    bench.experiment("e0.0.2", allow=accept)

    def means() -> list[tuple[Any, ...]]:
        query = "SELECT correct, correct_n, n FROM metrics ORDER BY experiment_version"
        return [tuple(row.values()) for row in bench.sql(query)]

    assert means() == [(0.75, 40, 40)] * 2 + [(1.0, 30, 40)] * 2
    shown = bench.run("summary", "e0.0.1").out
    assert "They count as 0 in correct." in shown
    assert "They are left out of correct." in bench.run("summary", "e0.0.2").out
    changed = bench.run("compare", "e0.0.1", "e0.0.2", expect=None)
    assert "score correct" in changed.out
    # B's declaration counts on both sides: what differs is the declaration, not the answers.
    assert "better" not in changed.out.partition("Verdicts")[2].partition("Items")[0].replace(
        "B is", ""
    )
    bench.run("rescore", "e0.0.1")
    assert means() == [(1.0, 30, 40)] * 4
    history = bench.sql(
        "SELECT score_version, failure FROM declarations_history WHERE name = 'correct'"
    )
    assert {(row["score_version"], row["failure"]) for row in history} == {("as run", 0.0)}


def test_a_rescore_that_fails_leaves_the_declarations_as_they_were(bench: Bench) -> None:
    bench.experiment("e0.0.1")
    before = bench.sql("SELECT * FROM score_declarations")
    declaring(
        bench, '{"other": Score("mean")}', "AGGREGATES = {'bad': lambda rows: 1 / 0}\n" + BODY
    )
    bench.run("rescore", "e0.0.1", expect=1)
    assert bench.sql("SELECT * FROM score_declarations") == before
    assert [row["name"] for row in before] == ["correct"]


def test_discarding_an_experiment_discards_its_declarations(bench: Bench) -> None:
    bench.predict('raise ValueError("no")')
    bench.experiment("e0.0.1", expect=1)
    assert len(bench.sql("SELECT * FROM score_declarations")) == 1
    bench.run("discard", "e0.0.1")
    assert bench.sql("SELECT * FROM score_declarations") == []


def test_other_programs_read_what_was_declared(bench: Bench) -> None:
    bench.experiment("e0.0.1")
    [row] = bench.duckdb(bench.db, "SELECT * FROM b.score_declarations")
    assert (row["name"], row["kind"], row["better"]) == ("correct", "proportion", "higher")
    out = bench.run("sql", "--query", "SELECT name FROM score_declarations", "--format", "json").out
    assert json.loads(out) == [{"name": "correct"}]


def test_shipped_kinds_declare_every_score(tmp_path: Path) -> None:
    kinds = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}" / "kinds"
    for path in kinds.glob("*/src/benchmark/metrics.py"):
        names: dict[str, Any] = {"__name__": f"metrics_of_{path.parts[-4]}"}
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), names)
        assert names["SCORES"].keys() >= names.get("AGGREGATES", {}).keys()
        assert all(score.better for score in names["SCORES"].values())
