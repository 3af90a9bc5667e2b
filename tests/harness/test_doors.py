"""Attacks: what a model, a colleague, a variable of make or a database may hold."""

import csv
import sqlite3
from pathlib import Path
from typing import cast
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.redact import SHORTEST, without_keys
from harness.tell.charts import forest, tradeoff
from harness.tell.query import Format, run_sql
from tests.harness.project_fixture import Bench
from tests.harness.recorded import clean

HOSTILE = [
    "font-family: x",
    ' id="m" #010203 <metadata> <style>*{}</style> <!-- x',
    "-->]]></text></svg><script>alert(1)</script>",
    "\x1b]52;c;x\x07\x00\ud800",
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of the person, beside one that no query was pointed at."""
    folder = tmp_path_factory.mktemp("results")
    with sqlite3.connect(folder / "other.db") as other:
        other.execute("CREATE TABLE secret AS SELECT 'hidden' AS word")
    other.close()
    return clean(folder / "benchmark.db")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT word FROM sqlite_scan('{other}', 'secret')",
        "FROM \"SQLITE_scan\" /* ( */ ('{other}', 'secret')",
        "SELECT (SELECT word FROM system.main.sqlite_scan('{other}', 'secret'))",
        "FROM sqlite_attach('{other}')",
        "FROM sqlite_query('d0', 'ATTACH ''{other}'' AS o')",
        "FROM query('FROM sqlite_' || 'scan(''{other}'', ''secret'')')",
        "SET VARIABLE word = (SELECT word FROM sqlite_scan('{other}', 'secret')); "
        "SELECT getvariable('word')",
        "WITH w AS (FROM sqlite_scan('{other}', 'secret')) SELECT * FROM w",
        "DESCRIBE FROM sqlite_scan('{other}', 'secret')",
        "FROM arrow_scan(1, 2, 3)",
        "SELECT * FROM '{other}'",
    ],
)
def test_a_query_reads_no_other_database(
    results: Path, sql: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(HarnessError) as refused:
        run_sql([results], sql.format(other=results.with_name("other.db")), "csv")
    assert refused.value.code == 2
    assert "hidden" not in capfd.readouterr().out + refused.value.message


def test_a_query_may_use_those_words_for_something_else(
    results: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run_sql([results], "SELECT 'sqlite_scan(1)' AS query, count(*) AS n FROM predictions", "csv")
    assert capfd.readouterr().out.splitlines() == ["query,n", "sqlite_scan(1),200"]


@pytest.mark.parametrize("label", HOSTILE)
def test_a_label_leaves_its_chart_an_svg(label: str) -> None:
    for chart in (
        forest([label, "b"], [(0.5, 0.4, 0.6), (0.4, 0.3, 0.5)], label),
        tradeoff([(1.0, 0.5), (2.0, 0.9)], [label, "b"], label, label),
    ):
        tree = ElementTree.fromstring(chart)
        assert "script" not in {each.tag.rpartition("}")[2] for each in tree.iter()}
        assert not {each for text in tree.itertext() for each in text} & {"\x1b", "\x00", "\x07"}
        assert chart.count("var(--ink)") > 0
    if label.isprintable():
        assert label[:10] in "".join(tree.itertext())


def test_output_replaces_nothing_that_is_kept(tagged: Bench) -> None:
    bench, elsewhere = tagged, tagged.root.parent / "elsewhere.csv"
    elsewhere.write_text("mine")
    (bench.root / ".env").symlink_to(bench.root / ".git/config")
    kept = {
        name: (bench.root / name).read_bytes()
        for name in (".git/config", "src/benchmark/params.py", "benchmark.toml")
    }

    def asked(*out: str, expect: int = 2) -> str:
        return bench.run("sql", "--query=SELECT 1 AS one", *out, expect=expect).said

    for name in (".git/config", ".git/hooks/pre-commit", ".env", ".cache/x.csv"):
        assert "whose files only its own program writes" in asked(f"--out={name}")
    for name in ("src/benchmark/params.py", "benchmark.toml"):
        assert "is tracked" in asked(f"--out={name}")
    assert "is there already" in asked(f"--out={elsewhere}")
    assert "no plain file" in asked("--out=/dev/null")
    for command in (["summary"], ["report"], ["history"], ["gate", "e0.0.1"]):
        said = bench.run(*command, f"--out={bench.root}/.git/config", expect=2).said
        assert "whose files only" in said
    got = ("get", f"--out={bench.root}/.git/hooks/post-commit", "e0.0.1", "benchmark.toml")
    assert "whose files only" in bench.run(*got, expect=2).said
    assert {name: (bench.root / name).read_bytes() for name in kept} == kept
    assert not (bench.root / ".git/hooks/pre-commit").exists()
    assert elsewhere.read_text() == "mine"
    # What is new or one's own output is written, and elsewhere what is said to be replaced.
    for _ in range(2):
        asked("--out=mine.csv", expect=0)
    asked(f"--out={elsewhere}", "--force", expect=0)
    assert elsewhere.read_text() == (bench.root / "mine.csv").read_text() == "one\n1\n"


def test_what_is_no_text_is_refused_in_a_sentence(bench: Bench) -> None:
    bench.dev_run()
    bench.file("query.sql", b"SELECT '\xff\xfe'")
    said = bench.run("sql", "--file=query.sql", "--phase=dev", expect=2).said
    assert "query.sql cannot be read as text" in said
    for command in (
        ["explain", "i0\udcff"],
        ["sql", "--query=\udcff"],
        ["show", "\udcff"],
    ):
        said = bench.run(*command, expect=2).said
        assert "is not valid UTF-8 text" in said
        assert "Traceback" not in said


def test_a_spreadsheet_computes_no_cell(results: Path, tmp_path: Path) -> None:
    cells = ["=cmd|' /C calc'!A0", "+1", "-1", "@x", "\t=1", " =1", "fine", "'"]
    values = ", ".join("('" + each.replace("'", "''") + "')" for each in cells)
    sql = f'SELECT text, -1 AS "a number" FROM (VALUES {values}) AS t(text)'
    for fmt, changed in (("spreadsheet", 6), ("csv", 0)):
        run_sql([results], sql, cast(Format, fmt), tmp_path / "out.csv")
        with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
            read = list(csv.DictReader(file))
        assert [each["a number"] for each in read] == ["-1"] * len(cells)
        assert [row["text"] for row in read] == [
            f"'{each}" if place < changed else each for place, each in enumerate(cells)
        ]


def test_markdown_shows_what_a_model_answered_and_does_nothing_else(bench: Bench) -> None:
    answer = "\x1b]52;c;x\x07\u202e<img src=x onerror=alert(1)> [a](javascript:x) | `b` \x85"
    bench.params(f"[Params({answer!r}, 0.5)]")
    bench.experiment("e0.0.1")
    written = [path.read_text(encoding="utf-8") for path in bench.root.glob("results/**/*.md")]
    for text in [*written, bench.run("summary", "e0.0.1", expect=None).out]:
        assert not {each for each in text if not each.isprintable()} - {"\n"}
        assert "<img" not in text.replace("\\<img", "")
        assert "](javascript" not in text.replace("\\](javascript", "")
    assert any("onerror" in text for text in written)


@given(
    key=st.text("abcdefghij", min_size=12, max_size=60),
    cut=st.integers(0, 60),
    more=st.integers(0, 60),
    keep=st.integers(0, 80),
)
def test_of_a_key_that_was_cut_no_letter_is_left_at_the_edge(
    key: str, cut: int, more: int, keep: int
) -> None:
    """Whoever cut it: the server that quotes it, or the limit of what is kept."""
    least = SHORTEST + 3
    begin = cut % (len(key) - least + 1)
    quote = key[begin : begin + least + more]
    assert without_keys(f"<{quote}>", [key]) == "<[key]>"
    kept = without_keys(f"<{quote}>", [key], keep)
    assert not set(kept.replace("[key]", "")) & set(key)


def test_what_the_system_refuses_is_a_sentence(tagged: Bench) -> None:
    """A folder in the place of a file is refused to root too, which runs tests in containers."""
    tagged.run("dev-clean")
    elsewhere = tagged.root.with_name("elsewhere")
    elsewhere.mkdir()
    (elsewhere / "keep").touch()
    (tagged.root / ".dev").symlink_to(elsewhere)
    assert "could not be deleted" in tagged.run("dev-clean", expect=1).said
    assert (elsewhere / "keep").exists()
    (tagged.root / ".dev").unlink()

    (tagged.root / "results/.harness.record.run").mkdir()
    refused = tagged.run("rescore", "e0.0.1", expect=1).said
    assert "cannot use" in refused
    assert "Traceback" not in refused
