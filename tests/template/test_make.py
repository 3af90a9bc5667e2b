"""The Makefile of a generated project: what is listed exists, and what is typed is data."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.template.conftest import REPOSITORY, Bake, BakedProject

# Where make finds a program instead of Python that prints its arguments, one a line.
ECHO = '#!/bin/sh\nprintf "%s\\n" "$@"\n'
HOSTILE = [
    "costs $5, $HOME and $$",
    "`touch pwned` $(touch pwned) $(shell touch pwned)",
    "a 'single' and a \"double\" quote \\ and a backslash",
    "Größe 🎉 # no comment; touch pwned",
    "--help",
    "a, b) c (d = e",
]


@pytest.fixture
def echoing(bake: Bake) -> BakedProject:
    """A project in a folder with spaces and quotes, whose Python prints its arguments."""
    project = bake()
    folder = project.root.parent / 'it\'s a "folder" with $pace'
    folder.mkdir()
    project = BakedProject(project.root.rename(folder / "my-benchmark"))
    (project.root / ".venv/bin").mkdir(parents=True)
    (project.root / ".venv/bin/python").write_text(ECHO)
    (project.root / ".venv/bin/python").chmod(0o755)
    return project


def arguments(project: BakedProject, *command: str) -> list[str]:
    return project.run("make", "VENV=.venv", "READY=", *command).stdout.splitlines()


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_typed_reaches_the_program_as_it_was_typed(
    echoing: BakedProject, text: str
) -> None:
    said = arguments(echoing, "experiment", f"TAG={text}", f"MSG={text}", f"ALLOW={text}")

    assert said == [
        *("-m", "harness", "experiment"),
        *(f"--message={text}", f"--allow={text}", "--", text),
    ]
    assert arguments(echoing, "sql", f"Q={text}")[-1] == f"--query={text}"
    assert arguments(echoing, "compare", f"A={text}", f"METRIC={text}", "FORCE=1")[2:] == [
        *("compare", f"--metric={text}", "--force", "--", text)
    ]
    assert "--force" not in arguments(echoing, "compare", f"A={text}", "FORCE=0")
    assert not list(echoing.root.rglob("pwned"))


def test_a_variable_of_the_machine_is_not_taken_for_an_argument(echoing: BakedProject) -> None:
    done = echoing.run("make", "VENV=.venv", "READY=", "dev-run", env={"N": "7", "TAG": "x"})

    assert done.stdout.splitlines() == ["-m", "harness", "dev-run"]
    assert arguments(echoing, "dev-run", "N=5") == ["-m", "harness", "dev-run", "--items=5"]


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("tag=e0.0.1", "did you mean TAG? "),
        ("MESSAGE=why", "did you mean MSG? "),
        ("EXECUTER=why", "did you mean EXECUTOR? "),
        ("it's`>pwned`';>pwned;'\\=x", ""),
    ],
)
def test_a_misspelt_variable_is_not_lost(echoing: BakedProject, typo: str, meant: str) -> None:
    refused = echoing.run("make", "VENV=.venv", "READY=", "experiment", typo, check=False)

    assert refused.returncode == 2
    assert f"there is no variable {typo.partition('=')[0]}; {meant}make lists" in refused.stderr
    assert " TAG MSG " in refused.stderr
    assert not list(echoing.root.rglob("pwned"))
    assert refused.stdout == ""
    # Started by another make, it gets that one's variables too.
    (echoing.root / "outer.mk").write_text("all:\n\t@$(MAKE) -s VENV=.venv READY= dev-run\n")
    assert "dev-run" in echoing.run("make", "-f", "outer.mk", typo).stdout


def test_a_variable_that_a_command_does_not_take_is_not_lost(echoing: BakedProject) -> None:
    """`make experiment WHERE=…` would run every configuration, and pay for it."""
    given = "WHERE=text=x'`touch pwned`$(shell touch pwned)"
    refused = echoing.run(
        "make", "VENV=.venv", "READY=", "experiment", "TAG=e0.0.1", given, check=False
    )
    assert refused.returncode == 2
    assert "experiment takes no WHERE (it takes MSG ALLOW FINAL TAG)" in refused.stderr
    assert refused.stdout == ""
    assert not list(echoing.root.rglob("pwned"))
    # What every command reads, and what it takes by way of a variable of the Makefile, is no loss.
    for taken in (["ready", "EXECUTOR=threads"], ["dev-run", "WHERE=a=b"], ["list", "FORMAT=json"]):
        assert taken[0] in echoing.run("make", "VENV=.venv", "READY=", *taken).stdout


def test_a_misspelt_command_is_named_with_those_that_are_like_it(echoing: BakedProject) -> None:
    refused = echoing.run("make", "VENV=.venv", "READY=", "experimnt", check=False)
    assert refused.returncode == 2
    assert "there is no command 'experimnt'; did you mean make experiment" in refused.stderr
    hostile = 'x`touch pwned`"; touch pwned $(shell touch pwned)'
    echoing.run("make", "VENV=.venv", "READY=", hostile, check=False)
    assert not list(echoing.root.rglob("pwned"))


def test_what_is_wrong_with_a_variable_is_said_by_its_name(bake: Bake) -> None:
    refused = bake().make("dev-run", check=False, N="abc")
    assert "Invalid value for 'N'" in refused.stderr
    assert "--items" not in refused.stderr


def test_bare_make_lists_every_command(bake: Bake) -> None:
    project = bake()
    listed = re.findall(r"^  make ([a-z-]+)", project.make().stdout, re.MULTILINE)
    [phony] = re.findall(r"^\.PHONY: ((?:.*\\\n)*.*)", project.read("Makefile"), re.MULTILINE)

    assert sorted(listed) == sorted(phony.replace("\\", "").split())
    assert {"setup", "dev-run", "experiment", "test", "help"} <= set(listed)
    assert "{" not in project.make().stdout


def test_every_listed_command_is_one_that_the_program_has(bake: Bake) -> None:
    project = bake()
    wanted = set(re.findall(r"-m harness ([a-z-]+)", project.read("Makefile")))
    done = project.run(sys.executable, "-m", "harness", "--help")
    have = set(re.findall(r"^[│ ]+([a-z-]+)  ", done.stdout, re.MULTILINE))

    assert wanted <= have, sorted(wanted - have)


def test_an_environment_that_runs_another_checkouts_harness_is_noticed(
    bake: Bake, tmp_path: Path
) -> None:
    one, two = bake(into=tmp_path / "one"), bake(into=tmp_path / "two")
    shared = {"PYTHONPATH": str(one.root / "src")}
    refused = two.run(sys.executable, "-m", "harness", "tags", check=False, env=shared)

    assert refused.returncode == 2
    assert f"runs the harness in {one.root / 'src/harness'}, not the one" in refused.stderr
    assert "fix: make setup" in refused.stderr
    two.run(sys.executable, "-m", "harness", "tags")


def test_the_templates_own_commands_are_listed() -> None:
    done = subprocess.run(["make"], cwd=REPOSITORY, check=True, capture_output=True, text=True)

    for command in ("demo", "test", "lint", "bench", "locks"):
        assert f"make {command} " in done.stdout


def test_a_commit_in_a_worktree_that_was_not_set_up_is_refused_in_one_sentence(
    bake: Bake, tmp_path: Path
) -> None:
    project = bake()
    bare = {"PRE_COMMIT_HOME": str(tmp_path / "pre-commit"), "PATH": "/usr/bin:/bin"}
    bare |= {"VENV": ".venv", "PYTHONPATH": ""}
    project.run(sys.executable, "-m", "pre_commit", "install")
    project.git("worktree", "add", "--quiet", str(tmp_path / "beside"), "-b", "beside")
    (tmp_path / "beside/src/benchmark/extra.py").write_text("import os\n")
    project.git("-C", str(tmp_path / "beside"), "add", "--all")

    commit = ("git", "-C", str(tmp_path / "beside"), "commit", "-m", "early")
    refused = project.run(*commit, check=False, env=bare)
    assert refused.returncode == 1
    said = refused.stdout + refused.stderr
    assert "error: this checkout has no environment" in said
    assert "fix: make setup" in said
    assert "ruff" not in said
    assert "Traceback" not in said


def test_git_hooks_work_without_network_or_activation(bake: Bake, tmp_path: Path) -> None:
    project = bake()
    no_network = {
        "PRE_COMMIT_HOME": str(tmp_path / "pre-commit"),
        "https_proxy": "http://127.0.0.1:9",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
    }
    project.run(sys.executable, "-m", "pre_commit", "install")
    project.run(sys.executable, "-m", "pre_commit", "validate-config")
    (project.root / "src/benchmark/extra.py").write_text("import os\nX  =  1   \n")
    project.git("add", "--all")

    refused = project.run("git", "commit", "-m", "ugly", check=False, env=no_network)
    assert refused.returncode == 1
    assert "F401" in refused.stderr + refused.stdout
    (project.root / "src/benchmark/extra.py").write_text("X = 1\n")
    project.git("add", "--all")
    project.run("git", "commit", "-m", "clean", env=no_network)

    (project.root / "data/big.csv").write_text(" \n\n" * 400_000)
    project.git("add", "--all")
    refused = project.run("git", "commit", "-m", "big", check=False, env=no_network)
    assert "make data hands them to DVC" in refused.stderr + refused.stdout
    assert project.read("data/big.csv") == " \n\n" * 400_000  # data stays as it is
    project.git("rm", "--quiet", "--cached", "data/big.csv")
    (project.root / "data/big.csv").unlink()

    project.git("checkout", "--quiet", "main")
    project.git("merge", "--quiet", "--no-commit", "--no-ff", "feat/first-benchmark")
    refused = project.run("git", "commit", "-m", "on main", check=False, env=no_network)
    assert refused.returncode == 1
    assert "main is a protected branch" in refused.stderr + refused.stdout
