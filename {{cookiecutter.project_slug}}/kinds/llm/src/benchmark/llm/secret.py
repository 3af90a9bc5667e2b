"""Keys, and how they stay out of all that is kept: servers quote what they were sent.

What is kept is looked at after it is put together, because a key may arrive in pieces (the words
of a stream) or in the escapes of JSON.
"""

import base64
import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import groupby
from typing import Any
from urllib.parse import quote

from harness import PermanentError
from harness.project.inputs import secret

_LENGTH = 8  # a quote of so many letters gives a key away
_STEP = 4  # of a long key, a quote of 11 letters (_LENGTH + _STEP - 1) holds a part for sure
_SHORT = 24  # of a shorter key every quote of 8 letters is found


def read_key(variable: str) -> str:
    """The key in that variable, "" without one; raises PermanentError where it cannot be sent."""
    key = secret(variable).strip()  # a line break comes along with a file's content
    if not (key.isascii() and key.isprintable()):
        raise PermanentError(f"the key in {variable} has a character that no key has")
    return key


def without_keys(text: str, keys: Iterable[str]) -> str:
    """`text` with [key] in the place of keys and of their parts, in any of their `_forms`.

    A word of fewer than 8 letters guards nothing ("none", "x") and would be found in every answer.
    """
    found = [part for key in keys for part in _parts(key) if part in text]
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


def json_without_keys(events: list[Any], text: str, keys: tuple[str, ...]) -> tuple[list[Any], str]:
    """What a server sent, parsed and as `text` (one JSON a line), as it may be kept.

    Where one word of a stream holds a part of a key only, its neighbours hold the rest: then each
    word of that place gives way to the whole, cleaned, in the first of them.
    """
    whole: dict[str, str] = {}
    for event in events:
        for place, word in _words(event):
            whole[place] = whole.get(place, "") + word
    broken = {}
    for place, words in whole.items():
        cleaned = without_keys(words, keys)
        if cleaned != words:
            broken[place] = cleaned
    names = without_keys(text, keys)
    if not broken and names == text:
        return events, text
    kept = [_cleaned(event, broken, keys) for event in events]
    return kept, "\n".join(json.dumps(event, ensure_ascii=False) for event in kept)


def _words(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Every string in a JSON value with its place."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from _words(each, f"{place}.{name}")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _words(each, f"{place}.{index}")


def _cleaned(value: Any, broken: dict[str, str], keys: tuple[str, ...], place: str = "") -> Any:
    """The value with the words of `broken` once, at the first of their places, which is used up."""
    if isinstance(value, str):
        if place not in broken:
            return without_keys(value, keys)
        said, broken[place] = broken[place], ""
        return said
    if isinstance(value, dict):
        return {
            without_keys(name, keys): _cleaned(each, broken, keys, f"{place}.{name}")
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [_cleaned(each, broken, keys, f"{place}.{i}") for i, each in enumerate(value)]
    return value


@lru_cache
def _parts(key: str) -> tuple[str, ...]:
    """Pieces of all forms of a key."""
    if len(key) < _LENGTH:
        return ()
    step = 1 if len(key) < _SHORT else _STEP
    parts = set()
    for form in _forms(key):
        parts |= {form[at : at + _LENGTH] for at in range(0, len(form), step)}
        parts.add(form[-_LENGTH:])
    return tuple(part for part in parts if len(part) == _LENGTH)


def _forms(key: str) -> Iterator[str]:
    """A key as servers write it, forwards and backwards.

    base64 has three forms of a text, by what stands before it ("Bearer ").
    """
    for form in (key, key[::-1]):
        coded = form.encode()
        yield from (form, quote(form, safe=""), coded.hex(), coded.hex().upper())
        for shift in range(3):
            # What stands before shares a letter with it; so does what comes after.
            letters = base64.b64encode(bytes(shift) + coded).decode().rstrip("=")
            letters = letters[(shift * 8 + 5) // 6 : (shift + len(coded)) * 8 // 6]
            yield from (letters, letters.translate(str.maketrans("+/", "-_")))
