"""How each score counts in one experiment: what metrics.py declared, and what follows from it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.project.hypotheses import Plan
from harness.project.scores import GIVEN, LARGEST, WORST, Better, Score, ScoreKind, worst_of


@dataclass(frozen=True, slots=True)
class Rule:
    """How one score, or one of AGGREGATES, counts.

    `missing` and `failure` are the numbers that None and a failed datapoint count as; None means
    left out. `missing_said` and `failure_said` are False where that is a default. `given`: an
    aggregate that gets failed rows. `declared`: in SCORES. `planned`: which hypothesis of the plan
    names it first, from 0 on.
    """

    name: str
    kind: ScoreKind = "mean"
    better: Better | None = None
    low: float | None = None
    high: float | None = None
    missing: float | None = None
    failure: float | None = None
    missing_said: bool = False
    failure_said: bool = False
    given: bool = False
    label: str = ""
    aggregate: bool = False
    declared: bool = False
    planned: int | None = None

    @property
    def called(self) -> str:
        """What people read instead of its name."""
        return self.label or self.name

    @property
    def ranks(self) -> bool:
        """Whether one value of it is better than another."""
        return self.better in ("higher", "lower")

    @property
    def lower(self) -> bool:
        """Whether less is better."""
        return self.better == "lower"

    @property
    def binary(self) -> bool:
        """Whether its mean is a share, which has an interval of its own."""
        return self.kind == "proportion" and not self.aggregate

    @property
    def fresh(self) -> bool:
        """Whether a row from the cache has no value: it was measured in another run."""
        return self.kind == "time"

    @property
    def worst(self) -> float | None:
        """The worst value that it can have, where that is known."""
        return worst_of(self.better, self.low, self.high)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The least and the largest value, where both are declared; a share has its own way."""
        if self.low is None or self.high is None or self.binary:
            return None
        return self.low, self.high

    def within(self, value: float | None) -> float | None:
        """A bound of an interval, no further out than the score can be."""
        if value is None:
            return None
        value = value if self.low is None else max(value, self.low)
        return value if self.high is None else min(value, self.high)

    def sql(self, column: str, failed: float | None) -> str:
        """What a row counts as, in SQL that SQLite and DuckDB both read; NULL: it is left out.

        `failed` is what it counts as where it failed. What cannot count, such as infinity in a
        table recorded long ago, counts as a missing value.
        """
        cached = "WHEN cache <> '' THEN NULL " if self.fresh else ""
        countable = f"abs(CAST({column} AS DOUBLE)) <= {LARGEST!r}"
        return (
            f"CASE WHEN error IS NOT NULL THEN {_literal(failed)} {cached}"
            f"WHEN {countable} THEN {column} ELSE {_literal(self.missing)} END"
        )

    def counted(self, column: str) -> str:
        """`sql` by its own policy."""
        return self.sql(column, self.failure)


def _literal(value: float | None) -> str:
    if value is None:
        return "NULL"
    # A whole number leaves a column of whole numbers what it is.
    return repr(int(value)) if value.is_integer() and abs(value) < 2**53 else f"{value!r}"


def said(rule: Rule) -> str:
    """A rule in a few words: `proportion, higher is better, None 0, a failure 0`."""
    better = f"{rule.better} is better" if rule.ranks else rule.better or "no direction"
    counts = [
        f"{what} {'left out' if value is None else f'{value:g}'}"
        for what, value in (("None", rule.missing), ("a failure", rule.failure))
    ]
    if rule.aggregate:
        counts = [f"failed rows {'given' if rule.given else 'left out'}"]
    return ", ".join([rule.kind, better, *counts])


def without_direction(rules: Iterable[Rule]) -> list[Rule]:
    """Scores that say neither which way is better nor that none is."""
    return [rule for rule in rules if rule.better is None]


def undeclared_words(rule: Rule) -> tuple[str, str]:
    """What is wrong with a score that does not say which way is better, and what to write."""
    line = f'"{rule.name}": Score("{rule.kind}", better="higher"),  # or "lower", or "neither"'
    fix = f"add to SCORES in src/benchmark/metrics.py: {line}"
    if rule.declared:
        fix = f'say better="higher", "lower" or "neither" of {rule.name} in SCORES in metrics.py'
    return f"nothing says which way {rule.name} is better, so nothing is ranked by it", fix


def measured_rule(name: str) -> Rule:
    """The rule of latency or cost, which every experiment has."""
    kind: ScoreKind = "time" if name == "latency" else "mean"
    return Rule(name, kind, "lower", low=0.0, declared=True, failure_said=True, missing_said=True)


def settle(
    plan: Plan,
    declared: Mapping[str, Score],
    scores: Collection[str],
    boolean: Collection[str],
    aggregates: Collection[str],
) -> list[Rule]:
    """The rules of an experiment: those of SCORES in their order, then the scores it does not name.

    `scores` are the names that score() returned. `boolean` are those that had no other value than
    True and False: where they are not declared, they count as proportions.
    """
    names = dict.fromkeys([*declared, *sorted(scores), *aggregates])
    rules = []
    for name in names:
        score = declared.get(name) or Score("proportion" if name in boolean else "mean")
        better = score.better or plan.direction(name)
        worst = worst_of(better, score.low, score.high)
        rules.append(
            Rule(
                name=name,
                kind=score.kind,
                better=better,
                low=score.low,
                high=score.high,
                missing=_counts(score.missing, worst),
                failure=None if name in aggregates else _counts(score.failure, worst),
                missing_said=score.missing is not None,
                failure_said=score.failure is not None,
                given=score.failure == GIVEN,
                label=score.label,
                aggregate=name in aggregates,
                declared=name in declared,
                planned=plan.place_of(name),
            )
        )
    return rules


def _counts(declared: str | float | None, worst: float | None) -> float | None:
    if isinstance(declared, float):
        return declared
    return worst if declared in (None, WORST) else None


def legacy_rules(
    plan: Plan, scores: Mapping[str, bool], aggregates: Collection[str], skipped: bool
) -> list[Rule]:
    """How experiments counted before scores were declared; `scores`: whether all were 0 or 1.

    A failed datapoint of such a score counted as wrong, or not at all where [run] on_error was
    "skip". None was left out. A score that no hypothesis names was taken as better when higher.
    That is enough to read the figures as they were, and not enough to rank by.
    """
    rules = []
    for name, binary in scores.items():
        failure = float(plan.lower_is_better(name)) if binary and not skipped else None
        rules.append(
            Rule(
                name=name,
                kind="proportion" if binary else "mean",
                better=plan.direction(name),
                low=0.0 if binary else None,
                high=1.0 if binary else None,
                failure=failure,
                missing_said=True,
                failure_said=True,
                planned=plan.place_of(name),
            )
        )
    for name in aggregates:
        better = plan.direction(name)
        planned = plan.place_of(name)
        rules.append(Rule(name, better=better, aggregate=True, planned=planned))
    return rules


def in_order_of_rank(rules: Iterable[Rule]) -> list[Rule]:
    """What an experiment may be ranked by: first the plan's metrics, then those of SCORES."""
    able = [rule for rule in rules if rule.ranks]
    planned = sorted((r for r in able if r.planned is not None), key=lambda r: r.planned or 0)
    return planned + [rule for rule in able if rule.planned is None and rule.declared]


def has_figures(rule: Rule, rows: Iterable[Mapping[str, object]]) -> bool:
    """Whether rows of metrics have something to show of a score.

    A score of which no value counted is shown too, unless its declaration leaves None out on
    purpose.
    """
    rows = list(rows)
    if any(row.get(rule.name) is not None for row in rows):
        return True
    recorded = any(row.get(f"{rule.name}_n") is not None for row in rows)
    return recorded and (rule.fresh or not rule.missing_said)


@dataclass(frozen=True, slots=True)
class Uncounted:
    """Values of one score that cannot count, for one reason; `example` names one of them."""

    name: str
    reason: str
    n: int
    example: str


def together(found: Iterable[Uncounted]) -> list[Uncounted]:
    """The same reasons of the same score counted as one."""
    counted: dict[tuple[str, str], Uncounted] = {}
    for each in found:
        first = counted.setdefault((each.name, each.reason), each)
        if first is not each:
            counted[each.name, each.reason] = replace(first, n=first.n + each.n)
    return list(counted.values())


def uncounted_words(name: str, found: Sequence[Uncounted]) -> str:
    """`log_loss: 3 values cannot count (2 x inf, 1 x nan; item i5: inf)`, without a full stop."""
    mine = [each for each in found if each.name == name]
    total = sum(each.n for each in mine)
    reasons = ", ".join(f"{each.n:,} x {each.reason}" for each in mine)
    noun = "value" if total == 1 else "values"
    return f"{name}: {total:,} {noun} cannot count ({reasons}; {mine[0].example})"
