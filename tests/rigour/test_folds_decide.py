"""Repeated K-fold: what two equally good models come to, and what a better one does."""

from functools import partial

import numpy as np
import pytest
from numpy.random import Generator
from numpy.typing import NDArray

from harness.stats.paired import Units, paired_verdict
from tests.rigour.simulation import share

ITEMS, FEATURES = 100, 5
Floats = NDArray[np.float64]


def centroids_right(x: Floats, y: Floats, train: NDArray[np.bool_]) -> Floats:
    """Of each item not trained on, whether the nearer centroid of the two classes is its own."""
    middle = [x[train & (y == side)].mean(axis=0) for side in (0, 1)]
    away = [((x[~train] - each) ** 2).sum(axis=1) for each in middle]
    return np.asarray((away[1] < away[0]) == y[~train], dtype=float)


def decided(rng: Generator, repeats: int, ahead: float = 0.0, folds: int = 5) -> str:
    """The verdict on a centroid learner that sees other features than its rival's, equally good.

    `ahead` moves the classes apart in what the first one sees.
    """
    y = (np.arange(ITEMS) % 2).astype(float)
    x = rng.normal(size=(2, ITEMS, FEATURES)) + (0.4 * y - 0.2)[:, None]
    x[0] += (ahead * (y - 0.5))[:, None]
    rows = []
    for repeat in range(repeats):
        fold = rng.permutation(ITEMS) % folds
        for each in range(folds):
            train = fold != each
            tested = np.flatnonzero(~train)
            right = [centroids_right(side, y, train) for side in x]
            label = np.full(tested.size, repeat * folds + each)
            rows.append(np.stack([tested, label, np.full(tested.size, train.sum()), *right]))
    item, fold, n_train, a, b = np.concatenate(rows, axis=1)
    units = Units(item if repeats > 1 else None, fold.astype(float), n_train)
    return paired_verdict(a, b, units).verdict


def test_equal_models_are_rarely_told_apart_quick() -> None:
    wrong, error = share(lambda rng: decided(rng, 2) != "undecided", 150, seed=1)
    assert wrong <= 0.05 + 3 * error


@pytest.mark.slow
@pytest.mark.parametrize("repeats", [1, 10])
def test_equal_models_are_told_apart_in_no_more_than_one_in_twenty(repeats: int) -> None:
    wrong, error = share(lambda rng: decided(rng, repeats) != "undecided", 1_000, seed=2)
    print(f"{repeats} x 5 folds: {wrong:.3f} +- {error:.3f} false verdicts")
    assert wrong <= 0.05 + 2 * error


def finds_the_better(rng: Generator, repeats: int) -> bool:
    return decided(rng, repeats, 0.5) == "better"


@pytest.mark.slow
def test_ten_repeats_decide_what_one_cannot() -> None:
    power = {}
    for repeats in (1, 10):
        finds = partial(finds_the_better, repeats=repeats)
        power[repeats] = share(finds, 300, 3)[0]
    print(f"power: {power}")
    assert power[10] > power[1] + 0.1
