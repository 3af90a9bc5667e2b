"""What is done with one item under one configuration; kept, and reused while nothing changed."""

from typing import Any

from benchmark.params import Params


def predict(item: dict[str, Any], params: Params) -> dict[str, Any]:
    """Is this flower a virginica?"""
    # Every key becomes a column of `predictions`, which score() in metrics.py reads later. Keep the
    # raw output: what is not recorded cannot be scored again. An error makes a row too.
    value = item[params.measurement]
    return {
        "prediction": value > params.threshold,
        "ground_truth": item["label"] == "virginica",
        "raw_response": {"margin_cm": round(value - params.threshold, 6)},
        "species": item["label"],
    }


# An expensive client or model is not built in predict, which runs for every item. Define one of
#     def load(params): ...              built once for each worker and configuration
#     def fit(params, fold, train): ...  fitted once for each configuration and item["fold"], kept
# and give predict a third argument: what that function returned.
