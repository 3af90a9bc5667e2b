"""A generated project of the kind `llm`, and what a test does with it."""

import importlib
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cookiecutter.main import cookiecutter

REPOSITORY = Path(__file__).resolve().parents[3]
KEY = "sk-marker-7f3b9c51e2d84a06"


@dataclass
class LlmProject:
    """A repository; commands run with a clean environment but for `environment`."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def setting(self, section: str, **values: Any) -> None:
        """Change keys that stand in a section of benchmark.toml."""
        path = self.root / "benchmark.toml"
        before, head, rest = path.read_text("utf-8").partition(f"[{section}]\n")
        body, gap, after = rest.partition("\n\n")
        for name, value in values.items():
            body, count = re.subn(rf"(?m)^{name} = .*", f"{name} = {json.dumps(value)}", body)
            assert count == 1, f"[{section}] has no {name}"
        path.write_text(before + head + body + gap + after, encoding="utf-8")

    def ask(self, url: str, model: str = "faulty-1") -> None:
        """Point the project at a server, with the marker as its key."""
        self.environment |= {
            "OPENAI_BASE_URL": url,
            "OPENAI_MODEL": model,
            "OPENAI_API_KEY": KEY,
        }

    def endpoint(self, name: str, url: str, **values: Any) -> None:
        """Declare an endpoint in benchmark.toml."""
        lines = [f"{key} = {json.dumps(value)}" for key, value in {"url": url, **values}.items()]
        with (self.root / "benchmark.toml").open("a", encoding="utf-8") as file:
            file.write("\n".join(["", f"[llm.endpoints.{name}]", *lines, ""]))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """`python -m harness …` under way."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("OPENAI_")}
        return subprocess.Popen(
            [sys.executable, "-m", "harness", *arguments],
            cwd=self.root,
            env=clean | {"PYTHONPATH": str(self.root / "src")} | self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def harness(self, *arguments: str, seconds: float = 300) -> tuple[int, str]:
        """Exit code and all that was printed, in one line where it was wrapped."""
        process = self.start(*arguments)
        printed, _ = process.communicate(timeout=seconds)
        return process.returncode, " ".join(printed.split())

    def experiment(self, tag: str = "e0.0.1") -> tuple[int, str]:
        """Run or resume an experiment without the dev phase that its gates ask for."""
        self.commit()
        return self.harness("experiment", tag, "--allow=dev-run,tests,inspect,items,plan")

    def rows(
        self, database: str = ".dev/benchmark.db", table: str = "predictions"
    ) -> list[dict[str, Any]]:
        """A table of a database."""
        with sqlite3.connect(self.root / database) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]

    def grid(self, text: str) -> None:
        """Replace GRID."""
        path = self.root / "src/benchmark/params.py"
        before = path.read_text("utf-8").partition("GRID = ")[0]
        path.write_text(f"{before}GRID = {text}\n", encoding="utf-8")

    def commit(self) -> None:
        """Commit all changes."""
        name = ["-c", "user.name=Tester", "-c", "user.email=tester@localhost"]
        quietly = ["--quiet", "--no-verify", "--allow-empty", "--message=change"]
        for arguments in (["add", "--all"], ["commit", *quietly]):
            subprocess.run(["git", *name, *arguments], cwd=self.root, check=True)


def bake(folder: Path) -> LlmProject:
    """Generate into `folder`."""
    made = cookiecutter(
        str(REPOSITORY), no_input=True, extra_context={"kind": "llm", "use_dvc": "no"},
        output_dir=str(folder), default_config=True, accept_hooks=True,
    )  # fmt: skip
    return LlmProject(Path(made))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LlmProject:
    """A fresh project that retries without much waiting."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    project = bake(tmp_path)
    project.setting("retry", wait_seconds=0.01, max_wait_seconds=0.1)
    project.setting("llm", timeout_seconds=1)
    project.commit()
    return project


@pytest.fixture(scope="module")
def kind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The modules of a generated project, which waits a second for a server and has a key."""
    project = bake(tmp_path_factory.mktemp("llm"))
    project.setting("llm", timeout_seconds=1)
    project.setting("retry", wait_seconds=0.01, max_wait_seconds=0.1)
    patch = pytest.MonkeyPatch()
    for name in ("OPENAI_BASE_URL", "OPENAI_MODEL"):
        patch.delenv(name, raising=False)
    patch.setenv("OPENAI_API_KEY", KEY)
    patch.setattr(sys, "path", [str(project.root / "src"), *sys.path])
    ours = [name for name in sys.modules if name.partition(".")[0] == "benchmark"]
    kept = {name: sys.modules.pop(name) for name in ours}
    names = (
        "llm.client", "llm.endpoint", "llm.faults", "llm.prices", "llm.request", "llm.waits",
        "llm.answer", "llm.prompt", "llm.canned", "llm.conversation", "llm.verdict", "llm.pace",
        "dataset", "predict", "params", "metrics",
    )  # fmt: skip
    yield SimpleNamespace(
        root=project.root,
        **{name.rpartition(".")[2]: importlib.import_module(f"benchmark.{name}") for name in names},
    )
    for name in [name for name in sys.modules if name.partition(".")[0] == "benchmark"]:
        del sys.modules[name]
    sys.modules.update(kept)
    patch.undo()
