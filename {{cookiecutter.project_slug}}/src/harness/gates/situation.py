"""What the gates look at, and what one says that blocks."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness.findings import Finding
from harness.project.contract import Project
from harness.project.grid import Grid
from harness.project.tasks import Census

if TYPE_CHECKING:
    from harness.measure.forecast import Forecast


@dataclass(frozen=True)
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

    @cached_property
    def forecasts(self) -> "list[Forecast]":
        """What the items of a full run can tell of each hypothesis of the plan."""
        from harness.gates.planned import power_forecasts

        return power_forecasts(self)


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
