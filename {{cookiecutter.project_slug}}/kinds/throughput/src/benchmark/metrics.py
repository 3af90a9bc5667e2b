"""How good it was. Works on stored rows only, so `make rescore` needs no second run."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from harness.load import sent_late

IN_TIME_SECONDS = 0.1  # what was promised to whoever waits


def score(row: dict[str, Any]) -> dict[str, float | int | bool | None]:
    """Scores of one row of `predictions`; a name must not be one that predict returned."""
    # latency counts from when the request was due, so it holds the wait behind others. A request
    # that failed has no scores and counts as wrong.
    known = row.get("ground_truth")
    return {
        "answered_in_time": row["latency"] <= IN_TIME_SECONDS,
        "correct": None if known is None else row["prediction"] == known,
        "sent_late": sent_late(row.get("send_lag") or 0.0, row["latency"]),
    }


def achieved_rate(rows: pd.DataFrame) -> float:
    """Good answers per second, from the start to the last; undefined where no load was sent."""
    # As one over the mean wait for the next one, so that its interval can be had by resampling.
    return float(1 / rows["since_good"].mean()) if "since_good" in rows else float("nan")


# Figures that are not averages of scores; each sees all good rows of one configuration.
AGGREGATES: dict[str, Callable[[pd.DataFrame], float]] = {"achieved_rate": achieved_rate}
