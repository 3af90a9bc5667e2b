"""Where a function changes its sign, by halving.

scipy.optimize would find it in fewer steps, and takes half a second to load.
"""

from collections.abc import Callable


def root_between(function: Callable[[float], float], outside: float, inside: float) -> float:
    """Where a function changes its sign between two numbers, to the last bit."""
    positive = function(outside) > 0
    while True:
        middle = (outside + inside) / 2
        if middle in (outside, inside):
            return middle
        if (function(middle) > 0) == positive:
            outside = middle
        else:
            inside = middle
