"""The report as a results section: method, differences, items, axes, and tables for a paper."""

import csv
import re
from pathlib import Path
from typing import Any

import pytest

from harness.project.scores import Score
from harness.read import views
from harness.tell.charts import LABEL, forest, tradeoff
from harness.tell.report import write_report
from harness.tell.section import Section, Table
from harness.tell.summary import summarise_experiment
from harness.tell.table_files import numeric_rows, to_latex, write_tables
from tests.harness.scored_results import metrics_for, record, rows_for, run_for

TAG = "e0.0.1"
PLAN: dict[str, Any] = {
    "questions": ["Does depth pay?"],
    "hypotheses": [
        {
            "id": f"H{place}", "claim": "deeper is better", "metric": "correct",
            "better": {"depth": 8}, "than": {"depth": than}, "direction": "higher",
            "smallest_difference": 0.05,
        }
        for place, than in ((1, 2), (2, 4))
    ],
}  # fmt: skip
SCORES = {
    "correct": Score("proportion", better="higher", label="accuracy"),
    "wait": Score("time", better="lower"),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Section]]:
    """The page of three configurations on 40 items, and its sections."""
    folder = tmp_path_factory.mktemp("method")
    rows = []
    for depth, good in ((2, 20), (4, 33), (8, 34)):
        scores = [{"correct": int(i >= 40 - good), "wait": 2e-5 * depth} for i in range(40)]
        extra = [{"text": f"Is {i} a <prime>?"} for i in range(40)]
        rows += rows_for(TAG, {"depth": depth}, scores, extra=extra)
    settings = {"run": {"executor": "threads"}}
    db = record(
        folder / "results.db", rows, metrics_for(rows, list(SCORES)),
        [run_for(TAG, PLAN, settings=settings)], SCORES,
    )  # fmt: skip
    con = views.connect([db])
    try:
        summary = write_report(con, TAG, folder / "report.html", item_columns=["text", "lost"])
    finally:
        con.close()
    return (folder / "report.html").read_text("utf-8"), summary.sections


def section(sections: list[Section], title: str) -> Section:
    [found] = [each for each in sections if each.title == title]
    return found


def test_the_method_is_said_before_the_results(written: tuple[str, list[Section]]) -> None:
    _, sections = written
    titles = [each.title for each in sections]
    assert titles.index("Method") < titles.index("Hypotheses") < titles.index("Results")
    text = " ".join(section(sections, "Method").text)
    for words in (
        "Each of 40 items was predicted under each of 3 configurations: 120 datapoints.",
        "executor threads",
        "The primary metric is accuracy (proportion, from 0 to 1, higher is better): a hypothesis",
        "95% confidence interval",
        "Wilson's score interval",
        "Ranks come from all pairs at once",
        "The 2 hypotheses share 5%: each interval is at 97.5% (Bonferroni)",
    ):
        assert words in text, words


def test_folds_and_repeats_are_part_of_the_method(tmp_path: Path) -> None:
    rows = []
    for depth in (2, 8):
        scores = [{"correct": int((i + depth) % 5 > 0)} for i in range(40)]
        folds = [{"fold": i % 4} for i in range(40)]
        rows += rows_for(TAG, {"depth": depth}, scores, extra=folds, repeats=3)
    db = record(tmp_path / "results.db", rows, metrics_for(rows, ["correct"]), [run_for(TAG)])
    con = views.connect([db])
    try:
        text = " ".join(section(summarise_experiment(con, TAG).sections, "Method").text)
        write_report(con, TAG, tmp_path / "report.html")
    finally:
        con.close()
    for words in (
        "each of 2 configurations, 3 times each: 240 datapoints. Models were fitted for 4 folds.",
        "it stands first in SCORES",
        "It takes the fitted models as given. Repeats of an item count as one.",
        "the same items, by the folds' differences (corrected resampled t).",
    ):
        assert words in text, words
    # An item that each fold got wrong is one item.
    page = (tmp_path / "report.html").read_text("utf-8").partition(">Worst items</h2>")[2]
    worst = re.findall(r"<tr><td[^>]*><div[^>]*>([^<]+)", page.partition("</table>")[0])
    assert len(worst) == len(set(worst)) > 10


def test_configurations_of_other_lengths_are_not_said_to_be_alike(tmp_path: Path) -> None:
    rows = []
    for depth, items in ((2, 40), (8, 20)):
        rows += rows_for(TAG, {"depth": depth}, [{"correct": 1}] * items, repeats=3)
    db = record(tmp_path / "results.db", rows, metrics_for(rows, ["correct"]), [run_for(TAG)])
    con = views.connect([db])
    try:
        text = section(summarise_experiment(con, TAG).sections, "Method").text[0]
    finally:
        con.close()
    words = "40 items were predicted, not all under each of 2 configurations or not equally often"
    assert text.startswith(f"{words}: 180 datapoints.")


def test_each_configuration_has_its_paired_difference_to_the_first(
    written: tuple[str, list[Section]],
) -> None:
    [table] = section(written[1], "Results").tables
    place = list(table.columns).index("accuracy, difference to #1")
    assert table.columns[place - 1] == "accuracy"
    first, second, third = (row[place] for row in table.rows)
    assert first == "–"
    # One item of 40 less, and 14 less: paired, so the interval of the first holds almost nothing.
    assert second.startswith("-0.025 [")
    assert third.startswith("-0.350 [")
    low, high = map(float, re.findall(r"[-+][0-9.]+", third)[1:])
    assert low < -0.35 < high < -0.1


def test_the_worst_items_say_what_they_are(written: tuple[str, list[Section]]) -> None:
    page, _ = written
    assert re.search(r"<th[^>]*>text</th>", page)
    assert "Is 0 a &lt;prime&gt;?" in page
    assert "lost" not in page  # a column that no row has
    assert "[report] of benchmark.toml" not in page


def test_a_time_is_drawn_in_its_unit_and_a_wide_range_logarithmically() -> None:
    times = forest(["a", "b"], [(40.0, 30.0, 50.0), (80.0, 70.0, 90.0)], "wait", "µs")
    assert ">wait (µs)</text>" in times
    wide = forest(["a", "b"], [(0.001, 0.0005, 0.002), (1.0, 0.5, 2.0)], "loss")
    assert ">0.001</text>" in wide
    assert ">1</text>" in wide
    signed = forest(["a", "b"], [(-0.001, -0.002, 0.0), (1.0, 0.5, 2.0)], "gain")
    assert ">0.001</text>" not in signed
    both = tradeoff([(1.0, 0.01), (2.0, 10.0)], ["1", "2"], "cost (USD)", "loss", True)
    assert ">loss</text>" in both
    assert ">0.01</text>" in both


def test_a_long_label_is_folded_and_whole() -> None:
    label = "1. a model with a rather long name, temperature 0.7, four examples, no system prompt"
    assert len(label) > 2 * LABEL
    drawn = forest([label, "2. short"], [(0.5, 0.4, 0.6), (0.4, 0.3, 0.5)], "accuracy")
    shown = " ".join(re.findall(r">([^<>\n]+)</t(?:ext|span)>", drawn))
    assert all(word in shown for word in label.split())
    assert "…" not in drawn


def test_tables_are_written_for_a_program_and_for_a_paper(
    written: tuple[str, list[Section]], tmp_path: Path
) -> None:
    folder = write_tables(tmp_path / "tables", written[1])
    with (folder / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["configuration"] for row in rows] == ["depth=8", "depth=4", "depth=2"]
    assert float(rows[0]["accuracy"]) == 0.85
    assert float(rows[0]["accuracy low"]) < 0.85 < float(rows[0]["accuracy high"])
    assert rows[0]["accuracy, difference to #1"] == ""
    latex = (folder / "results.tex").read_text("utf-8")
    assert r"accuracy, difference to \#1" in latex
    assert latex.count(r"\\") == 1 + len(rows)
    assert not [path for path in folder.iterdir() if "…" in path.read_text("utf-8")]
    assert r"\label{tab:results}" in latex


def test_a_cell_is_text_in_either_of_them() -> None:
    table = Table(
        ["a_b", "n", "x"],
        [
            ["=1+1 & 50% {\\x}", "1,200", "0.5 [0.4, 0.6], n 3"],
            ["[x]", "–", "2 [no interval]"],
            ["y", "3", "–, n 0"],
        ],
    )
    assert numeric_rows(table) == [
        ["a_b", "n", "x", "x low", "x high", "x n"],
        ["'=1+1 & 50% {\\x}", "1200", "0.5", "0.4", "0.6", "3"],
        ["[x]", "", "2", "", "", ""],
        ["y", "3", "", "", "", "0"],
    ]
    without = Table(["train"], [["1 [no interval]"], ["0.9 [no interval]"]])
    assert numeric_rows(without) == [["train", "train low", "train high"]] + [
        [value, "", ""] for value in ("1", "0.9")
    ]
    latex = to_latex("Of 100%", "t", table)
    assert r"=1+1 \& 50\% \{\textbackslash{}x\} & 1,200 & 0.5 [0.4, 0.6], n 3 \\" in latex
    assert r"{}[x] & -- & 2 [no interval] \\" in latex
    assert r"\begin{tabular}{lrr}" in latex
