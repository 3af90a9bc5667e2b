"""Which tag the next experiment should take: what is here now, held against the newest one."""

from pathlib import Path

from harness.project.contract import Project
from harness.read.catalogue import catalogue
from harness.read.excerpt import recorded_of
from harness.run.prepared import prepare
from harness.run.provenance import provenance
from harness.version import git
from harness.version.next_version import Next, first_version, next_version
from harness.version.published import published


def suggest(root: Path) -> Next:
    """The next tag and why. Raises HarnessError where the project cannot be run as it is."""
    project = Project.open()
    found = published(root, project.settings)
    if not found.newest:
        return first_version()
    newest = catalogue(root, project.settings, found)[-1]
    if not newest.runs:
        newest = recorded_of(root, newest)
    ready = prepare(project, None)
    now = provenance(project, ready.grid, ready.census, "experiment", {})
    return next_version(git.version(newest.tag), newest.run, now, newest.tag)
