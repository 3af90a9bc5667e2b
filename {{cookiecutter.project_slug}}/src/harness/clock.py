"""Times: recorded in UTC with their zone, shown in the reader's zone.

They are text, because xetrack's column is text, and of one width, so that text sorts as times do.
Which of two runs came first is in runs.py: a clock can be wrong or step back.
"""

import time
from datetime import UTC, datetime
from functools import lru_cache

_ZONE = "+00:00"


def now() -> str:
    """The time now, to the second, such as `2026-11-26 12:00:00+00:00`."""
    return _second(time.time_ns() // 1_000_000_000) + _ZONE


def stamp(microseconds: int) -> str:
    """Microseconds since 1970 in xetrack's form with a zone: `2026-11-26 12:00:00.000001+00:00`."""
    seconds, micros = divmod(microseconds, 1_000_000)
    return f"{_second(seconds)}.{micros:06d}{_ZONE}"


def microseconds_of(text: str | None) -> int:
    """What `stamp` was given; 0 for anything else, such as a time without a zone."""
    if not text or not text.endswith(_ZONE):
        return 0
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return 0
    return (int(at.replace(microsecond=0).timestamp()) * 1_000_000) + at.microsecond


def local(text: str) -> str:
    """A recorded time in this machine's zone, to the second; without a zone it is not changed."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return text
    if at.tzinfo is None:
        return text  # recorded before zones were: its zone is unknown
    return at.astimezone().isoformat(sep=" ", timespec="seconds")


@lru_cache(maxsize=2)  # thousands of rows in one second
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
