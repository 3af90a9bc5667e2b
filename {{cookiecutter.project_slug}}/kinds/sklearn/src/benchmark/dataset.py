"""What it is tried on. Each item reaches predict exactly as it is given here."""

from collections.abc import Iterable
from typing import Any

from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold

DIGITS = 300  # of 1797, so that fifty models of each configuration take half a minute
FOLDS = 5
REPEATS = 10  # as many as [run] repeats in benchmark.toml; five folds alone decide next to nothing


def load() -> Iterable[dict[str, Any]]:
    """The first handwritten digits that scikit-learn ships, each tested once in every repeat."""
    # An item is what JSON can hold, and has a unique "id". "fold" has one fold for each repeat;
    # the model that predict gets was fitted on the items of the other folds of that repeat.
    pixels, labels = load_digits(return_X_y=True)
    pixels, labels = pixels[:DIGITS] / 16, labels[:DIGITS]
    folds: list[list[int]] = [[] for _ in range(DIGITS)]
    for repeat in range(REPEATS):
        splitter = StratifiedKFold(FOLDS, shuffle=True, random_state=repeat)
        for fold, (_, tested) in enumerate(splitter.split(pixels, labels)):
            for index in tested:
                folds[index].append(fold)
    return [
        {
            "id": f"digit-{index:04d}",
            "fold": folds[index],
            "pixels": pixels[index].tolist(),
            "label": int(labels[index]),
        }
        for index in range(DIGITS)
    ]
