"""How long a server asks to be left alone: every dialect of it, in seconds."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

# 6m0s, 1h2m, 120ms, 34.07s: durations as OpenAI, Groq and Google write them.
_PARTS = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_RESET = re.compile(r"(?:x-|anthropic-)?ratelimit-(?:(.*)-)?reset(?:-(.*))?")
_EPOCH = 1e9  # a larger number of seconds is a date, of milliseconds one too


def asked_wait(headers: Mapping[str, str], body: Any) -> float | None:
    """Seconds from now; None where the server named no time.

    `retry-after` (RFC 9110, 10.2.3) and `retry-after-ms` come first, then `retryDelay` of Google,
    then when the limits that are used up begin anew.
    """
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    if "retry-after" in headers:
        return _until(headers["retry-after"])
    delays = [wait for text in _delays(body) if (wait := _until(text)) is not None]
    if delays:
        return max(delays)
    resets = dict(_resets(headers))
    used_up = [wait for name, wait in resets.items() if _is_used_up(headers, name)]
    return max(used_up or resets.values(), default=None)


def _resets(headers: Mapping[str, str]) -> Iterator[tuple[str, float]]:
    for name, text in headers.items():
        found = _RESET.fullmatch(name)
        if found and (wait := _until(text)) is not None:
            yield name, wait


def _is_used_up(headers: Mapping[str, str], reset: str) -> bool:
    return _number(headers.get(reset.replace("reset", "remaining"))) == 0


def _delays(body: Any) -> Iterator[str]:
    """`retryDelay` wherever it stands in the body of an error."""
    if isinstance(body, dict):
        for name, value in body.items():
            if name == "retryDelay" and isinstance(value, str):
                yield value
            else:
                yield from _delays(value)
    elif isinstance(body, list):
        for value in body:
            yield from _delays(value)


def _until(text: str) -> float | None:
    """Seconds from now until what a header says: seconds, a duration, or a date in three forms."""
    text = text.strip()
    if (number := _number(text)) is not None:
        if number > 1000 * _EPOCH:
            number /= 1000
        return max(0.0, number - datetime.now(UTC).timestamp() if number > _EPOCH else number)
    if _PARTS.sub("", text) == "" and text:
        return sum(float(number) * _SECONDS[unit] for number, unit in _PARTS.findall(text))
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            return max(0.0, (read(text) - datetime.now(UTC)).total_seconds())
        except (ValueError, TypeError):
            continue
    return None


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
