"""What is done with one item under one configuration; kept, and reused while nothing changed."""

from importlib import import_module
from typing import Any

from benchmark.params import Params


def fit(params: Params, fold: int, train: list[dict[str, Any]]) -> tuple[Any, float]:
    """A model fitted on the items of the other folds, and its accuracy on those."""
    # Called once for each configuration and fold, and kept; predict gets what it returns. How many
    # items it was given is recorded, because what may be concluded depends on it.
    pixels = [item["pixels"] for item in train]
    labels = [item["label"] for item in train]
    # One file a family, which modules(params) in params.py names: only that one is in its key.
    family = import_module(f"benchmark.families.{params.family}")
    model = family.unfitted(params).fit(pixels, labels)
    return model, float(model.score(pixels, labels))


def predict(item: dict[str, Any], params: Params, resource: tuple[Any, float]) -> dict[str, Any]:
    """Which digit is it?"""
    # Every key becomes a column of `predictions`, which score() in metrics.py reads later. Keep the
    # raw output: what is not recorded cannot be scored again. An error makes a row too.
    model, train_accuracy = resource
    probabilities = model.predict_proba([item["pixels"]])[0]
    return {
        "prediction": int(model.classes_[probabilities.argmax()]),
        "ground_truth": item["label"],
        "raw_response": probabilities.tolist(),
        "fit_accuracy": train_accuracy,
    }
