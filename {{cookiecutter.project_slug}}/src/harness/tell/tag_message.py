"""What a tag says of its experiment, and its line in the index of `results/README.md`."""

from collections.abc import Sequence
from pathlib import Path

from harness.clock import now
from harness.console import visible
from harness.project.declarations import Rule
from harness.project.interim import ended_words
from harness.read.catalogue import Known, Row
from harness.seal import identity, modified_words
from harness.tell.listing import main_words
from harness.tell.ranking import tag_figures, tag_params
from harness.tell.section import inline
from harness.tell.summary import Summary
from harness.version.index import set_line
from harness.version.tagged import hypotheses_line


def tag_message(rows: Sequence[Row], data: str, message: str, found: Summary) -> str:
    """`params | metrics | data=… | message`, then a line for each configuration, then verdicts.

    The first line is of the configuration that is ahead of all others; where none is, it says how
    many there are, and how many of them may be the best. What else a tag says, such as
    its runs, can stand right after it.
    """
    rules = _rules(found)
    lines = [f"{tag_params(row)} | n={row['n']} {tag_figures(row, rules)}" for row in rows]
    said = visible(" ".join(message.split())) or "-"
    head = f"{headline(rows, found)} | data={data[:12]} | {said}"
    body = ["", *lines] if len(rows) > 1 else []
    if found.experiment.ended_by_plan:
        body += ["", ended_words(found.experiment.looked[-1], found.experiment.ended_by_plan)]
    if modified := modified_words(identity().edited):
        body += ["", modified]
    return "\n".join([head, *body]) + f"\n\n{_verdicts(found)}"


def headline(rows: Sequence[Row], found: Summary) -> str:
    """`params | metrics` of what is ahead of all others; else how many there are."""
    if ahead := [row for row in rows if len(rows) == 1 or row["params_key"] == found.leader]:
        return f"{tag_params(ahead[0])} | {tag_figures(ahead[0], _rules(found))}"
    return found.ranking.short_words()


def write_index(
    root: Path,
    tag: str,
    rows: Sequence[Row],
    found: Summary,
    data: str,
    message: str,
    day: str = "",
) -> str:
    """Set the line of an experiment in the index, of today or another day; returns its place."""
    known = Known(tag, None, list(rows), list(found.experiment.rules.values()))
    verdicts = _verdicts(found).strip().removeprefix("hypotheses: ")
    cells = [main_words(known), headline(rows, found), verdicts, data[:12], message]
    line = " | ".join([f"[{tag}]({tag}.md)", day or now()[:10], *map(inline, cells)])
    return set_line(root, tag, f"| {line} |")


def _verdicts(found: Summary) -> str:
    return hypotheses_line((each.hypothesis.id, each.verdict) for each in found.judged)


def _rules(found: Summary) -> list[Rule]:
    """The metrics of an experiment, what it is ranked by first."""
    first = found.ranking.rule
    rules = [found.experiment.rule(name) for name in found.experiment.metrics]
    return sorted(rules, key=lambda rule: first is None or rule.name != first.name)
