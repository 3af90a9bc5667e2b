"""Whether scores say what they are, and whether all that was returned as one can count."""

from collections.abc import Iterable, Iterator

from harness.analysis.facts import DEV, Facts
from harness.analysis.views import columns
from harness.declarations import (
    DECLARED,
    RULES,
    UNCOUNTED,
    UNCOUNTED_VALUES,
    Rule,
    Uncounted,
    rule_of,
    uncounted_words,
)
from harness.findings import Finding, within

_FILE = "src/benchmark/metrics.py"


def uncounted_scores(facts: Facts) -> list[Finding]:
    """Infinity in a mean makes it infinite, and left out without a word it makes it too good."""
    found = []
    for experiment, each in _uncounted(facts):
        total = sum(value.n for value in each)
        rerun = "make dev-run" if experiment == DEV else f"make rescore TAG={experiment}"
        found.append(
            Finding(
                "uncounted_scores",
                "error",
                f"{within(experiment)}{uncounted_words(each[0].name, each)}",
                total,
                tuple(value.example for value in each),
                f"return a finite number, or None, in {_FILE}, then {rerun}",
                experiment,
            )
        )
    return found


def _uncounted(facts: Facts) -> Iterator[tuple[str, list[Uncounted]]]:
    """Per experiment and score, what cannot count."""
    if not columns(facts.con, UNCOUNTED):
        return
    groups: dict[tuple[str, str], list[Uncounted]] = {}
    for experiment, *values in facts.ask(UNCOUNTED_VALUES):
        each = Uncounted(*values)
        groups.setdefault((experiment, each.name), []).append(each)
    for (experiment, _), found in groups.items():
        yield experiment, found


def undeclared_scores(facts: Facts, experiment: str) -> list[Finding]:
    """Which way is better is not to be guessed: without it nothing is ranked by a score."""
    if not columns(facts.con, DECLARED):
        return []
    rules = [rule_of(row) for name, *row in facts.ask(RULES) if name == experiment]
    return [*map(undeclared, _without_direction(rules)), *_never_returned(facts, rules)]


def _without_direction(rules: Iterable[Rule]) -> list[Rule]:
    return [rule for rule in rules if rule.better is None]


def undeclared(rule: Rule) -> Finding:
    """A score that does not say which way is better, with the line that says it."""
    line = f'"{rule.name}": Score("{rule.kind}", better="higher"),  # or "lower", or "neither"'
    return Finding(
        "undeclared_score",
        "warning",
        f"nothing says which way {rule.name} is better, so nothing is ranked by it",
        fix=f"add to SCORES in {_FILE}: {line}",
    )


def _never_returned(facts: Facts, rules: Iterable[Rule]) -> list[Finding]:
    return [
        Finding(
            "undeclared_score",
            "warning",
            f"SCORES declares {rule.name}, which no row has",
            fix=f"correct its name in SCORES, or return it from score() in {_FILE}",
        )
        for rule in rules
        if rule.declared and not rule.aggregate and rule.name not in facts.have
    ]
