"""A linear model; `setting` is the inverse regularisation C."""

from typing import Any

from sklearn.linear_model import LogisticRegression

from benchmark.params import Params


def unfitted(params: Params) -> Any:
    """The model as it is before it has seen any data."""
    return LogisticRegression(C=params.setting, max_iter=2000, random_state=params.seed)
