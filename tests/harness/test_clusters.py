"""Items that were drawn together, and params that only draw at random: what counts as one."""

import json
import re
from collections.abc import Callable

import numpy as np
import pytest

from harness.stats.intervals import cluster_totals, interval_of_clusters, mean_interval, ratio_error
from harness.stats.power import crowd_of, spread_in_crowds
from harness.tell.section import interval
from tests.harness.project_fixture import OPENED, Bench

ITEMS = 60
PREDICT = """
import hashlib
h = hashlib.sha256(f"{item['passage']} {params.model} {params.seed}".encode()).digest()[0]
return {"prediction": h % 3 > 0, "ground_truth": True, "raw_response": str(h),
        "passage": item["passage"], "amount": h / 255}
"""
SCORE = """
from harness import Score

SCORES = {
    "correct": Score("proportion", better="higher"),
    "amount_used": Score("mean", better="higher"),
    "share": Score("mean", better="higher", low=0.0, high=1.0),
}


def score(row):
    return {"correct": row["prediction"] == row["ground_truth"], "amount_used": row["amount"]}


AGGREGATES = {"share": lambda rows: float(rows["amount"].mean())}
"""
PLAN = """
segmentations = ["ground_truth"]

[[hypotheses]]
id = "H1"
claim = "b is better than a."
metric = "correct"
better = { model = "b", seed = 1 }
than = { model = "a", seed = 1 }
direction = "higher"
smallest_difference = 0.05
"""


@pytest.fixture(scope="module")
def drawn(make_module_bench: Callable[[], Bench]) -> Bench:
    bench = make_module_bench()
    bench.settings(data={"cluster": "passage", "seeds": ["seed"]})
    bench.params(
        "[Params(m, 0.5, s) for m in 'ab' for s in (1, 2, 3)]",
        "model: str\nthreshold: float = 0.5\nseed: int = 0",
    )
    bench.items(ITEMS, passage="f'passage {n // 5}'")
    bench.predict(PREDICT)
    bench.score(SCORE)
    bench.file("PLAN.toml", PLAN)
    bench.experiment("e0.0.1")
    return bench


def of_one(bench: Bench, model: str, seed: int, column: str) -> tuple[list[float], list[str]]:
    rows = [r for r in bench.rows() if (r["params_model"], r["params_seed"]) == (model, seed)]
    return [float(r[column]) for r in rows], [r["cluster"] for r in rows]


def test_every_row_says_what_its_item_was_drawn_with(drawn: Bench) -> None:
    assert all(row["cluster"] == row["passage"] for row in drawn.rows())


def test_the_intervals_of_scores_and_aggregates_are_over_clusters(drawn: Bench) -> None:
    values, clusters = of_one(drawn, "a", 1, "amount_used")
    expected = mean_interval(values, clusters)
    (row,) = [r for r in drawn.sql("SELECT * FROM metrics WHERE params_model = 'a'")
              if r["params_seed"] == 1]  # fmt: skip
    assert row["amount_used_low"] == pytest.approx(expected.low)
    alone = mean_interval(values)
    assert alone.low is not None
    assert row["amount_used_low"] < alone.low
    # BCa over the same clusters: not the same draws, but as wide.
    assert row["share_high"] - row["share_low"] == pytest.approx(
        row["amount_used_high"] - row["amount_used_low"], rel=0.2
    )


def test_seeds_are_one_configuration_with_mean_and_spread(drawn: Bench) -> None:
    said = drawn.run("summary", "e0.0.1").said.replace("\\", "")
    assert "model=a (3 seeds)" in said
    assert "seeds ±" in said
    means = [np.mean(of_one(drawn, "a", seed, "correct")[0]) for seed in (1, 2, 3)]
    # Bounds of the mean, from each item's mean over seeds, and not means of three pairs of bounds.
    items = np.mean([of_one(drawn, "a", seed, "correct")[0] for seed in (1, 2, 3)], axis=0)
    _, clusters = np.unique(of_one(drawn, "a", 1, "correct")[1], return_inverse=True)
    found = mean_interval(items, clusters, bounds=(0.0, 1.0))
    assert interval(found.estimate, found.low, found.high) in said
    assert found.estimate == pytest.approx(np.mean(means))
    bounds = drawn.sql("SELECT avg(correct_high - correct_low) w FROM metrics "
                       "WHERE params_model = 'a'")  # fmt: skip
    assert (found.high or 1) - (found.low or 0) < bounds[0]["w"]


def test_a_hypothesis_and_a_comparison_pool_seeds_and_count_clusters(drawn: Bench) -> None:
    (pair, *_) = json.loads(drawn.run("compare", "e0.0.1", "--json").out)["pairs"]
    assert (pair["a"], pair["b"]) == ("model=a (3 seeds)", "model=b (3 seeds)")
    assert pair["verdict"]["n"] == ITEMS / 5
    gaps = [
        np.mean(of_one(drawn, "b", s, "correct")[0]) - np.mean(of_one(drawn, "a", s, "correct")[0])
        for s in (1, 2, 3)
    ]
    assert pair["verdict"]["difference"]["estimate"] == pytest.approx(np.mean(gaps))


def test_what_is_counted_once_is_called_by_its_name(drawn: Bench) -> None:
    said = drawn.run("summary", "e0.0.1").said
    assert f"| {ITEMS // 5} clusters |" in said
    assert re.search(r"about [\d,]+ clusters would decide", said)
    compared = drawn.run("compare", "e0.0.1", "--metric", "correct").said
    assert re.search(r"about [\d,]+ clusters would decide", compared)


def test_left_out_failures_leave_clusters_together(bench: Bench) -> None:
    bench.settings(data={"cluster": "passage"})
    bench.items(ITEMS, passage="f'passage {n // 5}'", n="n")
    bench.params('[Params("a"), Params("b")]')
    crash = 'if params.model == "b" and item["n"] % 7 == 0:\n    raise ValueError("no")\n'
    bench.predict(crash + PREDICT.replace(" {params.seed}", ""))
    bench.score(SCORE)
    bench.experiment("e0.0.1", allow=f"{OPENED},failures,inspect")
    rows = [row for row in bench.rows() if row["params_model"] == "b"]
    right = [(row["correct"], row["cluster"]) for row in rows if row["error_type"] is None]
    values, clusters = zip(*right, strict=True)
    _, codes = np.unique(clusters, return_inverse=True)
    found = mean_interval(values, codes, binary=True, bounds=(0, 1))
    said = bench.run("summary", "e0.0.1").said.replace("\\", "")
    assert f"{interval(found.estimate, found.low, found.high)}, n {len(values)}" in said


def test_parts_of_clusters_forecast_whole_ones() -> None:
    # Passages of five that agree within: a second item of one says nothing.
    rng = np.random.default_rng(1)
    gap = np.repeat(rng.normal(size=400), 5)
    sizes = np.full(400, 5)
    codes = np.repeat(np.arange(400), 5)
    part = rng.permutation(gap.size)[:500]
    found = spread_in_crowds(gap[part], np.unique(codes[part], return_inverse=True)[1], 5.0)
    assert crowd_of(sizes) == 5
    assert found is not None
    whole = ratio_error(np.bincount(codes, gap).astype(float), sizes.astype(float)) * np.sqrt(
        gap.size
    )
    assert found[0] == pytest.approx(whole, rel=0.1)
    alone = np.arange(0, gap.size, 5)
    assert spread_in_crowds(gap[alone], np.arange(400), 5.0) is None


@pytest.mark.slow
def test_items_that_were_each_drawn_alone_forecast_no_clusters(bench: Bench) -> None:
    """A dev-run of few of many clusters: how alike items of one are is not known from it."""
    bench.settings(data={"cluster": "passage"})
    bench.dataset(
        "return [{'id': f'i{n}', 'x': n, 'label': n % 3, 'passage': n // 5} for n in range(2000)]"
    )
    bench.predict('return {"prediction": (item["x"] * 7 + len(params.model)) % 3, '
                  '"ground_truth": item["label"]}')  # fmt: skip
    bench.file(
        "PLAN.toml",
        'questions = ["which?"]\n\n[[hypotheses]]\nid = "H1"\nclaim = "Low is better."\n'
        'metric = "correct"\nbetter = { model = "low" }\nthan = { model = "high" }\n'
        'direction = "higher"\nsmallest_difference = 0.1\n',
    )
    bench.run("dev-run", "--items=12")
    drawn = {row["input_id"]: int(row["input_id"][1:]) // 5 for row in bench.rows("dev")}
    assert len(set(drawn.values())) == len(drawn) == 12
    said = bench.run("dry-run").said
    assert "H1 (correct): 2,000 items, no forecast: no two items of the dev-run share" in said


def test_dry_run_forecasts_from_clusters(drawn: Bench) -> None:
    said = drawn.run("dry-run").said
    assert f"H1 (correct): {ITEMS} items tell" in said
    assert f"seen on {ITEMS} items in {ITEMS // 5} clusters of e0.0.1" in said


def test_segments_have_intervals_over_clusters(drawn: Bench) -> None:
    values, clusters = of_one(drawn, "a", 1, "amount_used")
    x = np.array(values)
    _, codes = np.unique(clusters, return_inverse=True)
    error = ratio_error(*cluster_totals(x, codes))
    found = interval_of_clusters(x.size, float(x.sum()), len(set(clusters)), error)
    expected = mean_interval(x, codes)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)
    said = drawn.run("summary", "e0.0.1").said.replace("\\", "")
    assert "| 60 | 0.556 [" in said.split("## By ground_truth")[1]


def test_a_cluster_that_some_items_lack_is_refused_before_anything_runs(bench: Bench) -> None:
    bench.settings(data={"cluster": "passage"})
    bench.dataset("return [{'id': n, 'x': 1, 'label': 1} | ({'passage': 1} if n else {})"
                  " for n in range(3)]")  # fmt: skip
    said = bench.dev_run(expect=2).said
    assert "id 0 has no passage, which [data] cluster of benchmark.toml names" in said
    assert not bench.trace.exists()


def test_a_seed_that_is_no_param_is_refused(bench: Bench) -> None:
    bench.settings(data={"seeds": ["sead"]})
    assert "[data] seeds names sead, and Params has no such field" in bench.dev_run(expect=2).said
