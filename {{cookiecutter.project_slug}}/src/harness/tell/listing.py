"""The experiments as a list: one line each (`make tags`), or one for each configuration (`list`).

A list is sorted by any of its columns, metric or param; `-` before the name turns it round.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness.clock import local, now
from harness.console import ABSENT, brief
from harness.errors import HarnessError
from harness.project.declarations import Rule, has_figures
from harness.project.hypotheses import reads_as
from harness.read.catalogue import Known, Row, params_of
from harness.tell.section import Section, Table, interval, with_own_n
from harness.version import git

_OF_TAG = ("tag", "when", "who", "data", "message")


def tags_section(listed: Sequence[Known], sort: str = "") -> Section:
    """A line for each experiment: main metric with its interval, verdicts, data, who and when."""
    heads = ("tag", "when", "who", "main metric", "what was found", "hypotheses", "data", "message")
    rows = [
        [
            each.tag,
            local(each.when) if each.when else ABSENT,
            each.tagged.who if each.tagged else ABSENT,
            main_words(each),
            found_words(each),
            each.tagged.hypotheses if each.tagged else "",
            each.data or ABSENT,
            said(each),
        ]
        for each in in_order(listed, sort)
    ]
    return Section("Experiments", (), [Table(heads, rows)])


def distant_notes(listed: Sequence[Known]) -> list[str]:
    """What to say where only what was committed with a tag is here, and not its database."""
    distant = [each.tag for each in listed if each.tagged and not each.runs]
    if not distant:
        return []
    others = f" and {len(distant) - 3} others" if len(distant) > 3 else ""
    return [
        f"the rows of {', '.join(distant[:3])}{others} are not here: these figures were committed "
        "with the tag, without the order of configurations; make pull brings the rest"
    ]


def clock_notes(root: Path, listed: Sequence[Known]) -> list[str]:
    """What to say where a newer version is dated before an older one, or one after today."""
    found = []
    dated = [(each, each.tagged) for each in listed if each.tagged]
    for (before, first), (after, second) in pairwise(dated):
        if second.when < first.when:
            why = "they were made apart, or a clock is wrong"
            if git.is_ancestor(root, first.commit, second.commit):
                why = "one was made after the other, so a clock is wrong"
            words = f"{after.tag} is dated before {before.tag}: {why}"
            found.append(f"{words} (timedatectl shows this one's); the order is that of versions")
    late = [each.tag for each, tagged in dated if tagged.when > now()]
    if late:
        words = f"{', '.join(late[:5])} {'is' if len(late) == 1 else 'are'} dated after today"
        found.append(f"{words}: a clock is wrong (timedatectl shows this one's)")
    return found


def main_words(known: Known) -> str:
    """`accuracy 0.950 [0.920, 0.970], n 150`; of several configurations, the first one's.

    Which of several is first says how scores count, and that is in the database alone.
    """
    if known.tagged and not known.runs and len(known.rows) > 1:
        return f"{len(known.rows)} configurations (make pull)"
    rule, row = known.main, known.first
    if rule is None or not row:
        return "no figures here"
    count = len(known.rows)
    many = f" (first of {count})" if count > 1 else ""
    return f"{rule.called} {figure(row, rule)}, n {row.get('n', 0):,}{many}"


def figure(row: Row, rule: Rule) -> str:
    """`0.950 [0.920, 0.970]` of a row of metrics, with its own n where that is not the row's."""
    own = row.get(f"{rule.name}_n")
    if rule.fresh and own == 0 and row.get("cached"):
        return "cached"
    bounds = (row.get(f"{rule.name}{end}") for end in ("", "_low", "_high"))
    return with_own_n(interval(*bounds), own, row.get("n"))


def found_words(known: Known) -> str:
    """What its tag says first; where it is not here, how it is known."""
    if known.tagged is None:
        return f"its tag is not here ({known.where}); git fetch --tags"
    return known.tagged.headline


def said(known: Known) -> str:
    """The message of whoever ran it."""
    return (known.tagged.said if known.tagged else "") or str(known.run.get("message") or "")


def as_json(listed: Sequence[Known], sort: str = "") -> list[dict[str, Any]]:
    """The same for programs, with every metric of every configuration."""
    return [
        {
            "tag": each.tag,
            "when": each.when or None,
            "who": each.tagged.who if each.tagged else None,
            "commit": each.tagged.commit if each.tagged else None,
            "data_version": each.run.get("data_version") or each.data or None,
            "main_metric": each.main.name if each.main else None,
            "hypotheses": each.tagged.hypotheses if each.tagged else "",
            "headline": found_words(each),
            "message": said(each),
            "configurations": [_configuration(each, row) for row in each.rows],
        }
        for each in in_order(listed, sort)
    ]


def _configuration(known: Known, row: Row) -> dict[str, Any]:
    metrics = {
        rule.name: {
            "value": row.get(rule.name),
            "low": row.get(f"{rule.name}_low"),
            "high": row.get(f"{rule.name}_high"),
            "n": row.get(f"{rule.name}_n", row.get("n")),
        }
        for rule in known.rules
        if has_figures(rule, [row])
    }
    counts = {name: row.get(name) for name in ("n", "executed", "cached", "failed", "cost")}
    times = {name: row.get(name) for name in ("latency_p50", "latency_p95")}
    return {"params": params_of(row), "metrics": metrics, **counts, **times}


def in_order(listed: Sequence[Known], sort: str) -> list[Known]:
    """Sorted by a column, a metric (best first) or a param of the first configuration.

    Raises HarnessError where no experiment has what is named.
    """
    name, backwards = _name(listed, sort.removeprefix("-")), sort.startswith("-")
    if not name or name == "tag":
        return list(reversed(listed)) if backwards else list(listed)
    values = [_value(each, each.first, name) for each in listed]
    if all(value is None for value in values):
        raise HarnessError(
            f"no experiment has {name!r}", fix=f"SORT= one of: {', '.join(sortable(listed))}"
        )
    paired = zip(listed, values, strict=True)
    return [each for each, _ in _sorted(list(paired), _best_first(listed, name) != backwards)]


def sortable(listed: Sequence[Known]) -> list[str]:
    """What a list may be sorted by."""
    names = dict.fromkeys(_OF_TAG)
    for each in listed:
        names |= dict.fromkeys(rule.name for rule in each.rules)
        for row in each.rows:
            names |= dict.fromkeys(params_of(row))
    return [*names, "n", "failed", "cost", "latency_p50"]


def _name(listed: Sequence[Known], given: str) -> str:
    """The name of what is given; a metric may also be given as it is shown, by its label."""
    if not given or given in sortable(listed):
        return given
    labels = {rule.called: rule.name for each in listed for rule in each.rules}
    return labels.get(given, given)


def _value(known: Known, row: Row, name: str) -> Any:
    if name in _OF_TAG:
        who = known.tagged.who if known.tagged else ""
        found = {"tag": known.tag, "when": known.when, "who": who}
        found |= {"data": known.data, "message": said(known)}
        return found[name]
    # A param may be called like a metric; the metric is meant.
    return row[name] if row.get(name) is not None else params_of(row).get(name)


def _best_first(listed: Sequence[Known], name: str) -> bool:
    """Whether the largest value comes first: the newest experiment that declares it says so."""
    rules = [rule for each in listed for rule in each.rules if rule.name == name]
    return bool(rules) and not rules[-1].lower


def _sorted(pairs: list[tuple[Any, Any]], largest_first: bool) -> list[tuple[Any, Any]]:
    known = [pair for pair in pairs if pair[1] is not None]
    numbers = all(isinstance(value, int | float) for _, value in known)
    known.sort(
        key=lambda pair: pair[1] if numbers else str(pair[1]).casefold(), reverse=largest_first
    )
    return known + [pair for pair in pairs if pair[1] is None]


# -- a line for each configuration


def configurations_section(
    listed: Sequence[Known],
    metrics: Sequence[str] = (),
    where: Sequence[str] = (),
    sort: str = "",
    limit: int = 0,
) -> Section:
    """A line for each configuration of each experiment.

    `metrics` are those shown (all that any has, without one), `where` are `name=value` of params or
    metrics. Raises HarnessError where a name is none.
    """
    known_names = set(sortable(listed))
    metrics = [_name(listed, name) for name in metrics]
    pairs = [pair.partition("=") for pair in where]
    wanted = [(_name(listed, name), "=", value) for name, _, value in pairs]
    backwards, sort = sort.startswith("-"), _name(listed, sort.removeprefix("-"))
    for name in [*metrics, *(name for name, *_ in wanted), *([sort] if sort else [])]:
        if name not in known_names:
            there = ", ".join(sortable(listed))
            raise HarnessError(f"no experiment has {name!r}", fix=f"name one of: {there}")
    lines = [(each, row) for each in listed for row in each.rows if _fits(each, row, wanted)]
    if sort:
        paired = [(line, _value(*line, sort)) for line in lines]
        lines = [line for line, _ in _sorted(paired, _best_first(listed, sort) != backwards)]
    count = len(lines)
    lines = lines[:limit] if limit else lines
    rules = _rules(lines, metrics)
    params = list(dict.fromkeys(name for _, row in lines for name in params_of(row)))
    heads = ["tag", *params, "n", "failed", *(rule.called for rule in rules.values())]
    rows = []
    for each, row in lines:
        have = params_of(row)
        cells = [each.tag, *(brief(have[name]) if name in have else ABSENT for name in params)]
        cells += [f"{row.get('n') or 0:,}", f"{row.get('failed') or 0:,}"]
        own = {rule.name: rule for rule in each.rules}
        cells += [figure(row, own.get(name, rules[name])) for name in rules]
        rows.append(cells)
    text = [f"{len(lines)} of {count} configurations."] if len(lines) < count else []
    return Section("Configurations", text, [Table(heads, rows)])


def _fits(known: Known, row: Row, wanted: Sequence[tuple[str, str, str]]) -> bool:
    return all(reads_as(text, _value(known, row, name)) for name, _, text in wanted)


def _rules(lines: Sequence[tuple[Known, Row]], metrics: Sequence[str]) -> dict[str, Rule]:
    found: dict[str, Rule] = {name: Rule(name) for name in metrics}
    for each, row in lines:
        for rule in each.rules:
            if rule.name in metrics or (not metrics and has_figures(rule, [row])):
                found[rule.name] = rule
    return found
