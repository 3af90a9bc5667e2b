"""An aggregate of metrics.py on draws of the items of one configuration."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.errors import HarnessError
from harness.measure.score_values import as_number
from harness.record.columns import CLUSTER
from harness.stats.intervals import Indices
from harness.stats.resampling import Resamples, resample_taken

Aggregate = Callable[[pd.DataFrame], float]
DRAWS = 1_000
# A dev-run is repeated after each edit, on few items, and published nowhere. With 200, five draws
# still lie beyond each bound of an interval of 95%.
DRAWS_OF_DEV = 200
_AT_ONCE = 5_000  # rows


def resampled(
    frame: pd.DataFrame,
    name: str,
    aggregate: Aggregate,
    all_items: Sequence[str],
    draws: int,
) -> tuple[Resamples | None, str]:
    """The aggregate on draws of the items, and why its value cannot count; "" where it can.

    One that is None or NaN is undefined on these rows, which it may be. None without rows.
    """
    if frame.empty:
        return None, ""
    reasons: list[str] = []
    repeated = frame["input_id"].duplicated().any()
    names = [frame["input_id"].to_numpy(dtype=object)]

    def taken(every: Iterable[Indices]) -> Iterator[pd.DataFrame]:
        for chosen, drawn in _taken(frame, every):
            yield _apart(drawn, chosen, names) if repeated else drawn

    def compute(drawn: pd.DataFrame) -> float:
        number, reason = as_number(aggregate(drawn))
        reasons.append(reason)
        return float("nan") if number is None else float(number)

    try:
        units = frame["input_id"]
        if CLUSTER in frame:
            units = frame[CLUSTER].where(frame[CLUSTER].notna(), units)
        found = resample_taken(
            len(frame), compute, taken, units.to_numpy(), resamples=draws, all_items=all_items
        )
        return found, "" if reasons[0] == "nan" else reasons[0]
    except Exception as error:
        raise HarnessError(
            f"AGGREGATES[{name!r}] in metrics.py failed: {type(error).__name__}: {error}",
            fix="correct src/benchmark/metrics.py and run the same command; the results are kept",
            code=1,
        ) from error


def _taken(frame: pd.DataFrame, draws: Iterable[Indices]) -> Iterator[tuple[Indices, pd.DataFrame]]:
    """Each draw with its rows. Taken together: to take twenty rows costs pandas what 1,000 do."""
    some: list[Indices] = []
    rows = 0
    for chosen in draws:
        some.append(chosen)
        rows += len(chosen)
        if rows >= _AT_ONCE:
            yield from _parts(frame, some)
            some, rows = [], 0
    if some:
        yield from _parts(frame, some)


def _parts(frame: pd.DataFrame, some: list[Indices]) -> Iterator[tuple[Indices, pd.DataFrame]]:
    together, begin = frame.take(np.concatenate(some)), 0
    for chosen in some:
        yield chosen, together.iloc[begin : begin + len(chosen)]
        begin += len(chosen)


def _apart(
    drawn: pd.DataFrame, chosen: Indices, names: list[npt.NDArray[np.object_]]
) -> pd.DataFrame:
    """The chosen rows; an item that was drawn twice is two items.

    An aggregate that groups repeats by `input_id`, as pass@k does, would otherwise see one item
    with twice as many repeats. `names` are the rows' names by how often they were drawn before;
    it grows, since to make them anew takes longer than to draw.
    """
    short = np.uint16 if len(names[0]) <= 2**16 else np.int64  # numpy sorts short ones much faster
    order = np.argsort(chosen.astype(short), kind="stable")
    ranks = np.arange(len(chosen))
    begins = np.append(True, np.diff(chosen[order]) != 0)
    times = np.empty(len(chosen), dtype=np.int64)
    times[order] = ranks - np.maximum.accumulate(np.where(begins, ranks, 0))
    if not times.any():
        return drawn
    for time in range(len(names), int(times.max()) + 1):
        named = [f"{name} (drawn again: {time})" for name in names[0]]
        names.append(np.array(named, dtype=object))
    known = names[0][chosen]
    for time in range(1, int(times.max()) + 1):
        at = np.flatnonzero(times == time)
        known[at] = names[time][chosen[at]]
    return drawn.assign(input_id=known)
