"""What the guide names exists: each path, and each command, in a new project of each kind."""

import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest
from cookiecutter.main import cookiecutter

from tests.template.conftest import KINDS, Bake, BakedProject

PAGES = ("AGENTS.md", "README.md", "docs/*.md")
SPANS = re.compile(r"`([^`\n]+)`")
COMMANDS = re.compile(r"(make|git|dvc|python) .+")
PATHS = re.compile(r"[\w.*-]+(/[\w.*-]+)*(/|\.(py|toml|md|sql|json|txt|csv))")
OF_THE_KIND = "src/benchmark"  # where the four files lie, which pages call by their name
# Come into being: by a run, by the person, or they are named as examples.
LATER = (
    ".dev/",
    ".venv/",
    ".cruft.json",
    "aside/",
    "data/",
    "src/benchmark/report.py",
    "src/benchmark/judge.py",
    "results/",
    "models/",
    "prompts/",
)
# Find something where there is something to find, and say so by their exit code.
MAY_FIND = {"inspect", "ready", "validate", "compare"}


def pages(project: BakedProject) -> list[str]:
    found = [path for pattern in PAGES for path in project.root.glob(pattern)]
    return [path.relative_to(project.root).as_posix() for path in found]


def commands(text: str) -> list[str]:
    """What stands as a command in a page, in its order."""
    return [span for span in SPANS.findall(text) if COMMANDS.fullmatch(span)]


def paths(text: str) -> set[str]:
    return {span for span in SPANS.findall(text) if PATHS.fullmatch(span)}


def is_there(project: BakedProject, name: str) -> bool:
    places = (project.root, project.root / OF_THE_KIND)
    return any(list(place.glob(name.rstrip("/"))) for place in places)


@pytest.fixture(scope="module", params=KINDS)
def project(
    request: pytest.FixtureRequest, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> BakedProject:
    """A new project of each kind, which nobody changes."""
    made = cookiecutter(
        str(template), no_input=True, extra_context={"kind": request.param}, default_config=True,
        output_dir=str(tmp_path_factory.mktemp("made")), accept_hooks=True,
    )  # fmt: skip
    return BakedProject(Path(made))


def kind_of(project: BakedProject) -> str:
    return str(tomllib.loads(project.read("benchmark.toml"))["benchmark"]["kind"])


def test_what_the_pages_of_a_new_project_name_is_there(project: BakedProject) -> None:
    kind = kind_of(project)
    listed = project.make("help").stdout
    assert f"docs/{kind}.md" in pages(project)
    for page in pages(project):
        text = project.read(page)
        missing = [
            name
            for name in sorted(paths(text))
            if not name.startswith(LATER) and not is_there(project, name)
        ]
        assert not missing, f"{page} names {missing}"
        for command in commands(text):
            target = command.split()[1]
            known = not command.startswith("make") or f"  make {target} " in listed
            assert known, f"{page} names `{command}`"
        for link in re.findall(r"\]\(([^):#]+)\)", text):
            assert (project.root / page).parent.joinpath(link).exists(), f"{page} links to {link}"


def test_every_agent_is_led_to_the_same_page(project: BakedProject) -> None:
    kind = kind_of(project)
    assert "@AGENTS.md" in project.read("CLAUDE.md")
    assert "](../AGENTS.md)" in project.read(".github/copilot-instructions.md")
    assert f"`docs/{kind}.md`" in project.read("AGENTS.md")
    lines = project.read("AGENTS.md").splitlines()
    assert len(lines) < 120
    for phase in range(8):
        [row] = [line for line in lines if line.startswith(f"| {phase} ")]
        assert commands(row), row  # the one that ends it


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_way_through_the_phases_can_be_walked(bake: Bake, kind: str) -> None:
    project = bake(kind=kind)
    bare, storage = project.root.with_name("origin.git"), project.root.with_name("storage")
    project.git("init", "--quiet", "--bare", str(bare))
    storage.mkdir()
    filled = {
        "git remote add origin …": f"git remote add origin {shlex.quote(str(bare))}",
        "make remote URL=…": f"make remote URL={shlex.quote(str(storage))}",
        "make setup": "true",  # the tests share one environment
    }
    walked = []
    for command in commands(project.read("AGENTS.md")):
        typed = filled.get(command, command)
        if "…" in typed or "NAME" in typed:
            continue
        walked.append(command)
        words = shlex.split(typed)
        if words[0] == "make":
            words[1:1] = [f"VENV={sys.prefix}", "READY="]
        done = project.run(*words, check=False)
        found = "Error 1" in done.stderr and command.split()[1] in MAY_FIND
        assert done.returncode == 0 or found, f"{command}\n{done.stdout}{done.stderr}"
        if project.changes():
            project.commit(f"after {command}")
    assert 'make experiment TAG=e0.0.1 MSG="first look"' in walked
    assert project.git("tag", "--list") == "e0.0.1"
    assert "e0.0.1" in project.git("ls-remote", "--tags", "origin")
    check_own_section(project)
    for name in ("metrics.csv", "predictions.parquet"):
        assert (project.root / name).stat().st_size > 100


def check_own_section(project: BakedProject) -> None:
    """The file that docs/analysis.md shows adds a part to the report."""
    path = project.root / "src/benchmark/report.py"
    if path.exists():
        return  # the kind has one
    [block] = re.findall(
        r"```python\n([^`]*def sections[^`]*)```", project.read("docs/analysis.md")
    )
    path.write_text(block, encoding="utf-8")
    project.make("report", check=False)
    assert "Datapoints of an item" in project.read("results/reports/e0.0.1.html")
