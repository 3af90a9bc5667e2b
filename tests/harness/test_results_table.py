"""The table at the end of a run, in terminals of any width."""

import io
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from harness.project.declarations import Rule
from harness.tell.results_table import results_tables

DOUBTS = {"canned": "answers are canned, and say nothing"}


def rows() -> list[dict[str, Any]]:
    names = [f"metric_{n}" for n in range(5)]
    return [
        {
            **{"params_family": family, "params_prompt": "a long one " * 4 + family},
            **{"n": 1797, "executed": 1797, "cached": 0, "failed": 0},
            **{name: 0.1234 for name in names},
            **{f"{name}_{end}": -0.5678 for name in names for end in ("low", "high")},
            **{"latency_p50": 0.00012, "latency_p50_low": 0.00011, "latency_p50_high": None},
            **{"cost": None, "canned": 3},
        }
        for family in ("logistic", "neighbours")
    ]


def test_a_label_that_another_column_has_hides_neither() -> None:
    rules = [Rule("metric_0", label="failed"), Rule("metric_1", label="metric_2"), Rule("metric_2")]
    [table] = results_tables("e0.0.1", rows(), 1000, rules)
    headings = [str(column.header) for column in table.columns]
    assert headings[-5:] == [
        "failed", "failed (metric_0)", "metric_2", "metric_2 (metric_2)", "latency p50 (s)"
    ]  # fmt: skip


@pytest.mark.parametrize("width", [60, 80, 120, 400])
def test_no_number_is_cut_short_however_narrow_the_terminal(width: int) -> None:
    tables = list(results_tables("e0.0.1", rows(), width, doubts=DOUBTS))
    console = Console(width=width, file=io.StringIO())
    for table in tables:
        console.print(table)
    text = console.file.getvalue()  # type: ignore[attr-defined]

    assert "…" not in text
    assert text.count("0.123 [-0.568, -0.568]") == 2 * 5
    assert text.count("metric_") == 5
    assert text.count("6 of 3,594 answers are canned") == 1
    assert len(tables) == 1 if width == 400 else len(tables) > 1
    assert max(map(len, text.splitlines())) <= width


def test_a_param_that_is_called_as_a_count_hides_neither() -> None:
    named = [row | {"params_n": each} for each, row in enumerate(rows())]
    [table] = results_tables("e0.0.1", named, 1000)
    headings = [str(column.header) for column in table.columns]
    assert headings.count("n") == 2
    assert [list(column.cells) for column in table.columns if str(column.header) == "n"] == [
        [Text("0"), Text("1")],
        [Text("1797"), Text("1797")],
    ]
