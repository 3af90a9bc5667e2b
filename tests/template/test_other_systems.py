"""What a machine other than the makers' has: another awk, no make at all; and the workflows."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.template.conftest import REPOSITORY, Bake, BakedProject

AWKS = {
    "bwk": "original-awk",  # macOS and the BSDs
    "mawk": "mawk",
    "gawk": "gawk",
    "busybox": "busybox",
}


def test_help_reads_the_same_under_every_awk(bake: Bake, tmp_path: Path) -> None:
    project = bake()
    found = [name for name in AWKS if shutil.which(AWKS[name])]
    if not found:
        pytest.skip("no awk is installed under its own name")
    for name in found:
        (tmp_path / name).mkdir()
        awk = tmp_path / name / "awk"
        program = f"{shutil.which(AWKS[name])}{' awk' if name == 'busybox' else ''}"
        awk.write_text(f'#!/bin/sh\nexec {program} "$@"\n')
        awk.chmod(0o755)
        check_help(project, {"PATH": f"{awk.parent}:/usr/bin:/bin"})


def check_help(project: BakedProject, path: dict[str, str]) -> None:
    said = project.run("make", env=path)
    assert said.stderr == ""
    lines = said.stdout.splitlines()
    assert lines[1] == "Begin"
    setup = f"  make {'setup PYTHON=3.12':34} environment from requirements.lock, git hooks"
    assert setup in said.stdout
    assert "  make help                               list the commands" in lines
    assert "  make merge FROM=a-branch" in said.stdout
    template = BakedProject(REPOSITORY).run("make", env=path)
    assert "  make lint               ruff and mypy" in template.stdout
    assert template.stderr == ""


# What came after make 3.81, the one that macOS has: 3.82, 4.0 and later.
NEWER = (
    r"^\.(ONESHELL|RECIPEPREFIX|SHELLFLAGS|EXTRA_PREREQS)\b",
    r"^\s*(private|undefine)\b",
    r"^define\s+\S+\s*[:?+]?=",
    r"^[^\t#]*(!=|::=|:::=)",
    r"\$\((file|guile|intcmp|let)\b",
    r"&:",
    r"^-?load\b",
)


def test_the_makefiles_use_nothing_that_make_on_macos_lacks(bake: Bake) -> None:
    for text in (bake().read("Makefile"), (REPOSITORY / "Makefile").read_text(encoding="utf-8")):
        for newer in NEWER:
            assert not re.findall(newer, text, re.MULTILINE), newer


# What make itself does and no program has to.
ONLY_MAKE = {"help"}
ALIKE = {"models": "model", "prune": "model", "promote": "model", "demote": "model"}


def test_without_make_python_does_everything_that_make_does(bake: Bake, tmp_path: Path) -> None:
    project = bake()
    listed = set(re.findall(r"^  make ([a-z-]+)", project.make().stdout, re.MULTILINE)) - ONLY_MAKE
    said = project.run(sys.executable, "-m", "harness", "--help").stdout
    have = set(re.findall(r"^  ([a-z-]+)  ", said, re.MULTILINE))
    wanted = {ALIKE.get(name, "model" if name.startswith("model-") else name) for name in listed}
    assert wanted <= have, sorted(wanted - have)

    # Before anything is installed: by a Python that has nothing of it.
    bare = {"PYTHONPATH": str(project.root / "src"), "PATH": "/usr/bin:/bin"}
    base = str(Path(sys.base_prefix) / "bin/python3")
    said = project.run(base, "-S", "-m", "harness", "setup", "--help", env=bare).stdout
    assert "--venv" in said
    assert "--find-python" in said
    done = project.run(base, "-S", "-m", "harness", "lock", "--venv=no", check=False, env=bare)
    assert done.returncode == 2
    assert "there is no uv here yet" in done.stderr
    (project.root / "src/benchmark/ugly.py").write_text("import os\n")
    done = project.run(sys.executable, "-m", "harness", "lint", check=False)
    assert done.returncode == 1
    assert "F401" in done.stdout


@pytest.mark.parametrize("tool", ["actionlint", "zizmor"])
def test_workflows_are_clean(bake: Bake, tool: str) -> None:
    program = shutil.which(tool)
    if program is None:
        pytest.skip(f"{tool} is not installed")
    options = ["--offline", "--persona=pedantic"] if tool == "zizmor" else []
    for workflow in workflows(bake):
        done = subprocess.run([program, *options, str(workflow)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def workflows(bake: Bake) -> list[Path]:
    folders = (REPOSITORY / ".github/workflows", bake().root / ".github/workflows")
    return [path for folder in folders for path in sorted(folder.glob("*.yml"))]


def test_workflows_run_pinned_actions_with_no_more_rights_than_they_need(bake: Bake) -> None:
    found = workflows(bake)
    assert len(found) > 2
    for path in found:
        text = path.read_text(encoding="utf-8")
        used = re.findall(r"uses: (\S+)", text)
        assert len(used) == 2
        assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", each) for each in used)
        assert "persist-credentials: false" in text
        # Only the job that says the gate's verdict, which runs nothing of the branch.
        may_write = ["pull-requests"] if path.name == "benchmark-gate.yml" else []
        assert re.findall(r"(\S+): write", text) == may_write
    [made] = [path for path in found if path.name == "ci.yml" and REPOSITORY not in path.parents]
    named = re.findall(r"os: (\w+)-latest", made.read_text(encoding="utf-8"))
    assert named == ["ubuntu", "macos", "windows"]


def test_an_editor_and_a_container_find_the_environment_and_the_tests(bake: Bake) -> None:
    project = bake()
    settings = json.loads(project.read(".vscode/settings.json"))
    interpreter = settings["python.defaultInterpreterPath"]
    assert interpreter == "${workspaceFolder}/.venv/bin/python"
    assert "VENV ?= .venv\n" in project.read("Makefile")
    assert settings["python.testing.pytestEnabled"]
    for folder in settings["python.testing.pytestArgs"]:
        assert list(project.root.glob(f"{folder}/test_*.py"))
    container = json.loads(project.read(".devcontainer/devcontainer.json"))
    assert container["image"].endswith((":3.11", ":3.12"))  # either suits
    assert container["postCreateCommand"] == "make setup"
