"""Fixtures that several tests of the harness share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.project_fixture import Bench


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder of this test process: DuckDB, DVC and Python's bytecode go there."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def make_bench(tmp_path: Path, home: Path) -> Callable[..., Bench]:
    """Makes a benchmark repository: `make_bench(name, dvc=True)`."""

    def make(name: str = "bench", *, dvc: bool = False) -> Bench:
        return Bench(tmp_path / name, home, dvc=dvc)

    return make


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    """A benchmark repository of four items and two configurations, kept by git alone."""
    return make_bench()
