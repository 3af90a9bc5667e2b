"""How good it was. Works on stored rows only, so `make rescore` needs no second run of predict."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from harness import Score

if TYPE_CHECKING:  # only named here, in types: import it at the top where you use it
    import pandas as pd

# Each score says once what it is: its kind, and which way is better. The first one heads the report
# where PLAN.toml names none. None, and a datapoint that failed, count as the worst value where that
# is known; missing="left out" and failure="left out" say otherwise.
SCORES = {
    "correct": Score("proportion", better="higher", label="accuracy"),
    "precision": Score("proportion", better="higher"),
}


def score(row: dict[str, Any]) -> dict[str, float | int | bool | None]:
    """Scores of one row of `predictions`; a name must not be one that predict returned."""
    # Values come as SQLite keeps them: booleans as 0 and 1, dicts and lists as JSON text.
    # Each score is averaged over a configuration's rows, with its interval.
    return {"correct": row["prediction"] == row["ground_truth"]}


def precision(rows: "pd.DataFrame") -> float:
    """Share of true virginica among the flowers that were called so."""
    called = rows["prediction"].to_numpy() == 1
    truth = rows["ground_truth"].to_numpy()
    return float(truth[called].mean()) if called.any() else 0.0


# Figures that are not averages of scores. Each sees the rows of a configuration that did not fail,
# and a thousand resamples of them for its interval, so arrays are better than DataFrames here.
AGGREGATES: "dict[str, Callable[[pd.DataFrame], float]]" = {"precision": precision}
