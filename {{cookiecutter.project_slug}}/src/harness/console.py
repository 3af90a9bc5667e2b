"""The one door for text on its way to a person's terminal.

What a server, a param, an error or a tag says is text and nothing else: no markup of rich's (`[/x]`
in a prompt), no escape sequence (one can write the clipboard), nothing that hides or reorders what
is read. Both consoles see to that for every string and table that is printed on them, so a caller
need not think of it. Data for programs goes to standard output as it is, and nowhere else.
"""

import hashlib
import io
import sys
import unicodedata
from collections.abc import Iterable
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from harness.errors import HarnessError

ABSENT = "–"
CELL = 120  # characters of a value in a table
RAW = 1500  # characters of a model's output in a report
LONGEST = 4 * RAW  # of any text in a summary or report, whoever made its section
NAME = 60  # characters of a param where it names a configuration

# Controls, formats such as bidirectional marks, halves of pairs, private and unknown characters,
# and two line ends that few programs know.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(text: str) -> str:
    """Text with what is not seen, or reorders what is, written out as `⟨U+202E⟩`.

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
    """A value on one line, as part of a name; four hex digits tell apart what is cut."""
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
    """A console on which every string is text, wherever it stands: alone, in a cell, as a title."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """A string becomes text here, whoever prints it."""
        return super().render_str(visible(text), **{**options, "markup": False, "emoji": False})

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The last step before the terminal; only rich's own controls move anything in it."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment("".join(map(_in_place, segment.text)), segment.style)


def _in_place(character: str) -> str:
    """As `_visible`, in one place, because widths have been counted."""
    return character if len(_visible(character)) == 1 else "\ufffd"


def _never_fail(stream: IO[str]) -> None:
    """Write what a terminal cannot show, such as a dash on an ASCII one, as its escape."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


_never_fail(sys.stdout)
_never_fail(sys.stderr)
# Where output goes into a file or a pipe there is no width to respect.
out = SafeConsole(width=None if sys.stdout.isatty() else 200)
err = SafeConsole(stderr=True, width=None if sys.stderr.isatty() else 200)


def show_error(error: HarnessError) -> None:
    """Print what is wrong and the command that fixes it on standard error."""
    message = "\n".join(shown(each, RAW) for each in error.message.split("\n"))
    err.print(styled(("error:", "bold red"), f" {message}"), soft_wrap=True)
    if error.fix:
        err.print(styled(("  fix:", "bold green"), f" {error.fix}"), soft_wrap=True)
