"""The columns of the table `metrics` besides the scores of a benchmark."""

from collections.abc import Collection

COUNTS = ("n", "executed", "cached", "failed")
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
ENDS = ("_low", "_high", "_n")  # of the columns that go with each metric


def percentile_columns(time: str) -> dict[str, float]:
    """The columns of a time (a column of `predictions`, in seconds), each with its percentile."""
    return {f"{time}_{name}": share for name, share in PERCENTILES.items()}


LATENCIES = percentile_columns("latency")


def metrics_in(columns: Collection[str]) -> list[str]:
    """What metrics.py computed, among the columns of the table metrics: each has an interval."""
    return [
        name
        for name in columns
        # A param may be called like a bound: params_range, params_range_low.
        if f"{name}_low" in columns
        and not name.startswith("params_")
        and not _is_percentile(name, columns)
    ]


def _is_percentile(name: str, columns: Collection[str]) -> bool:
    """A score may be called `recall_p50`: of a time there are all percentiles."""
    time, _, end = name.rpartition("_")
    if end not in PERCENTILES:
        return False
    return name in LATENCIES or all(each in columns for each in percentile_columns(time))
