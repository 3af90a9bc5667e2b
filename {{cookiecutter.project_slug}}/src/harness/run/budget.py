"""What a run will cost, shown before it starts, and a limit that it does not exceed.

`estimate(item, params)` in predict.py gives the expected cost of one call in USD, or None where the
price is unknown. The driver admits datapoints; a worker asks for one more call of its own, where an
attempt failed that the server may charge for all the same.
"""

import math
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.errors import HarnessError


class Budget:
    """Admits calls as long as what was spent plus what is in flight stays within `limit_usd`.

    spent_usd: what earlier runs of the same experiment spent, so that a resumed one counts on.
    limit_usd: 0 for no limit.
    """

    def __init__(self, limit_usd: float, spent_usd: float = 0.0) -> None:
        self.limit = limit_usd
        self.total = spent_usd
        self._reserved = 0.0
        self._surcharge = 1.0
        self._lock = threading.Lock()

    def admit(self, estimate: float | None) -> bool:
        """Reserve the estimate (USD) and return True, or return False where it does not fit.

        Raises HarnessError where there is a limit and no estimate: it could not be kept.
        """
        if not self.limit:
            return True
        if estimate is None or not 0 <= estimate < float("inf"):
            raise HarnessError(
                f"[limits] max_cost_usd is {self.limit:g}, but what a call costs is not known"
                f" (estimate() gave {estimate})",
                fix="let estimate() in predict.py, or in judge.py where it asks, return a number "
                "(add the model's price where there is a prices.toml); or set max_cost_usd = 0",
            )
        return self.more(estimate)

    def more(self, estimate: float) -> bool:
        """Reserve the estimate (USD) of one more call; False where it does not fit."""
        with self._lock:
            # Where calls cost more than estimated, later calls are reserved at that higher rate.
            if self.total + self._surcharge * (self._reserved + estimate) > self.limit:
                return False
            self._reserved += estimate
            return True

    def spent(
        self, estimate: float | None, cost: float | None, lost: int = 0, calls: int = 1
    ) -> None:
        """Count an outcome: its cost in USD, or its estimate where none is known.

        lost: attempts that gave nothing and may be charged; each counts as estimated. calls: how
        many calls were reserved for it, with those that `more` granted.
        """
        paid = estimate or 0.0 if cost is None or math.isnan(cost) else float(cost)
        with self._lock:
            self.total += paid + lost * (estimate or 0.0)
            if self.limit and estimate:
                self._reserved = max(0.0, self._reserved - calls * estimate)
                self._surcharge = max(self._surcharge, paid / estimate)

    def refusal(self, estimate: float | None) -> str:
        """Why the next call, with its estimate in USD, was not admitted."""
        kept = self._surcharge * self._reserved
        reserved = f", {kept:.4f} reserved for calls that are under way" if kept else ""
        return (
            f"the next call could exceed the budget ([limits] max_cost_usd): {self.total:.4f} USD "
            f"of {self.limit:.4f} spent{reserved}, and the next one may cost "
            f"{self._surcharge * (estimate or 0.0):.4f}"
        )


@dataclass(slots=True)
class Share:
    """One configuration's part of a forecast; `unpriced` counts new calls without an estimate."""

    new: int = 0
    cached: int = 0
    cost: float = 0.0
    unpriced: int = 0


@dataclass(slots=True)
class Forecast:
    """What a run would do, by configuration in the order of the grid; `priced` where it costs."""

    priced: bool = True
    shares: dict[str, Share] = field(default_factory=dict)

    @property
    def total(self) -> Share:
        """All configurations together."""
        total = Share()
        for part in self.shares.values():
            total.new += part.new
            total.cached += part.cached
            total.cost += part.cost
            total.unpriced += part.unpriced
        return total

    def lines(self, limit: float = 0) -> list[str]:
        """For people: one line a configuration, then the sum, and what `limit` (USD) means for it.

        limit: [limits] max_cost_usd; 0 for none.
        """
        rows = [*self.shares.items(), ("all", self.total)]
        width = max(len(name) for name, _ in rows)
        lines = [f"{name:<{width}}  {_words(share, self.priced)}" for name, share in rows]
        return lines + ([said] if (said := self._refused(limit)) else [])

    def _refused(self, limit: float) -> str:
        """Why a run of all this would stop at a limit; "" where it would not."""
        total = self.total
        asked = f"note: [limits] max_cost_usd is {limit:g}"
        if not limit or not total.new:
            return ""
        if not self.priced or total.unpriced:
            return f"{asked}, and a run stops before a call whose cost is not known"
        if total.cost > limit:
            return (
                f"{asked}, less than this may cost: a run may stop at it before all is done; "
                "raise it in benchmark.toml and commit that before the experiment"
            )
        return ""


def forecast(
    tasks: Iterable[tuple[str, str, float | None]],
    priced: bool = True,
    names: Iterable[str] = (),
) -> Forecast:
    """Sum up (configuration, "new" | "cached", estimate in USD or None) for each task.

    `names` of configurations come in their order, whatever the order of the tasks.
    """
    result = Forecast(priced, {name: Share() for name in names})
    for name, state, estimate in tasks:
        share = result.shares.setdefault(name, Share())
        setattr(share, state, getattr(share, state) + 1)
        if state == "new":
            share.unpriced += estimate is None
            share.cost += estimate or 0.0
    return result


def _words(share: Share, priced: bool) -> str:
    counts = f"{share.new} new, {share.cached} cached"
    if not priced:
        return counts
    if not share.new:
        money = "0 USD"
    elif share.unpriced == share.new:
        money = "cost unknown: no price is known"
    else:
        money = f"at most about {share.cost:.4f} USD"
        money += f" and {share.unpriced} calls without a price" if share.unpriced else ""
    return f"{counts}; {money}"
