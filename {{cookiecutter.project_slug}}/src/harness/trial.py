"""For the tests of a benchmark: a few real items through the real harness, in a separate folder."""

import dataclasses
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

from harness.project.contract import Item, Project
from harness.project.values import Row
from harness.record.layout import JUDGEMENTS, Place
from harness.run.loop import run
from harness.run.prepared import prepare


@dataclass
class Trial:
    """Runs a few items of the first configuration; nothing is written outside `folder`.

    `calls` has the id of each execution of predict; `breaks` makes predict raise.
    """

    root: Path
    folder: Path
    calls: list[str] = field(default_factory=list)
    breaks: Exception | None = None

    def __call__(self, experiment: str = "e0.0.1", items: int = 3) -> list[Row]:
        """The rows of `experiment` after running it; `judgements` are empty: no judge is asked."""
        project = Project.open(self.root)
        settings = project.settings.model_copy(
            update={
                "run": project.settings.run.model_copy(update={"executor": "serial", "repeats": 1}),
                "store": project.settings.store.model_copy(update={"layout": "append-only"}),
            }
        )

        def counting(item: Item, *arguments: object, **named: int) -> Row:
            self.calls.append(str(item["id"]))
            if self.breaks is not None:
                raise self.breaks
            return project.predict(item, *arguments, **named)

        alone = dataclasses.replace(
            project, settings=settings, grid=project.grid[:1], predict=counting
        )
        ready = prepare(alone, items)
        place = Place(self.folder / "results/benchmark.db", "predictions", self.folder / ".cache")
        run(alone, experiment, ready.grid, ready.census, {}, items, place)
        with sqlite3.connect(place.db) as connection:
            connection.row_factory = sqlite3.Row
            query = "SELECT * FROM predictions WHERE experiment_version = ? ORDER BY input_id"
            judged: Row = {} if project.judge is None else {JUDGEMENTS: []}
            return [dict(row) | judged for row in connection.execute(query, (experiment,))]
