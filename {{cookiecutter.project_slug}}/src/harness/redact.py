"""Keys stay out of all that is kept: servers quote what they were sent.

What is kept is looked at after it is put together, because a key may arrive in pieces (the words
of a stream) or in escapes (of JSON, of addresses).
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple
from urllib.parse import quote

SHORTEST = 8  # a word of fewer letters guards nothing ("none", "x"), and stands in every answer
MARGIN = 256  # so many bytes after a cut are enough to know a key that begins before it
_STEP = 4  # of a long key, a quote of 11 letters (SHORTEST + _STEP - 1) holds a piece for sure
_SHORT = 24  # of a shorter key every quote of 8 letters is found
_DEPTH = 4  # JSON in a string of JSON in …; a hostile answer could go on for ever
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|%([0-9a-fA-F]{2})|\\(.)", re.DOTALL)
_SECRET_NAME = re.compile("key|token|secret|auth|password|cookie|signature", re.IGNORECASE)


def names_secret(name: str) -> bool:
    """Whether what is called so is usually a secret: a header, a part of an address."""
    return _SECRET_NAME.search(name) is not None


def without_keys(text: str, keys: Iterable[str], keep: int | None = None) -> str:
    """The first `keep` letters of `text`, with [key] in the place of keys and of their parts.

    They are found in any of their `_forms` and escaped in any way. `text` must go on for `MARGIN`
    letters after `keep`, or be whole. Keys of fewer than `SHORTEST` letters are not looked for.
    """
    hidden = _hidden(text, [piece for key in keys for piece in _pieces(key)], _DEPTH)
    # Cut where it was in the text: what [key] is shorter by must bring nothing more into view.
    text = text[:keep]
    if not any(hidden):
        return text
    runs = groupby(zip(text, hidden, strict=False), key=lambda pair: pair[1])
    return "".join("[key]" if is_key else "".join(c for c, _ in run) for is_key, run in runs)


class _Piece(NamedTuple):
    """SHORTEST letters of a form of a key, and where they stand in it."""

    letters: str
    form: str
    at: int


def _hidden(text: str, pieces: list[_Piece], depth: int) -> bytearray:
    """For each letter of `text` 1 where it belongs to a quote of one of `pieces`, else 0."""
    hidden = bytearray(len(text))
    for piece in pieces:
        at = text.find(piece.letters)
        while at >= 0:
            start, end = _quoted(text, at, piece)
            hidden[start:end] = b"\1" * (end - start)
            at = text.find(piece.letters, at + 1)
    if not depth or not ("\\" in text or "%" in text):
        return hidden
    inside = _hidden(_ESCAPE.sub(_letter, text), pieces, depth - 1)
    if any(inside):
        _spread(inside, text, hidden)
    return hidden


def _quoted(text: str, at: int, piece: _Piece) -> tuple[int, int]:
    """From where to where `text` goes on as the key does, around a piece that begins `at`.

    Where somebody cut the key, its last letters before the cut are not the beginning of a piece.
    """
    form = piece.form
    start, before = at, piece.at
    while start and before and text[start - 1] == form[before - 1]:
        start, before = start - 1, before - 1
    end, after = at + SHORTEST, piece.at + SHORTEST
    while end < len(text) and after < len(form) and text[end] == form[after]:
        end, after = end + 1, after + 1
    return start, end


def _spread(inside: bytearray, text: str, hidden: bytearray) -> None:
    """Mark in `hidden`, which is about `text`, what `inside` marks in it without its escapes."""
    at = place = 0
    for escape in _ESCAPE.finditer(text):
        plain = escape.start() - at
        for offset in range(plain):
            hidden[at + offset] |= inside[place + offset]
        place += plain
        if inside[place]:
            hidden[escape.start() : escape.end()] = b"\1" * len(escape[0])
        place += 1
        at = escape.end()
    for offset in range(len(text) - at):
        hidden[at + offset] |= inside[place + offset]


def _letter(escape: re.Match[str]) -> str:
    code = escape[1] or escape[2]
    return chr(int(code, 16)) if code else escape[3]


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
def _pieces(key: str) -> tuple[_Piece, ...]:
    """Pieces of all forms of a key."""
    if len(key) < SHORTEST:
        return ()
    step = 1 if len(key) < _SHORT else _STEP
    pieces = set()
    for form in _forms(key):
        last = len(form) - SHORTEST
        places = {*range(0, last + 1, step), last} if last >= 0 else ()
        pieces |= {_Piece(form[at : at + SHORTEST], form, at) for at in places}
    return tuple(pieces)


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
