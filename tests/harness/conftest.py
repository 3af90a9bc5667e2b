"""Fixtures that several tests of the harness share."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.project_fixture import SOURCE, Bench
from tests.harness.versioned import with_a_past
from tests.harness.warm import WarmProcess

# Scripts run as in a project, where the harness is installed.
os.environ["PYTHONPATH"] = str(SOURCE)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder of this test process: DuckDB, DVC and Python's bytecode go there."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def warm(home: Path) -> Iterator[WarmProcess]:
    """A process whose forks run commands without importing everything anew."""
    process = WarmProcess(
        {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(home),
            "PYTHONPATH": str(SOURCE),
            "PYTHONPYCACHEPREFIX": str(home / "bytecode"),
        }
    )
    yield process
    process.close()


@pytest.fixture
def make_bench(tmp_path: Path, home: Path, warm: WarmProcess) -> Callable[..., Bench]:
    """Makes a benchmark repository: `make_bench(name, dvc=True, fresh=True)`.

    `fresh` starts each command from nothing instead of from a warm process.
    """

    def make(name: str = "bench", *, dvc: bool = False, fresh: bool = False) -> Bench:
        return Bench(tmp_path / name, home, dvc=dvc, warm=None if fresh else warm)

    return make


@pytest.fixture(scope="module")
def make_module_bench(
    tmp_path_factory: pytest.TempPathFactory, home: Path, warm: WarmProcess
) -> Callable[..., Bench]:
    """Makes a benchmark repository that all tests of a module look at (`dvc=True`)."""

    def make(*, dvc: bool = False) -> Bench:
        return Bench(tmp_path_factory.mktemp("shared") / "bench", home, dvc=dvc, warm=warm)

    return make


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    """A benchmark repository of four items and two configurations, kept by git alone."""
    return make_bench()


@pytest.fixture(scope="session")
def _tagged(tmp_path_factory: pytest.TempPathFactory, home: Path, warm: WarmProcess) -> Bench:
    made = Bench(tmp_path_factory.mktemp("tagged") / "bench", home, warm=warm)
    made.experiment("e0.0.1")
    return made


@pytest.fixture
def tagged(_tagged: Bench, tmp_path: Path) -> Bench:
    """A benchmark repository, kept by git alone, in which e0.0.1 has been published."""
    return _tagged.copy(tmp_path / "bench")


@pytest.fixture(scope="session")
def _tagged_by_dvc(
    tmp_path_factory: pytest.TempPathFactory, home: Path, warm: WarmProcess
) -> Bench:
    made = Bench(tmp_path_factory.mktemp("tagged") / "bench", home, dvc=True, warm=warm)
    made.experiment("e0.0.1")
    return made


@pytest.fixture
def tagged_by_dvc(_tagged_by_dvc: Bench, tmp_path: Path) -> Bench:
    """The same, its database kept by DVC."""
    return _tagged_by_dvc.copy(tmp_path / "bench")


@pytest.fixture(scope="session")
def past(tmp_path_factory: pytest.TempPathFactory, home: Path, warm: WarmProcess) -> Bench:
    """A benchmark repository with three experiments on two branches; leave it as it is."""
    return with_a_past(Bench(tmp_path_factory.mktemp("past") / "bench", home, warm=warm))
