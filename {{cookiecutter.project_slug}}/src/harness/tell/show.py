"""One past experiment: what `make show` prints.

From what was recorded of it: the verdicts are those that its tag has, so no prediction is read.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from harness.clock import local
from harness.console import ABSENT, brief, shown
from harness.project.declarations import has_figures
from harness.project.hypotheses import Hypothesis, recorded_plan
from harness.read.catalogue import Known, Row, params_of
from harness.record.runs import MADE_BY, RAN_ON, WENT
from harness.tell.listing import figure, found_words, said
from harness.tell.section import Section, Table, interval, number, time_unit
from harness.version.past import Held

_OURS = "src/harness/"
_FACTS = ("track_id", *WENT, "branch", *MADE_BY, *RAN_ON)


def show_sections(known: Known, files: Sequence[Held]) -> list[Section]:
    """Plan with verdicts, params, metrics with intervals, provenance, artefacts, size on disk."""
    sections = [_head(known), *_plan(known), _figures(known)]
    return [*sections, _provenance(known), artefacts(known.tag, files)]


def _head(known: Known) -> Section:
    tagged = known.tagged
    facts = {
        "tagged": f"{local(known.when)} by {tagged.who}" if tagged else found_words(known),
        "found": tagged.headline if tagged else None,
        "message": said(known),
        "commit": tagged.commit if tagged else known.run.get("commit_hash"),
        "data": known.run.get("data_version") or known.data,
    }
    rows = [[name, str(value or ABSENT)] for name, value in facts.items()]
    return Section(f"Experiment {known.tag}", (), [Table(("what", "is"), rows)])


def _plan(known: Known) -> list[Section]:
    if not known.runs:
        return [Section("Plan", [_away(known)])]
    plan, problem = recorded_plan(known.runs[0].get("plan"))
    if problem:
        return [Section("Plan", [f"It cannot be read: {problem}."], warning=True)]
    if not plan.questions and not plan.hypotheses:
        return [Section("Plan", ["None was written."])]
    verdicts = known.tagged.hypotheses if known.tagged else ""
    rows = [
        [_outcome(verdicts, each), each.id, each.claim, _wanted(each)] for each in plan.hypotheses
    ]
    tables = [Table(("outcome", "id", "hypothesis", "that is"), rows)] if rows else []
    return [Section("Plan", plan.questions, tables)]


def _away(known: Known) -> str:
    return f"Its database is not here; make pull TAG={known.tag}."


def _outcome(verdicts: str, hypothesis: Hypothesis) -> str:
    name = re.escape(hypothesis.id)
    outcome = r"(?:supported|refuted|undecided)(?: \(exploratory\))?"
    found = re.search(rf"(?:^|, ){name} ({outcome})(?:,|$)", verdicts)
    return found[1] if found else "not in its tag: make report"


def _wanted(hypothesis: Hypothesis) -> str:
    better, than = (
        json.dumps(each, ensure_ascii=False) for each in (hypothesis.better, hypothesis.than)
    )
    amount = number(hypothesis.smallest_difference)
    return hypothesis.says(hypothesis.metric, better, than, amount)


def _figures(known: Known) -> Section:
    """Params, counts, metrics with their intervals, time and cost of each configuration."""
    rows = known.rows
    if not rows:
        where = f"make pull TAG={known.tag} brings its results"
        return Section("Results", [f"No figures are here; {where}."], warning=True)
    params = list(dict.fromkeys(name for row in rows for name in params_of(row)))
    rules = [rule for rule in known.rules if has_figures(rule, rows)]
    unit, per_second = time_unit(row.get("latency_p50") for row in rows)
    priced = any(row.get("cost") is not None for row in rows)
    heads = [*params, "n", "failed", *(rule.called for rule in rules), f"p50 ({unit})"]
    cells = []
    for row in rows:
        have = params_of(row)
        line = [brief(have[name]) if name in have else ABSENT for name in params]
        line += [f"{row.get('n') or 0:,}", f"{row.get('failed') or 0:,}"]
        line += [figure(row, rule) for rule in rules]
        line.append(_time(row, per_second))
        line += [number(row.get("cost"))] if priced else []
        cells.append(line)
    text = ["Intervals in brackets are 95%."]
    return Section("Results", text, [Table(heads + ["cost (USD)"] * priced, cells)])


def _time(row: Row, per_second: float) -> str:
    if not row.get("latency_n", 1) and row.get("cached"):
        return "cached"
    bounds = (row.get(f"latency_p50{end}") for end in ("", "_low", "_high"))
    return interval(*(None if each is None else per_second * each for each in bounds))


def _provenance(known: Known) -> Section:
    if not known.runs:
        return Section("Provenance", [_away(known)])
    facts = [[_fact(name, run.get(name)) for run in known.runs] for name in _FACTS]
    heads = ["what", *(f"run {n}" for n in range(1, len(known.runs) + 1))]
    rows = [[name.replace("_", " "), *each] for name, each in zip(_FACTS, facts, strict=True)]
    gates = json.loads(known.run.get("gates") or "{}")
    overridden = [name for name, how in gates.items() if how == "overridden"]
    text = f"{len(gates)} gates, overridden: {', '.join(overridden) or 'none'}."
    return Section("Provenance", [text], [Table(heads, rows)])


def _fact(name: str, value: Any) -> str:
    if name in ("started", "ended") and value:
        return local(str(value))
    return f"{value:,}" if isinstance(value, int) else shown(value or None)


def artefacts(tag: str, files: Sequence[Held]) -> Section:
    """What a tag has besides code, and how much room all of it takes."""
    kept = {each.record for each in files if each.by == "dvc"}
    files = [each for each in files if each.name not in kept]
    own = [each for each in files if not each.name.startswith(_OURS)]
    rows = [[each.name, each.by, size_words(each.size)] for each in own]
    sizes = {by: sum(max(each.size, 0) for each in files if each.by == by) for by in ("git", "dvc")}
    text = f"{size_words(sum(sizes.values()))} on disk: {size_words(sizes['git'])} in git"
    text += f", {size_words(sizes['dvc'])} in DVC." if sizes["dvc"] else "."
    text += f" make get TAG={tag} FILE=… OUT=… brings one of them."
    if left := len(files) - len(own):
        text += f" {left} files of the harness are not listed."
    return Section("Artefacts", [text], [Table(("file", "kept by", "size"), rows)])


def size_words(size: int) -> str:
    """`1.2 MB`; a dash where it is not known."""
    if size < 0:
        return ABSENT
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:,.1f} {unit}"
    return f"{size} B"
