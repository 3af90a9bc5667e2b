"""Nearest neighbours; `setting` is their number."""

from typing import Any

from sklearn.neighbors import KNeighborsClassifier

from benchmark.params import Params


def unfitted(params: Params) -> Any:
    """The model as it is before it has seen any data."""
    # A tree, since one sample at a time is not worth starting threads for.
    return KNeighborsClassifier(int(params.setting), algorithm="kd_tree")
