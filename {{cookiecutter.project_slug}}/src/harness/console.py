"""The one place through which text reaches a person's terminal.

What a server, a param, an error or a tag contains is shown as text only: rich reads no markup in it
(`[/x]` in a prompt), no escape sequence acts (one can write the clipboard), nothing hides or
reorders what is read. Both consoles do this for every string and table printed on them, so callers
need not. Data for programs goes to standard output as it is, and not through these consoles.
"""

import argparse
import contextlib
import hashlib
import io
import re
import shutil
import sys
import time
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from harness.errors import HarnessError

Thing = TypeVar("Thing")
ABSENT = "–"
CELL = 120  # characters of a value in a table
RAW = 1500  # characters of a model's output in a report
LONGEST = 4 * RAW  # of any text in a summary or report, from any section
NAME = 60  # characters of a param where it names a configuration

# Controls, formats such as bidirectional marks, halves of pairs, private and unknown characters,
# and two line ends that few programs know.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(text: str) -> str:
    """Text in which each invisible or reordering character is written out, such as `⟨U+202E⟩`.

    Line ends and tabs stay.
    """
    return text if text.isprintable() else "".join(map(_visible, text.replace("\r\n", "\n")))


def _visible(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) not in _UNSEEN:
        return character
    # A joiner within an emoji is no disguise.
    return character if character == "\u200d" else f"⟨U+{ord(character):04X}⟩"


def shown(value: object, limit: int = CELL, length: int | None = None) -> str:
    """Any value as text that is safe to look at: long text cut, its length said.

    `length` is that of the whole, where `value` is only its beginning.
    """
    if value is None:
        return ABSENT
    text = value if isinstance(value, str) else str(value)
    # Cut first: escaping ten million characters to show a thousand takes seconds.
    cut = visible(text[:limit])
    whole = max(len(text), length or 0)
    return cut if whole <= limit else f"{cut}… [{whole:,} characters]"


def brief(value: object, limit: int = NAME) -> str:
    """A value on one line, as part of a name; if it is cut, four hex digits keep names apart."""
    text = str(value)
    cut = visible(text[:limit]).replace("\n", "⏎").replace("\t", " ")
    if len(text) <= limit:
        return cut
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:4]
    return f"{cut}… [{len(text):,} characters, {digest}]"


def styled(*parts: str | tuple[str, str]) -> Text:
    """Text of several parts; a part with a style, such as ("error:", "bold red"), is ours."""
    seen = ((part, "") if isinstance(part, str) else part for part in parts)
    return Text.assemble(*((visible(text), style) for text, style in seen))


class SafeConsole(Console):
    """A console on which every string is plain text: alone, in a cell, or as a title."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Every string becomes plain text here."""
        return super().render_str(visible(text), **{**options, "markup": False, "emoji": False})

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The last step before the terminal; only rich's own controls may move the cursor."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment("".join(map(_in_place, segment.text)), segment.style)


def _in_place(character: str) -> str:
    """As `_visible`, but one character wide, because widths have been counted already."""
    return character if len(_visible(character)) == 1 else "\ufffd"


class Arguments(argparse.ArgumentParser):
    """Says what is wrong with the arguments of a script through the same door."""

    def _print_message(self, message: str, file: Any = None) -> None:
        super()._print_message(visible(message), file)


def _never_fail(stream: IO[str]) -> None:
    """Write what a terminal cannot show, such as a dash on an ASCII one, as its escape."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


_never_fail(sys.stdout)
_never_fail(sys.stderr)
# Where output goes into a file or a pipe there is no width to respect.
out = SafeConsole(width=None if sys.stdout.isatty() else 200)
err = SafeConsole(stderr=True, width=None if sys.stderr.isatty() else 200)


def progress(things: Sequence[Thing], what: str, every: float = 5.0) -> Iterator[Thing]:
    """The things one after the other, with a line now and then where they take long."""
    begun = shown = time.monotonic()
    for number, thing in enumerate(things):
        yield thing
        now = time.monotonic()
        if now - shown > every:
            shown = now
            left = (now - begun) / (number + 1) * (len(things) - number - 1)
            err.print(f"{what}: {number + 1}/{len(things)}  {left:.0f} s left", markup=False)


def show_error(error: HarnessError) -> None:
    """Print what is wrong and the command that fixes it on standard error."""
    message = "\n".join(shown(each, RAW) for each in error.message.split("\n"))
    err.print(styled(("error:", "bold red"), f" {message}"), soft_wrap=True)
    if error.fix:
        err.print(styled(("  fix:", "bold green"), f" {runnable(error.fix)}"), soft_wrap=True)


def runnable(text: str) -> str:
    """Text in which DVC, xt and Python are called by their path, where only the environment has it.

    Nobody has to activate the environment, so a shell may not know the command `dvc`, and its
    `python` may be another one.
    """
    for name, goes_on in (("dvc", "[a-z]"), ("xt", "[a-z]"), ("python", "-m ")):
        if f"{name} " not in text:
            continue
        program = Path(sys.executable).with_name(name)
        found = shutil.which(name)
        if found and (name != "python" or Path(found) == program):
            continue
        with contextlib.suppress(ValueError):
            program = program.relative_to(Path.cwd())
        text = re.sub(rf"(?<![\w./-]){name} (?={goes_on})", f"{program} ", text)
    return text
