"""What every run starts from: the grid with its keys, and a first look at all items."""

from dataclasses import dataclass

from harness.errors import HarnessError
from harness.project import holdout
from harness.project.contract import Project
from harness.project.folds import check_folds
from harness.project.grid import Grid, resolve_grid
from harness.project.tasks import Census, take_census
from harness.run import executor_check
from harness.version import dvc


@dataclass(frozen=True, slots=True)
class Prepared:
    """What every run starts from."""

    grid: Grid
    census: Census


def prepare(project: Project, limit: int | None) -> Prepared:
    """Fingerprint the code and look at every item once.

    Raises HarnessError where the project cannot be run as it is.
    """
    executor_check.check(project)
    holdout.check(project.settings.data, project.final, fitted=project.fit is not None)
    if missing := dvc.missing_data(project.root):
        names = ", ".join(missing[:5])
        raise HarnessError(f"DVC keeps {names}, and it is not here", fix="make pull")
    check_folds(project)
    grid = resolve_grid(project)
    census = take_census(project, limit)
    if project.fit is not None:
        # A fitted model depends on all items, also where only a few are evaluated.
        whole = census if limit is None else take_census(project, None)
        grid = grid.with_items(whole.digest)
    return Prepared(grid, census)
