"""A project baked from the template, with verbs, so that the tests read as sentences."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.main import cookiecutter

REPOSITORY = Path(__file__).resolve().parents[2]
SHELL = "{{cookiecutter.project_slug}}"
QUESTIONS: dict[str, Any] = {
    key: value
    for key, value in json.loads((REPOSITORY / "cookiecutter.json").read_text("utf-8")).items()
    if not key.startswith("_")
}
KINDS = sorted(path.name for path in (REPOSITORY / SHELL / "kinds").iterdir() if path.is_dir())


@dataclass(frozen=True)
class BakedProject:
    """A generated repository. All of them share the environment that the tests run in.

    Only one could be installed there, so each is put on the path instead, as `make setup` would.
    """

    root: Path

    def run(
        self, *command: str, check: bool = True, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the project; with `check`, fail with all it printed."""
        done = subprocess.run(
            command,
            cwd=self.root,
            env={
                **os.environ,
                "VENV": sys.prefix,
                "PYTHONPATH": str(self.root / "src"),
                **(env or {}),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
        )
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def make(
        self, *targets: str, check: bool = True, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """`make` with the shared environment, which is ready (READY=)."""
        given = [f"{name}={value}" for name, value in variables.items()]
        return self.run("make", f"VENV={sys.prefix}", "READY=", *targets, *given, check=check)

    def git(self, *arguments: str, check: bool = True) -> str:
        """Standard output of a git command."""
        return self.run("git", *arguments, check=check).stdout.strip()

    def commit(self, message: str = "change") -> None:
        """Commit everything, without hooks."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--no-verify", "--message", message)

    def changes(self) -> str:
        """What git status says is not committed; "" for a clean tree."""
        return self.git("status", "--porcelain")

    def read(self, name: str) -> str:
        """The text of a file."""
        return (self.root / name).read_text(encoding="utf-8")

    def files(self) -> list[Path]:
        """Every file but git's own, as absolute paths."""
        return sorted(
            path
            for path in self.root.rglob("*")
            if path.is_file() and ".git" not in path.relative_to(self.root).parts
        )


Bake = Callable[..., BakedProject]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as a new checkout would have it: without the caches of its makers' tools."""
    copy = tmp_path_factory.mktemp("template")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY, check=True, capture_output=True, encoding="utf-8",
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, listed):
        if not (REPOSITORY / name).is_file():
            continue
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, copy / name)
    return copy


@pytest.fixture(autouse=True)
def git_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """git with an identity and nothing else of this machine, and a make that nobody started us by.

    Yields git's configuration file.
    """
    config = tmp_path_factory.mktemp("git") / "config"
    config.write_text("[user]\n\tname = Tester\n\temail = tester@localhost\n")
    patch = pytest.MonkeyPatch()
    for key in [key for key in os.environ if key.startswith(("GIT_", "MAKE", "MFLAGS"))]:
        patch.delenv(key)
    patch.setenv("GIT_CONFIG_GLOBAL", str(config))
    patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    yield config
    patch.undo()


@pytest.fixture
def bake(template: Path, tmp_path: Path) -> Bake:
    """`bake(kind="sklearn")` generates a project; `into` is the folder it is put in."""

    def baked(into: Path = tmp_path / "made", **answers: str) -> BakedProject:
        unknown = answers.keys() - QUESTIONS.keys()
        assert not unknown, f"cookiecutter would silently ignore {unknown}"
        into.mkdir(parents=True, exist_ok=True)
        made = cookiecutter(
            str(template), no_input=True, extra_context=answers, output_dir=str(into),
            default_config=True, accept_hooks=True,
        )  # fmt: skip
        return BakedProject(Path(made))

    return baked
