"""A random forest; `setting` is the number of its trees."""

from typing import Any

from sklearn.ensemble import RandomForestClassifier

from benchmark.params import Params


def unfitted(params: Params) -> Any:
    """The model as it is before it has seen any data."""
    return RandomForestClassifier(int(params.setting), random_state=params.seed)
