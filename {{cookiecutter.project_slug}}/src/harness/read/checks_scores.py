"""Whether scores say what they are, and whether all that was returned as one can count."""

from collections.abc import Iterator

from harness.findings import Finding, within
from harness.project.declarations import (
    Uncounted,
    uncounted_words,
    undeclared_words,
    without_direction,
)
from harness.read.facts import DEV, Facts, rules_by_experiment
from harness.read.views import columns
from harness.record.score_tables import UNCOUNTED, UNCOUNTED_VALUES

_FILE = "src/benchmark/metrics.py"


def uncounted_scores(facts: Facts) -> list[Finding]:
    """Infinity in a mean makes it infinite, and left out without a word it makes it too good."""
    found = []
    for experiment, each in _uncounted(facts):
        total = sum(value.n for value in each)
        rerun = f"make rescore TAG={experiment} (the experiment again, where it has no tag yet)"
        if experiment == DEV:
            rerun = "make dev-run"
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
    here = {experiment for (experiment,) in facts.ask("SELECT DISTINCT e FROM tally")}
    groups: dict[tuple[str, str], list[Uncounted]] = {}
    for experiment, *values in facts.ask(UNCOUNTED_VALUES):
        each = Uncounted(*values)
        if experiment in here:
            groups.setdefault((experiment, each.name), []).append(each)
    for (experiment, _), found in groups.items():
        yield experiment, found


def undeclared_scores(facts: Facts, experiment: str) -> list[Finding]:
    """Which way is better is not to be guessed: without it nothing is ranked by a score."""
    rules = rules_by_experiment(facts.con).get(experiment, [])
    found = [
        Finding("undeclared_score", "warning", message, fix=fix)
        for message, fix in map(undeclared_words, without_direction(rules))
    ]
    if not facts.succeeded:
        return found  # no row has any score then, whatever its name
    return found + [
        Finding(
            "undeclared_score",
            "warning",
            f"SCORES declares {rule.name}, which no row has",
            fix=f"correct its name in SCORES, or return it from score() in {_FILE}",
        )
        for rule in rules
        if rule.declared and not rule.aggregate and rule.name not in facts.have
    ]
