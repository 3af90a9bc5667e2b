"""One rule decides hypotheses, comparisons and rankings: where the whole interval lies."""

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.stats.decision import (
    Kind,
    Outcome,
    Position,
    decision_of,
    mirrored,
    outcome_of,
    position_of,
)
from harness.stats.paired import paired_verdict

MIRRORED: dict[Position, Position] = {
    "above": "below",
    "below": "above",
    "not above": "not below",
    "not below": "not above",
}
bound = st.integers(-4, 4).map(lambda each: each / 4)  # so that limits are met exactly


@pytest.mark.parametrize(
    ("low", "high", "smallest", "position"),
    [
        (0.1, 0.3, 0.0, "above"),
        (0.1, 0.3, 0.1, "above"),
        (0.0, 0.3, 0.0, "not below"),
        (0.05, 0.3, 0.1, "not below"),
        (-0.05, 0.3, 0.1, "not below"),
        (-0.05, 0.05, 0.1, "within"),
        (0.02, 0.05, 0.1, "within"),
        (-0.05, 0.1, 0.1, "not below"),
        (-0.1, 0.1, 0.1, "open"),
        (-0.1, 0.3, 0.0, "open"),
        (-0.2, 0.05, 0.1, "not above"),
        (-0.3, 0.0, 0.0, "not above"),
        (-0.3, -0.05, 0.1, "not above"),
        (-0.3, -0.1, 0.1, "below"),
        (-0.3, -0.1, 0.0, "below"),
        (0.0, 0.0, 0.1, "within"),
        (0.0, 0.0, 0.0, "not above"),
        (None, None, 0.1, "open"),
        (0.2, inf, 0.1, "open"),
    ],
)
def test_an_interval_lies_where_all_of_it_does(
    low: float | None, high: float | None, smallest: float, position: Position
) -> None:
    assert position_of(low, high, smallest) == position


@given(bound, bound, bound.map(abs))
def test_the_other_side_sees_the_mirror_image(first: float, second: float, smallest: float) -> None:
    low, high = sorted((first, second))
    found, turned = position_of(low, high, smallest), position_of(-high, -low, smallest)
    if low == high == smallest == 0:
        return  # no difference at all is neither above nor below, whoever looks
    assert turned == MIRRORED.get(found, found)


@pytest.mark.parametrize(
    ("low", "high", "superior", "not_worse", "equivalent", "decision"),
    [
        (0.1, 0.3, "supported", "supported", "refuted", "better"),
        (0.05, 0.3, "undecided", "supported", "undecided", "not worse"),
        (-0.05, 0.3, "undecided", "supported", "undecided", "not worse"),
        (-0.05, 0.05, "refuted", "supported", "supported", "equivalent"),
        (-0.3, 0.3, "undecided", "undecided", "undecided", "undecided"),
        (-0.3, 0.05, "refuted", "undecided", "undecided", "undecided"),
        (-0.3, -0.05, "refuted", "undecided", "undecided", "undecided"),
        (-0.3, -0.1, "refuted", "refuted", "refuted", "worse"),
    ],
)
def test_one_interval_answers_every_kind_of_question(
    low: float,
    high: float,
    superior: Outcome,
    not_worse: Outcome,
    equivalent: Outcome,
    decision: str,
) -> None:
    position = position_of(low, high, 0.1)
    said: dict[Kind, Outcome] = {
        "superior": superior,
        "not_worse": not_worse,
        "equivalent": equivalent,
    }
    assert {kind: outcome_of(kind, position) for kind in said} == said
    assert decision_of(position, 0.1) == decision
    # From the other side an equivalence is the same.
    assert outcome_of("equivalent", mirrored(position)) == equivalent


def test_without_a_smallest_difference_any_loss_matters() -> None:
    assert decision_of(position_of(0.0, 0.3), 0.0) == "undecided"
    assert decision_of(position_of(0.0, 0.0), 0.0) == "undecided"


def test_a_comparison_asks_for_a_p_as_well() -> None:
    a, b = np.array([1.0] * 5 + [0.0] * 15), np.zeros(20)
    verdict = paired_verdict(a, b)
    assert position_of(verdict.difference.low, verdict.difference.high) == "above"
    assert verdict.p_value == pytest.approx(2 / 2**5)  # exact McNemar is more careful than Tango
    assert verdict.verdict == "undecided"
