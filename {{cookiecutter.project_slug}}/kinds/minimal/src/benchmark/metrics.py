"""How good it was. Works on stored rows only, so `make rescore` needs no second run of predict."""

from collections.abc import Callable
from typing import Any

import pandas as pd


def score(row: dict[str, Any]) -> dict[str, float | int | bool | None]:
    """Scores of one row of `predictions`; a name must not be one that predict returned."""
    # Values come as SQLite keeps them: booleans as 0 and 1, dicts and lists as JSON text.
    # Each score is averaged over a configuration's rows, with its interval; None is left out.
    return {"correct": row["prediction"] == row["ground_truth"]}


def precision(rows: pd.DataFrame) -> float:
    """Share of true virginica among the flowers that were called so."""
    called = rows["prediction"].to_numpy() == 1
    truth = rows["ground_truth"].to_numpy()
    return float(truth[called].mean()) if called.any() else 0.0


# Figures that are not averages of scores; each sees all rows of one configuration, and a thousand
# resamples of them for its interval, so arrays are better than DataFrame operations here.
AGGREGATES: dict[str, Callable[[pd.DataFrame], float]] = {"precision": precision}
