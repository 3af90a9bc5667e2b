"""Whether the executor of the settings can run a project at all, before anything is run on it."""

from harness import system
from harness.errors import HarnessError
from harness.project.contract import Project
from harness.project.kind import resolve

_FILES, _FILES_EACH = 64, 2  # what the driver has open, and what each worker process adds


def check(project: Project) -> None:
    """Raises HarnessError where the executor named in the settings cannot run this project."""
    own = project.kind.executors.get(project.settings.run.executor)
    if own is not None and own.check:
        resolve(own.check)(project)
    if project.settings.run.executor == "processes":
        _check_files(project.settings.run.workers)
    if project.settings.run.executor == "async":
        from harness.run.asynchronous import check_async

        check_async(project)
    if project.settings.run.executor == "dask":
        from harness.run.cluster import check_cluster

        check_cluster(project)


def _check_files(workers: int) -> None:
    """Raise HarnessError where this process may not open what so many worker processes need."""
    system.allow_files()
    most, needed = system.most_files(), _FILES + _FILES_EACH * workers
    if most is not None and most < needed:
        raise HarnessError(
            f"{workers} workers need about {needed} open files, and a process may open {most} here",
            fix=f"ulimit -n {needed}, or workers = {max(1, (most - _FILES) // _FILES_EACH)} in "
            "[run] of benchmark.toml",
        )
