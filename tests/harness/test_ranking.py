"""What heads a report is what was asked for, and only where it can be told from the others."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.project.kind import Kind
from harness.project.scores import Score
from harness.read import views
from harness.tell.compare import compare
from harness.tell.compare_text import sections
from harness.tell.query import run_sql
from harness.tell.section import to_markdown
from harness.tell.summary import Summary, summarise_experiment
from tests.harness.project_fixture import Bench
from tests.harness.scored_results import Row, metrics_for, record, rows_for, run_for

TAG = "e0.0.1"
SQL = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}" / "sql"
LOWER = {"abs_error": Score("mean", better="lower", low=0, label="error")}


def errors(sizes: dict[int, float], n: int = 40) -> list[Row]:
    """Absolute errors about a size by depth; the first letter of `answer_length` is before it."""
    return [
        row
        for depth, size in sizes.items()
        for row in rows_for(
            TAG,
            {"depth": depth},
            [{"abs_error": size + i % 7, "answer_length": 100.0 * depth + i} for i in range(n)],
        )
    ]


def made(folder: Path, rows: list[Row], declared: Any, **plan: Any) -> Path:
    names = sorted(
        {name for row in rows for name in row} & {"abs_error", "answer_length", "correct"}
    )
    return record(
        folder / "r.db", rows, metrics_for(rows, names), [run_for(TAG, plan or None)], declared
    )


def read(db: Path) -> Summary:
    with views.connect([db]) as con:
        return summarise_experiment(con, TAG)


def glance(db: Path) -> str:
    return read(db).sections[0].text[0]


def test_less_is_better_where_it_is_declared_in_ranks_headline_and_comparison(
    tmp_path: Path,
) -> None:
    db = made(tmp_path, errors({2: 50.0, 4: 20.0, 8: 0.0}), LOWER)
    assert glance(db).startswith("Best by error, ahead of all others: depth=8, 2.8")
    found = read(db)
    assert [found.experiment.configurations[i].params["depth"] for i in found.ranking.order] == [
        8,
        4,
        2,
    ]
    text = to_markdown("t", found.sections)
    assert "In the order of error, lower is better." in text
    assert "| 1 | depth=8 | 40 | 0 | 2.8" in text
    with views.connect([db]) as con:
        better = compare(con, f"{TAG}:depth=2", f"{TAG}:depth=8", "abs_error")
    assert better.pairs[0].outcome == "better"
    assert "| error | depth=2 | depth=8 | ▲ better |" in to_markdown("t", sections(better))


def test_without_a_direction_nothing_is_first_and_a_difference_is_only_higher_or_lower(
    tmp_path: Path,
) -> None:
    for declared in ({}, {"abs_error": Score("mean", better="neither")}):
        db = made(tmp_path / str(len(declared)), errors({2: 50.0, 8: 0.0}), declared)
        assert "2 configurations, not ranked: nothing says which way is better" in glance(db)
        text = to_markdown("t", read(db).sections)
        assert "Best by" not in text
        assert "| – | depth=2 | 40 |" in text
        with views.connect([db]) as con:
            pairs = compare(con, f"{TAG}:depth=2", f"{TAG}:depth=8", "abs_error").pairs
            back = compare(con, f"{TAG}:depth=8", f"{TAG}:depth=2", "abs_error").pairs
        assert [pair.outcome for pair in (*pairs, *back)] == ["lower", "higher"]


def test_the_plans_first_metric_comes_before_the_first_declared_one(tmp_path: Path) -> None:
    rows = errors({2: 50.0, 8: 0.0})
    both = {**LOWER, "answer_length": Score("mean", better="higher")}
    assert "Best by error" in glance(made(tmp_path / "a", rows, both))
    turned = dict(reversed(both.items()))
    assert "Best by answer_length" in glance(made(tmp_path / "b", rows, turned))
    hypothesis = {
        "id": "H1", "claim": "c", "metric": "abs_error", "better": {"depth": 8},
        "than": {"depth": 2}, "direction": "lower", "smallest_difference": 0,
    }  # fmt: skip
    planned = made(tmp_path / "c", rows, turned, hypotheses=[hypothesis])
    assert read(planned).sections[0].text[1].startswith("Best by error")
    slow = {**hypothesis, "metric": "latency"}
    timed = made(tmp_path / "d", rows, turned, hypotheses=[slow])
    assert "Best by latency, not separable (ranks 1–2 of 2)" in read(timed).sections[0].text[1]


def test_those_that_may_be_the_best_are_named_with_the_ranks_that_each_may_have(
    tmp_path: Path,
) -> None:
    rows = errors({2: 50.0, 4: 0.0, 8: 0.0})
    for row in rows:
        if row["params_depth"] == 4:
            row["abs_error"] += 0.0007 if hash_of(row) % 2 else -0.0006
    db = made(tmp_path, rows, LOWER)
    assert glance(db).startswith("Best by error, not separable (ranks 1–2 of 3): depth="), glance(
        db
    )
    text = to_markdown("t", read(db).sections)
    assert "depth=2" not in glance(db)
    assert text.count("| 1–2 | depth=") == 2
    assert "| 3 | depth=2 |" in text
    assert read(db).leader is None


def hash_of(row: Row) -> int:
    return int(row["input_id"].removeprefix("item"))


def test_too_few_items_tell_nothing_apart(tmp_path: Path) -> None:
    db = made(tmp_path, errors({2: 50.0, 8: 0.0}, n=9), LOWER)
    assert glance(db).startswith("Best by error, not separable (ranks 1–2 of 2)")


def test_nobody_is_ahead_of_a_configuration_that_has_no_value(tmp_path: Path) -> None:
    rows = errors({2: 50.0, 8: 0.0})
    for row in rows:
        if row["params_depth"] == 2:
            row["abs_error"] = None
    metrics = metrics_for(rows, ["abs_error"])
    for line in metrics:
        if line["params_depth"] == 2:
            line |= dict.fromkeys(("abs_error", "abs_error_low", "abs_error_high"))
    db = record(tmp_path / "r.db", rows, metrics, [run_for(TAG)], LOWER)
    assert glance(db).startswith("Best by error, not separable (ranks 1–2 of 2)")
    assert "| – | depth=2 |" in to_markdown("t", read(db).sections)


def test_an_experiment_recorded_before_is_ranked_by_its_plan_alone(tmp_path: Path) -> None:
    rows = errors({2: 50.0, 8: 0.0})
    assert "not ranked" in glance(made(tmp_path / "a", rows, None))
    hypothesis = {
        "id": "H1", "claim": "c", "metric": "abs_error", "better": {"depth": 8},
        "than": {"depth": 2}, "direction": "lower", "smallest_difference": 0,
    }  # fmt: skip
    planned = read(made(tmp_path / "b", rows, None, hypotheses=[hypothesis]))
    assert (
        planned.sections[0]
        .text[1]
        .startswith("Best by abs_error, ahead of all others: depth=8, 2.8")
    )


def test_what_is_no_rival_has_no_rank_and_leads_nobody(tmp_path: Path) -> None:
    db = made(tmp_path, errors({2: 50.0, 4: 20.0, 8: 0.0}), LOWER)
    with views.connect([db]) as con:
        found = summarise_experiment(con, TAG, Kind(unranked={"depth": 8}))
    assert found.sections[0].text[0].startswith("Best by error, ahead of all others: depth=4")
    text = to_markdown("t", found.sections)
    assert "| – | depth=8 | 40 |" in text
    assert "Not ranked, as no rival of the others: depth=8." in text


def asked(db: Path, recipe: str, **variables: str) -> list[dict[str, Any]]:
    target = db.with_suffix(".json")
    run_sql([db], (SQL / f"{recipe}.sql").read_text("utf-8"), "json", target, variables)
    found: list[dict[str, Any]] = json.loads(target.read_text("utf-8"))
    return found


def test_recipes_take_the_metric_and_its_direction_from_what_is_declared(tmp_path: Path) -> None:
    rows = errors({2: 50.0, 8: 0.0})
    for row in rows:
        if row["input_id"] == "item000011":
            row["abs_error"] += 100
    db = made(tmp_path, rows, LOWER)
    first, last = asked(db, "rank")
    assert (first["configuration"], first["first_places"]) == ("8", 40)
    assert (last["configuration"], last["first_places"]) == ("2", 0)
    assert asked(db, "hardest_items")[0]["input_id"] == "item000011"
    [pair] = asked(db, "head_to_head")
    assert (pair["one"], pair["one_wins"], pair["other_wins"]) == ("2", 0, 40)
    assert [row["setting"] for row in asked(db, "hyperparameters")] == ["8", "2"]
    assert [row["params_depth"] for row in asked(db, "overview")] == [8, 2]
    with pytest.raises(Exception, match="--set better=higher or lower"):
        asked(db, "rank", metric="answer_length")
    assert asked(db, "rank", metric="answer_length", better="higher")[0]["configuration"] == "8"
    assert asked(db, "rank", metric="latency")[0]["items"] == 40


def test_recipes_keep_configurations_apart_whose_words_are_the_same(tmp_path: Path) -> None:
    rows = [
        row
        for params in ({"depth": 5, "leaves": None}, {"depth": None, "leaves": 5})
        for row in rows_for(TAG, params, [{"correct": 1}] * 12)
    ]
    db = made(tmp_path, rows, {"correct": Score("proportion", better="higher")})
    assert [row["items"] for row in asked(db, "rank")] == [12, 12]
    assert [row["shared_items"] for row in asked(db, "head_to_head")] == [12]
    assert [row["n"] for row in asked(db, "over_time")] == [12, 12]


TIMES = """
from harness import Score

SCORES = {"correct": Score("proportion", better="higher"), "seconds": Score("time", better="lower")}


def score(row):
    return {"correct": row["prediction"] == row["ground_truth"], "seconds": row["took"]}
"""


def test_a_time_never_comes_from_the_cache_and_what_the_cache_saved_comes_from_its_run(
    bench: Bench,
) -> None:
    bench.items(40)
    bench.predict(
        'return {"prediction": item["x"] > params.threshold, "ground_truth": item["label"], '
        '"took": 1.5 + item["x"], "raw_response": "x"}'
    )
    bench.file("src/benchmark/metrics.py", TIMES)
    bench.experiment("e0.0.1")
    bench.file("src/benchmark/metrics.py", TIMES + "\n# scored alike\n")
    again = bench.experiment("e0.0.2")
    assert again.out.count("cached") > 4, "seconds and latency of both configurations"
    query = "SELECT seconds, seconds_n, correct_n FROM metrics ORDER BY experiment_version"
    rows = [tuple(row.values()) for row in bench.sql(query)]
    assert [row[1:] for row in rows] == [(40, 40), (40, 40), (0, 40), (0, 40)]
    assert rows[2][0] is None
    between = bench.run("compare", "e0.0.1", "e0.0.2", "--metric", "seconds", expect=1).said
    assert "✕ not comparable" in between
    assert "e0.0.2: 40 cached rows left out: another run's seconds" in between
    summary = bench.run("summary", "e0.0.2").out
    assert "| cached | cached | cached |" in summary
    assert "needs" not in summary
    saved = bench.run("sql", "--file", str(SQL / "cache_effectiveness.sql"), "--format", "json").out
    found = {(row["experiment_version"], row["saved_rows"]) for row in json.loads(saved)}
    assert found == {("e0.0.1", 0), ("e0.0.2", 40)}
    assert all(
        (row["seconds_saved"] or 0) > 0
        for row in json.loads(saved)
        if row["experiment_version"] == "e0.0.2"
    )
