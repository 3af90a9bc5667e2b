"""A value as SQLite keeps it, and the type of its column."""

import json
import math
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

Row = dict[str, Any]  # a row of a table by column, whose values only the column can tell

INTEGER, REAL, TEXT, BLOB = "INTEGER", "REAL", "TEXT", "BLOB"
_DECLARED: dict[type, str] = {bool: INTEGER, int: INTEGER, float: REAL, str: TEXT, bytes: BLOB}
_AS_TEXT = (Decimal, date, time, timedelta, Enum, PurePath, UUID)
_INT64 = 2**63


def declared_type(kind: type) -> str:
    """The column type of a Python type (anything nested is JSON text)."""
    return _DECLARED.get(kind, TEXT)


def plain(value: Any) -> Any:
    """A value as SQLite keeps it: numpy scalars unwrapped, nested values as JSON text, NaN as NULL.

    Dates, decimals, paths and the like become their text, as they do inside nested values. A whole
    number beyond 64 bits becomes text, which keeps every digit. Raises TypeError for a value that
    is no data (a model, a client): those become assets. Raises ValueError for a value that contains
    itself.
    """
    if value is None or type(value) in (str, bytes):
        return value
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return int(value) if -_INT64 <= value < _INT64 else str(value)
    if isinstance(value, float):
        return None if value != value else float(value)
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, str):
        return str.__str__(value)  # of an enum that is a str, its value, to which it is equal
    if isinstance(value, _AS_TEXT):
        return str(value) if value == value else None  # pandas' NaT is a date
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, (dict, list, tuple, set, frozenset)):
        text = json.dumps(_nested(value), ensure_ascii=False, allow_nan=False)
        # Lone surrogates become U+FFFD: half a character is no JSON text for other programs.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    raise TypeError(f"a {type(value).__name__} is no data")


@dataclass(frozen=True, slots=True)
class Unkept:
    """Stands for a value that could not be sent here to be kept, and says why."""

    reason: str


def _nested(value: Any, within: tuple[int, ...] = ()) -> Any:
    """Nested data as JSON can hold it: names are text, NaN and infinities are null."""
    if id(value) in within:
        raise ValueError("it contains itself")
    if isinstance(value, dict):
        return {str(k): _nested(v, (*within, id(value))) for k, v in value.items()}
    if isinstance(value, (set, frozenset)):
        value = sorted(value, key=repr)
    if isinstance(value, (list, tuple)):
        return [_nested(each, (*within, id(value))) for each in value]
    if hasattr(value, "tolist"):
        return _nested(value.tolist(), within)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def readable(text: str) -> str:
    """Text that UTF-8 can hold: lone surrogates become visible escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
