"""The report opens anywhere, and what a model answered is text in it: in a real browser."""

import json
import re
import shutil
import subprocess
import sys
from itertools import combinations, pairwise
from math import hypot
from pathlib import Path
from typing import Any

import pytest

from harness.console import shown
from harness.errors import HarnessError
from harness.read import views
from harness.tell.charts import chart, forest, pareto_front, tradeoff
from harness.tell.page import render
from harness.tell.report import write_report
from harness.tell.section import Section, Table, to_markdown
from harness.tell.summary import Summary
from tests.harness.scored_results import Row, metrics_for, record, rows_for, run_for

TAG = "e0.0.1"
MARKER = "document.title='taken'"
HOSTILE = [
    f"<script>{MARKER}</script>",
    f"</div></td></table></section><script>{MARKER}</script>",
    f"<img src=x onerror=\"{MARKER}\"><svg onload=\"{MARKER}\">",
    f"<iframe srcdoc='<script>{MARKER}</script>'></iframe>",
    f"</style><script>{MARKER}</script><style>*{{display:none}}",
    f"{{{{ 7 * 7 }}}} {{% raw %}} <!-- --> ]]> &lt;script&gt; javascript:{MARKER}",
    "right \u202eto left\u202c and \u2066isolated\u2069, \ufeffa mark, a joiner\u200b",
    "nul \x00 bell \x07 escape \x1b[31m del \x7f c1 \x9b",
    "half a pair, as stored: \ufffd \ufffe \ue000; and whole: 👩‍🔬 שלום",
    "x" * 10_000_000,
    "<b>" * 300_000 + "</table>" * 100,
]  # fmt: skip
PLAN = {
    "questions": ["Does depth pay?"],
    "segmentations": ["language"],
    "hypotheses": [
        {
            "id": "H1", "claim": "deeper is more accurate", "metric": "correct",
            "better": {"depth": 8}, "than": {"depth": 2}, "direction": "higher",
            "smallest_difference": 0.05,
        }
    ],
}  # fmt: skip


def hostile_rows() -> list[Row]:
    rows: list[Row] = []
    for depth, good in ((2, 20), (4, 28), (8, 34)):
        scores: list[dict[str, Any] | None] = [
            {
                "correct": int(i >= 40 - good),
                "cost": 0.001 * depth,
                "latency": 0.01 * depth + i / 1e4,
            }
            for i in range(40)
        ]
        raw = (HOSTILE + [f"answer {i}" for i in range(40)])[:40]
        extra = [
            {"language": f"<script>{MARKER}</script>" if i % 3 else "de",
             "ground_truth": HOSTILE[i % 7], "prediction": HOSTILE[i % 7]}
            for i in range(40)
        ]  # fmt: skip
        params = {"depth": depth, "prompt": f"<script>{MARKER}</script> $x_1$"}
        rows += rows_for(TAG, params, scores, raw=raw, extra=extra)
    rows[5] |= {
        "error": f"<script>{MARKER}</script>\x00",
        "error_type": "<b>Bad</b>",
        "correct": None,
    }
    return rows


def report(folder: Path, rows: list[Row], run: Row) -> tuple[str, Summary]:
    db = record(folder / "results.db", rows, metrics_for(rows, ["correct"]), [run])
    con = views.connect([db])
    try:
        summary = write_report(con, TAG, folder / "report.html")
    finally:
        con.close()
    return (folder / "report.html").read_text(encoding="utf-8"), summary


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    run = run_for(
        TAG, PLAN, gates={"branch": "passed", "data": "overridden"}, message="a <b>first</b> try",
        settings={"benchmark": {"name": "leaves"}},
    )  # fmt: skip
    report(folder, hostile_rows(), run)
    return folder / "report.html"


def chromium(page: Path, profile: Path, *flags: str) -> str:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed (Debian package chromium)")
    command = [
        program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={profile}", *flags, page.as_uri(),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def test_no_answer_runs_as_a_script_or_becomes_markup(hostile_page: Path, tmp_path: Path) -> None:
    dom = chromium(hostile_page, tmp_path, "--dump-dom", "--virtual-time-budget=2000")
    assert "<title>Report on e0.0.1 · leaves" in dom
    for tag in ("script", "img", "iframe", "b", "object", "link"):
        assert not re.search(rf"<{tag}[\s>]", dom), tag
    assert dom.count("<table") == dom.count("</table>") == dom.count('class="scroll"')
    assert "&lt;script&gt;document.title='taken'&lt;/script&gt;" in dom


def test_the_browser_would_have_run_it(hostile_page: Path, tmp_path: Path) -> None:
    """The same answers without our escaping do take the title: the test above can fail."""
    bare = tmp_path / "bare.html"
    bare.write_text(f"<title>before</title>{HOSTILE[0]}", encoding="utf-8")
    dom = chromium(bare, tmp_path / "profile", "--dump-dom", "--virtual-time-budget=2000")
    assert "<title>taken</title>" in dom


def test_what_cannot_be_seen_is_written_out_and_what_is_long_is_cut(hostile_page: Path) -> None:
    text = hostile_page.read_text(encoding="utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]", text)
    assert "⟨U+202E⟩" in text
    assert "⟨U+0000⟩" in text
    assert "[10,000,000 characters]" in text
    assert "👩‍🔬 שלום" in text
    assert hostile_page.stat().st_size < 500_000


def test_the_file_asks_for_nothing(hostile_page: Path) -> None:
    text = hostile_page.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert not re.search(r'(src|href|action|data)="(?!#)', re.sub(r"&[lg]t;|&#3[49];", " ", text))
    assert "url(" not in re.sub(r"url\(#", "", text)
    assert "@import" not in text


def test_it_holds_what_a_reviewer_looks_for(hostile_page: Path) -> None:
    text = hostile_page.read_text(encoding="utf-8")
    for words in (
        "Gates overridden: data", "Does depth pay?", ">supported<", "By language", "Worst items",
        "correct against latency, p50 (ms)", "correct against cost per datapoint (USD)",
        "Pareto front", "Provenance", "a" * 40, "&lt;b&gt;Bad&lt;/b&gt;",
    ):  # fmt: skip
        assert words in text, words
    assert "benchmark.report" not in text
    assert text.count('<svg class="chart" role="img" aria-label="') == 3
    assert "<title>Report on e0.0.1 · leaves: a &lt;b&gt;first&lt;/b&gt; try</title>" in text
    levels = [int(level) for level in re.findall("<h([1-6])>", text)]
    assert levels.count(1) == 1
    assert levels.count(2) == text.count("<section ")
    assert all(below - above <= 1 for above, below in pairwise(levels)), "no level is left out"
    assert text.count("<th scope=") == text.count("<th ")
    identifiers = re.findall(r'\bid="([^"]+)"', text)
    assert len(identifiers) == len(set(identifiers))


@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_is_no_wider_than_the_screen(
    hostile_page: Path, tmp_path: Path, width: int
) -> None:
    driver = shutil.which("chromedriver")
    if driver is None:
        pytest.skip("chromedriver is not installed (Debian package chromium-driver)")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for flag in (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={tmp_path}",
    ):  # fmt: skip
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500},
        )
        for theme, paper in (("light", "rgb(255, 255, 255)"), ("dark", "rgb(18, 22, 29)")):
            feature = {"name": "prefers-color-scheme", "value": theme}
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
            browser.get(hostile_page.as_uri())
            assert browser.title == "Report on e0.0.1 · leaves: a <b>first</b> try"
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width
            style = "return getComputedStyle(document.body).backgroundColor"
            assert browser.execute_script(style) == paper
            # What the page asked for beside itself, by the browser's own account.
            asked = "return performance.getEntriesByType('resource').length"
            assert browser.execute_script(asked) == 0
            errors = [each["message"] for each in browser.get_log("browser")]  # type: ignore[no-untyped-call]
            assert errors == []
    finally:
        browser.quit()


def test_a_kind_and_a_project_add_sections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "src" / "benchmark"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "report.py").write_text(
        "from harness.tell.section import Section, Table\n"
        "def sections(con, experiment):\n"
        "    n = con.execute('SELECT count(*) FROM predictions').fetchone()[0]\n"
        "    return [Section('<i>Mine</i>', [experiment], [Table(['rows'], [[str(n)]])])]\n"
    )
    monkeypatch.syspath_prepend(str(package.parent))
    for name in [each for each in sys.modules if each.split(".")[0] == "benchmark"]:
        monkeypatch.delitem(sys.modules, name)
    text, _ = report(tmp_path / "a", rows_for(TAG, {"d": 1}, [{"correct": 1}] * 20), run_for(TAG))
    assert "&lt;i&gt;Mine&lt;/i&gt;" in text
    (package / "report.py").write_text("def sections(con, experiment):\n    return 1 / 0\n")
    for name in [each for each in sys.modules if each.split(".")[0] == "benchmark"]:
        monkeypatch.delitem(sys.modules, name)
    text, _ = report(tmp_path / "b", rows_for(TAG, {"d": 1}, [{"correct": 1}] * 20), run_for(TAG))
    assert "ZeroDivisionError" in text
    assert "Provenance" in text


def test_a_failed_datapoint_among_the_worst_shows_its_error(tmp_path: Path) -> None:
    scores: list[dict[str, Any] | None] = [{"correct": 1}] * 20
    text, _ = report(tmp_path, rows_for(TAG, {"d": 1}, [None, *scores]), run_for(TAG))
    assert text.count("ValueError: no answer") == 2


def test_no_experiment_of_that_name_is_one_sentence_and_no_file(tmp_path: Path) -> None:
    rows = rows_for(TAG, {"d": 1}, [{"correct": 1}] * 20)
    db = record(tmp_path / "r.db", rows, metrics_for(rows, ["correct"]), [run_for(TAG)])
    con = views.connect([db])
    with pytest.raises(HarnessError, match=r"there is no experiment 'e7\.0\.0'"):
        write_report(con, "e7.0.0", tmp_path / "report.html")
    con.close()
    assert not (tmp_path / "report.html").exists()


def test_a_hundred_thousand_rows_stay_within_five_megabytes(tmp_path: Path) -> None:
    rows = [
        row
        for depth in range(5)
        for row in rows_for(
            TAG,
            {"depth": depth},
            [{"correct": int((i * 7 + depth) % 10 > 2), "f": i / 20_000} for i in range(20_000)],
            raw=["w" * 500] * 20_000,
            extra=[{"language": f"l{i % 40}"} for i in range(20_000)],
        )
    ]
    db = record(tmp_path / "r.db", rows, metrics_for(rows, ["correct", "f"]), [run_for(TAG, PLAN)])
    con = views.connect([db])
    write_report(con, TAG, tmp_path / "report.html")
    con.close()
    assert (tmp_path / "report.html").stat().st_size < 5_000_000


def test_text_is_cut_before_it_is_cleaned_and_its_length_is_said() -> None:
    assert shown("\u202e" * 10_000_000, 3) == "⟨U+202E⟩" * 3 + "… [10,000,000 characters]"
    assert shown("\ud800 lone") == "⟨U+D800⟩ lone"
    assert shown(None) == "\N{EN DASH}"


def test_markdown_shows_markup_as_text() -> None:
    text = to_markdown("t", [Section("a|b", ["<b>*x*"], [Table(["c"], [["d | e\nf `g` [h](i)"]])])])
    assert "\\<b\\>\\*x\\*" in text
    assert "| d \\| e f \\`g\\` \\[h\\](i) |" in text


def test_markdown_calls_nobody_where_a_forge_shows_it() -> None:
    hostile = "@team, o/r#1 GH-7 https://elsewhere.example/o/r/issues/1 www.elsewhere.example"
    text = to_markdown("t", [Section("pass@1 of a@b", [hostile])])
    assert "# t\n\n## pass@1 of a@b\n" in text
    assert not re.search(r"(?<!\w)@\w|#\d|GH-|://|www\.", text.replace("&#8203;", " "))
    assert text.count("&#8203;") == 5


def test_points_on_the_pareto_front_are_beaten_by_none() -> None:
    points = [(1.0, 0.5), (2.0, 0.9), (2.0, 0.8), (3.0, 0.7), (4.0, 0.95)]
    assert pareto_front(points) == [0, 1, 4]
    assert pareto_front([(x, -y) for x, y in points], lower_is_better=True) == [0, 1, 4]


def test_labels_of_neighbouring_points_do_not_lie_on_each_other() -> None:
    drawn = tradeoff([(10.6, 1), (30.5, 1), (12.2, 1), (470, 0)], list("1324"), "s", "correct")
    found = re.findall(r'x="([\d.]+)" y="([\d.]+)"[^>]*>[1-4]</text>', drawn)
    spots = [(float(x), float(y)) for x, y in found]
    assert len(spots) == 4
    apart = [hypot(a[0] - b[0], a[1] - b[1]) for a, b in combinations(spots, 2)]
    assert min(apart) > 7


def test_charts_take_their_colours_from_the_page_and_labels_as_text() -> None:
    drawn = forest(["<script>", "$\\frac{1}$"], [(0.5, 0.4, 0.6), (0.7, None, None)], "m")
    assert not re.search("#[0-9a-f]{6}", drawn)
    assert "var(--series-1)" in drawn
    assert "<script" not in drawn
    assert "\\frac" in drawn
    assert chart(lambda axes: None, "x") == chart(lambda axes: None, "x")
    assert "NaN" not in json.dumps(render("t", [Section("s", charts=[drawn])]))
