"""The tables of a report as files: CSV for programs, LaTeX (booktabs) for a paper."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from harness.console import ABSENT, LONGEST, shown
from harness.tell.section import Section, Table

_NUMBER = r"[-+]?[0-9][0-9,]*(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?"
_INTERVAL = re.compile(
    rf"({_NUMBER}|{ABSENT})(?: \[(?:({_NUMBER}), ({_NUMBER})|no interval)\])?(?:, n ([0-9,]+))?"
)
_PLAIN = re.compile(_NUMBER)
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "µ": r"\textmu{}", "–": "--",
}  # fmt: skip


def write_tables(folder: Path, sections: Sequence[Section]) -> Path:
    """Write each table as CSV and LaTeX, named by its section: `results.csv`. Returns `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for section in sections:
        base = re.sub(r"[^a-z0-9]+", "-", section.title.lower()).strip("-") or "table"
        for place, table in enumerate(section.tables, start=1):
            name = base[:60] if len(section.tables) == 1 else f"{base[:60]}-{place}"
            with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(numeric_rows(table))
            text = to_latex(" ".join([f"{section.title}.", *section.text]), name, table)
            (folder / f"{name}.tex").write_text(text, encoding="utf-8")
    return folder


def numeric_rows(table: Table) -> list[list[str]]:
    """The table with an interval as three columns: the estimate, `… low` and `… high`."""
    columns = [
        _numeric(name, [row[i] for row in table.rows]) for i, name in enumerate(table.columns)
    ]
    return [list(row) for row in zip(*(each for found in columns for each in found), strict=True)]


def _numeric(name: str, cells: Sequence[str]) -> list[list[str]]:
    """One column as one, or three where it holds intervals, or four where some have their own n."""
    parts = [_INTERVAL.fullmatch(cell) for cell in cells]
    if not any(part and part[0] != part[1] for part in parts):
        return [[name, *map(_cell, cells)]]
    columns = [[name], [f"{name} low"], [f"{name} high"], [f"{name} n"]]
    for part, cell in zip(parts, cells, strict=True):
        values = part.groups() if part else (cell, None, None, None)
        for column, value in zip(columns, values, strict=True):
            column.append(_cell(value or ""))
    return columns if any(columns[3][1:]) else columns[:3]


def _cell(text: str) -> str:
    if text == ABSENT:
        return ""
    if _PLAIN.fullmatch(text):
        return text.replace(",", "").removeprefix("+")
    # A spreadsheet would compute a text that begins so.
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def to_latex(caption: str, label: str, table: Table) -> str:
    """A table for `\\usepackage{booktabs}`; columns of numbers are on the right."""
    figures = [
        all(_PLAIN.fullmatch(row[i]) or _INTERVAL.fullmatch(row[i]) or row[i] == ABSENT
            for row in table.rows)
        for i in range(len(table.columns))
    ]  # fmt: skip
    lines = [
        r"\begin{table}",
        rf"\caption{{{_latex(caption)}}}",
        rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{{''.join('r' if each else 'l' for each in figures)}}}",
        r"\toprule",
        _row(table.columns),
        r"\midrule",
        *map(_row, table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return " & ".join(map(_latex, cells)) + r" \\"


def _latex(text: str) -> str:
    # A row that begins with [ would be read as an argument of the line break before it.
    whole = shown(" ".join(text.split()), LONGEST)
    escaped = "".join(_LATEX.get(letter, letter) for letter in whole)
    return f"{{}}{escaped}" if escaped.startswith("[") else escaped
