"""A comparison is paired, corrected, honest about its data, and can come out either way."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import HarnessError
from harness.read import views
from harness.tell.compare import Comparison, compare
from harness.tell.compare_text import sections
from harness.tell.section import to_markdown
from tests.harness.project_fixture import Bench
from tests.harness.scored_results import Row, metrics_for, record, rows_for, run_for

OLD, NEW = "e0.0.1", "e0.0.2"


def right(values: Any) -> list[dict[str, Any]]:
    return [{"correct": int(value)} for value in values]


def run(
    tmp_path: Path, rows: list[Row], runs: list[Row], *names: str, **options: Any
) -> Comparison:
    db = record(tmp_path / "results.db", rows, metrics_for(rows, ["correct"]), runs)
    con = views.connect([db])
    try:
        return compare(con, names[0], names[1] if names[1:] else "", **options)
    finally:
        con.close()


def two(tmp_path: Path, old: Any, new: Any, *, force: bool = False, **changed: Any) -> Comparison:
    rows = rows_for(OLD, {"depth": 2}, old) + rows_for(NEW, {"depth": 2}, new)
    return run(tmp_path, rows, [run_for(OLD), run_for(NEW, **changed)], OLD, NEW, force=force)


def test_a_real_gain_is_better_and_the_other_way_round_it_is_worse(tmp_path: Path) -> None:
    weak, strong = right([0] * 30 + [1] * 70), right([0] * 5 + [1] * 95)
    up = two(tmp_path / "up", weak, strong).pairs[0]
    down = two(tmp_path / "down", strong, weak).pairs[0]
    assert (up.outcome, down.outcome) == ("better", "worse")
    assert up.verdict is not None
    assert up.verdict.difference.estimate == pytest.approx(0.25)
    assert up.verdict.test == "exact McNemar"
    assert len(up.flips) == 20
    assert up.flips[0]["B - A"] == "1"
    assert up.flips[0]["A raw"].startswith("answer")


def said(smallest: float, **other: Any) -> dict[str, Any]:
    """A plan that says from where on a difference matters."""
    hypothesis = {
        "id": "H1", "claim": "c", "metric": "correct", "better": {"depth": 2},
        "than": {"depth": 8}, "direction": "higher", "smallest_difference": smallest,
    }  # fmt: skip
    return {"hypotheses": [hypothesis | other]}


def test_how_many_items_would_decide_depends_on_what_matters_and_not_on_what_was_seen(
    tmp_path: Path,
) -> None:
    old = right([0] * 12 + [1] * 48)
    texts = []
    for folder, new in (
        ("a", right([1] * 4 + [0] * 12 + [1] * 44)),
        ("b", right([1] * 5 + [0] * 10 + [1] * 45)),
    ):
        found = two(tmp_path / folder, old, new, plan=said(0.05))
        assert found.pairs[0].outcome == "undecided"
        text = to_markdown("t", sections(found))
        assert "a difference matters from here on: 0.05 in correct." in text
        texts.append(text)
        verdict = two(tmp_path / f"{folder}-no-plan", old, new).pairs[0].verdict
        assert verdict is not None
        assert verdict.items_needed is None
    assert all("items would decide" in text for text in texts)


def test_the_plans_smallest_difference_makes_equal_and_not_worse_findings(tmp_path: Path) -> None:
    base = right([1] * 900 + [0] * 100)
    close = right([1] * 895 + [0] * 100 + [1] * 5)
    gain = right([1] * 925 + [0] * 75)
    outcomes = {
        name: two(tmp_path / name, base, new, plan=said(0.03)).pairs[0].outcome
        for name, new in (("close", close), ("gain", gain))
    }
    assert outcomes == {"close": "equivalent", "gain": "not worse"}
    assert two(tmp_path / "plain", base, gain).pairs[0].outcome == "better"
    text = to_markdown("t", sections(two(tmp_path / "t", base, gain, plan=said(0.03))))
    assert "≥ not worse" in text


def test_less_latency_is_better(tmp_path: Path) -> None:
    slow, fast = (
        [{"correct": 1, "latency": t + i % 5 / 100} for i in range(40)] for t in (2.0, 1.0)
    )
    rows = rows_for(OLD, {"depth": 2}, slow) + rows_for(NEW, {"depth": 2}, fast)
    runs = [run_for(OLD), run_for(NEW)]
    found = run(tmp_path, rows, runs, OLD, NEW, metric="latency")
    assert found.pairs[0].outcome == "better"


def test_cached_rows_have_no_latency_to_compare(tmp_path: Path) -> None:
    scores = [{"correct": 1, "latency": 1.0 + i / 100} for i in range(40)]
    rows = rows_for(OLD, {"depth": 2}, scores) + rows_for(
        NEW, {"depth": 2}, scores, extra=[{"cache": "run-1"}] * 40
    )
    found = run(tmp_path, rows, [run_for(OLD), run_for(NEW)], OLD, NEW, metric="latency")
    assert found.pairs[0].outcome == "not comparable"
    assert found.exit_code == 1


def test_other_data_is_refused_and_with_force_compared_under_a_warning(tmp_path: Path) -> None:
    weak, strong = right([0] * 30 + [1] * 70), right([1] * 100)
    with pytest.raises(HarnessError, match="different data") as caught:
        two(tmp_path / "refused", weak, strong, data_version="d2")
    assert caught.value.code == 2
    assert "FORCE=1" in caught.value.fix
    forced = two(tmp_path / "forced", weak, strong, data_version="d2", force=True)
    assert forced.pairs[0].outcome == "better"
    assert "different data" in forced.warnings[0]
    assert ("data version", "d1", "d2") in forced.changed
    assert forced.exit_code == 1


def test_what_changed_is_named_part_by_part(tmp_path: Path) -> None:
    same = right([1] * 20)
    found = two(
        tmp_path,
        same,
        same,
        code_parts={"benchmark.predict": "22", "benchmark.rules": "33"},
        packages={"numpy": "2.0.0"},
    )
    assert found.changed == [
        ("code benchmark.predict", "11", "22"),
        ("code benchmark.rules", "\N{EN DASH}", "33"),
        ("package numpy", "1.26.4", "2.0.0"),
    ]
    assert found.exit_code == 0


def test_scores_made_anew_on_one_side_are_a_change(tmp_path: Path) -> None:
    rows = [row for name in (OLD, NEW) for row in rows_for(name, {"depth": 2}, right([1] * 20))]
    metrics = metrics_for(rows, ["correct"])
    metrics[0]["score_version"] = "metrics.py 0123"
    db = record(tmp_path / "r.db", rows, metrics, [run_for(OLD), run_for(NEW)])
    with views.connect([db]) as con:
        changed = compare(con, OLD, NEW).changed
    assert changed == [("scored again by", "metrics.py 0123", "\N{EN DASH}")]


def test_configurations_of_one_experiment_are_compared_pair_by_pair_with_holm(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(7)
    rows = [
        row
        for depth in range(5)
        for row in rows_for(OLD, {"depth": depth}, right(rng.random(80) < 0.7))
    ]
    found = run(tmp_path, rows, [run_for(OLD)], OLD)
    assert len(found.pairs) == 10
    verdicts = [pair.verdict for pair in found.pairs if pair.verdict]
    smallest = min(verdicts, key=lambda each: each.p_value or 0)
    assert smallest.p_adjusted == pytest.approx(min(1, 10 * (smallest.p_value or 0)))


def test_one_pair_of_a_tag_is_corrected_for_all_that_the_tag_makes(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    rows = [
        row
        for depth in range(5)
        for row in rows_for(OLD, {"depth": depth}, right(rng.random(80) < 0.7))
    ]
    every = run(tmp_path / "all", rows, [run_for(OLD)], OLD).pairs
    best = min(every, key=lambda pair: (pair.verdict and pair.verdict.p_value) or 1.0)
    asked = run(tmp_path / "one", rows, [run_for(OLD)], f"{OLD}:{best.a}", f"{OLD}:{best.b}").pairs
    assert len(asked) == 1
    assert asked[0].verdict is not None
    assert best.verdict is not None
    assert asked[0].verdict.p_adjusted == pytest.approx(best.verdict.p_adjusted)
    assert asked[0].verdict.p_value == pytest.approx(best.verdict.p_value)
    assert asked[0].outcome == best.outcome
    assert asked[0].verdict.together == best.verdict.together


@pytest.mark.slow
def test_no_difference_is_called_one_in_at_most_one_of_twenty_families(tmp_path: Path) -> None:
    rng = np.random.default_rng(20_240_607)
    names, rows = [f"e0.0.{number}" for number in range(60)], []
    for name in names:
        hard = rng.random(60)
        for depth in range(4):
            rows += rows_for(name, {"depth": depth}, right(rng.random(60) < hard))
    metrics = metrics_for(rows, ["correct"])
    db = record(tmp_path / "r.db", rows, metrics, [run_for(name) for name in names])
    called = uncorrected = 0
    with views.connect([db]) as con:
        for name in names:
            pairs = compare(con, name).pairs
            called += any(pair.outcome in ("better", "worse") for pair in pairs)
            p = [pair.verdict.p_value or 0.0 for pair in pairs if pair.verdict]
            uncorrected += min(p) < 0.05
    assert called <= 3
    assert uncorrected > 3  # so it would be seen if the correction were lost


def test_configurations_that_only_one_ran_are_named_by_what_varies(tmp_path: Path) -> None:
    same, score = {"a_prompt": "answer with one word " * 20}, right([1, 0] * 20)
    rows = [
        row
        for tag, depths in ((OLD, (2, 4)), (NEW, (2, 8)))
        for depth in depths
        for row in rows_for(tag, {**same, "depth": depth}, score)
    ]
    found = run(tmp_path, rows, [run_for(OLD), run_for(NEW)], OLD, NEW)
    ran = [line for line in found.changed if line[0].startswith("params")]
    assert [line[0] for line in ran] == ["params depth=4", "params depth=8"]


def test_named_params_choose_what_is_compared(tmp_path: Path) -> None:
    rows = [
        row
        for depth, good in ((2, 60), (4, 60), (8, 95))
        for row in rows_for(
            OLD, {"depth": depth, "model": "tree"}, right([1] * good + [0] * (100 - good))
        )
    ]
    found = run(tmp_path, rows, [run_for(OLD)], f"{OLD}:depth=2", f"{OLD}:depth=8,model=tree")
    assert [pair.outcome for pair in found.pairs] == ["better"]
    assert "What changed" not in [each.title for each in sections(found)]
    pooled = run(tmp_path / "m", rows, [run_for(OLD)], f"{OLD}:model=tree", f"{OLD}:depth=8")
    assert pooled.pairs[0].a == "mean of 3"
    flip = pooled.pairs[0].flips[0]
    assert (flip["A answered"], flip["B answered"]) == ("yes (3)", "yes")
    assert "A raw" not in flip
    assert flip["item"].startswith("item")


def test_failures_that_turn_the_ranking_round_are_warned_of(tmp_path: Path) -> None:
    steady = right([1] * 70 + [0] * 30)
    brittle = [*right([1] * 60), *[None] * 40]
    found = two(tmp_path, steady, brittle)
    assert found.pairs[0].verdict is not None
    assert found.pairs[0].verdict.difference.estimate == pytest.approx(-0.10)
    assert "is reversed" in found.warnings[0]
    assert "0.3 with failures left out" in found.warnings[0]


def test_folds_are_compared_by_the_corrected_resampled_t(tmp_path: Path) -> None:
    extra = [{"fold": f"part{index % 5}", "n_train": 80} for index in range(100)]
    rng = np.random.default_rng(3)
    rows = rows_for(OLD, {"depth": 2}, right(rng.random(100) < 0.5), extra=extra) + rows_for(
        OLD, {"depth": 4}, right(rng.random(100) < 0.9), extra=extra
    )
    pair = run(tmp_path, rows, [run_for(OLD)], OLD).pairs[0]
    assert pair.verdict is not None
    assert pair.verdict.test == "corrected resampled t of 5 folds"
    assert pair.verdict.difference.n == 5


def test_repeats_do_not_pass_for_items(tmp_path: Path) -> None:
    scores = right([1] * 8 + [0] * 4)
    rows = rows_for(OLD, {"depth": 2}, scores, repeats=5) + rows_for(
        OLD, {"depth": 4}, right([1] * 12), repeats=5
    )
    pair = run(tmp_path, rows, [run_for(OLD)], OLD).pairs[0]
    assert pair.verdict is not None
    assert pair.verdict.n == 12


@pytest.mark.parametrize("fold", [None, "c1"])
def test_one_seed_here_and_two_there_are_the_same_configuration(
    tmp_path: Path, fold: str | None
) -> None:
    weak, strong = right([0] * 30 + [1] * 70), right([0] * 5 + [1] * 95)
    extra: list[dict[str, Any]] = [{"fold": fold}] * 100
    rows, runs = [], []
    for tag, seeds in ((OLD, (0,)), (NEW, (0, 1))):
        rows += rows_for(tag, {"model": "bayes", "seed": 0}, weak, extra=extra)
        for seed in seeds:
            scores = weak if tag == OLD else strong
            rows += rows_for(tag, {"model": "tree", "seed": seed}, scores, extra=extra)
        runs.append(run_for(tag, settings={"data": {"seeds": ["seed"]}}))
    for names, sign in (((OLD, NEW), 1), ((NEW, OLD), -1)):
        found = run(tmp_path / names[0], rows, runs, *names)
        gaps = {p.a.partition("model=")[2].split()[0].rstrip(","): p.verdict for p in found.pairs}
        assert {name: gap and gap.difference.estimate for name, gap in gaps.items()} == (
            pytest.approx({"bayes": 0, "tree": sign * 0.25})
        )
        assert not [name for name, *_ in found.changed if name.startswith("params")]
        same = {pair.a for pair in found.pairs if "the same value on both sides" in pair.reason}
        assert same
        assert all("bayes" in name for name in same)


@pytest.mark.parametrize("column", ["fold", "cluster"])
def test_repeats_on_one_side_only_share_items_all_the_same(tmp_path: Path, column: str) -> None:
    weak, strong = right([0] * 30 + [1] * 70), right([0] * 5 + [1] * 95)
    within = [{column: f"c{index % 20}"} for index in range(100)]
    without: list[dict[str, Any]] = [{}] * 100
    for place, (ours, theirs) in enumerate(
        [(within, within), (within, without), (without, within)]
    ):
        rows = rows_for(OLD, {"depth": 2}, weak, repeats=3, extra=ours)
        rows += rows_for(NEW, {"depth": 2}, strong, extra=theirs)
        folder = tmp_path / str(place)
        found = run(folder, rows, [run_for(OLD), run_for(NEW)], OLD, NEW).pairs[0]
        assert found.verdict is not None, found.reason
        assert found.verdict.difference.estimate == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("names", "options", "says", "code"),
    [
        ((OLD, "e9.9.9"), {}, "there is no experiment 'e9.9.9' in the results (there: e0.0.1)", 2),
        ((OLD,), {}, "single configuration", 2),
        ((OLD, f"{OLD}:depth=9"), {}, "no configuration of e0.0.1 has depth=9", 2),
        ((OLD, f"{OLD}:depth"), {}, "does not name params", 2),
        ((OLD, f"{OLD}:depth=2"), {"metric": "f2"}, "'f2' is no score", 2),
    ],
)
def test_wrong_use_gets_one_clear_sentence(
    tmp_path: Path, names: tuple[str, ...], options: dict[str, Any], says: str, code: int
) -> None:
    rows = rows_for(OLD, {"depth": 2}, right([1] * 20))
    with pytest.raises(HarnessError) as caught:
        run(tmp_path, rows, [run_for(OLD)], *names, **options)
    assert says in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("new", "says"),
    [
        (right([1] * 9), "9 shared items"),
        ([None] * 100, "every datapoint of a side failed"),
    ],
)
def test_too_few_items_or_none_that_worked_are_not_comparable(
    tmp_path: Path, new: Any, says: str
) -> None:
    found = two(tmp_path, right([1] * 100), new)
    assert found.pairs[0].outcome == "not comparable"
    assert says in found.pairs[0].reason
    assert found.exit_code == 1


def test_nothing_in_common_says_how_to_choose(tmp_path: Path) -> None:
    rows = [
        row
        for name, depths in ((OLD, (1, 2)), (NEW, (3, 4)))
        for depth in depths
        for row in rows_for(name, {"depth": depth}, right([1] * 20))
    ]
    with pytest.raises(HarnessError, match="no configuration in common") as caught:
        run(tmp_path, rows, [run_for(OLD), run_for(NEW)], OLD, NEW)
    assert f"A={OLD}:name=value" in caught.value.fix


def test_json_and_text_hold_the_same_verdict(tmp_path: Path) -> None:
    found = two(tmp_path, right([0] * 30 + [1] * 70), right([1] * 100))
    read_back = json.loads(json.dumps(found.as_json()))
    assert read_back["pairs"][0]["outcome"] == "better"
    assert read_back["pairs"][0]["verdict"]["difference"]["estimate"] == pytest.approx(0.3)
    text = to_markdown("compare", sections(found))
    assert "▲ better" in text
    assert "item0000" in text


@pytest.mark.slow
def test_five_hundred_configurations_are_run_and_compared(make_bench: Callable[..., Bench]) -> None:
    """124,750 pairs: each is held against the first, and corrected for all of them."""
    bench = make_bench(fresh=True)
    bench.params('[Params(f"m{n}", n / 500) for n in range(500)]')
    bench.items(12)
    bench.predict(
        'return {"prediction": item["label"] == (params.threshold > 0.02), "ground_truth": 1}'
    )
    bench.score(
        "from harness import Score\n"
        'SCORES = {"correct": Score("proportion", better="higher")}\n'
        'def score(row):\n    return {"correct": bool(row["prediction"])}\n'
    )
    bench.dev_run(12)
    assert len(bench.rows("dev")) == 6000
    done = bench.run("compare", "dev")
    assert "each is compared with the first by the ranking" in done.said
    assert "40 of 499 comparisons are shown" in done.said
    found = json.loads(bench.run("compare", "dev", "--json").out)
    assert len(found["pairs"]) == 499
    assert {pair["a"] for pair in found["pairs"]} == {found["best"]}
    assert sum(bool(pair["flips"]) for pair in found["pairs"]) <= 40


def test_an_item_that_is_repeated_stands_once_among_those_that_changed(tmp_path: Path) -> None:
    """With the mean change of its repeats, and how often each answer was given."""
    rows = []
    for depth in (2, 8):
        rows += rows_for(OLD, {"depth": depth}, right([0] * 5 + [1] * 25), repeats=4)
    for row in rows:
        if row["params_depth"] == 8 and row["repeat"] and not row["correct"]:
            row["correct"] = 1
        row["prediction"] = "yes" if row["correct"] else "no"
    [pair] = run(tmp_path, rows, [run_for(OLD)], OLD).pairs
    assert len(pair.flips) == 5
    assert {flip["B - A"] for flip in pair.flips} == {"0.75"}
    assert {flip["B answered"] for flip in pair.flips} == {"yes (3), no (1)"}


def test_an_interval_that_is_of_one_comparison_alone_says_so(tmp_path: Path) -> None:
    rows = [
        row
        for depth in (2, 4, 8)
        for row in rows_for(OLD, {"depth": depth}, right([1] * (60 + depth) + [0] * 30))
    ]
    several = run(tmp_path, rows, [run_for(OLD)], OLD)
    assert "Each interval is of its comparison alone" in to_markdown("t", sections(several))
    one = two(tmp_path / "two", right([0, 1] * 20), right([1] * 40))
    assert "alone" not in to_markdown("t", sections(one))
