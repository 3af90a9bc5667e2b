"""`make upgrade`: a newer harness arrives, what is the person's stays, a no changes nothing."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cookiecutter.main import cookiecutter

import harness
from tests.template.conftest import REPOSITORY, SHELL, BakedProject

NEWER = "99.1.0"
BEFORE = "29c409b12c77d7aff519d4fb29aea28eb36b151c"  # the last one without a recorded template
SECTION = "src/harness/tell/section.py"


@dataclass(frozen=True)
class Published:
    """The template as a git repository: `first` is it as it is, `second` a later version."""

    repository: BakedProject
    first: str
    second: str


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text, f"{path} has no {old!r}"
    path.write_text(text.replace(old, new, 1), "utf-8")


def seal(root: Path) -> None:
    subprocess.run([sys.executable, "scripts/seal.py"], cwd=root, check=True, capture_output=True)


@pytest.fixture(scope="module", autouse=True)
def git_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Replaces the one of conftest, which is made anew for each test."""
    config = tmp_path_factory.mktemp("git") / "config"
    config.write_text("[user]\n\tname = Tester\n\temail = tester@localhost\n")
    for key in [key for key in os.environ if key.startswith(("GIT_", "MAKE", "MFLAGS"))]:
        del os.environ[key]
    os.environ |= {"GIT_CONFIG_GLOBAL": str(config), "GIT_CONFIG_NOSYSTEM": "1"}


@pytest.fixture(scope="module")
def published(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Published:
    source = BakedProject(tmp_path_factory.mktemp("published") / "bench-template")
    shutil.copytree(template, source.root)
    source.git("init", "--quiet", "--initial-branch=main")
    source.commit("first")
    first = source.git("rev-parse", "HEAD")
    inside = source.root / SHELL
    edit(inside / "src/harness/__init__.py", harness.__version__, NEWER)
    edit(
        inside / "src/harness/CHANGELOG.md",
        f"## {harness.__version__}",
        f"## {NEWER}\n\n- Another sentence.\n\n## {harness.__version__}",
    )
    with (inside / SECTION).open("a") as file:
        file.write("\n# Said in other words.\n")
    edit(inside / "README.md", "## Two commands", "## The two commands")
    edit(inside / "kinds/minimal/src/benchmark/predict.py", '"""', '"""Better said: ')
    for kind in ("llm", "throughput"):
        with (inside / f"kinds/{kind}/docs/{kind}.md").open("a") as file:
            file.write("\nA line from the new version.\n")
    seal(source.root)
    source.commit("second")
    source.git("tag", "v99")
    return Published(source, first, source.git("rev-parse", "HEAD"))


def generate(published: Published, into: Path, **answers: str) -> BakedProject:
    """A project made by plain cookiecutter from the first version, with the second one there."""
    source = published.repository
    source.git("checkout", "--quiet", "--detach", published.first)
    made = cookiecutter(
        str(source.root), no_input=True, extra_context=answers, output_dir=str(into),
        default_config=True, accept_hooks=True,
    )  # fmt: skip
    source.git("checkout", "--quiet", "main")
    return BakedProject(Path(made))


@pytest.fixture(scope="module")
def made(published: Published, tmp_path_factory: pytest.TempPathFactory) -> BakedProject:
    folder = tmp_path_factory.mktemp("made")
    return generate(published, folder, project_name='Größe "vier" 🎉', use_dvc="no")


@pytest.fixture
def project(made: BakedProject, tmp_path: Path) -> BakedProject:
    """A copy of the project that this test may change."""
    return BakedProject(shutil.copytree(made.root, tmp_path / made.root.name, symlinks=True))


def upgrade(project: BakedProject, *variables: str) -> tuple[int, str]:
    """The command's exit code and all that it said, in one line."""
    done = project.make("upgrade", *variables, check=False)
    ended = re.search(r"Error (\d)$", done.stderr.strip())  # make itself ends with 2
    assert bool(ended) == bool(done.returncode)
    return int(ended[1]) if ended else 0, " ".join((done.stdout + done.stderr).split())


def executed(project: BakedProject) -> tuple[int, int]:
    """How many datapoints the newest dev-run executed, and how many it reused."""
    said = project.make("dev-run", "N=3").stderr
    found = re.search(r": (\d+) executed, (\d+) cached", said)
    assert found, said
    return int(found[1]), int(found[2])


def test_plain_cookiecutter_records_where_the_project_comes_from(
    published: Published, made: BakedProject
) -> None:
    state = json.loads(made.read(".cruft.json"))
    assert state["template"] == str(published.repository.root)
    assert state["commit"] == published.first
    assert state["context"]["cookiecutter"]["project_name"] == 'Größe "vier" 🎉'
    assert not [key for key in state["context"]["cookiecutter"] if key.startswith("_")]
    assert made.changes() == ""  # it is in the first commit


def test_a_token_in_the_address_of_the_template_is_not_recorded(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text(
        Path(os.environ["GIT_CONFIG_GLOBAL"]).read_text()
        + f'[url "{published.repository.root}"]\n\tinsteadOf = https://me:s3cret@localhost/t.git\n'
    )
    (tmp_path / "rc").write_text(f"cookiecutters_dir: {tmp_path / 'clones'}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    made = cookiecutter(
        "https://me:s3cret@localhost/t.git", no_input=True, output_dir=str(tmp_path),
        config_file=str(tmp_path / "rc"), accept_hooks=True,
    )  # fmt: skip
    text = (Path(made) / ".cruft.json").read_text("utf-8")
    assert json.loads(text)["template"] == "https://localhost/t.git"
    assert "s3cret" not in text


def test_an_upgrade_keeps_what_is_the_persons_and_reuses_every_result(
    published: Published, project: BakedProject
) -> None:
    edit(project.root / "src/benchmark/params.py", "5.1", "5.0")
    edit(project.root / "src/benchmark/predict.py", "return {", 'return {"mine": 1, ')
    edit(project.root / "benchmark.toml", "dev_items = 20", "dev_items = 7")
    with (project.root / "tests/test_benchmark.py").open("a") as file:
        file.write("\n\ndef test_of_mine() -> None:\n    assert True\n")
    (project.root / "scripts/export_summary.py").unlink()
    (project.root / "src/benchmark/extra.py").write_text("MINE = 1\n")
    project.commit("mine")
    computed, _ = executed(project)
    assert computed == 24
    code, said = upgrade(project)

    assert code == 0, said
    assert f"{harness.__version__} -> {NEWER}" in said
    assert f"## {NEWER} - Another sentence." in said
    assert f"## {harness.__version__}" not in said
    mine = project.git("diff", "--name-only", "HEAD", "--", "src/benchmark", "tests", "data")
    assert mine == ""
    assert "dev_items = 7" in project.read("benchmark.toml")
    assert not (project.root / "scripts/export_summary.py").exists()
    assert "## The two commands" in project.read("README.md")
    assert NEWER in project.read("src/harness/__init__.py")
    assert json.loads(project.read(".cruft.json"))["commit"] == published.second
    assert not re.search(r"^( M|\?\?|UU)", project.changes(), re.MULTILINE)  # all is staged
    project.commit("upgraded")
    assert executed(project) == (0, 24)
    assert upgrade(project) == (0, f"this is {NEWER} already; nothing to do")
    assert project.git("worktree", "list").count("\n") == 0


def test_the_kind_is_the_projects_and_what_both_changed_is_left_to_the_person(
    published: Published, tmp_path: Path
) -> None:
    project = generate(published, tmp_path, kind="llm")
    edit(project.root / "README.md", "## Two commands", "## Commands of mine")
    project.commit("mine")
    code, said = upgrade(project)

    assert code == 1
    assert "README.md -> keep what you want of the lines between <<<<<<< and >>>>>>>" in said
    assert project.read("docs/llm.md").endswith("A line from the new version.\n")
    assert not (project.root / "docs/throughput.md").exists()
    assert "UU README.md" in project.changes()
    refused = project.run("git", "commit", "--no-verify", "-m", "too early", check=False)
    assert refused.returncode != 0
    assert "## Commands of mine" in project.read("README.md")
    assert "## The two commands" in project.read("README.md")

    project.git("reset", "--quiet", "--hard")
    assert project.changes() == ""
    assert harness.__version__ in project.read("src/harness/__init__.py")


def test_an_edited_harness_is_shown_and_put_aside_only_when_asked(project: BakedProject) -> None:
    edit(project.root / SECTION, "LARGE = 1e15", "LARGE = 1e12")
    (project.root / "src/harness/mine.py").write_text("MINE = 1\n")
    project.commit("an edit of the harness")
    code, said = upgrade(project)
    assert code == 2
    assert "-LARGE = 1e15 " in said
    assert "+LARGE = 1e12 " in said
    assert "the harness was edited here (mine.py, tell/section.py)" in said
    assert "make upgrade FORCE=1" in said
    assert project.changes() == ""

    code, said = upgrade(project, "FORCE=1")
    assert code == 0, said
    assert "LARGE = 1e15" in project.read(SECTION)
    assert not (project.root / "src/harness/mine.py").exists()
    project.commit("upgraded")
    [patch] = (project.root / "results/aside").glob("harness-*.patch")
    project.git("apply", str(patch))
    assert "LARGE = 1e12" in project.read(SECTION)
    assert "# Said in other words." in project.read(SECTION)
    assert project.read("src/harness/mine.py") == "MINE = 1\n"


def point(project: BakedProject, **changes: str) -> None:
    """Change what `.cruft.json` says."""
    state = json.loads(project.read(".cruft.json")) | changes
    (project.root / ".cruft.json").write_text(json.dumps(state))
    project.commit("pointed elsewhere")


def dirty(project: BakedProject, published: Published) -> None:
    (project.root / "src/benchmark/new.py").write_text("NEW = 1\n")


def offline(project: BakedProject, published: Published) -> None:
    point(project, template="https://127.0.0.1:9/bench-template.git")


def moved(project: BakedProject, published: Published) -> None:
    point(project, template=str(published.repository.root.parent / "gone"))


def another(project: BakedProject, published: Published) -> None:
    point(project, commit="0" * 40)


def unrecorded(project: BakedProject, published: Published) -> None:
    project.git("rm", "--quiet", ".cruft.json")
    project.commit("no origin")


def garbled(project: BakedProject, published: Published) -> None:
    (project.root / ".cruft.json").write_text("<<<<<<< ours\n")
    project.commit("a merge gone wrong")


def newer(project: BakedProject, published: Published) -> None:
    """As if it had been upgraded already."""
    point(project, commit=published.second)


def failing(project: BakedProject, published: Published) -> None:
    """What `.cruft.json` answers is refused by the template's own hook."""
    state = json.loads(project.read(".cruft.json"))
    state["context"]["cookiecutter"]["author"] = " "
    (project.root / ".cruft.json").write_text(json.dumps(state))
    project.commit("no author")


@pytest.mark.parametrize(
    ("trouble", "variables", "code", "words", "fix"),
    [
        (dirty, (), 2, "not committed: src/benchmark/new.py", "git add -A && git commit"),
        (offline, (), 1, "https://127.0.0.1:9/bench-template.git cannot be read", "with a network"),
        (moved, (), 1, "does not exist", 'correct "template" in .cruft.json'),
        (another, (), 2, "another template is there now", 'correct "template" in .cruft.json'),
        (unrecorded, (), 2, "there is no .cruft.json", "python scripts/adopt.py"),
        (garbled, (), 2, ".cruft.json does not say which template", "git checkout COMMIT"),
        (newer, ("TO=FIRST",), 2, "an upgrade does not go back", "git revert"),
        (None, ("TO=nosuch",), 2, "'nosuch' (its newest tags: v99)", "make upgrade TO="),
        (failing, (), 1, "cruft could not update", "nothing was changed"),
    ],
)
def test_what_forbids_an_upgrade_is_one_sentence_and_changes_nothing(
    published: Published,
    project: BakedProject,
    trouble: Callable[[BakedProject, Published], None] | None,
    variables: tuple[str, ...],
    code: int,
    words: str,
    fix: str,
) -> None:
    if trouble:
        trouble(project, published)
    before = project.changes(), project.git("rev-parse", "HEAD")
    given = [each.replace("FIRST", published.first) for each in variables]
    done = project.make("upgrade", *given, check=False)

    said = " ".join(done.stderr.split())
    assert f"Error {code}" in said
    assert words in said
    assert fix in said.partition("fix:")[2]
    assert "Traceback" not in said
    assert (project.changes(), project.git("rev-parse", "HEAD")) == before
    assert project.git("worktree", "list").count("\n") == 0


# -- a repository from before


def whole_history(into: Path) -> BakedProject:
    """The template with its history and, as its newest commit, its files as they are now."""
    known = subprocess.run(
        ["git", "cat-file", "-e", BEFORE], cwd=REPOSITORY, capture_output=True, check=False
    )
    if known.returncode:
        pytest.skip("this clone of the template does not reach back that far")
    source = BakedProject(into / "bench-template")
    subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(source.root)], check=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY, check=True, capture_output=True, encoding="utf-8",
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, listed):
        if (REPOSITORY / name).is_file():
            (source.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, source.root / name)
        else:
            (source.root / name).unlink(missing_ok=True)
    source.git("switch", "--quiet", "--force-create", "newest")
    if source.changes():
        source.commit("as it is now")
    return source


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "use_dvc"), [("minimal", "no"), ("sklearn", "yes")])
def test_a_repository_from_before_is_upgraded_with_its_edits_and_its_experiments(
    tmp_path: Path, kind: str, use_dvc: str
) -> None:
    source = whole_history(tmp_path)
    source.git("checkout", "--quiet", BEFORE)
    made = cookiecutter(
        str(source.root), no_input=True, output_dir=str(tmp_path), default_config=True,
        extra_context={
            "project_name": 'Größe "vier" \\ 🎉', "project_slug": "old", "author": "A, O'B",
            "kind": kind, "use_dvc": use_dvc, "license": "Proprietary", "python_version": "3.12",
            "layout": "table-per-experiment",
        },
    )  # fmt: skip
    source.git("checkout", "--quiet", "newest")
    project = BakedProject(Path(made))
    theirs = ("params", "dataset", "predict", "metrics")
    for name in theirs:
        with (project.root / f"src/benchmark/{name}.py").open("a") as file:
            file.write("\nMINE = 1\n")
    edit(project.root / "benchmark.toml", "dev_items = 20", "dev_items = 3")
    with (project.root / "tests/test_benchmark.py").open("a") as file:
        file.write("\n\ndef test_of_mine() -> None:\n    assert True\n")
    project.commit("mine")
    project.make("test", "dev-run")
    project.make("experiment", TAG="e0.0.1", ALLOW="inspect")
    mine = {name: project.read(f"src/benchmark/{name}.py") for name in theirs}

    adopt = (sys.executable, str(source.root / "scripts/adopt.py"), "--template", str(source.root))
    done = project.run(*adopt, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "made from 29c409b12c77; recorded in .cruft.json" in done.stdout
    assert "computes its datapoints once more" in " ".join(done.stdout.split())
    assert mine == {name: project.read(f"src/benchmark/{name}.py") for name in theirs}
    assert "dev_items = 3" in project.read("benchmark.toml")
    assert "def test_of_mine" in project.read("tests/test_benchmark.py")
    state = json.loads(project.read(".cruft.json"))
    assert state["commit"] == source.git("rev-parse", "HEAD")
    assert state["context"]["cookiecutter"]["project_name"] == 'Größe "vier" \\ 🎉'
    assert not list(project.root.rglob("*.rej"))
    assert re.search("^hatchling==", project.read("requirements.lock"), re.MULTILINE)
    project.commit("upgraded")

    project.make("test", "dev-run")
    assert "e0.0.1" in project.make("tags").stdout
    assert "Results of e0.0.1" in project.make("summary", TAG="e0.0.1", check=False).stdout
    project.make("report", TAG="e0.0.1", check=False)
    assert (project.root / "results/reports/e0.0.1.html").stat().st_size > 10_000
    project.make("experiment", TAG="e0.0.2", ALLOW="inspect,inputs,power")
    compared = project.make("compare", A="e0.0.1", B="e0.0.2", check=False).stdout
    assert "harness version" in compared
    assert "undecided" in compared
    assert upgrade(project)[0] == 0  # from here on by itself


@pytest.mark.slow
def test_a_repository_that_is_none_of_ours_is_not_adopted(tmp_path: Path) -> None:
    project = BakedProject(tmp_path / "other")
    project.root.mkdir()
    (project.root / "README.md").write_text("Something else.\n")
    project.git("init", "--quiet")
    project.commit("start")
    adopt = (sys.executable, str(REPOSITORY / "scripts/adopt.py"))
    done = project.run(*adopt, check=False)

    assert done.returncode == 2
    assert "is no benchmark of this template" in done.stderr
    assert project.changes() == ""
