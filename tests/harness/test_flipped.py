"""Items on which two configurations differ stand side by side in the report, as text."""

import re

import pytest

from harness.tell.flipped import Flip, Flips, marked
from harness.tell.page import render
from harness.tell.section import Section
from tests.harness.project_fixture import Bench

HOSTILE = '<script>alert(1)</script><img src=x onerror=y> "quoted" \u202e'


def test_words_that_one_side_has_alone_are_marked() -> None:
    a, b = marked("the answer is four", "the answer is five, I think")
    assert "".join(text for _, text in a) == "the answer is four"
    assert [text for only, text in a if only] == ["four"]
    assert [text for only, text in b if only] == ["five, I think"]


def test_texts_that_are_very_long_are_shown_without_marks() -> None:
    a, b = marked("x " * 5000, "y " * 5000)
    assert [only for only, _ in (*a, *b)] == [False, False]


def test_hostile_text_is_text_and_a_style_sheet_chooses_what_is_shown() -> None:
    flip = Flip(HOSTILE, [(HOSTILE, HOSTILE)], HOSTILE, ("0", "1"), marked(HOSTILE, "fine"), "B", 0)
    other = Flip("i2", [], "x", ("1", "0"), marked("a", "b"), "A", 1)
    flips = Flips(HOSTILE, "b", "accuracy", [flip, other], [HOSTILE, "short"], 2)
    page = render("Report", [Section("Flipped items", ["…"], flips=[flips])])
    assert "<script" not in page
    assert "<img" not in page
    assert "\u202e" not in page
    assert "<mark>" in page
    # Segments are named by numbers in the style sheet, so that no text of theirs is in it.
    styles = "".join(re.findall(r"(?s)<style>(.*?)</style>", page))
    assert "#flips-1-1:has(#flips-1-1-s1:checked) .flip:not(.s1)" in styles
    assert "alert" not in styles
    assert page.count('<article class="flip better-') == 2


@pytest.mark.slow
def test_the_report_shows_what_both_sides_of_a_hypothesis_answered(bench: Bench) -> None:
    bench.items(12)
    bench.predict(
        'said = "I say yes" if item["x"] > params.threshold else "I say no"\n'
        'return {"prediction": said, "ground_truth": "I say yes", "topic": item["id"][-1]}'
    )
    bench.file(
        "PLAN.toml",
        'questions = ["which?"]\nsegmentations = ["topic"]\n\n[[hypotheses]]\nid = "H1"\n'
        'claim = "Low says yes more often."\nmetric = "correct"\nbetter = { model = "low" }\n'
        'than = { model = "high" }\ndirection = "higher"\nsmallest_difference = 0.1\n',
    )
    bench.experiment("e0.0.1")
    bench.run("report", "e0.0.1")
    page = (bench.root / "results/reports/e0.0.1.html").read_text()
    assert "Flipped items" in page
    assert "6 of 6 items that differ in correct" in page
    assert "I say <mark>no</mark>" in page
    assert 'class="flip better-B' in page


@pytest.mark.slow
def test_a_column_may_be_called_item(bench: Bench) -> None:
    bench.items(12)
    bench.predict(
        'said = "I say yes" if item["x"] > params.threshold else "I say no"\n'
        'return {"prediction": said, "ground_truth": "I say yes", "item": "text of " + item["id"]}'
    )
    bench.settings(report={"item": ["item"]})
    bench.file(
        "PLAN.toml",
        'questions = ["which?"]\n\n[[hypotheses]]\nid = "H1"\n'
        'claim = "Low says yes more often."\nmetric = "correct"\nbetter = { model = "low" }\n'
        'than = { model = "high" }\ndirection = "higher"\nsmallest_difference = 0.1\n',
    )
    bench.experiment("e0.0.1")
    bench.run("report", "e0.0.1")
    page = (bench.root / "results/reports/e0.0.1.html").read_text()
    flipped = page.partition("Flipped items")[2]
    assert "I say <mark>" in flipped
    assert "text of i" in flipped
