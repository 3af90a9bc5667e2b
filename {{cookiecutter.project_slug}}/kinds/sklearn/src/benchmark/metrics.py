"""How good it was. Works on stored rows only, so `make rescore` needs no second run of predict."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from harness import Score

SUREST = 1e-15  # a probability of the truth below it counts as this, so that no loss is infinite

# Each score says once what it is: its kind, its bounds, and which way is better. The first one
# heads the report where PLAN.toml names none. None, and a datapoint that failed, count as the worst
# value where that is known; missing="left out" and failure="left out" say otherwise.
SCORES = {
    "correct": Score("proportion", better="higher", label="accuracy"),
    "log_loss": Score("mean", better="lower", low=0.0, high=-math.log(SUREST)),
    "macro_f1": Score("mean", better="higher", low=0.0, high=1.0),
    "train_accuracy": Score("mean", better="neither", low=0.0, high=1.0),
}


def score(row: dict[str, Any]) -> dict[str, float | int | bool | None]:
    """Scores of one row of `predictions`; a name must not be one that predict returned."""
    # Values come as SQLite keeps them: booleans as 0 and 1, dicts and lists as JSON text.
    # Each score is averaged over a configuration's rows, with its interval.
    probabilities = json.loads(row["raw_response"])
    of_truth = probabilities[row["ground_truth"]]
    return {
        "correct": row["prediction"] == row["ground_truth"],
        "log_loss": -math.log(max(of_truth, SUREST)),
    }


def macro_f1(rows: pd.DataFrame) -> float:
    """F1 of each digit, averaged, so that a rare digit counts as much as a frequent one."""
    truth, predicted = rows["ground_truth"].to_numpy(), rows["prediction"].to_numpy()
    right = np.bincount(truth[truth == predicted], minlength=10)
    of_both = np.bincount(truth, minlength=10) + np.bincount(predicted, minlength=10)
    return float((2 * right[of_both > 0] / of_both[of_both > 0]).mean())


def train_accuracy(rows: pd.DataFrame) -> float:
    """Accuracy on what the models were fitted on; far above `correct`, the model overfits."""
    first = ~rows["fold"].duplicated().to_numpy()  # each of its rows names a fold's accuracy
    return float(rows["fit_accuracy"].to_numpy()[first].mean())


# Figures that are not averages of scores. Each sees the rows of a configuration that did not fail,
# and a thousand resamples of them for its interval, so arrays are better than DataFrames here.
AGGREGATES: dict[str, Callable[[pd.DataFrame], float]] = {
    "macro_f1": macro_f1,
    "train_accuracy": train_accuracy,
}
