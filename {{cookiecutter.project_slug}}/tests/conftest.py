"""A trial of this benchmark for its tests: real items, the real harness, a folder apart."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from harness.project.contract import Project
from harness.trial import Trial

ROOT = Path(__file__).parents[1]


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    """`trial()` runs three items and returns their rows."""
    return Trial(ROOT, tmp_path)


@pytest.fixture
def items() -> list[dict[str, Any]]:
    """The first items of the dataset."""
    project = Project.open(ROOT)
    return list(itertools.islice(project.items(project.grid[0]), 50))
