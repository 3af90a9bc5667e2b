"""What load a configuration asks for, and when its requests are due."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.errors import HarnessError

_BLOCK = 1024


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
    def of(cls, params: Any) -> "Shape":
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
                fix="mend GRID in src/benchmark/params.py",
            )
        return shape

    @property
    def limit(self) -> int:
        """How many requests may be under way at once."""
        return self.connections if self.mode == "open" else self.users

    def _problems(self) -> list[str]:
        found = []
        for name in ("mode", "arrival"):
            if not isinstance(getattr(self, name), str):
                found.append(f"{name} is {getattr(self, name)!r}, not text")
        for name in ("rate", "users", "connections", "warmup_seconds", "seed"):
            value = getattr(self, name)
            whole = name in ("users", "connections", "seed")
            kinds = (int,) if whole else (int, float)
            if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value):
                found.append(f"{name} is {value!r}, not a {'whole ' if whole else ''}number")
        if found:
            return found
        if self.mode not in ("open", "closed"):
            found.append(f"mode is {self.mode!r}; there are open and closed")
        if self.mode == "open" and self.rate <= 0:
            found.append(f"rate is {self.rate:g}; requests per second must be above 0")
        if self.mode == "closed" and self.users < 1:
            found.append(f"users is {self.users}; a closed loop needs at least 1")
        if self.arrival not in ("poisson", "constant"):
            found.append(f"arrival is {self.arrival!r}; there are poisson and constant")
        if self.connections < 1:
            found.append(f"connections is {self.connections}; at least 1 is needed")
        if self.warmup_seconds < 0 or self.seed < 0:
            found.append("warmup_seconds and seed may not be negative")
        return found


def arrivals(rate: float, arrival: str, seed: int, start: float = 0.0) -> Iterator[float]:
    """Times in seconds, endless: `constant` every 1/rate s from `start`, or a Poisson process.

    The pattern of a seed is the same at every rate, only faster, so that rates can be compared.
    """
    if arrival == "constant":
        count = 0
        while True:
            yield start + count / rate
            count += 1
    rng = np.random.default_rng(seed)
    while True:
        times = start + np.cumsum(rng.exponential(1 / rate, _BLOCK))
        yield from times.tolist()
        start = float(times[-1])
