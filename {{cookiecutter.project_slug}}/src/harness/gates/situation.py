"""What the gates look at, and what one says that blocks."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.findings import Finding
from harness.project.contract import Project
from harness.project.grid import Grid
from harness.project.tasks import Census


@dataclass(frozen=True, slots=True)
class Situation:
    """What the gates look at. `tag` is None where only readiness is asked."""

    project: Project
    grid: Grid
    census: Census
    tag: str | None = None

    @property
    def root(self) -> Path:
        """The repository."""
        return self.project.root


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why a gate blocks, and the command that fixes it.

    A `final` one cannot be overridden. What is `later` the experiment sees to itself, before it
    runs anything.
    """

    message: str
    fix: str
    final: bool = False
    later: bool = False


def blocked_by(findings: Iterable[Finding], look: str) -> Blocked | None:
    """The errors among findings as one verdict; warnings do not block."""
    errors = [finding for finding in findings if finding.severity == "error"]
    if not errors:
        return None
    fixes = " ; ".join(dict.fromkeys(f.fix for f in errors if f.fix))
    return Blocked("; ".join(f.message for f in errors), fixes or look)
