"""What a check finds concerns one experiment, one dev-run or one configuration, and no other."""

import json
import sqlite3

import pytest

from tests.harness.project_fixture import RULE, Bench

FAILS_ONCE = """
from pathlib import Path
if item["id"] == "i1" and not Path("repaired").exists():
    raise ValueError("broken")
return {"prediction": True, "ground_truth": item["label"], "raw_response": "yes"}
"""


def change(bench: Bench, statement: str) -> None:
    connection = sqlite3.connect(bench.db)
    connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("input_id = 'i2' WHERE input_id = 'i3'", "2 tasks stand in more than one row"),
        ("cache = 'other', error = 'x' WHERE input_id = 'i3'", "2 rows took a failure from the"),
    ],
    ids=["executed_twice", "reused_failure"],
)
def test_every_error_that_validation_finds_in_an_experiment_keeps_it_from_its_tag(
    bench: Bench, fault: str, words: str
) -> None:
    bench.predict(FAILS_ONCE)
    bench.experiment("e0.0.1", expect=1)
    change(bench, f"UPDATE predictions SET {fault}")
    bench.file("repaired", "")
    refused = bench.experiment("e0.0.1", expect=1)
    assert f"e0.0.1 is not tagged: e0.0.1: {words}" in refused.said
    # Another experiment is not kept back by it.
    bench.experiment("e0.0.2")
    assert bench.git("tag", "--list") == "e0.0.2"
    [found] = [
        each
        for each in json.loads(bench.run("validate", "--json", expect=1).out)["findings"]
        if each["severity"] == "error"
    ]
    assert found["experiment"] == "e0.0.1"


def test_a_param_that_was_renamed_in_development_blocks_nothing(bench: Bench) -> None:
    bench.params('[Params("low", 0.25), Params("high", 0.75)]', "model: str\ncut: float = 0.5")
    bench.predict(RULE.replace("threshold", "cut"))
    bench.dev_run()
    bench.params('[Params("low", 0.25), Params("high", 0.75)]')
    bench.predict(RULE)
    bench.dev_run()
    said = bench.run("inspect").said
    assert "params_threshold" in said
    assert "cut" not in said
    bench.commit()
    assert "no inspect" not in bench.run("ready", expect=None).said


@pytest.mark.parametrize(
    ("column", "before"),
    [("language", '"language": "en", '), ("raw_response", "")],
    ids=["of an earlier dev-run", "of nobody"],
)
def test_a_segmentation_must_be_a_column_that_this_dev_run_filled(
    bench: Bench, column: str, before: str
) -> None:
    bench.file("PLAN.toml", f'segmentations = ["model_family", "{column}"]')
    bench.score("def score(row):\n    return {'correct': row['prediction'] == 1}")
    answer = 'return {%s"model_family": "rule", "prediction": 1}'
    bench.predict(answer % before)
    bench.dev_run()
    bench.predict(answer % "")
    bench.dev_run()
    bench.commit()
    said = bench.run("ready", expect=1).said
    assert f"segmentation '{column}' is no column of predictions" in said
    assert "'model_family'" not in said
    bench.file("PLAN.toml", 'segmentations = ["model_family", "error_type"]')  # the harness's own
    bench.commit()
    assert "no plan" not in bench.run("ready", expect=None).said


def test_the_items_of_every_configuration_are_checked(bench: Bench) -> None:
    bench.file(
        "src/benchmark/dataset.py",
        """
def load(params):
    parts = ["train", "test"] if params.model == "high" else ["test", "test"]
    return [
        {"id": f"i{n}", "x": n // 2 if params.model == "high" else n, "label": True,
         "split": parts[n % 2]}
        for n in range(4)
    ]
""",
    )
    bench.dev_run()
    bench.commit()
    said = bench.run("ready", expect=1).said
    assert "repeat content of another split or fold (in the items of Params(model='high'" in said


@pytest.mark.parametrize(
    ("executor", "limits", "words"),
    [
        ("serial", {"max_permanent_errors": 1000, "max_errors": 20}, "max_errors"),
        ("serial", {"on_error": "stop"}, "on_error"),
        ("serial", {}, "max_permanent_errors"),
        ("threads", {}, "max_permanent_errors"),
        ("processes", {}, "max_permanent_errors"),
    ],
)
def test_results_that_no_row_can_hold_count_as_failures_at_once(
    bench: Bench, executor: str, limits: dict[str, object], words: str
) -> None:
    bench.settings(run={"executor": executor, "workers": 2, **limits})
    bench.items(2000)
    bench.predict(
        """
        import time
        time.sleep(0.002)
        n = "many" if int(item["id"][1:]) > 20 else 1  # whoever is first, it is a number
        return {"prediction": True, "ground_truth": True, "n": n, "raw_response": "1"}
        """
    )
    stopped = bench.dev_run(expect=1)
    assert words in stopped.said
    assert sum(bench.executed().values()) < 500


def test_where_nothing_succeeded_nothing_else_is_called_wrong(bench: Bench) -> None:
    bench.file("PLAN.toml", 'segmentations = ["language"]')
    bench.score(
        'from harness import Score\n\nSCORES = {"correct": Score("proportion", better="higher")}\n'
        'def score(row):\n    return {"correct": True}\n'
    )
    bench.predict('raise ValueError("no")')
    bench.dev_run(expect=1)
    bench.commit()
    said = bench.run("ready", expect=1).said
    assert "every datapoint of the dev-run failed" in said
    assert "no column of predictions" not in said
    assert "SCORES declares" not in bench.run("inspect", expect=None).said

    with sqlite3.connect(bench.dev_db) as con:  # as a dev-run leaves it that is killed at once
        con.execute("DELETE FROM predictions")
    con.close()
    said = bench.run("ready", expect=1).said
    assert "no dev-run: this code has not been dev-run" in said
    assert "ok tag" in said


def test_a_score_that_raises_is_no_mistake_of_the_plan(bench: Bench) -> None:
    bench.file(
        "PLAN.toml",
        '[[hypotheses]]\nid = "H1"\nclaim = "c"\nmetric = "correct"\nbetter = { model = "low" }\n'
        'than = { model = "high" }\nsmallest_difference = 0.1\ndirection = "higher"\n',
    )
    bench.score("def score(row):\n    return {'correct': None + 1}\n")
    stopped = bench.dev_run(expect=1)
    assert "run the same command; the results are kept" in stopped.said
    bench.commit()
    said = bench.run("ready", expect=1).said
    assert "the dev-run ended before its scores" in said
    assert "no row has the metric" not in said
