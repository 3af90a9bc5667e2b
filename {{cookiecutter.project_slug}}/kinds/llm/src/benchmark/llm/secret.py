"""The key, and how it stays out of all that is kept: servers quote what they were sent."""

import base64
import os
from functools import lru_cache
from itertools import groupby

from harness import PermanentError

_LENGTH, _STEP = 8, 4  # a quote of 11 letters in a row, _LENGTH + _STEP - 1, holds a part for sure


def read_key(variable: str) -> str:
    """The key in that variable, "" without one; raises PermanentError where it cannot be sent."""
    key = os.environ.get(variable, "").strip()  # a line break comes along with a file's content
    if not (key.isascii() and key.isprintable()):
        raise PermanentError(f"the key in {variable} has a character that no key has")
    return key


def without_key(text: str, key: str) -> str:
    """`text` with [key] in the place of the key and of its parts, also where they are in base64.

    A word of fewer than 8 letters guards nothing ("none", "x") and would be found in every answer.
    """
    found = [part for part in _parts(key) if part in text]
    if not found:
        return text
    hidden = bytearray(len(text))
    for part in found:
        at = text.find(part)
        while at >= 0:
            hidden[at : at + _LENGTH] = b"\1" * _LENGTH
            at = text.find(part, at + 1)
    runs = groupby(zip(text, hidden, strict=True), key=lambda pair: pair[1])
    return "".join("[key]" if is_key else "".join(c for c, _ in run) for is_key, run in runs)


@lru_cache
def _parts(key: str) -> tuple[str, ...]:
    """Pieces of all forms of the key; base64 has three, by what stands before it ("Bearer ")."""
    forms = [key]
    for shift in range(3):
        coded = base64.b64encode(bytes(shift) + key.encode()).decode().rstrip("=")
        forms += [coded, coded.translate(str.maketrans("+/", "-_"))]
    parts = [form[at : at + _LENGTH] for form in forms for at in range(0, len(form), _STEP)]
    parts += [form[-_LENGTH:] for form in forms]
    long_enough = len(key) >= _LENGTH
    return tuple({part for part in parts if long_enough and len(part) == _LENGTH})
