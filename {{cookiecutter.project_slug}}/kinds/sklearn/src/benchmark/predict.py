"""What is done with one item under one configuration; kept, and reused while nothing changed."""

from importlib import import_module
from typing import Any

import numpy as np

from benchmark.dataset import digits
from benchmark.params import Params


def fit(params: Params, fold: int) -> tuple[Any, float]:
    """A model fitted on all folds but this one, and its accuracy on what it was fitted on."""
    # Called once for each configuration and item["fold"], and kept; predict gets what it returns.
    pixels, labels, folds = digits()
    train = np.array(folds) != fold
    # One file a family, which modules(params) in params.py names: only that one is in its key.
    family = import_module(f"benchmark.families.{params.family}")
    model = family.unfitted(params).fit(pixels[train], labels[train])
    return model, float(model.score(pixels[train], labels[train]))


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
        "fold": item["fold"],
        "fit_accuracy": train_accuracy,
    }
