"""What varies. Each Params in GRID is one configuration: a load on the server, in phases."""

from dataclasses import dataclass


# Frozen: a configuration is part of a result's key, so it must not change while it runs.
# The load is shaped by these names; add fields of your own beside them (see docs/throughput.md).
@dataclass(frozen=True, slots=True)
class Params:
    """An open loop sends when a request is due, a closed loop when one of its users is free."""

    requests: int  # how many in each phase, beside those of the warm-up
    mode: str = "open"  # open | closed
    rate: float = 0.0  # requests per second (open)
    arrival: str = "poisson"  # poisson: at random, as strangers come | constant (open)
    users: int = 0  # each sends, waits for the answer, and sends again (closed)
    connections: int = 100  # at most so many requests under way (open)
    warmup_seconds: float = 1.0  # load before the first row, so that caches are warm
    seed: int = 0  # of the first phase's arrivals; the pattern is the same at every rate


def at(rate: float, seconds: float) -> Params:
    """An open loop of so many seconds a phase; [run] repeats says how many phases there are."""
    return Params(requests=round(rate * seconds), rate=rate)


# New entries do not run old ones again. Each field becomes a column, such as params_rate.
GRID = [
    *(at(rate, seconds=3) for rate in (40.0, 80.0, 160.0, 320.0)),
    Params(mode="closed", users=4, requests=300),
]
