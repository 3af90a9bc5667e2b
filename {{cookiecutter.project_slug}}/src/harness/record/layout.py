"""Which database, tables and cache an experiment uses: three layouts, and a separate dev phase."""

import re
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError
from harness.project.settings import Settings

DEV = "dev"
TAG = re.compile(r"e(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)\Z")
JUDGEMENTS = "judgements"
JUDGE_RUNS = "judge_runs"
UNFINISHED = "unfinished"  # metrics.score_version, while scores are computed again


@dataclass(frozen=True, slots=True)
class Place:
    """Where one experiment's rows go."""

    db: Path
    predictions: str
    cache: Path
    metrics: str = "metrics"
    runs: str = "runs"
    # Tables whose rows were paid for by the same experiment.
    beside: tuple[str, ...] = (JUDGEMENTS,)
    # Whether rows of several versions of the code may stand side by side.
    mixed: bool = False

    def of_judgements(self) -> "Place":
        """Where judgements of the same rows go."""
        return Place(
            self.db,
            JUDGEMENTS,
            self.cache,
            runs=JUDGE_RUNS,
            beside=(self.predictions,),
            mixed=True,
        )


def place_for(root: Path, settings: Settings, experiment: str) -> Place:
    """The place of an experiment; `experiment` is a tag such as `e0.0.1`, or `dev`.

    Raises HarnessError for any other name: it becomes part of a path.
    """
    if experiment == DEV:
        return Place(root / ".dev/benchmark.db", "predictions", root / ".dev/cache")
    if not TAG.match(experiment):
        raise HarnessError(f"{experiment!r} is no experiment tag (e1.2.3)", fix="make tags")
    layout = settings.store.layout
    cache = root / ".cache"
    if layout == "database-per-experiment":
        return Place(root / f"results/{experiment}.db", "predictions", cache)
    table = "predictions"
    if layout == "table-per-experiment":
        table = "predictions_" + experiment.replace(".", "_")
    return Place(root / "results/benchmark.db", table, cache)


def databases(root: Path, settings: Settings, phase: str) -> list[Path]:
    """The databases of a phase (`dev` or `experiment`) that exist, oldest name first."""
    if phase == DEV:
        found = [root / ".dev/benchmark.db"]
    elif settings.store.layout == "database-per-experiment":
        found = sorted((root / "results").glob("e*.db"))
    else:
        found = [root / "results/benchmark.db"]
    return [path for path in found if path.exists()]
