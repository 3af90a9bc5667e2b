"""How good it was. Works on stored rows only, so `make rescore` needs no second run."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from harness import Score
from harness.load import sent_late

IN_TIME_SECONDS = 0.1  # what was promised to those who wait

# Each score says once what it is. A request that failed was not answered in time, nor correctly.
# When requests leave says nothing about the server, so `sent_late` only describes.
SCORES = {
    "answered_in_time": Score("proportion", better="higher", label="answered in time"),
    "correct": Score("proportion", better="higher", missing="left out", label="accuracy"),
    "sent_late": Score("proportion", better="neither", failure="left out", label="sent late"),
    "achieved_rate": Score("rate", better="higher", failure="given", label="answers per second"),
}


def score(row: dict[str, Any]) -> dict[str, float | int | bool | None]:
    """Scores of one row of `predictions`; a name must not be one that predict returned."""
    # latency counts from when the request was due, so it holds the wait behind others.
    scores: dict[str, float | int | bool | None] = {
        "answered_in_time": row["latency"] <= IN_TIME_SECONDS,
        "sent_late": sent_late(row.get("send_lag") or 0.0, row["latency"]),
    }
    if row.get("ground_truth") is not None:
        scores["correct"] = row["prediction"] == row["ground_truth"]
    return scores


def achieved_rate(rows: pd.DataFrame) -> float:
    """Good answers per second, from the start to the last; undefined where no load was sent."""
    # One over the mean wait for the next answer: resampling can then give an interval.
    return float(1 / rows["since_good"].mean()) if "since_good" in rows else float("nan")


# Figures that are not averages of scores; each sees the rows of one configuration, and those that
# failed too where SCORES has them given.
AGGREGATES: dict[str, Callable[[pd.DataFrame], float]] = {"achieved_rate": achieved_rate}
