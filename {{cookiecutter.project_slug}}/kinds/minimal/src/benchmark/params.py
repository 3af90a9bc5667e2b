"""What varies. Each Params in GRID is one configuration; every item is predicted under each."""

from dataclasses import dataclass


# Frozen: a configuration is part of a result's key, so it must not change while it runs.
# Fields may be int, float, str, bool, None, tuples and other frozen dataclasses.
@dataclass(frozen=True, slots=True)
class Params:
    """A rule on one measurement: above the threshold (in cm) it is virginica."""

    measurement: str
    threshold: float


# New entries do not recompute old ones. Each field becomes a column, such as params_threshold.
GRID = [
    *(Params("petal_length", threshold) for threshold in (4.5, 4.7, 4.9, 5.1)),
    *(Params("petal_width", threshold) for threshold in (1.5, 1.6, 1.7, 1.8)),
]
