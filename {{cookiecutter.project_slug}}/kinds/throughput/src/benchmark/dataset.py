"""What is sent. Each item is one request, and becomes one row."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from sklearn.datasets import load_digits

from benchmark.params import Params
from harness.load import load_options

TRAINING = 1000  # of the 1,797 images; server.py learns from these, the others are sent


@cache
def digits() -> tuple[list[list[int]], list[int]]:
    """The handwritten digits that scikit-learn ships: 64 pixels from 0 to 16 each, and labels."""
    pixels, labels = load_digits(return_X_y=True)
    return pixels.astype(int).tolist(), labels.tolist()


def load(params: Params) -> Iterator[dict[str, Any]]:
    """As many requests as the configuration asks for, from its own first to its last."""
    # An item is what JSON can hold, and has a unique "id".
    if load_options()["url"]:
        # Somebody else's server: benchmark.toml says what is sent, the same each time.
        yield from ({"id": f"{number:07d}"} for number in range(params.requests))
        return
    pixels, labels = digits()
    for number in range(params.requests):
        index = TRAINING + number % (len(labels) - TRAINING)
        yield {"id": f"{number:07d}", "pixels": pixels[index], "digit": labels[index]}
