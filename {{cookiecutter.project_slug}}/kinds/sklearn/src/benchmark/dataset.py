"""What it is tried on. Each item reaches predict exactly as it is given here."""

from collections.abc import Iterable
from functools import cache
from typing import Any

from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold

FOLDS = 5
SEED = 0


@cache
def digits() -> tuple[Any, Any, list[int]]:
    """Pixels (1797, 64) from 0 to 1, labels (1797,), and the fold in which each one is tested."""
    pixels, labels = load_digits(return_X_y=True)
    pixels = pixels / 16
    folds = [0] * len(labels)
    splitter = StratifiedKFold(FOLDS, shuffle=True, random_state=SEED)
    for fold, (_, tested) in enumerate(splitter.split(pixels, labels)):
        for index in tested:
            folds[index] = fold
    return pixels, labels, folds


def load() -> Iterable[dict[str, Any]]:
    """The handwritten digits that scikit-learn ships. Each is tested once, in its fold."""
    # An item is what JSON can hold, and has a unique "id". "fold" says which model predict gets.
    pixels, labels, folds = digits()
    return [
        {
            "id": f"digit-{index:04d}",
            "fold": fold,
            "pixels": pixels[index].tolist(),
            "label": int(labels[index]),
        }
        for index, fold in enumerate(folds)
    ]
