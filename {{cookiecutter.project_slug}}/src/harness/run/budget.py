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

    @property
    def message(self) -> str:
        """Why the run stopped, and how it goes on."""
        return (
            f"the next call could exceed the budget: {self.total:.4f} USD of"
            f" {self.limit:.4f} spent; raise [limits] max_cost_usd and run the same command again"
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

    def lines(self) -> list[str]:
        """For people: one line a configuration, then the sum."""
        rows = [*self.shares.items(), ("all", self.total)]
        width = max(len(name) for name, _ in rows)
        return [f"{name:<{width}}  {_words(share, self.priced)}" for name, share in rows]


def forecast(tasks: Iterable[tuple[str, str, float | None]], priced: bool = True) -> Forecast:
    """Sum up (configuration, "new" | "cached", estimate in USD or None) for each task."""
    result = Forecast(priced)
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
