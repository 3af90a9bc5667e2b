"""`make setup` for real: a fresh environment from the lock, by uv or without it."""

import importlib.util
import os
import re
import shutil
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from tests.template.conftest import REPOSITORY, SHELL, Bake, BakedProject


@pytest.fixture
def setup_env() -> ModuleType:
    """scripts/setup_env.py as a module."""
    spec = importlib.util.spec_from_file_location(
        "setup_env", REPOSITORY / SHELL / "scripts/setup_env.py"
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tools_without_uv(folder: Path) -> str:
    """A PATH with the usual tools and a Python, but without uv."""
    folder.mkdir()
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for name in ("python3", version):
        (folder / name).symlink_to(Path(sys.base_prefix, "bin", version))
    path = f"{folder}:/usr/bin:/bin"
    assert not shutil.which("uv", path=path)
    return path


def on_this_machine(project: BakedProject, *command: str, path: str = "") -> tuple[str, float]:
    """Output and seconds of a command that knows nothing of the tests' environment."""
    clean = {"PATH": path or os.environ["PATH"], "VENV": ".venv", "PYTHONPATH": ""}
    start = time.monotonic()
    return project.run(*command, env=clean).stdout, time.monotonic() - start


@pytest.mark.slow
@pytest.mark.parametrize("uv", ["with uv", "without uv"])
def test_a_fresh_checkout_sets_itself_up_once(bake: Bake, uv: str, tmp_path: Path) -> None:
    if uv == "with uv" and not shutil.which("uv"):
        pytest.skip("there is no uv on this machine's path")
    path = "" if uv == "with uv" else tools_without_uv(tmp_path / "tools")
    project = bake()
    first, _ = on_this_machine(project, "make", "VENV=.venv", "dev-run", "N=2", path=path)
    assert "Setting up .venv" in first
    assert "recorded in .dev/benchmark.db" in first

    again, seconds = on_this_machine(project, "make", "VENV=.venv", "setup", path=path)
    assert "Setting up" not in again
    assert seconds < 1
    assert project.changes() == ""
    # It is a package of the harness's version, whatever it is called.
    code = "from importlib.metadata import version; import harness; "
    code += "assert version('bench-my-benchmark') == harness.__version__"
    on_this_machine(project, ".venv/bin/python", "-c", code)
    # It is installed, so no PYTHONPATH is needed, wherever one stands.
    on_this_machine(project, ".venv/bin/python", "-m", "harness", "tags")
    assert ".venv/bin/python" in project.read(".git/hooks/pre-commit")


@pytest.mark.slow
def test_where_python_keeps_no_bytecode_it_is_made_once(
    setup_env: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in many container images: else every command compiles what it imports, again."""
    locked = (REPOSITORY / "requirements-dev.lock").read_text()
    entry = re.search(r"^iniconfig==.*(?:\n[ \t]+.*)*", locked, re.MULTILINE)
    assert entry
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"{entry[0]}\n")
    (tmp_path / "src/harness").mkdir(parents=True)
    (tmp_path / "src/harness/one.py").write_text("X = 1\n")
    monkeypatch.delenv("PYTHONPYCACHEPREFIX", raising=False)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    setup_env.set_up(tmp_path / ".venv", tmp_path, lock, "3.11")
    assert list((tmp_path / ".venv").rglob("iniconfig/__pycache__/*.pyc"))
    assert list((tmp_path / "src/harness/__pycache__").glob("one.*.pyc"))


def test_an_environment_that_was_moved_is_built_anew(
    setup_env: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its programs (dvc, activate, the git hook) name the place where it was made."""
    installed: list[Path] = []

    def install(venv: Path, python: str, lock: Path) -> None:
        installed.append(venv)
        (venv / "bin").mkdir(parents=True)
        (venv / "bin/python").touch()

    monkeypatch.setattr(setup_env, "install", install)
    monkeypatch.setattr(setup_env, "copy_duckdb_extension", lambda venv: "")
    old, new = tmp_path / "größe/.venv", tmp_path / "neu/.venv"
    lock = tmp_path / "requirements.lock"
    lock.write_text("")
    for venv in (old, old):
        setup_env.set_up(venv, tmp_path, lock, "3.11")
    assert installed == [old]

    old.parent.rename(new.parent)
    for venv in (new, new):
        setup_env.set_up(venv, tmp_path, lock, "3.11")
    assert installed == [old, new]


def test_another_python_that_is_asked_for_builds_the_environment_anew(
    setup_env: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And it stays, until another is asked for: what the project begins with is no wish."""
    made: list[str] = []

    def install(venv: Path, python: str, lock: Path) -> None:
        made.append(python)
        (venv / "bin").mkdir(parents=True, exist_ok=True)
        (venv / "bin/python").write_text(f"#!/bin/sh\necho {python.removeprefix('python')}\n")
        (venv / "bin/python").chmod(0o755)

    there = ["3.11", "3.12"]
    known = setup_env.version_of
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setattr(setup_env, "install", install)
    monkeypatch.setattr(setup_env, "copy_duckdb_extension", lambda venv: "")
    monkeypatch.setattr(
        setup_env,
        "version_of",
        lambda name: known(name) if "/" in name else name.removeprefix("python")
        if name.removeprefix("python") in there else "",
    )  # fmt: skip
    lock = tmp_path / "requirements.lock"
    lock.write_text("")

    for asked, expected in (("", "3.11"), ("3.12", "3.12"), ("", "3.12"), ("3.11", "3.11")):
        setup_env.set_up(tmp_path / ".venv", tmp_path, lock, "3.11", asked)
        assert made[-1] == f"python{expected}"
    assert len(made) == 3
    there.remove("3.12")
    setup_env.set_up(tmp_path / ".venv", tmp_path, lock, "3.11", "3.12")
    assert len(made) == 3
    assert (
        "there is no Python 3.12 on this machine; .venv stays as it is" in capsys.readouterr().out
    )


def test_a_lock_that_does_not_match_its_hash_is_refused(bake: Bake, tmp_path: Path) -> None:
    project = bake()
    (project.root / "wrong.lock").write_text(f"iniconfig==2.3.0 \\\n    --hash=sha256:{'0' * 64}\n")
    command = [sys.executable, "scripts/setup_env.py", "--venv", ".venv", "--lock", "wrong.lock"]
    done = project.run(*command, check=False)

    assert done.returncode == 2
    assert "the packages of wrong.lock could not be installed" in done.stderr
    assert "fix:" in done.stderr
    assert not (project.root / ".venv/.ready").exists()


@pytest.mark.slow
def test_a_uv_that_fails_says_why_before_pip_takes_its_place(bake: Bake, tmp_path: Path) -> None:
    project = bake()
    (project.root / "empty.lock").write_text("# nothing\n")
    uv = tmp_path / "tools/uv"
    path = tools_without_uv(uv.parent)
    uv.write_text('#!/bin/sh\ncase "$1" in --version) ;; *) echo "no index" >&2; exit 1;; esac\n')
    uv.chmod(0o755)
    command = ["python3", "scripts/setup_env.py", "--venv", ".venv", "--lock", "empty.lock"]
    done = project.run(*command, check=False, env={"PATH": path, "PYTHONPATH": ""})

    assert "note: uv: no index\nnote: pip installs instead, which takes longer" in done.stdout


def test_a_python_that_is_only_a_broken_shim_is_passed_over(
    setup_env: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tools_without_uv(tmp_path / "tools").split(":")[0]
    for name in ("python3.11", "python3.12"):
        Path(tools, name).unlink(missing_ok=True)
        Path(tools, name).write_text("#!/bin/sh\necho 'command not found' >&2\nexit 127\n")
        Path(tools, name).chmod(0o755)
    monkeypatch.setenv("PATH", tools)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))

    assert setup_env.find_python("3.12") == "python3"


def test_a_machine_without_a_fitting_python_says_what_to_install(
    setup_env: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup_env, "version_of", lambda name: "3.13")

    with pytest.raises(
        setup_env.SetupError, match=r"(?s)no Python 3\.12 or 3\.11 .*found: 3\.13.*fix: "
    ):
        setup_env.find_python("3.11")


def test_the_python_wanted_comes_before_another_that_would_do(
    setup_env: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {"python3": "3.11", "python3.12": "3.12"}
    monkeypatch.setattr(setup_env, "version_of", lambda name: there.get(name, ""))

    assert setup_env.find_python("3.11") == "python3"
    assert setup_env.find_python("3.12") == "python3.12"
    there.pop("python3.12")
    assert setup_env.find_python("3.12") == "python3"


@pytest.mark.slow
def test_make_lock_takes_up_a_new_package(bake: Bake) -> None:
    project = bake()
    wanted = project.root / "requirements-benchmark.in"
    wanted.write_text(wanted.read_text() + "cowsay==6.1\n")
    before = project.read("requirements.lock")
    project.make("lock")

    after = project.read("requirements.lock")
    assert "cowsay==6.1 ;" in after
    assert "://" not in after
    assert {line for line in before.splitlines() if "==" in line} <= set(after.splitlines())
