"""The history page: every experiment, its main metric over time, linked to its report."""

import re
from html.parser import HTMLParser
from pathlib import Path

from tests.harness.project_fixture import Bench


class Page(HTMLParser):
    """What a page asks for and where it leads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: dict[str, str] = {}
        self.loads: list[str] = []
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._open = given.get("href") or "" if tag == "a" else ""
        if tag in ("script", "link", "img", "iframe"):
            self.loads.append(tag)

    def handle_data(self, data: str) -> None:
        if self._open and not self._open.startswith("#"):
            self.links.setdefault(data.strip(), self._open)


def test_one_page_has_all_experiments_over_time(past: Bench, tmp_path: Path) -> None:
    bench = past.copy(tmp_path / "bench")
    said = bench.run("history").out
    path = bench.root / "results/reports/history.html"
    assert str(path) in said
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.loads == [], "it opens without network"
    assert "Content-Security-Policy" in text
    # The report of e0.1.0 was made here too; what has none leads to the committed summary.
    assert page.links["e1.0.0"] == "e1.0.0.html"
    assert page.links["h1 supported"] == "e1.0.0.html"
    for target in page.links.values():
        assert (path.parent / target).is_file(), target
    for words in (
        "correct over time, higher is better",
        "3 experiments from",
        "0.950 [0.835, 0.986]",
        "model=high, threshold=0.9",
        "second",
    ):
        assert words in text, words
    (drawn,) = re.findall(r'<svg class="chart".*?</svg>', text, re.DOTALL)
    assert "correct over 3 experiments" in drawn
    assert "threshold=0.25: 0.625 in e1.0.0" in drawn, "what a screen reader says"
    assert bench.git("status", "--porcelain") == ""


def test_without_a_report_a_tag_leads_to_its_summary(past: Bench, tmp_path: Path) -> None:
    bench = past.copy(tmp_path / "bench")
    (bench.root / "results/reports/e1.0.0.html").unlink()
    bench.run("history")
    text = (bench.root / "results/reports/history.html").read_text(encoding="utf-8")
    assert Page(text).links["e1.0.0"] == "../e1.0.0.md"


def test_without_an_experiment_there_is_no_history(bench: Bench) -> None:
    assert "make experiment TAG=e0.0.1" in bench.run("history", expect=1).err
