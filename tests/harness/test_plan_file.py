"""PLAN.toml is read whole, and what it asks for that no row has is named before a run."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.project.hypotheses import Plan, load_plan, matches, parse_plan, plan_findings

GOOD = """
questions = ["Which threshold?"]
segmentations = ["species"]

[[hypotheses]]
id = "H1"
claim = "2.5 beats 1.0"
metric = "correct"
better = { threshold = 2.5 }
than = { threshold = 1.0 }
direction = "higher"
smallest_difference = 0.05
"""


@dataclass(frozen=True)
class Inner:
    depth: int


@dataclass(frozen=True)
class Params:
    threshold: float
    inner: Inner
    sizes: tuple[int, ...] = (1, 2)
    fast: bool = True


GRID = [Params(1.0, Inner(2)), Params(2.5, Inner(4))]


def read(tmp_path: Path, text: str) -> Plan:
    (tmp_path / "PLAN.toml").write_text(text, encoding="utf-8")
    return load_plan(tmp_path)


def test_a_plan_reads_back_and_survives_the_trip_through_runs(tmp_path: Path) -> None:
    plan = read(tmp_path, GOOD)
    assert plan.hypotheses[0].smallest_difference == 0.05
    assert plan.segmentations == ["species"]
    assert parse_plan(plan.model_dump_json()) == plan


def test_no_plan_is_an_empty_plan(tmp_path: Path) -> None:
    assert load_plan(tmp_path) == Plan() == parse_plan(None) == parse_plan("")


@pytest.mark.parametrize(
    ("old", "new", "names", "advice"),
    [
        ('"higher"', '"up"', "hypotheses 1, direction", '"lower"'),
        ('metric = "correct"', "", "hypotheses 1, metric", "score()"),
        ("0.05", "-1", "hypotheses 1, smallest_difference", "0.02"),
        ("0.05", "nan", "hypotheses 1, smallest_difference", "0.02"),
        ("claim =", "clam =", "hypotheses 1, cl", "claim"),
        ("{ threshold = 2.5 }", "{ threshold = 1.0 }", "same configuration", "heading"),
        ("id =", 'kind = "better"\nid =', "hypotheses 1, kind", '"not_worse"'),
        ('direction = "higher"', "", "direction is missing", '"lower"'),
        ('["species"]', '"species"', "segmentations", "list of columns"),
        ("questions", "question", "question", "spelling"),
    ],
)
def test_a_mistake_names_its_key_and_what_to_write(
    tmp_path: Path, old: str, new: str, names: str, advice: str
) -> None:
    with pytest.raises(HarnessError) as caught:
        read(tmp_path, GOOD.replace(old, new, 1))
    assert names in str(caught.value.message)
    assert advice in caught.value.fix
    assert "\n" not in caught.value.message
    assert caught.value.code == 2


EQUAL = GOOD.replace('direction = "higher"', 'kind = "equivalent"')


def test_the_kinds_of_claims_have_the_words_that_suit_them(tmp_path: Path) -> None:
    equal = read(tmp_path, EQUAL.replace("better =", "this =")).hypotheses[0]
    assert (equal.kind, equal.better, equal.direction) == ("equivalent", {"threshold": 2.5}, None)
    assert equal.says("correct", "A", "B", "0.05") == "correct within 0.05 of each other: A and B"
    not_worse = GOOD.replace("better =", 'kind = "not_worse"\nthis =')
    plan = read(tmp_path, not_worse.replace("smallest_difference =", "margin ="))
    claim = plan.hypotheses[0]
    assert (claim.kind, claim.smallest_difference) == ("not_worse", 0.05)
    assert claim.says("correct", "A", "B", "0.05") == "correct not 0.05 or more lower: A than B"
    assert parse_plan(plan.model_dump_json()) == plan


@pytest.mark.parametrize("kind", ["equivalent", "not_worse"])
def test_a_margin_of_nothing_can_never_be_shown(tmp_path: Path, kind: str) -> None:
    text = GOOD.replace("0.05", "0").replace("id =", f'kind = "{kind}"\nid =')
    with pytest.raises(HarnessError, match="smallest_difference is 0") as caught:
        read(tmp_path, text)
    assert (
        caught.value.fix == "write a number above 0: how large a difference would still not matter"
    )
    assert caught.value.code == 2


def test_an_equivalence_says_nothing_of_a_direction(tmp_path: Path) -> None:
    plan = read(tmp_path, EQUAL + GOOD[GOOD.index("[[") :].replace("H1", "H2"))
    assert plan.direction("correct") == "higher"
    assert plan.smallest_difference("correct") == 0.05
    assert plan.smallest_difference("latency") == 0.0


def test_broken_toml_says_the_line(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="line 3"):
        read(tmp_path, "questions = []\nsegmentations = []\nx =\n")


def test_two_hypotheses_cannot_share_an_id(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="H1"):
        read(tmp_path, GOOD + GOOD[GOOD.index("[[") :])


def test_params_match_in_part_nested_and_as_stored() -> None:
    stored = {"threshold": 1.0, "inner_depth": 2, "sizes": "[1, 2]", "fast": 1}
    assert matches(stored, {"threshold": 1})
    assert matches(stored, {"inner": {"depth": 2}, "sizes": [1, 2], "fast": True})
    assert matches(stored, {"inner.depth": 2})
    assert not matches(stored, {"inner.depth": 3})
    assert not matches(stored, {"absent": None})


def test_what_no_row_has_is_found_and_a_good_plan_is_silent() -> None:
    plan = parse_plan(
        {
            "segmentations": ["species", "colour"],
            "hypotheses": [
                {
                    "id": "H1", "claim": "c", "metric": "accurate", "direction": "higher",
                    "better": {"threshold": 9.0}, "than": {"inner.depth": 2},
                    "smallest_difference": 0,
                }
            ],
        }
    )  # fmt: skip
    findings = plan_findings(plan, {"species", "latency"}, {"correct"}, GRID)
    assert len(findings) == 3
    assert "'colour'" in findings[0]
    assert "'accurate'" in findings[1]
    assert "correct, latency" in findings[1]
    assert "better = {'threshold': 9.0}" in findings[2]
    good = plan.model_copy(update={"segmentations": ["species"], "hypotheses": []})
    assert plan_findings(good, {"species"}, {"correct"}, GRID) == []
