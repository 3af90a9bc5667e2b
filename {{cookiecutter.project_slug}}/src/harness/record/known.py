"""What is known of a datapoint before it is executed: from the cache, else from recorded rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.project.values import Row
from harness.record import recorded
from harness.record.cache import ResultCache
from harness.record.recorded import Known

# Runs a function with a connection to one database, in whichever thread that has to be.
Reading = Callable[[Callable[[Any], Any]], Any]


@dataclass(slots=True)
class Knowledge:
    """Looks results up by their keys. `databases` are asked for what the cache does not have."""

    cache: ResultCache | None
    databases: Sequence[Reading] = ()
    experiment: str = ""
    _prefixes: npt.NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))

    def __post_init__(self) -> None:
        ask = partial(recorded.prefixes, but_not=self.experiment)
        self._prefixes = recorded.together([reading(ask) for reading in self.databases])

    def get_many(self, keys: list[str]) -> Known:
        """The result under each key that has one, with the track_id that computed it."""
        found: Known = {} if self.cache is None else self.cache.get_many(keys)
        return found | self._recorded([key for key in keys if key not in found])

    def among(self, keys: list[str]) -> set[str]:
        """Which of these keys have a result; no entry of the cache is opened."""
        found = set() if self.cache is None else self.cache.known(keys)
        return found | self._recorded([key for key in keys if key not in found]).keys()

    def _recorded(self, keys: list[str]) -> Known:
        found: Known = {}
        if missing := self._perhaps_recorded(keys):
            for reading in self.databases:
                rows = reading(partial(recorded.results, keys=missing))
                found |= {key: known for key, known in rows.items() if not self._deleted(known)}
        return found

    def _deleted(self, known: tuple[Row, str]) -> bool:
        """Whether somebody took a result out of the cache: it is to be computed again."""
        return self.cache is not None and self.cache.saw(known[1])

    def _perhaps_recorded(self, keys: list[str]) -> list[str]:
        if not keys or not len(self._prefixes):
            return []
        wanted = np.array([int(key[:16], 16) for key in keys], dtype=np.uint64)
        at = np.searchsorted(self._prefixes, wanted)
        at = np.minimum(at, len(self._prefixes) - 1)
        hits = self._prefixes[at] == wanted
        return [key for key, hit in zip(keys, hits, strict=True) if hit]


def reading_file(db: Path) -> Reading:
    """For a database that nothing in this process has open."""

    def read(function: Callable[[Any], Any]) -> Any:
        with recorded.reading(db) as connection:
            return function(connection)

    return read
