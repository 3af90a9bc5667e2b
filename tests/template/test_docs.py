"""The pages of docs/ hold: every block of code runs, in the order in which it stands."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.template.conftest import REPOSITORY, SHELL

DOCS = REPOSITORY / "docs"
BLOCK = re.compile(r"^```(\w*)(?: title=\"([^\"]*)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUNS = re.compile(r"<!-- runs: (nothing|new|after (\S+)) -->")
# What a page shows and a test cannot run stands in a block of text: what is drawn, and layouts.
LANGUAGES = {"console", "python", "toml", "text"}
GUIDE = sorted(
    path.relative_to(DOCS).as_posix()
    for pattern in ("tutorials/*.md", "how-to/*.md", "explanation/*.md", "reference/contracts.md")
    for path in DOCS.glob(pattern)
)
# make, python and cookiecutter as a person has them, but in the environment of the tests.
PRELUDE = """
make() { command make VENV="$TEST_VENV" READY= "$@"; }
python() { "$TEST_VENV/bin/python" "$@"; }
cookiecutter() { "$TEST_VENV/bin/cookiecutter" "${@/#gh:*/$TEST_TEMPLATE}"; }
"""


@dataclass(frozen=True)
class Place:
    """Where a page is followed: `here` is the folder that its commands have come to."""

    root: Path
    template: Path
    visited: list[str] = field(default_factory=lambda: ["."])

    @property
    def here(self) -> Path:
        return self.root / self.visited[-1]

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a line of a page as a person's shell would, and stay where it leads."""
        where = self.root.with_name(f"{self.root.name}-where")
        script = f'{PRELUDE}\n{command}\ncode=$?\npwd >"{where}"\nexit $code'
        folder = self.here / "src"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.here,
            env={
                **os.environ,
                "TEST_VENV": sys.prefix,
                "TEST_TEMPLATE": str(self.template),
                "PATH": f"{sys.prefix}/bin{os.pathsep}{os.environ['PATH']}",
                "PYTHONPATH": str(folder),
                "COLUMNS": "160",
                "PYTHONUNBUFFERED": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # as on a terminal, in the order in which it is printed
            encoding="utf-8",
            errors="replace",
        )
        if where.exists():
            self.visited.append(os.path.relpath(where.read_text("utf-8").strip(), self.root))
        return done

    def write(self, title: str, text: str) -> None:
        """Do with a file what the title of a block says."""
        name, _, how = title.partition(", ")
        path = self.here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not how:
            path.write_text(text, encoding="utf-8")
        elif how == "added at the end":
            path.write_text(path.read_text("utf-8") + "\n" + text, encoding="utf-8")
        elif how == "changed lines":
            lines = path.read_text("utf-8")
            for line in text.splitlines():
                key = re.escape(line.split(" = ")[0])
                old = re.findall(rf"^{key} = .*$", lines, flags=re.MULTILINE)
                assert len(old) == 1, f"{name} has {len(old)} lines {key} = …"
                lines = lines.replace(old[0], line)
            path.write_text(lines, encoding="utf-8")
        else:
            pytest.fail(f"nobody knows what is to be done with {title}")


def follow(page: str, place: Place) -> None:
    """Run every block of a page, and compare what the page shows with what is printed."""
    for language, title, text in BLOCK.findall((DOCS / page).read_text("utf-8")):
        if language == "console":
            for command, expected in typed(text):
                done = place.run(command)
                said = done.stdout
                wanted = "  # finds something" in command
                assert (done.returncode != 0) == wanted, f"{page}: {command}\n{said}"
                missing = not_in(expected, said)
                assert not missing, f"{page}: {command}\ndoes not print: {missing}\n{said}"
        elif language == "text":
            continue
        elif title:
            place.write(title, text)
        else:
            assert language == "python", f"{page}: a block of {language} without a file"
            (place.here / ".block.py").write_text(text, encoding="utf-8")
            done = place.run("python .block.py")
            (place.here / ".block.py").unlink()
            assert done.returncode == 0, f"{page}:\n{text}\n{done.stdout}"


def typed(text: str) -> list[tuple[str, list[str]]]:
    """The commands of a block, each with the lines that the page shows of what it prints."""
    commands: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            commands.append((line[2:], []))
        elif line.startswith("> "):
            commands[-1] = (f"{commands[-1][0]}\n{line[2:]}", [])
        elif line.strip():
            commands[-1][1].append(line)
    return commands


def not_in(expected: list[str], said: str) -> list[str]:
    """The lines that were not printed in that order; any number stands for any, … for anything."""

    def alike(line: str) -> str:
        return re.sub(
            r"[0-9][0-9.,:e+-]*|\s+", lambda m: "#" if m[0].strip() else " ", line.strip()
        )

    position, text = 0, alike(said)
    for line in expected:
        pattern = ".*?".join(re.escape(alike(part)) for part in line.split("…"))
        found = re.compile(pattern, re.DOTALL).search(text, position)
        if not found:
            return [line]
        position = found.end()
    return []


@pytest.fixture(scope="session")
def followed(template: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Place]:
    """The pages that were followed to their end, by name."""
    return {}


def place_for(
    page: str, followed: dict[str, Place], template: Path, factory: pytest.TempPathFactory
) -> Place:
    """The place that a page ends in; it is followed once, and the page before it first."""
    if page in followed:
        return followed[page]
    found = RUNS.search((DOCS / page).read_text("utf-8"))
    assert found, f"{page} does not say what it begins with"
    root = factory.mktemp("page")
    place = Place(root, template)
    if found[2]:
        before = place_for(found[2], followed, template, factory)
        shutil.copytree(before.root, root, symlinks=True, dirs_exist_ok=True)
        place = Place(root, template, list(before.visited))
    follow(page, place)
    followed[page] = place
    return place


@pytest.mark.slow
@pytest.mark.parametrize("page", GUIDE)
def test_every_block_of_a_page_runs_and_prints_what_it_shows(
    page: str, followed: dict[str, Place], template: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place_for(page, followed, template, tmp_path_factory)


@pytest.mark.parametrize("page", GUIDE)
def test_a_page_has_no_block_that_nobody_runs(page: str) -> None:
    text = (DOCS / page).read_text("utf-8")
    blocks = BLOCK.findall(text)
    assert len(blocks) * 2 == len(re.findall("^```", text, re.MULTILINE))
    assert {language for language, *_ in blocks} <= LANGUAGES
    found = RUNS.search(text)
    assert found
    assert found[1] != "nothing" or not [each for each in blocks if each[0] != "text"]


def test_the_links_between_pages_lead_somewhere() -> None:
    for page in [REPOSITORY / "README.md", *DOCS.rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page.relative_to(REPOSITORY)}: {link}"
    # A picture that asks for a font would be another picture where there is no network.
    assert not re.search(r"@font-face|url\(http", (DOCS / "images/terminal.svg").read_text("utf-8"))


def test_every_page_stands_in_the_menu() -> None:
    menu = set(re.findall(r": (\S+\.md)$", (REPOSITORY / "mkdocs.yml").read_text("utf-8"), re.M))
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert pages - menu == set(), "add a line to nav in mkdocs.yml"
    assert menu - pages == set()


def test_the_reference_is_what_the_code_says() -> None:
    script = str(REPOSITORY / "scripts/reference.py")
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_lines_are_compared_by_their_words_and_in_their_order() -> None:
    said = "e0.0.1: 0 of 1,200 rows\nwrote /tmp/x/report.html in 3.4 s\n"
    assert not_in(["e0.0.1: 4 of 7 rows", "wrote …report.html in 1 s"], said) == []
    assert not_in(["wrote …report.html", "e0.0.1: 4 of 7 rows"], said) == ["e0.0.1: 4 of 7 rows"]
    assert typed("$ make x\na\n\nb\n$ y\n> z\n") == [("make x", ["a", "b"]), ("y\nz", [])]


def test_each_point_of_the_guide_that_it_began_with_has_a_place() -> None:
    text = (DOCS / "seed.md").read_text("utf-8")
    harness = REPOSITORY / SHELL / "src/harness"
    minimal = harness.parents[1] / "kinds/minimal"
    places = (harness, harness.parents[1], minimal, minimal / "src/benchmark")
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 40
    for row in rows:
        point, where = row.strip("| ").split(" | ")
        assert point
        assert where
        for name in re.findall(r"`([\w./]+(?:\.py|\.toml|\.md|\.yaml|\.lock|/))`", where):
            there = name == ".dev/" or any((place / name).exists() for place in places)
            assert there, f"{name}, of {point}"


def test_the_kind_that_is_shown_can_be_made() -> None:
    [(_, _, block)] = [b for b in BLOCK.findall((DOCS / "kinds.md").read_text("utf-8")) if b[0]]
    made: dict[str, object] = {}
    exec(compile(block, "kinds.md", "exec"), made)
    assert type(made["KIND"]).__name__ == "Kind"
