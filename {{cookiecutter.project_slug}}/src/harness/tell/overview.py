"""What a table of predictions holds, of this harness or any other: as figures and as Markdown."""

from collections.abc import Sequence
from itertools import groupby

from harness.console import brief, out
from harness.findings import Finding, within
from harness.read.configuration_figures import (
    CacheHits,
    ConfigurationFigures,
    configuration_figures,
)
from harness.read.facts import Facts
from harness.read.scores import Sums
from harness.tell.at_a_glance import at_a_glance
from harness.tell.section import bounded, with_own_n
from harness.tell.tables import Table, inline, to_markdown_table


def show_cache_hits(hits: Sequence[CacheHits]) -> None:
    """Print `cache_hits` for people."""
    for each in hits:
        share, saved = each["reused"] / each["rows"], each["seconds_saved"]
        line = f"{within(each['experiment'])}{each['reused']:,} of {each['rows']:,} rows reused"
        line += f" ({share:.1%})" + (f", {saved:,.1f} s of predictions saved" if saved else "")
        out.print(f"{line}; {each['executed']:,} executed, {each['failed']:,} failed", markup=False)
        if each["from_runs"]:
            out.print(f"  computed by {', '.join(each['from_runs'])}", markup=False)


def overview_markdown(facts: Facts, title: str, findings: Sequence[Finding]) -> str:
    """A table per experiment: each configuration with its counts, scores and latency.

    `facts` must have been read with their scores, which count as they were declared; a table that
    declares nothing leaves out failures. Proportions carry their Wilson interval, other means
    Student's t (both 95%); rows count as independent, which repeats of an item are not. Latency is
    of executed rows without an error.
    """
    lines = [f"# {inline(title)}", "", *(f"- {inline(each)}" for each in at_a_glance(facts)), ""]
    names = [name.strip('"').removeprefix("params_") for name in facts.configuration]
    scores = [name.strip('"') for name in facts.scores]
    heads = [*names, "n", "executed", "reused", "failed", *scores, "latency p50", "p95"]
    for experiment, rows in groupby(configuration_figures(facts), lambda each: each.experiment):
        lines += [f"## {inline(experiment)}", ""] if experiment else []
        table = Table(heads, list(map(_cells, rows)))
        lines += [to_markdown_table(table, range(len(names), len(heads))), ""]
    lines += ["## Findings", ""]
    lines += [f"- {f.severity}: {f.check}: {inline(f.message)}" for f in findings] or ["None."]
    return "\n".join(lines) + "\n"


def configuration_lines(facts: Facts) -> list[str]:
    """`model=small | n=50 accuracy=0.900 [0.786, 0.957]` of each configuration, on one line each.

    `facts` must have been read with their scores.
    """
    params = [name.strip('"').removeprefix("params_") for name in facts.configuration]
    scores = [name.strip('"') for name in facts.scores]
    lines = []
    for figures in configuration_figures(facts):
        values = zip(params, figures.configuration, strict=True)
        means = [
            f"{name}={words}"
            for name, sums in zip(scores, figures.scores, strict=True)
            if (words := mean_words(sums))
        ]
        of = " ".join(f"{name}={brief(value)}" for name, value in values) or "all"
        counted = " ".join([f"n={figures.counts[0]}", *means])
        lines.append(" | ".join(filter(None, [figures.experiment, of, counted])))
    return lines


def _cells(figures: ConfigurationFigures) -> list[str]:
    cells = ["" if value is None else brief(value) for value in figures.configuration]
    cells += [str(count) for count in figures.counts]
    for sums in figures.scores:
        text = mean_words(sums)
        cells.append(with_own_n(text, sums.n, figures.counts[0]) if text else "")
    return cells + ["" if time is None else f"{time:.4g} s" for time in figures.latency]


def mean_words(sums: Sums) -> str:
    """`0.900 [0.842, 0.938]`; "" where there is no value."""
    mean = sums.mean()
    if mean.estimate is None:
        return ""
    return bounded(mean.estimate, mean.low, mean.high, ".3f" if sums.binary else ".4g")
