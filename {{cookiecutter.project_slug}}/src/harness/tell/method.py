"""How the numbers of a report were made, in the words of a paper's section on method."""

from harness.console import ABSENT
from harness.measure.judge import Judged
from harness.project.declarations import Rule
from harness.read.results import Experiment
from harness.read.scores import Scores
from harness.stats.intervals import BOOTSTRAP_UNITS
from harness.tell.ranking import Ranking
from harness.tell.section import Section, number

RANKS = (
    "Ranks come from all pairs at once (max-T, stepped down): with 95% all ranges hold the true "
    "rank (Mogstad et al. 2024)."
)


def method_section(
    experiment: Experiment, scores: Scores, ranking: Ranking, judged: list[Judged]
) -> Section:
    """Items, configurations and repeats; the primary metric; intervals; corrections."""
    paragraphs = [
        _design(experiment, scores),
        _primary(ranking.rule),
        _intervals(experiment, scores),
        _comparisons(experiment, scores, ranking, judged),
    ]
    return Section("Method", [each for each in paragraphs if each])


def _design(experiment: Experiment, scores: Scores) -> str:
    items, count = scores.n_items, len(experiment.configurations)
    total = experiment.recorded
    text = f"Each of {items:,} items was predicted under each of {count} configurations"
    if count == 1:
        text = f"Each of {items:,} items was predicted under one configuration"
    repeats, uneven = divmod(total, items * count) if items else (0, 0)
    if uneven:  # as under load, where a higher rate sends more requests
        text = f"{items:,} items were predicted, not all under each of {count} configurations"
        text += " or not equally often" if experiment.repeated else ""
    elif experiment.repeated:
        text += f", {repeats:,} times each"
    text += f": {total:,} datapoints."
    if scores.units.fitted:
        text += f" Models were fitted for {scores.units.n_folds} folds."
    if (clusters := scores.units.n_clusters) not in (None, items):
        text += f" What was drawn together counts as one: {clusters:,} clusters."
    return text + _made_by(experiment)


def _made_by(experiment: Experiment) -> str:
    if not experiment.runs:
        return ""
    last = experiment.runs[-1]
    how = last.get("settings", {}).get("run", {}).get("executor")
    facts = [
        f"{len(experiment.runs)} run{'s' if len(experiment.runs) != 1 else ''}",
        f"executor {how}" if how else "",
        f"Python {last['python']}" if last.get("python") else "",
        str(last.get("cpu") or ""),
        str(last.get("gpu") or ""),
    ]
    return f" Made by {', '.join(each for each in facts if each and each != ABSENT)}."


def _primary(rule: Rule | None) -> str:
    if rule is None:
        return "No metric is primary: nothing says which way one is better."
    where = "a hypothesis of the plan names it first" if rule.planned is not None else (
        "it stands first in SCORES"
    )  # fmt: skip
    values = f", from {number(rule.low)} to {number(rule.high)}"
    bounds = values if rule.low is not None and rule.high is not None else ""
    said = f"{rule.kind}{bounds}, {rule.better} is better"
    return f"The primary metric is {rule.called} ({said}): {where}."


def _intervals(experiment: Experiment, scores: Scores) -> str:
    rules = [experiment.rule(each) for each in experiment.metrics]
    ways = []
    if any(rule.binary for rule in rules):
        ways.append("Wilson's score interval for proportions")
    if any(not rule.binary and not rule.aggregate for rule in rules):
        few = (scores.units.n_clusters or scores.n_items) in BOOTSTRAP_UNITS
        ways.append(f"{'a BCa bootstrap over items' if few else 'Student’s t'} for means")
    if any(rule.bounds and not rule.aggregate for rule in rules):
        ways.append("a bet where values at a declared bound may be missing from the sample")
    if any(rule.aggregate for rule in rules):
        ways.append("resampled items for figures of many rows")
    said = f" It is {_listed(ways)}." if ways else ""
    repeats = " Repeats of an item count as one." if experiment.repeated else ""
    given = " It takes the fitted models as given." if scores.units.fitted else ""
    return (
        "Brackets hold a 95% confidence interval: of a hundred experiments on other items drawn "
        "alike, some 95 give one that holds the true value. It says nothing of other data, models "
        f"or seeds.{said}{given}{repeats} Percentiles of times have theirs by order statistics."
    )


def _comparisons(
    experiment: Experiment, scores: Scores, ranking: Ranking, judged: list[Judged]
) -> str:
    others = len(experiment.configurations) - 1
    parts = []
    folded = scores.units.fitted
    test = ", by the folds' differences (corrected resampled t)" if folded else ""
    if ranking.rule is not None and others > 0:
        if ranking.rule.name in scores.counted:
            parts.append(
                "Comparisons are paired: two configurations are compared on the same items"
                f"{test}. The difference to the first has its own 95% interval. {RANKS}"
            )
        else:
            parts.append(
                f"{ranking.rule.called} is no mean of items; the difference to the first is of a "
                f"bootstrap that draws the same items for both. {RANKS}"
            )
    if len(judged) > 1:
        parts.append(
            f"The {len(judged)} hypotheses share 5%: each interval is at "
            f"{100 * (1 - 0.05 / len(judged)):.4g}% (Bonferroni)."
        )
    if experiment.looked:
        taken, last = len(experiment.looked), experiment.looked[-1]
        parts.append(
            f"{taken} of {last['of']} planned looks were taken, the last at {last['items']:,} of "
            f"{last['of_items']:,} items, which come in random order; the intervals of hypotheses "
            "and the ranks hold at all looks together (Lan & DeMets 1983), other intervals are "
            "those of a number of items that was fixed."
        )
    return " ".join(parts)


def _listed(ways: list[str]) -> str:
    return ways[0] if len(ways) == 1 else f"{', '.join(ways[:-1])} and {ways[-1]}"
