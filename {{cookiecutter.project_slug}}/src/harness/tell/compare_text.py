"""A comparison as the parts that the console, Markdown and HTML show."""

from collections.abc import Sequence

from harness.console import CELL, shown
from harness.tell.compare import PAIRS, Comparison, Pair
from harness.tell.section import Section, Table, counted, interval, number

MARKS = {
    "better": "▲",
    "worse": "▼",
    "higher": "↑",
    "lower": "↓",
    "equivalent": "=",
    "not worse": "≥",
    "not lower": "≥",
    "undecided": "?",
    "not comparable": "✕",
}
_USUAL = 0.95
_ALONE = (
    "Each interval is of its comparison alone; p is corrected for all of them (Holm), and so is "
    "the verdict. So an interval that leaves out 0 is no verdict by itself."
)


def sections(comparison: Comparison) -> list[Section]:
    """The comparison as parts that the console, Markdown and HTML show."""
    parts = []
    if comparison.warnings:
        parts.append(Section("Warnings", comparison.warnings, warning=True))
    if comparison.a.partition(":")[0] != comparison.b.partition(":")[0]:
        table = Table(("what", "A", "B"), comparison.changed)
        nothing = () if comparison.changed else ("Nothing that is recorded.",)
        parts.append(Section("What changed", nothing, [table] if comparison.changed else []))
    level = f"B - A [{100 * comparison.confidence:.4g}%]"
    headings = ("metric", "A", "B", "B is", level, "n", "p (Holm)", "effect", "note")
    text = ["Paired on shared items; every two configurations of one experiment."]
    if comparison.best:
        text = [
            f"Paired on shared items; of so many configurations each is compared with the first by "
            f"the ranking, {comparison.best}, and the correction is for all pairs. Name two for "
            "another pair: A=TAG:name=value B=TAG:name=value."
        ]
    elif comparison.a != comparison.b:
        text = [f"A = {shown(comparison.a)}, B = {shown(comparison.b)}, paired on shared items."]
    if comparison.confidence > _USUAL:
        text.append(
            "A plan ended an experiment at a look: its intervals hold at all looks together."
        )
    if len(comparison.pairs) > PAIRS:
        text.append(
            f"{PAIRS} of {len(comparison.pairs)} comparisons are shown, FORMAT=json has all."
        )
    if any(pair.verdict and pair.verdict.together != pair.verdict.difference
           for pair in comparison.pairs):  # fmt: skip
        text.append(_ALONE)
    text += _what_matters(comparison.pairs)
    rows = [_line(pair) for pair in comparison.pairs[:PAIRS]]
    parts.append(Section("Verdicts", text, [Table(headings, rows)]))
    for pair in comparison.pairs[:PAIRS]:
        if pair.flips:
            rows = [[shown(text, CELL) for text in flip.values()] for flip in pair.flips]
            title = f"Items that changed most: {pair.called}, {pair.a} → {pair.b}"
            parts.append(Section(title, (), [Table(list(pair.flips[0]), rows)]))
    return parts


def _what_matters(pairs: Sequence[Pair]) -> list[str]:
    """What the plan says of each metric: from which difference on it matters."""
    said = {
        pair.called: pair.verdict.smallest_difference
        for pair in pairs
        if pair.verdict and pair.verdict.smallest_difference
    }
    if not said:
        return []
    amounts = ", ".join(f"{number(each)} in {name}" for name, each in said.items())
    return [f"By the plan, a difference matters from here on: {amounts}."]


def _line(pair: Pair) -> list[str]:
    outcome = f"{MARKS.get(pair.outcome, '')} {pair.outcome}"
    if pair.verdict is None:
        return [pair.called, pair.a, pair.b, outcome, "", "", "", "", pair.reason]
    verdict, gap = pair.verdict, pair.verdict.difference
    notes = [verdict.test, pair.reason]
    effect = f"{verdict.effect_name} {number(verdict.effect, 2)}" if verdict.effect_name else ""
    if pair.outcome == "undecided":
        notes.append(verdict.would_decide)
    return [
        pair.called, pair.a, pair.b, outcome, interval(gap.estimate, gap.low, gap.high),
        counted(verdict.n, verdict.unit), number(verdict.p_adjusted, 2),
        effect, "; ".join(filter(None, notes)),
    ]  # fmt: skip
