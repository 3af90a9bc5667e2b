"""The plan is judged by what was recorded, and every outcome can come of it."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import HarnessError
from harness.measure.judge import Judged
from harness.project.scores import Score
from harness.read import views
from harness.tell.section import interval, number, time_unit, to_markdown
from harness.tell.summary import Summary, summarise_experiment
from tests.harness.scored_results import CORRECT, Row, metrics_for, record, rows_for, run_for

TAG = "e0.0.1"


def claim(**other: Any) -> dict[str, Any]:
    return {
        "id": "H1", "claim": "deep beats flat", "metric": "correct", "better": {"depth": 8},
        "than": {"depth": 2}, "direction": "higher", "smallest_difference": 0.05,
    } | other  # fmt: skip


def plan(*claims: dict[str, Any], **other: Any) -> dict[str, Any]:
    return {"hypotheses": list(claims or [claim()])} | other


def scored(depth: int, good: int, n: int = 100, **other: Any) -> list[Row]:
    return rows_for(TAG, {"depth": depth}, [{"correct": int(i < good)} for i in range(n)], **other)


def read(
    folder: Path,
    rows: list[Row],
    *runs: Row,
    names: tuple[str, ...] = ("correct",),
    declared: Mapping[str, Score] | None = CORRECT,
) -> Summary:
    db = record(folder / "r.db", rows, metrics_for(rows, names), runs, declared)
    con = views.connect([db])
    try:
        return summarise_experiment(con, TAG)
    finally:
        con.close()


def outcome(folder: Path, better: int, than: int, n: int = 100, **said: Any) -> str:
    rows = scored(2, than, n) + scored(8, better, n)
    return read(folder, rows, run_for(TAG, plan(claim(**said)))).judged[0].outcome


def test_the_same_claim_comes_out_all_three_ways(tmp_path: Path) -> None:
    assert outcome(tmp_path / "a", better=95, than=60) == "supported"
    assert outcome(tmp_path / "b", better=60, than=95) == "refuted"
    assert outcome(tmp_path / "c", better=80, than=76) == "undecided"


def test_no_worse_and_equal_are_claims_of_their_own(tmp_path: Path) -> None:
    def found(folder: str, better: int, than: int, n: int = 2000, **said: Any) -> str:
        return outcome(tmp_path / folder, better, than, n, smallest_difference=0.02, **said)

    for kind, close, worse, far in (
        ("not_worse", "supported", "refuted", "supported"),
        ("equivalent", "supported", "refuted", "refuted"),
    ):
        assert found(f"{kind}-close", 1000, 1010, kind=kind) == close
        assert found(f"{kind}-worse", 1000, 1100, kind=kind) == worse
        assert found(f"{kind}-far", 1100, 1000, kind=kind) == far
        assert found(f"{kind}-few", 50, 51, n=100, kind=kind) in ("supported", "undecided")
    assert found("lower", 1100, 1000, kind="not_worse", direction="lower") == "refuted"
    assert found("either", 1000, 1010, kind="equivalent", direction=None) == "supported"


def test_a_gain_too_small_to_matter_refutes_the_claim(tmp_path: Path) -> None:
    assert outcome(tmp_path / "a", 1010, 1000, n=2000) == "refuted"
    assert outcome(tmp_path / "b", 1010, 1000, n=2000, smallest_difference=0) == "supported"


def test_a_gain_that_may_or_may_not_matter_is_undecided_however_clear_its_sign(
    tmp_path: Path,
) -> None:
    assert outcome(tmp_path / "a", better=70, than=60, smallest_difference=0.08) == "undecided"
    assert outcome(tmp_path / "b", better=70, than=60, smallest_difference=0.0) == "supported"


def test_lower_turns_the_claim_round(tmp_path: Path) -> None:
    assert outcome(tmp_path / "a", better=60, than=95, direction="lower") == "supported"
    assert outcome(tmp_path / "b", better=95, than=60, direction="lower") == "refuted"


def test_latency_is_judged_on_executed_rows_only(tmp_path: Path) -> None:
    def rows(cached: str) -> list[Row]:
        made = []
        for depth, latency in ((2, 2.0), (8, 1.0)):
            scores = [{"correct": 1, "latency": latency + i / 1000} for i in range(40)]
            extra = [{"cache": cached}] * 40
            made += rows_for(TAG, {"depth": depth}, scores, extra=extra)
        return made

    said = plan(claim(metric="latency", direction="lower"))
    assert read(tmp_path / "a", rows(""), run_for(TAG, said)).judged[0].outcome == "supported"
    served = read(tmp_path / "b", rows("run-0"), run_for(TAG, said))
    assert served.judged[0].outcome == "undecided"
    assert served.exit_code == 1


@pytest.mark.parametrize(
    ("better", "than", "kind", "z"),
    [(8, 2, "superior", 0.84162), (2, 8, "not_worse", 0.84162), (8, 2, "equivalent", 1.28155)],
)
def test_an_undecided_claim_says_how_many_items_tell_what_matters_from_nothing(
    tmp_path: Path, better: int, than: int, kind: str, z: float
) -> None:
    # 22 of 100 pairs disagree, however they do; by hand (Connor 1987), where 0.05 matters:
    # ((1.95996 sqrt 0.22 + z sqrt(0.22 - 0.05^2)) / 0.05)^2, z of 80%, of both ends that of 90%.
    right = {8: [1] * 12 + [0] * 88, 2: [0] * 12 + [1] * 10 + [0] * 78}
    rows = [
        row
        for depth, scores in right.items()
        for row in rows_for(TAG, {"depth": depth}, [{"correct": each} for each in scores])
    ]
    needed = math.ceil(((1.95996 * 0.22**0.5 + z * (0.22 - 0.05**2) ** 0.5) / 0.05) ** 2)
    said = claim(better={"depth": better}, than={"depth": than}, kind=kind)
    judged = read(tmp_path, rows, run_for(TAG, plan(said))).judged[0]
    assert judged.outcome == "undecided"
    assert judged.reason.endswith(f"about {needed:,} items would decide")


def test_several_claims_hold_together_so_their_intervals_are_wider(tmp_path: Path) -> None:
    rows = scored(2, 60) + scored(8, 80)
    alone = read(tmp_path / "a", rows, run_for(TAG, plan())).judged[0].difference
    many = [claim(id=f"H{i}") for i in range(10)]
    first = read(tmp_path / "b", rows, run_for(TAG, plan(*many))).judged[0].difference
    assert None not in (alone.low, alone.high, first.low, first.high)
    assert first.low < alone.low < alone.high < first.high  # type: ignore[operator]


def test_a_claim_over_several_configurations_is_about_each_items_mean(tmp_path: Path) -> None:
    rows = [
        row
        for model, shift in (("a", 0), ("b", 5))
        for depth, good in ((2, 60), (8, 90))
        for row in rows_for(
            TAG,
            {"depth": depth, "model": model},
            [{"correct": int(i < good + shift)} for i in range(100)],
        )
    ]
    judged = read(tmp_path, rows, run_for(TAG, plan())).judged[0]
    assert judged.difference.estimate == pytest.approx(0.30)
    assert judged.difference.n == 100
    assert judged.outcome == "supported"


def aggregate(folder: Path, said: dict[str, Any], half: float | None) -> Judged:
    """The first claim, where f1 is 0.6 and 0.95 and its interval reaches `half` to both sides."""
    rows = scored(2, 60) + scored(8, 95)
    metrics = metrics_for(rows, ["correct"])
    for line in metrics:
        f1 = line["correct"]
        ends = (None, None) if half is None else (f1 - half, f1 + half)
        line |= {"f1": f1, "f1_low": ends[0], "f1_high": ends[1]}
    db = record(folder / "r.db", rows, metrics, [run_for(TAG, said)])
    with views.connect([db]) as con:
        return summarise_experiment(con, TAG).judged[0]


def test_an_aggregate_is_judged_by_its_own_intervals(tmp_path: Path) -> None:
    judged = aggregate(tmp_path, plan(claim(metric="f1")), 0.1)
    assert judged.outcome == "supported"
    assert (judged.difference.low, judged.difference.high) == pytest.approx((0.15, 0.55))


def test_several_claims_about_aggregates_have_wider_intervals_too(tmp_path: Path) -> None:
    claims = [claim(id=f"H{i}", metric="f1") for i in range(5)]
    judged = aggregate(tmp_path, plan(*claims), 0.1)
    # z of 99% over z of 95%: 2.57583 / 1.95996, times the 0.2 of both intervals.
    assert judged.difference.low == pytest.approx(0.35 - 0.2 * 2.57583 / 1.95996, abs=1e-5)
    assert judged.difference.high == pytest.approx(0.35 + 0.2 * 2.57583 / 1.95996, abs=1e-5)


def test_an_aggregate_without_bounds_proves_nothing(tmp_path: Path) -> None:
    judged = aggregate(tmp_path, plan(claim(metric="f1")), None)
    assert (judged.outcome, judged.answerable) == ("undecided", False)


@pytest.mark.parametrize(
    ("said", "n", "reason"),
    [
        ({"better": {"depth": 9}}, 100, "depth=9 (better) did not run"),
        ({"metric": "f1"}, 100, "has the metric 'f1'"),
        ({}, 9, "9 shared items"),
    ],
)
def test_what_the_results_cannot_answer_is_undecided_and_a_finding(
    tmp_path: Path, said: dict[str, Any], n: int, reason: str
) -> None:
    rows = scored(2, 1, n) + scored(8, n, n)
    found = read(tmp_path, rows, run_for(TAG, plan(claim(**said))))
    assert found.judged[0].outcome == "undecided"
    assert reason in found.judged[0].reason
    assert any(reason in each for each in found.findings)
    assert found.exit_code == 1


def test_a_refutation_says_which_kind_it_is(tmp_path: Path) -> None:
    def reason(folder: str, better: int, than: int, n: int) -> str:
        rows = scored(2, than, n) + scored(8, better, n)
        return read(tmp_path / folder, rows, run_for(TAG, plan())).judged[0].reason

    assert "the other one is better" in reason("a", 60, 95, 100)
    assert "too small to matter" in reason("b", 1010, 1000, 2000)
    # From a little better to much worse: nothing here says that a difference is small.
    mixed = scored(2, 96) + rows_for(
        TAG, {"depth": 8}, [{"correct": int(9 <= i < 100)} for i in range(100)]
    )
    refuted = read(tmp_path / "c", mixed, run_for(TAG, plan())).judged[0]
    assert refuted.outcome == "refuted"
    assert refuted.difference.estimate == pytest.approx(-0.05)
    assert "no difference as large as claimed" in refuted.reason


def test_the_first_lines_give_the_verdicts_and_the_best(tmp_path: Path) -> None:
    claims = [claim(), claim(id="H2", direction="lower"), claim(id="H3", better={"depth": 9})]
    found = read(tmp_path, scored(2, 60) + scored(8, 95), run_for(TAG, plan(*claims)))
    first, best, counts = found.sections[0].text
    assert first == "Hypotheses: 1 supported, 1 refuted, 1 undecided."
    assert best == "Best by correct, ahead of all others: depth=8, 0.950 [0.900, 1.000]."
    assert counts.startswith("100 items, 2 configurations, 200 datapoints")
    text = to_markdown("t", found.sections)
    assert "(correct 0.05 or more higher: depth=8 than depth=2)" in text
    assert "(none)" not in text


def test_provenance_is_whole_and_a_zero_is_a_zero(tmp_path: Path) -> None:
    run = run_for(TAG, code_key="c" * 64, executed=12345, message="why")
    text = to_markdown("t", read(tmp_path, scored(2, 60), run).sections)
    for line in ("| executed | 12,345 |", "| cached | 0 |", "| dirty | – |", "| message | why |"):
        assert line in text
    assert f"| code key | {'c' * 64} |" in text


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ((0.96, 0.915, 0.982), "0.960 [0.915, 0.982]"),
        ((0.9936, 0.9935, 0.9937), "0.99360 [0.99350, 0.99370]"),
        ((75.453, 75.4528, 75.621), "75.45 [75.45, 75.62]"),
        ((1.0, 1.0, 1.0), "1.000 [1.000, 1.000]"),
        ((12345.6, 12000.0, 13000.0), "12,346 [12,000, 13,000]"),
        ((2.1e-06, 2.0e-06, 2.3e-06), "0.00000210 [0.00000200, 0.00000230]"),
        ((0.0, 0.0, 0.0), "0.000 [0.000, 0.000]"),
        ((0.5, None, None), "0.5 [no interval]"),
        ((float("inf"), 1.0, float("inf")), "inf [1.000, inf]"),
        ((None, None, None), "–"),
    ],
)
def test_an_estimate_and_its_bounds_have_the_same_decimals(values: Any, written: str) -> None:
    assert interval(*values) == written


def test_times_are_told_in_the_unit_that_suits_them() -> None:
    assert time_unit([1.5e-6, 2e-6, None, 3e-6]) == ("µs", 1e6)
    assert time_unit([0.004, 0.02, 0.3]) == ("ms", 1e3)
    assert time_unit([1.0, 90.0]) == ("s", 1.0)
    assert time_unit([]) == ("s", 1.0)
    assert number(12345.678) == "12,346"


def test_the_plan_of_the_first_run_is_judged_and_a_later_one_is_told_of(tmp_path: Path) -> None:
    later: dict[str, Any] = {
        "timestamp": "2026-02-02 10:00:00.000000",
        "plan": plan(claim(direction="lower")),
    }
    rows = scored(2, 60) + scored(8, 95)
    found = read(tmp_path, rows, run_for(TAG, plan()), run_for(TAG, **later))
    assert found.judged[0].outcome == "supported"
    assert "The plan changed between its runs" in to_markdown("t", found.sections)


def test_all_failures_a_single_configuration_and_few_items_are_said(tmp_path: Path) -> None:
    failed = rows_for(TAG, {"depth": 2}, [None] * 9)
    found = read(tmp_path, failed, run_for(TAG))
    text = to_markdown("t", found.sections)
    assert "all 9 datapoints failed" in text
    assert "Only 9 items" in text
    assert "A single configuration ran" in text
    assert found.exit_code == 1


def test_no_number_stands_alone(tmp_path: Path) -> None:
    extra = [{"language": "de" if i % 2 else "en"} for i in range(100)]
    rows = scored(2, 60, extra=extra) + scored(8, 95, extra=extra)
    found = read(tmp_path, rows, run_for(TAG, plan(segmentations=["language", "colour"])))
    text = to_markdown("t", found.sections)
    assert "| 1 | depth=8 | 100 | 0 | 0.950 \\[0.900, 1.000\\] |" in text
    assert "| depth=8 | 100 | 40.00 \\[30.00, 50.00\\] | 70 \\[no interval\\] |" in text
    assert "| failed | 0 |" in text
    assert "| de | depth=2 | 50 | 0.600 \\[0.462, 0.724\\] |" in text
    assert "No row has the column colour" in text
    assert found.exit_code == 0


def test_segments_count_failures_by_the_policy(tmp_path: Path) -> None:
    scores: list[dict[str, Any] | None] = [{"correct": 1}] * 30 + [None] * 10
    extra = [{"language": "de"}] * 40
    rows = rows_for(TAG, {"depth": 2}, scores, extra=extra)
    wrong = read(tmp_path / "a", rows, run_for(TAG, plan(segmentations=["language"])))
    assert "| de | the only" not in to_markdown("t", wrong.sections)
    assert "| 40 | 0.750 \\[0.598, 0.858\\] |" in to_markdown("t", wrong.sections)
    skip = {"run": {"on_error": "skip"}}
    run = run_for(TAG, plan(segmentations=["language"]), settings=skip)
    assert "| 40 | 1.000 \\[0.886, 1.000\\], n 30 |" in to_markdown(
        "t", read(tmp_path / "b", rows, run, declared=None).sections
    )


def test_segments_count_failures_as_one_where_less_is_better(tmp_path: Path) -> None:
    scores: list[dict[str, Any] | None] = [{"correct": 0}] * 30 + [None] * 10
    rows = rows_for(TAG, {"depth": 2}, scores, extra=[{"language": "de"}] * 40)
    less = plan(segmentations=["language"])
    for each in less["hypotheses"]:
        each["direction"] = "lower"
    found = read(tmp_path, rows, run_for(TAG, less), declared=None)
    assert "| 40 | 0.250 \\[0.142, 0.402\\] |" in to_markdown("t", found.sections)
    assert np.nanmean(found.scores.counted["correct"]) == 0.25


def test_repeats_that_failed_count_in_segments_as_in_results(tmp_path: Path) -> None:
    rows = rows_for(
        TAG, {"depth": 2}, [{"correct": 1}] * 40, extra=[{"language": "de"}] * 40, repeats=2
    )
    for row in rows[::4]:
        row |= {
            "correct": None,
            "prediction": None,
            "error": "ValueError: no",
            "error_type": "ValueError",
        }
    found = read(tmp_path, rows, run_for(TAG, plan(segmentations=["language"])))
    assert np.nanmean(found.scores.counted["correct"]) == 0.75
    assert "| 40 | 0.750 \\[" in to_markdown("t", found.sections)


def test_a_failure_counts_in_the_segment_that_its_item_has_elsewhere(tmp_path: Path) -> None:
    scores: list[dict[str, Any] | None] = [{"correct": 1}] * 30 + [None] * 10
    language = [{"language": "de" if i % 2 else "en"} for i in range(40)]
    silent: list[dict[str, Any]] = [*language[:30], *[{"language": None}] * 10]
    rows = rows_for(TAG, {"depth": 2}, scores, extra=silent)
    alone = read(tmp_path / "a", rows, run_for(TAG, plan(segmentations=["language"])))
    assert "| (not recorded) | depth=2 | 10 |" in to_markdown("t", alone.sections)
    rows += rows_for(TAG, {"depth": 8}, [{"correct": 1}] * 40, extra=language)
    text = to_markdown(
        "t", read(tmp_path / "b", rows, run_for(TAG, plan(segmentations=["language"]))).sections
    )
    assert "| de | depth=2 | 20 | 0.750 \\[" in text
    assert "not recorded" not in text


def test_a_ranking_that_failures_turn_round_is_warned_of(tmp_path: Path) -> None:
    brittle: list[dict[str, Any] | None] = [{"correct": 1}] * 60 + [None] * 40
    rows = scored(2, 70) + rows_for(TAG, {"depth": 8}, brittle)
    text = to_markdown("t", read(tmp_path, rows, run_for(TAG)).sections)
    assert "A = depth=2, B = depth=8: the ranking by correct is reversed" in text


def test_gates_overridden_uncommitted_code_and_an_unfinished_run_are_said(tmp_path: Path) -> None:
    run = run_for(TAG, gates={"branch": "overridden"}, dirty="ab", ended_how=None)
    text = to_markdown("t", read(tmp_path, scored(2, 60), run).sections)
    for words in ("Gates overridden: branch.", "not committed", "did not finish (it was killed)"):
        assert words in text


def test_a_plain_unknown_experiment_lists_those_there_are(tmp_path: Path) -> None:
    db = record(tmp_path / "r.db", scored(2, 60), [], [])
    con = views.connect([db])
    with pytest.raises(HarnessError, match=r"there: e0\.0\.1"):
        summarise_experiment(con, "e9.9.9")
    without = summarise_experiment(con, TAG)
    con.close()
    assert "make experiment TAG=e0.0.1 goes on" in without.findings[0]


@pytest.mark.parametrize("broken", ["{", {"hypotheses": [{"id": "H1"}]}])
def test_a_broken_plan_costs_the_verdicts_not_the_results(tmp_path: Path, broken: Any) -> None:
    found = read(tmp_path, scored(2, 60) + scored(8, 95), run_for(TAG, broken))
    assert "No hypothesis could be judged: PLAN.toml" in found.findings[0]
    assert "| 1 | depth=8 | 100 |" in to_markdown("t", found.sections)


def test_an_experiment_without_scores_is_summarised(tmp_path: Path) -> None:
    rows = rows_for(TAG, {"depth": 2}, [{}] * 20)
    found = read(tmp_path, rows, run_for(TAG, plan()), names=())
    assert "There are no metrics" in found.findings[0]
    assert found.judged[0].outcome == "undecided"


def test_repeats_change_neither_items_nor_verdicts(tmp_path: Path) -> None:
    extra = [{"language": "de" if i % 2 else "en"} for i in range(100)]
    made = []
    for folder, repeats in (("a", 1), ("b", 3)):
        rows = scored(2, 60, extra=extra, repeats=repeats)
        rows += scored(8, 95, extra=extra, repeats=repeats)
        run = run_for(TAG, plan(segmentations=["language"]))
        made.append(read(tmp_path / folder, rows, run))
    once, thrice = made
    assert once.judged[0].outcome == thrice.judged[0].outcome == "supported"
    assert once.judged[0].items == thrice.judged[0].items == 100
    by_language = [
        next(each for each in found.sections if each.title == "By language") for found in made
    ]
    assert by_language[0] == by_language[1]
