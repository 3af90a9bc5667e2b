"""What an answer costs: prices.toml. An unknown price is not a price of 0."""

import os
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from benchmark.llm.answer import Usage
from benchmark.llm.endpoint import ROOT, endpoint
from harness.errors import HarnessError


@dataclass(frozen=True, slots=True)
class Price:
    """USD for a million tokens, and the day of which that was true.

    `cached_input` is for what the server had cached, `reasoning` for what was thought and not said,
    `batch` the share of all of them that a question in a batch costs.
    """

    input: float
    output: float
    as_of: str
    cached_input: float
    reasoning: float
    batch: float = 1.0

    def cost(self, usage: Usage) -> float | None:
        """USD of one call; None where the server did not count tokens."""
        if usage.prompt is None or usage.completion is None:
            return None
        cached = min(usage.cached or 0, usage.prompt)
        thought = min(usage.reasoning or 0, usage.completion)
        paid = (usage.prompt - cached) * self.input + cached * self.cached_input
        paid += (usage.completion - thought) * self.output + thought * self.reasoning
        return paid / 1e6

    def most(self, sent_bytes: int, longest: int | None) -> float | None:
        """USD of a call at most: three bytes to a token, the longest answer. None without one."""
        if longest is None:
            return None if max(self.output, self.reasoning) > 0 else self._of(sent_bytes, 0)
        return self._of(sent_bytes, longest)

    def _of(self, sent_bytes: int, longest: int) -> float:
        dearest = max(self.output, self.reasoning)
        return (
            (sent_bytes // 3 + 16) * max(self.input, self.cached_input) + longest * dearest
        ) / 1e6


def price_of(name: str, model: str, batch: bool | None = None) -> Price | None:
    """The price of a model at an endpoint, which prices.toml calls by its name or its address.

    In a `batch`, or where the settings say that its questions go in batches, that of a batch.
    """
    found = _price((name, endpoint(name).url), model)
    return _in_batch(found) if (goes_in_batches(name) if batch is None else batch) else found


def goes_in_batches(name: str) -> bool:
    """Whether questions to an endpoint wait for a batch."""
    return endpoint(name).batch and _executor() == "batch"


@lru_cache
def _executor() -> str:
    run = tomllib.loads((ROOT / "benchmark.toml").read_text(encoding="utf-8")).get("run", {})
    return os.environ.get("BENCH_EXECUTOR") or str(run.get("executor", ""))


def _in_batch(price: Price | None) -> Price | None:
    if price is None:
        return None
    prices = (price.input, price.output, price.cached_input, price.reasoning)
    paid, said, cached, thought = (price.batch * each for each in prices)
    return Price(paid, said, price.as_of, cached, thought)


def costs(row: dict[str, Any]) -> dict[str, Any]:
    """What a stored row costs at the prices of today, for `make prices`."""
    usage = Usage(
        row.get("prompt_tokens"),
        row.get("completion_tokens"),
        row.get("cached_tokens"),
        row.get("reasoning_tokens"),
    )
    # The address, because a name may be declared no more.
    place = str(row.get("params_server") or row.get("params_endpoint")).partition("?")[0]
    names = (str(row.get("params_endpoint")), place.partition(" ")[0])
    price = _price(names, str(row.get("params_model")))
    if row.get("batch"):
        price = _in_batch(price)
    cost = price.cost(usage) if price else None
    if cost is None:
        return {"cost": row.get("cost"), "price_as_of": row.get("price_as_of")}
    return {"cost": cost, "price_as_of": price and price.as_of}


@lru_cache
def _price(places: tuple[str, ...], model: str) -> Price | None:
    try:
        table = tomllib.loads((ROOT / "prices.toml").read_text(encoding="utf-8"))["price"]
        found = [row for row in table if row["endpoint"] in places and row["model"] == model]
        if not found:
            return None
        row = found[0]
        paid = float(row["input"]), float(row["output"])
        cached = float(row.get("cached_input", paid[0]))
        reasoning = float(row.get("reasoning", paid[1]))
        batch = float(row.get("batch", 1))
        every = (*paid, cached, reasoning, batch)
        if not all(0 <= price < float("inf") for price in every):
            raise ValueError(f"{model} has a price of {min(every):g}")
        return Price(*paid, str(row["as_of"]), cached, reasoning, batch)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise HarnessError(
            f"prices.toml cannot be used: {type(error).__name__}: {error}",
            fix="each [[price]] has endpoint, model, input, output, as_of and source",
        ) from None
