"""Aggregates of two configurations are compared over the same draws of the same items."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats as scipy_stats

from harness.stats.intervals import Floats, Indices
from harness.stats.paired import aggregate_verdict
from harness.stats.resampling import Resamples, interval_of, interval_of_difference, resample
from harness.tell.section import interval
from tests.harness.project_fixture import OPENED, Bench


def rmse(errors: Floats) -> Callable[[Indices], float]:
    return lambda chosen: float(np.sqrt((errors[chosen] ** 2).mean()))


def two(n: int = 80, seed: int = 3) -> tuple[Floats, Floats]:
    """Errors of two systems on the same items, which are hard or easy for both."""
    rng = np.random.default_rng(seed)
    hard = rng.gamma(1.0, 1.0, n)
    return hard + rng.normal(0.3, 0.1, n), hard + rng.normal(0.0, 0.1, n)


def drawn(errors: Floats, names: list[str]) -> Resamples:
    return resample(errors.size, rmse(errors), names, all_items=sorted(names))


def test_the_interval_of_a_difference_is_that_of_a_paired_bootstrap() -> None:
    x, y = two()
    names = [f"i{k}" for k in range(x.size)]
    gap, p = interval_of_difference(drawn(x, names), drawn(y, names))
    reference = scipy_stats.bootstrap(
        (x, y),
        lambda a, b, axis: np.sqrt((a**2).mean(axis)) - np.sqrt((b**2).mean(axis)),
        paired=True,
        vectorized=True,
        n_resamples=4_000,
        random_state=1,
    ).confidence_interval
    assert gap.estimate == pytest.approx(rmse(x)(np.arange(80)) - rmse(y)(np.arange(80)))
    # Hesterberg's expansion makes ours a little wider.
    assert gap.low == pytest.approx(reference.low, abs=0.01)
    assert gap.high == pytest.approx(reference.high, abs=0.01)
    assert p is not None
    assert p < 0.001
    single = [interval_of(drawn(each, names)) for each in (x, y)]
    assert (single[0].low or 0) < (single[1].high or 0), "each by itself would show nothing"


def test_rows_in_any_order_with_repeats_and_failures_are_drawn_alike() -> None:
    x, y = two(30)
    names = np.array([f"i{k:02}" for k in range(30)])
    other = np.random.default_rng(5).permutation(30)
    plain, mixed = drawn(x, list(names)), drawn(x[other], list(names[other]))
    assert plain.items == mixed.items
    assert plain.drawn == pytest.approx(mixed.drawn, rel=1e-12)
    # Of one system three items failed: they are drawn all the same, and add nothing.
    kept = np.arange(3, 30)
    fewer = resample(27, rmse(y[kept]), names[kept], all_items=names)
    assert (fewer.n, fewer.units, fewer.items) == (27, 30, plain.items)
    draw = np.random.default_rng(0)
    draw.permutation(30)
    first = draw.integers(0, 30, 30)
    assert fewer.drawn[0] == pytest.approx(rmse(y)(first[first >= 3]), rel=1e-12)
    twice = resample(60, rmse(np.repeat(x, 2)), np.repeat(names, 2), all_items=names)
    assert twice.drawn == pytest.approx(plain.drawn, rel=1e-12)


def test_other_items_are_no_pair_and_equal_systems_no_difference() -> None:
    x, _ = two(20)
    names = [f"i{k}" for k in range(20)]
    here, there = drawn(x, names), drawn(x, [f"j{k}" for k in range(20)])
    with pytest.raises(ValueError, match="different items"):
        interval_of_difference(here, there)
    gap, p = interval_of_difference(here, here)
    assert (gap.low, gap.high, p) == (0.0, 0.0, 1.0)
    assert aggregate_verdict(here, here).verdict == "undecided"
    assert aggregate_verdict(here, here, smallest_difference=0.1).verdict == "equivalent"


def test_bounds_beyond_the_draws_are_stretched_and_never_shrink() -> None:
    x, y = two()
    names = [f"i{k}" for k in range(x.size)]
    widths = []
    for confidence in (0.9, 0.95, 0.99, 0.999, 0.9999):
        gap, _ = interval_of_difference(drawn(x, names), drawn(y, names), confidence)
        assert gap.low is not None
        assert gap.high is not None
        widths.append(gap.high - gap.low)
    assert widths == sorted(widths)
    assert len(set(widths)) == 5


METRICS = """
import math

from harness import Score

SCORES = {
    "correct": Score("proportion", better="higher"),
    "rmse": Score("mean", better="lower", low=0, failure="given"),
}


def score(row):
    return {"correct": row["prediction"] == row["ground_truth"]}


AGGREGATES = {"rmse": lambda rows: math.sqrt((rows["off"].fillna(9) ** 2).mean())}
"""
# What is hard for one is hard for the other; the one called low is off by 0.3 more.
RULE = """
n = item["n"]
off = (n * 37 % 100) / 20 + (0.3 if params.model == "low" else 0.0) + (n * 53 % 10) / 100
part = "few" if n < 5 else "odd" if n % 2 else "even"
if n == 7 and params.model == "low":
    raise ValueError("no answer")
return {"prediction": True, "ground_truth": True, "raw_response": "x", "off": off, "part": part}
"""
PLAN = """
segmentations = ["part", "ground_truth"]

[[hypotheses]]
id = "H1"
claim = "high is less far off"
metric = "rmse"
better = { model = "high" }
than = { model = "low" }
direction = "lower"
smallest_difference = 0.1
"""


@pytest.fixture(scope="module")
def shared(make_module_bench: Callable[[], Bench]) -> Bench:
    """An experiment with an aggregate."""
    bench = make_module_bench()
    bench.items(120, n="n")
    bench.predict(RULE)
    bench.score(METRICS)
    bench.file("PLAN.toml", PLAN)
    bench.experiment("e0.0.1", allow=f"{OPENED},failures")
    return bench


@pytest.fixture
def measured(shared: Bench, tmp_path: Path) -> Bench:
    """A copy of it, to do with as one likes."""
    return shared.copy(tmp_path / "bench")


def test_compare_hypothesis_and_rank_decide_what_both_intervals_would_not(measured: Bench) -> None:
    rows = measured.sql("SELECT * FROM metrics")
    low, high = (next(row for row in rows if row["params_model"] == m) for m in ("low", "high"))
    assert high["rmse_high"] > low["rmse_low"], "the intervals overlap"
    command = ("compare", "e0.0.1:model=low", "e0.0.1:model=high", "--metric", "rmse", "--json")
    [pair] = json.loads(measured.run(*command).out)["pairs"]
    assert (pair["outcome"], pair["verdict"]["test"]) == ("better", "paired bootstrap")
    assert pair["verdict"]["difference"]["estimate"] == pytest.approx(high["rmse"] - low["rmse"])
    summary = measured.run("summary", "e0.0.1").out
    assert "| supported | H1 |" in summary
    assert "(paired bootstrap)" in summary
    assert "Best by rmse, ahead of all others: high" in summary or "not separable" not in summary
    # Between two experiments too, whose rows came in another order.
    measured.experiment("e0.0.2", allow=f"{OPENED},failures")
    again = measured.run("compare", "e0.0.1", "e0.0.2", "--metric", "rmse", "--json").out
    assert [pair["verdict"]["difference"]["low"] for pair in json.loads(again)["pairs"]] == [0, 0]


def test_rows_that_share_their_true_answer_have_no_aggregate(measured: Bench) -> None:
    found = measured.sql("SELECT DISTINCT segmentation FROM segment_aggregates")
    assert [row["segmentation"] for row in found] == ["part"]
    summary = measured.run("summary", "e0.0.1").out
    by_part, by_truth = summary.partition("## By ground")[::2]
    assert "rmse" in by_part.partition("By part")[2]
    assert "Without aggregates" in by_truth


def test_draws_are_made_anew_with_the_scores_and_go_with_the_rows(measured: Bench) -> None:
    query = "SELECT estimate FROM aggregate_resamples ORDER BY 1"
    before = [row["estimate"] for row in measured.sql(query)]
    measured.score(METRICS.replace('rows["off"].fillna(9)', '(10 * rows["off"].fillna(9))'))
    measured.run("rescore", "e0.0.1", expect=None)
    after = [row["estimate"] for row in measured.sql(query)]
    assert after == pytest.approx([10 * each for each in before])
    kept = measured.sql("SELECT estimate FROM resamples_history ORDER BY 1")
    assert [row["estimate"] for row in kept] == before
    open_to_all = measured.run("sql", "--query", "SELECT count(*) AS n FROM aggregate_resamples")
    assert "2" in open_to_all.out


def test_a_dev_run_draws_less_often_than_an_experiment(measured: Bench) -> None:
    measured.dev_run(30, expect=None)
    query = "SELECT json_array_length(drawn) AS n FROM aggregate_resamples"
    assert {row["n"] for row in measured.sql(query, measured.dev_db)} == {200}
    assert {row["n"] for row in measured.sql(query)} == {1_000}


def test_an_experiment_without_draws_says_how_to_get_them(measured: Bench) -> None:
    measured.python(
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
        "c.execute('DROP TABLE aggregate_resamples'); c.commit()",
        str(measured.db),
    )
    asked = ("compare", "e0.0.1:model=low", "e0.0.1:model=high", "--metric", "rmse")
    assert "make rescore TAG=e0.0.1 records them" in measured.run(*asked, expect=1).said


def test_dry_run_says_what_so_many_items_tell_of_an_aggregate(shared: Bench) -> None:
    said = shared.run("dry-run").said
    found = re.search(r"H1 \(rmse\): 120 items tell ([\d.]+) from no difference", said)
    assert found
    assert "seen on 120 items of e0.0.1" in said
    [row] = shared.sql(
        "SELECT max(rmse_high - rmse_low) AS width FROM metrics WHERE experiment_version = 'e0.0.1'"
    )
    # Paired, it takes less than the two intervals beside each other would.
    assert 0 < float(found[1]) < row["width"]


def test_each_segment_has_its_own_figure_and_interval_failures_among_them(shared: Bench) -> None:
    rows = [row for row in shared.rows() if row["params_model"] == "low"]
    # The item that failed returned no part; the other configuration says where it belongs.
    odd = [row["off"] or 9 for row in rows if row["part"] == "odd" or row["error"]]
    expected = math.sqrt(sum(each**2 for each in odd) / len(odd))
    query = "SELECT * FROM segment_aggregates WHERE params_key = '{}'"
    [key] = shared.sql("SELECT params_key FROM metrics WHERE params_model = 'low'")
    found = {row["segment"]: row for row in shared.sql(query.format(key["params_key"]))}
    assert found.keys() == {"few", "odd", "even"}
    assert found["odd"]["estimate"] == pytest.approx(expected)
    assert (len(odd), found["odd"]["n"]) == (58, 58)
    assert found["odd"]["low"] < expected < found["odd"]["high"]
    # Too few items for bounds.
    assert (found["few"]["n"], found["few"]["low"]) == (5, None)
    summary = shared.run("summary", "e0.0.1").out
    assert "| part | configuration | items | correct | rmse |" in summary
    shown = interval(*(found["odd"][name] for name in ("estimate", "low", "high")))
    assert f"| {shown} |" in summary.replace("\\", "").split("## By part")[1]
