"""[looks] of PLAN.toml: results are looked at while an experiment runs, to end it once decided.

    [looks]
    at = [0.25, 0.5, 0.75, 1.0]    # shares of the items, or count = 4: as many, evenly
    seed = 0                       # draws which items come first

Items come in random order, drawn from their content (or their cluster) and the seed: what is known
at a look is a random part of all items, each under every configuration with all of its repeats.
"""

import hashlib
from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.project.contract import Project
from harness.project.values import Row

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_MOST = 50
# Not 0.05: levels are those of normal sums, and Student's bounds at ten looks are wrong in 5.2% of
# experiments with 40 items, in 5.1% with 100 (docs/decisions/statistics.md of the template).
ALPHA = 0.048


class Looks(BaseModel):
    """The looks that a plan registers; the last one is at all items."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    at: list[float] = []
    count: int | None = Field(default=None, ge=2, le=_MOST)
    seed: int = 0

    @model_validator(mode="after")
    def _can_be_made(self) -> "Looks":
        if bool(self.at) == (self.count is not None):
            raise ValueError("looks need either at or count")
        if self.at and (self.at[-1] != 1 or len(self.at) < 2 or len(self.at) > _MOST):
            raise ValueError(f"at needs 2 to {_MOST} shares of the items, the last of which is 1.0")
        if any(a >= b for a, b in zip([0.0, *self.at], self.at, strict=False)):
            raise ValueError("at needs shares above 0 that grow from look to look")
        return self

    @property
    def shares(self) -> list[float]:
        """The share of the items that is known at each look."""
        if self.count is None:
            return self.at
        return [number / self.count for number in range(1, self.count + 1)]

    def confidences(self, hypotheses: int = 1) -> list[float]:
        """Of the interval at each look, so that all looks at all hypotheses hold at 95%."""
        from harness.stats.sequential import look_levels  # here, as most plans have no looks

        alpha = ALPHA / max(1, hypotheses)
        return [1 - level for level in look_levels(self.shares, alpha)]

    def draw(
        self, parts: "Sequence[npt.NDArray[np.uint64]]"
    ) -> "tuple[npt.NDArray[np.uint8], ...]":
        """The look at which each item comes, from 1; `parts`: what items are drawn by.

        Each array is of one pass over the items; equal numbers come together.
        """
        import numpy as np

        distinct, code = np.unique(np.concatenate(parts), return_inverse=True)
        order = np.argsort([self._drawn(int(each)) for each in distinct])
        ends = [ceil(share * distinct.size - 1e-9) for share in self.shares]
        look = np.empty(distinct.size, dtype=np.uint8)
        look[order] = np.searchsorted(ends, np.arange(distinct.size), side="right") + 1
        return tuple(np.split(look[code], np.cumsum([part.size for part in parts])[:-1]))

    def _drawn(self, number: int) -> bytes:
        return hashlib.blake2b(f"{self.seed} {number}".encode(), digest_size=8).digest()


def looks_problem(project: Project, looks: Looks | None, metrics: Sequence[str]) -> str:
    """Why this project cannot be looked at while it runs; "" where it can. `metrics`: planned."""
    if looks is None:
        return ""
    if not metrics:
        return "[looks] end a run once every hypothesis is decided, and the plan has none"
    if project.fit is not None:
        return "[looks] need items that can come later, and fit makes its models from all of them"
    if project.kind.in_phases(project.settings.run.executor) or project.failures_are_results:
        return "[looks] need items that stand for themselves, and a phase of load is one as a whole"
    if together := sorted(set(metrics) & set(project.aggregates)):
        return (
            f"[looks] need a score of each item, and {', '.join(together)} "
            f"{'is an aggregate' if len(together) == 1 else 'are aggregates'} of rows together"
        )
    return ""


def ended_words(look: Row, ended: str) -> str:
    """How a plan ended an experiment before all items, and what that saved; `look` as recorded."""
    why = "the next look would not fit in the budget"
    if ended == "decided":
        why = "every hypothesis is decided"
    saved = look["of_tasks"] - look["tasks"]
    return (
        f"Ended by its plan at look {look['look']} of {look['of']}, after {look['items']:,} of "
        f"{look['of_items']:,} items: {why}. That saved {saved:,} of {look['of_tasks']:,} "
        f"predictions ({saved / look['of_tasks']:.0%})"
    )
