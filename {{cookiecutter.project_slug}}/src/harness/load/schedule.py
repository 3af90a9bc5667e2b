"""What load a configuration asks for, and when its requests are due."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from harness.errors import HarnessError
from harness.project.values import Params


@dataclass(frozen=True, slots=True)
class Shape:
    """The fields of a person's Params that shape a load; a field that Params lacks has its default.

    mode: `open` sends when requests are due, `closed` when one of `users` is free again.
    rate: requests per second (open). arrival: `poisson` or `constant`. connections: at most so many
    at once (open; in a closed loop every user has one). warmup_seconds: load before the first row.
    """

    mode: str = "open"
    rate: float = 0.0
    arrival: str = "poisson"
    users: int = 0
    connections: int = 100
    warmup_seconds: float = 0.0
    seed: int = 0

    @classmethod
    def of(cls, params: Params) -> "Shape":
        """Read it from a configuration. Raises HarnessError naming every field that cannot be."""
        values = {
            name: getattr(params, name)
            for name in cls.__dataclass_fields__
            if hasattr(params, name)
        }
        shape = cls(**values)
        problems = shape._problems()
        if problems:
            raise HarnessError(
                "\n".join(f"{params}: {problem}" for problem in problems),
                fix="edit GRID in src/benchmark/params.py",
            )
        return shape

    def with_seed(self, further: int) -> "Shape":
        """The same load with other arrivals."""
        return replace(self, seed=self.seed + further)

    @property
    def limit(self) -> int:
        """How many requests may be under way at once."""
        return self.connections if self.mode == "open" else self.users

    def _problems(self) -> list[str]:
        found = []
        for name, kind in self.__annotations__.items():
            value = getattr(self, name)
            fits = isinstance(value, (int, float) if kind is float else kind)
            if not fits or isinstance(value, bool) or value != value:
                words = {str: "text", int: "a whole number", float: "a number"}[kind]
                found.append(f"{name} is {value!r}, not {words}")
        if found:
            return found
        rules = {
            f"mode is {self.mode!r}; there are open and closed": self.mode in ("open", "closed"),
            f"rate is {self.rate:g}; requests per second must be above 0": self.mode == "closed"
            or 0 < self.rate < math.inf,
            f"users is {self.users}; a closed loop needs at least 1": self.mode != "closed"
            or self.users >= 1,
            f"arrival is {self.arrival!r}; there are poisson and constant": self.arrival
            in ("poisson", "constant"),
            f"connections is {self.connections}; at least 1 is needed": self.connections >= 1,
            "warmup_seconds and seed may not be negative": min(self.warmup_seconds, self.seed) >= 0,
        }
        return [words for words, holds in rules.items() if not holds]


def arrivals(rate: float, arrival: str, seed: int, start: float = 0.0) -> Iterator[float]:
    """Times in seconds, endless: `constant` every 1/rate s from `start`, or a Poisson process.

    The pattern of a seed is the same at every rate, only faster, so that rates can be compared.
    """
    if arrival == "constant":
        count = 0
        while True:
            yield start + count / rate
            count += 1
    rng = random.Random(seed)
    due = start
    while True:
        due += rng.expovariate(1.0) / rate
        yield due


def sent_late(lag: float, latency: float) -> bool:
    """Whether the generator's own delay is a notable part of a latency (both in seconds)."""
    return lag > 0.001 and lag > latency / 10


def behind(due: float, lag: float) -> bool:
    """Whether the last request, due at `due`, left so late that the rate was not generated."""
    return lag > 0.25 + 0.05 * due


def bottleneck(late: int, n: int) -> bool:
    """Whether so many of n requests left late that the p99 is the generator's."""
    return late > max(4, 0.01 * n)
