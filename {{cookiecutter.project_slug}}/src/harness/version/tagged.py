"""What the tags of experiments say by themselves, in any clone: who, when, on which data."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.version import git

_FIELD, _END = "\x1f", "\x1e"
_FIELDS = (
    "refname",
    "*objectname",
    "objectname",
    "taggername",
    "authorname",
    "creatordate:iso-strict",
    "contents",
)
_DATA = re.compile(r" \| data=([0-9a-f]+) \| (.*)\Z")
_HYPOTHESES = re.compile(r"^hypotheses: (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Tagged:
    """A tag: its commit, who made it and when (UTC, to the second), and what its message says.

    `data` is the beginning of the data version, `hypotheses` are the plan's verdicts; '' where the
    message has none.
    """

    tag: str
    commit: str
    who: str
    when: str
    message: str
    headline: str
    data: str
    said: str
    hypotheses: str


def tagged(root: Path, prefix: str = "e") -> dict[str, Tagged]:
    """Every tag of a version (`e1.2.3`), oldest version first. Raises HarnessError without git."""
    form = _FIELD.join(f"%({name})" for name in _FIELDS) + _END
    listed = git.git(root, "for-each-ref", f"--format={form}", git.TAGS)
    found = [_tagged(entry.strip("\n")) for entry in listed.split(_END) if entry.strip()]
    of_version = re.compile(re.escape(prefix) + r"\d+\.\d+\.\d+")
    kept = [each for each in found if of_version.fullmatch(each.tag)]
    return {each.tag: each for each in sorted(kept, key=lambda each: numbers(each.tag, prefix))}


def numbers(tag: str, prefix: str = "e") -> tuple[int, ...]:
    """`e1.2.3` as (1, 2, 3)."""
    return tuple(int(part) for part in tag.removeprefix(prefix).split("."))


def _tagged(entry: str) -> Tagged:
    ref, peeled, own, tagger, author, when, message = entry.split(_FIELD)
    headline, data, said = message.partition("\n")[0], "", ""
    if found := _DATA.search(headline):
        headline, data, said = headline[: found.start()], *found.groups()
    verdicts = _HYPOTHESES.findall(message)
    return Tagged(
        tag=ref.removeprefix(git.TAGS),
        commit=peeled or own,
        who=tagger or author,
        when=datetime.fromisoformat(when).astimezone(UTC).isoformat(sep=" "),
        message=message,
        headline=headline,
        data=data,
        said="" if said == "-" else said,
        hypotheses=verdicts[-1] if verdicts else "",
    )


def hypotheses_line(verdicts: Iterable[tuple[str, str]]) -> str:
    """The line of a tag's message that says how its hypotheses came out; '' without any."""
    said = ", ".join(f"{name} {outcome}" for name, outcome in verdicts)
    return f"hypotheses: {said}\n" if said else ""
