"""Tags where the harness did not run the experiment: what `scripts/version_tag.py` does."""

import json
import re
from dataclasses import asdict
from pathlib import Path

from harness.clock import local
from harness.console import out, visible
from harness.errors import HarnessError
from harness.read.facts import Facts
from harness.read.validate import examine
from harness.tell.overview import configuration_lines
from harness.tell.section import Section, Table, to_console
from harness.version import git
from harness.version.next_version import Next, first_version, next_version
from harness.version.tagged import Tagged, numbers, tagged


def print_list(root: Path, prefix: str, as_json: bool) -> None:
    """The tags with this prefix, oldest version first."""
    found = [*tagged(root, prefix).values()]
    if as_json:
        print(json.dumps([asdict(each) for each in found], indent=2))
        return
    rows = [[each.tag, local(each.when), each.who, each.headline, each.said] for each in found]
    table = Table(("tag", "when", "who", "what was found", "message"), rows)
    to_console([Section("Tags", () if rows else ["There is none yet."], [table] if rows else [])])


def print_tag(root: Path, tag: str, prefix: str) -> None:
    """Everything that a tag says. Raises HarnessError where it is not here."""
    each = _tag(root, tag, prefix)
    out.print(f"{each.tag}  {local(each.when)}  {each.who}  {each.commit}", soft_wrap=True)
    out.print(f"\n{visible(each.message.rstrip())}", soft_wrap=True)


def _tag(root: Path, tag: str, prefix: str) -> Tagged:
    known = tagged(root, prefix)
    if tag not in known:
        there = ", ".join([*known][-5:]) or "none"
        raise HarnessError(
            f"there is no tag {tag!r} here (the newest: {there})",
            fix="git fetch --tags brings those of others; --prefix names another series",
        )
    return known[tag]


def next_patch(root: Path, prefix: str) -> Next:
    """The next version where nothing is recorded of code, data and params."""
    known = [*tagged(root, prefix)]
    if not known:
        return first_version(prefix)
    return next_version(numbers(known[-1], prefix), {}, {}, known[-1], prefix)


def print_next(found: Next, as_json: bool) -> None:
    """A version and why."""
    if as_json:
        print(json.dumps(asdict(found)))
    else:
        out.print(f"{found.version}  {found.level}: {found.why}", soft_wrap=True)


def make_tag(
    root: Path,
    version: str,
    db: Path | None,
    table: str | None,
    description: str,
    prefix: str,
    dry_run: bool,
) -> None:
    """Tag the commit that is checked out with what a table holds.

    Raises HarnessError for a version that is malformed or taken, and for an experiment of the
    harness: that is tagged where it was run, with its gates and checks.
    """
    if not re.fullmatch(re.escape(prefix) + r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}", version):
        raise HarnessError(f"{version!r} is no version", fix=f"{prefix}1.2.3, or another --prefix")
    if version in tagged(root, prefix):
        free = next_patch(root, prefix).version
        raise HarnessError(f"{version} is taken", fix=f"the next one: {free}")
    if not git.head(root):
        raise HarnessError("there is no commit to tag yet", fix="git commit")
    if db is None and not description:
        raise HarnessError(
            "there is nothing to say in the tag",
            fix=f"--db FILE or --description; an experiment here: make experiment TAG={version}",
        )
    lines = examine([db], table, _lines, with_scores=True) if db else []
    message = _message(lines, description)
    if dry_run:
        out.print(message, soft_wrap=True)
        return
    git.annotate(root, version, message)
    out.print(f"tagged {version}: {message.splitlines()[0]}", soft_wrap=True)


def _lines(facts: Facts) -> list[str]:
    if facts.ours:
        raise HarnessError(
            "the harness ran what is in this database",
            fix="make experiment TAG=… tags it; --dry-run needs no tag: make summary TAG=…",
        )
    return configuration_lines(facts)


def _message(lines: list[str], description: str) -> str:
    said = visible(" ".join(description.split())) or "-"
    if len(lines) == 1:
        return f"{lines[0]} | {said}\n"
    head = f"{len(lines)} configurations | {said}" if lines else said
    return "\n".join([head, *(["", *lines] if lines else [])]) + "\n"
