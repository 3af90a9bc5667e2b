"""What a stranger may hand over: answers in a replay file, names of files, values of variables."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from cookiecutter.exceptions import FailedHookException
from cookiecutter.main import cookiecutter

from tests.template.conftest import QUESTIONS, REPOSITORY, Bake


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file of the person, beside the folder that projects are generated into."""
    path = tmp_path / "outside.txt"
    path.write_text("mine")
    return path


@pytest.mark.parametrize("key", ["license", "kind", "engine", "layout", "use_dvc"])
def test_a_replay_file_holds_no_answer_that_could_not_be_given(
    template: Path, tmp_path: Path, outside: Path, key: str, capfd: pytest.CaptureFixture[str]
) -> None:
    answers = {
        name: each[0] if isinstance(each, list) else each for name, each in QUESTIONS.items()
    }
    answers |= {"project_slug": "x", "__toml_name": "x", "__toml_description": "x"}
    answers |= {"__toml_author": "x", key: "../../outside.txt"}
    replay = tmp_path / "replay.json"
    replay.write_text(json.dumps({"cookiecutter": answers}))
    (tmp_path / "made").mkdir()

    with pytest.raises(FailedHookException):
        cookiecutter(
            str(template), replay=str(replay), output_dir=str(tmp_path / "made"), accept_hooks=True
        )
    assert f"{key} is '../../outside.txt'; it has to be one of" in capfd.readouterr().err
    assert outside.read_text() == "mine"
    assert not list((tmp_path / "made").iterdir())


def test_the_hook_knows_the_choices_that_are_offered() -> None:
    hook = (REPOSITORY / "hooks/pre_gen_project.py").read_text(encoding="utf-8")
    [known] = [
        {
            ast.literal_eval(key): ast.literal_eval(value)
            for key, value in zip(each.value.keys, each.value.values, strict=True)
            if key is not None and ast.unparse(key) != "'kind'"
        }
        for each in ast.parse(hook).body
        if isinstance(each, ast.Assign) and isinstance(each.value, ast.Dict)
        if ast.unparse(each.targets[0]) == "CHOICES"
    ]
    offered = {key: tuple(each) for key, each in QUESTIONS.items() if isinstance(each, list)}
    del offered["kind"]  # read from cookiecutter.json
    assert known == offered


def test_a_file_called_like_an_option_does_not_pass_the_hooks(bake: Bake, tmp_path: Path) -> None:
    project = bake()
    project.run(sys.executable, "-m", "pre_commit", "install")
    (project.root / "--help").write_text("<<<<<<< ours\nimport os   \n=======\n")
    (project.root / "--version.py").write_text("import os\nX  =  1   \n")
    project.git("add", "--all")
    env = {"PRE_COMMIT_HOME": str(tmp_path / "pre-commit")}
    refused = project.run("git", "commit", "-m", "names", check=False, env=env)

    said = refused.stdout + refused.stderr
    assert refused.returncode == 1
    assert "F401" in said
    assert "Fixing --help" in said
    assert "usage:" not in said


def test_the_name_of_a_python_or_an_environment_is_no_command(bake: Bake, tmp_path: Path) -> None:
    project = bake()
    (tmp_path / "tools").mkdir()
    echo = tmp_path / "tools/python3"  # the real one would set up an environment
    echo.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    echo.chmod(0o755)
    machine = {"PATH": f"{echo.parent}:/usr/bin:/bin", "VENV": "nowhere"}
    for text in ('x"; touch pwned; "', "$(touch pwned)", "$(shell touch pwned)", "`touch pwned`"):
        said = project.run("make", "setup", f"PYTHON={text}", env=machine).stdout
        assert f"--python={text}" in said.split("\n")
        # From the machine, as from a step of a workflow.
        said = project.run("make", "setup", env=machine | {"PYTHON": text}).stdout
        assert f"--usual={text}" in said.split("\n")
        given = ("make", "READY=", "lint", f"VENV={text}")
        for refused in (
            project.run(*given, check=False, env=machine),
            project.run("make", "setup", check=False, env=machine | {"VENV": text}),
        ):
            assert refused.returncode == 2
            assert "VENV is to be the name of a folder" in refused.stderr
    assert not list(project.root.rglob("pwned"))


def test_generating_over_a_project_keeps_what_the_person_changed_where_asked(
    template: Path, bake: Bake, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    project = bake(kind="sklearn", use_dvc="no", license="MIT")
    mine = {
        "src/benchmark/predict.py": "PREDICT = 'mine'\n",
        "PLAN.toml": "# mine\n",
        "requirements.lock": "# mine\n",
        "LICENSE": "mine\n",
        ".cruft.json": "{}\n",
        "results/mine_cache.txt": "mine\n",
        ".venv/lib/__pycache__/x.pyc": "mine\n",
    }
    for name, text in mine.items():
        (project.root / name).parent.mkdir(parents=True, exist_ok=True)
        (project.root / name).write_text(text)
    (project.root / "tests/test_benchmark.py").unlink()
    capfd.readouterr()
    answers = {"kind": "sklearn", "use_dvc": "no", "license": "Apache-2.0"}

    def again(skip: bool) -> str:
        cookiecutter(
            str(template), no_input=True, extra_context=answers, default_config=True,
            output_dir=str(tmp_path / "made"), overwrite_if_exists=True, skip_if_file_exists=skip,
        )  # fmt: skip
        return capfd.readouterr().out

    said = again(skip=True)
    assert {name: project.read(name) for name in mine} == mine
    assert (project.root / "tests/test_benchmark.py").exists()
    assert "stayed as they were; 3 of them differ" in said
    assert "PLAN.toml, requirements.lock, src/benchmark/predict.py" in said
    for name in (".before-generation.json", "kinds", "licenses", "requirements-without-dvc.lock"):
        assert not (project.root / name).exists()
    # Without -s, overwriting is what was asked for.
    assert "stayed as they were" not in again(skip=False)
    assert project.read("src/benchmark/predict.py") != mine["src/benchmark/predict.py"]
    assert "Apache" in project.read("LICENSE")
    assert project.read(".venv/lib/__pycache__/x.pyc") == "mine\n"


def test_a_machine_without_a_fitting_python_is_warned_of_it_at_once(
    bake: Bake,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    newer = '#!/bin/sh\ncase "$1" in -c) echo 3.13;; *) exec "{}" "$@";; esac\n'
    fake = tools / "python3"
    fake.write_text(newer.format(sys.executable))
    fake.chmod(0o755)
    for name in ("python", "python3.11", "python3.12"):
        (tools / name).symlink_to(fake)
    git = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout
    (tools / "git").symlink_to(git.strip())
    (tools / "sh").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    # The Python that cookiecutter runs in counts too.
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(f"import sys\nsys.executable = {str(fake)!r}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    project = bake()

    said = capfd.readouterr().out
    assert "Warning: no Python 3.12 or 3.11 on this machine (found: 3.13)" in said
    assert "uv python install 3.12" in said
    assert "Next: cd my-benchmark" in said
    assert (project.root / "src/benchmark/predict.py").exists()
