"""What varies. Each Params in GRID is one configuration; every item is predicted under each."""

from dataclasses import dataclass


# Frozen: a configuration is part of a result's key, so it must not change while it runs.
# Fields may be int, float, str, bool, None, tuples and other frozen dataclasses.
@dataclass(frozen=True, slots=True)
class Params:
    """A model family and the one setting of it that is compared."""

    family: str  # a file in families/: logistic, forest or neighbours
    setting: float  # what that family makes of it
    seed: int = 0


# New entries do not recompute old ones. Each field becomes a column, such as params_family.
GRID = [
    *(Params("logistic", c) for c in (0.01, 0.1, 1.0)),
    *(Params("forest", trees) for trees in (10, 50)),
    *(Params("neighbours", k) for k in (1, 3, 9)),
]


def modules(params: Params) -> list[str]:
    """The code that predict chooses by name: a result depends on its own family, and no other."""
    return [f"benchmark.families.{params.family}"]
