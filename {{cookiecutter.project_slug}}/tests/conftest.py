"""A trial of this benchmark for its tests: real items, the real harness, a folder apart."""

import dataclasses
import itertools
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.experiment import prepare
from harness.project import Project
from harness.run import run

ROOT = Path(__file__).parents[1]


@dataclass
class Trial:
    """Runs a few items of the first configuration. `calls` has the id of each execution of predict.

    `breaks` makes predict raise; nothing is written outside `folder`.
    """

    folder: Path
    calls: list[str] = field(default_factory=list)
    breaks: Exception | None = None

    def __call__(self, experiment: str = "e0.0.1", items: int = 3) -> list[dict[str, Any]]:
        """The rows of `experiment` after running it."""
        project = Project.open(ROOT)
        settings = project.settings.model_copy(
            update={
                "run": project.settings.run.model_copy(update={"executor": "serial", "repeats": 1}),
                "store": project.settings.store.model_copy(update={"layout": "append-only"}),
            }
        )
        project = dataclasses.replace(project, settings=settings, grid=project.grid[:1])
        ready = prepare(project, items)

        def counting(item: dict[str, Any], *arguments: Any) -> dict[str, Any]:
            self.calls.append(str(item["id"]))
            if self.breaks is not None:
                raise self.breaks
            return project.predict(item, *arguments)

        # Only now: the fingerprint is of the real files, the results go elsewhere.
        apart = dataclasses.replace(project, root=self.folder, predict=counting, files=None)
        run(apart, experiment, ready.context, ready.census, {}, items)
        with sqlite3.connect(self.folder / "results" / "benchmark.db") as connection:
            connection.row_factory = sqlite3.Row
            query = "SELECT * FROM predictions WHERE experiment_version = ? ORDER BY input_id"
            return [dict(row) for row in connection.execute(query, (experiment,))]


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    """`trial()` runs three items and returns their rows."""
    return Trial(tmp_path)


@pytest.fixture
def items() -> list[dict[str, Any]]:
    """The first items of the dataset."""
    project = Project.open(ROOT)
    return list(itertools.islice(project.items(project.grid[0]), 50))
