"""Items that nobody looks at before the end: a share by content, whole clusters at a time.

An item belongs to the holdout by the hash of its cluster, or of its content but for its id. So it
stays on its side when others are added, and a copy of it does too.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.project.keys import item_digest
from harness.project.settings import Data

Item = dict[str, Any]
KEPT, OPENED = "kept", "opened"  # what runs record


def state(data: Data, final: bool) -> str:
    """What a run records of the holdout; "" where there is none."""
    return (OPENED if final else KEPT) if data.holdout else ""


def check(data: Data, final: bool, fitted: bool) -> None:
    """Raise HarnessError where a holdout is asked for that cannot be."""
    if final and not data.holdout:
        raise HarnessError(
            "FINAL=1 opens the holdout, and there is none",
            fix="set [data] holdout in benchmark.toml before the first experiment, such as 0.3",
        )
    if data.holdout and fitted:
        raise HarnessError(
            "[data] holdout is for benchmarks that fit nothing: the folds of fit say already which "
            "items a model has not seen",
            fix="set [data] holdout to 0 in benchmark.toml",
        )


def part(items: Iterable[Item], data: Data, final: bool, root: Path) -> Iterator[Item]:
    """The items of the holdout (`final`), or all others."""
    for item in items:
        if _held(item, data, root) == final:
            yield item


def _held(item: Item, data: Data, root: Path) -> bool:
    if data.cluster and data.cluster in item:
        known: Item = {"cluster": item[data.cluster]}
    else:
        known = {name: value for name, value in item.items() if name != "id"}
    digest = item_digest(known, root)
    return int.from_bytes(digest[:8], "big") < data.holdout * 2**64
