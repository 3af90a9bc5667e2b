"""Who crashes on the hard items gains nothing by it, also where a failure has no worst value."""

from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.project.scores import Score
from harness.read import views
from harness.stats.missing import gap_bounds, mean_bounds
from harness.tell.section import to_markdown
from harness.tell.summary import Summary, summarise_experiment
from tests.harness.scored_results import metrics_for, record, rows_for, run_for

TAG = "e0.0.1"
CLAIM: dict[str, Any] = {
    "id": "H1", "claim": "the crasher is better", "metric": "f1", "better": {"system": "crasher"},
    "than": {"system": "steady"}, "direction": "higher", "smallest_difference": 0.0,
}  # fmt: skip
nan = float("nan")


def test_bounds_by_hand() -> None:
    values = np.array([0.5, nan, 1.0, nan])
    assert mean_bounds(values, 0.0, 1.0) == (0.375, 0.875)
    assert mean_bounds(values, 0.0, None) == (0.375, inf)
    other = np.array([0.25, 0.5, nan, nan])
    # 0.25 is known; then from -0.5 to 0.5, from 0 to 1 and from -1 to 1.
    assert gap_bounds(values, other, 0.0, 1.0) == pytest.approx((-0.3125, 0.6875))
    assert gap_bounds(values, values, None, None) == (-inf, inf)
    assert mean_bounds(np.array([0.2, 0.4]), None, None) == pytest.approx((0.3, 0.3))


def story(folder: Path, crashes: int, score: Score) -> Summary:
    """200 items that get harder; one system fails on the last ones, and is worse on every other."""
    quality = np.linspace(1.0, 0.2, 200)
    steady = [{"f1": float(each)} for each in quality]
    crasher: list[dict[str, Any] | None] = [
        None if i >= 200 - crashes else {"f1": float(each) - 0.05} for i, each in enumerate(quality)
    ]
    rows = rows_for(TAG, {"system": "steady"}, steady)
    rows += rows_for(TAG, {"system": "crasher"}, crasher)
    metrics = metrics_for(rows, ["f1"])
    for line in metrics:
        mine = [row for row in rows if row["params_system"] == line["params_system"]]
        known = [row["f1"] for row in mine if row["error"] is None]
        if score.failure is None:  # so it counts as the worst value
            known += [0.0] * (len(mine) - len(known))
        line |= {"f1": float(np.mean(known)), "f1_n": len(known)}
    runs = [run_for(TAG, {"hypotheses": [CLAIM]})]
    db = record(folder / "r.db", rows, metrics, runs, {"f1": score})
    with views.connect([db]) as con:
        return summarise_experiment(con, TAG)


@pytest.mark.parametrize("bounds", [{"low": 0, "high": 1}, {}], ids=["bounded", "unbounded"])
def test_the_crasher_never_leads_alone(tmp_path: Path, bounds: dict[str, Any]) -> None:
    left_out = Score("mean", better="higher", failure="left out", **bounds)
    found = story(tmp_path, 67, left_out)
    text = to_markdown("t", found.sections)
    # On what it answers it has the higher mean, and on every shared item it is the worse one.
    assert not found.ranking.leads
    assert "f1 leaves out 67 of 200 items; " in text
    assert found.judged[0].outcome == "undecided"
    if bounds:
        assert "whatever they had scored, its mean lies between 0." in text
    else:
        assert "as it has no declared bounds, they could have given it any mean" in text
        assert "67 items are left out, and whatever they had scored could reverse it" in text


def test_a_few_that_cannot_turn_it_round_leave_the_verdict(tmp_path: Path) -> None:
    found = story(tmp_path, 2, Score("mean", better="higher", low=0, high=1, failure="left out"))
    assert found.judged[0].outcome == "refuted"


def test_with_a_worst_value_the_crasher_is_last(tmp_path: Path) -> None:
    found = story(tmp_path, 67, Score("mean", better="higher", low=0, high=1))
    assert found.judged[0].outcome == "refuted"
    assert "leaves out" not in to_markdown("t", found.sections)
