"""The hooks: bad answers explained at once, and a history begun only where it is wanted."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cookiecutter.exceptions import FailedHookException

from tests.template.conftest import Bake, BakedProject


def test_every_bad_answer_is_explained_at_once_and_nothing_is_left(
    bake: Bake, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(FailedHookException):
        bake(
            project_name="two\nlines",
            project_slug="Not A Slug",
            description="x" * 301,
            author="  ",
        )

    said = capfd.readouterr().err
    assert "project_slug is 'Not A Slug'" in said
    assert "such as 'not-a-slug'" in said
    assert "project_name holds a line break" in said
    assert "description has 301 characters" in said
    assert "author is empty" in said
    assert not list((tmp_path / "made").iterdir())


@pytest.mark.parametrize(
    "slug", ["-x", "1x", "x--y", "x y", "ünï", "x/../y", "x.y", "con", "harness", "a" * 61, "x_"]
)
def test_a_slug_that_would_not_work_is_refused(
    bake: Bake, slug: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(FailedHookException):
        bake(project_slug=slug)
    assert "project_slug" in capfd.readouterr().err


@pytest.mark.parametrize("slug", ["x", "x1", "my-benchmark", "my_benchmark", "a" * 60])
def test_a_slug_that_works_is_taken(bake: Bake, slug: str) -> None:
    assert bake(project_slug=slug).root.name == slug


def test_a_new_project_has_one_commit_on_main_and_stands_on_a_feature_branch(bake: Bake) -> None:
    project = bake()

    assert project.git("branch", "--show-current") == "feat/first-benchmark"
    assert project.git("log", "--all", "--format=%an %D").startswith("Tester HEAD -> feat/first")
    assert project.git("rev-parse", "main") == project.git("rev-parse", "HEAD")
    assert project.changes() == ""


def test_a_machine_where_git_has_no_identity_still_gets_a_first_commit(
    bake: Bake, git_of_the_tests: Path
) -> None:
    git_of_the_tests.write_text("[user]\n\tuseConfigOnly = true\n")
    project = bake()

    assert project.git("log", "--format=%an <%ae>") == "bench-template <bench-template@localhost>"
    assert project.git("config", "--local", "user.name", check=False) == ""


def test_signing_hooks_and_a_foreign_git_dir_do_not_hinder_the_first_commit(
    bake: Bake, git_of_the_tests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "pre-commit").write_text("#!/bin/sh\nexit 1\n")
    (hooks / "pre-commit").chmod(0o755)
    with git_of_the_tests.open("a") as config:
        config.write(f"[commit]\n\tgpgSign = true\n[core]\n\thooksPath = {hooks}\n")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere.git"))
    project = bake()
    monkeypatch.delenv("GIT_DIR")

    assert project.git("rev-list", "--count", "HEAD") == "1"
    assert not (tmp_path / "elsewhere.git").exists()


def test_inside_an_existing_repository_no_git_work_is_done(
    bake: Bake, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    outer = BakedProject(tmp_path / "outer")
    outer.root.mkdir()
    outer.git("init", "--quiet")
    project = bake(into=outer.root)

    assert not (project.root / ".git").exists()
    assert outer.changes() == "?? my-benchmark/"
    said = capfd.readouterr().out
    assert "inside a git repository" in said
    assert "git switch -c feat/first-benchmark && git add" in said


@pytest.mark.parametrize("git", ["missing", "failing"])
def test_a_project_outlives_a_git_that_does_not_work(
    bake: Bake,
    git: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    if git == "failing":
        (tools / "git").write_text("#!/bin/sh\necho 'no space left' >&2\nexit 128\n")
        (tools / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools))
    project = bake()

    said = capfd.readouterr().out
    assert "The project is complete, but git could not start its history" in said
    assert ("no space left" in said) == (git == "failing")
    assert (project.root / "src/benchmark/predict.py").exists()
    assert not (project.root / "kinds").exists()


def cruft(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "cruft", *arguments],
        cwd=cwd, capture_output=True, encoding="utf-8", stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_under_cruft_the_history_is_the_persons_and_an_update_arrives(
    template: Path, tmp_path: Path
) -> None:
    source = BakedProject(tmp_path / "template")
    shutil.copytree(template, source.root)
    source.git("init", "--quiet", "--initial-branch=main")
    source.commit("template")
    where = ("--no-input", "--output-dir", str(tmp_path))
    said = cruft("create", str(source.root), *where, cwd=tmp_path)
    assert "First, in the folder: git init && git add -A" in said
    project = BakedProject(tmp_path / "my-benchmark")
    assert not (project.root / ".git").exists()

    project.git("init", "--quiet", "--initial-branch=main")
    project.commit("start")
    readme = source.root / "{{cookiecutter.project_slug}}" / "README.md"
    readme.write_text(readme.read_text("utf-8") + "\nA line from the new template.\n", "utf-8")
    source.commit("newer")
    cruft("update", "--skip-apply-ask", cwd=project.root)

    assert project.read("README.md").endswith("\nA line from the new template.\n")
    assert project.git("rev-list", "--count", "HEAD") == "1"
    changed = {line.split()[-1] for line in project.changes().splitlines()}
    assert changed == {".cruft.json", "README.md"}


def test_hooks_are_plain_standard_library() -> None:
    hooks = Path(__file__).resolve().parents[2] / "hooks"
    code = (
        "import ast, sys\n"
        "names = {(n.names[0].name if isinstance(n, ast.Import) else n.module).split('.')[0]"
        " for n in ast.walk(ast.parse(sys.stdin.read()))"
        " if isinstance(n, (ast.Import, ast.ImportFrom))}\n"
        "sys.exit(str(names - sys.stdlib_module_names) if names - sys.stdlib_module_names else 0)"
    )
    for hook in hooks.glob("*.py"):
        subprocess.run(
            [sys.executable, "-c", code], input=hook.read_bytes(), check=True, env=dict(os.environ)
        )
