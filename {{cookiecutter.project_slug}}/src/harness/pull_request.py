"""May this be merged? What changed is run, and held against the experiment that it began from.

The baseline, its plan and its margins come from the base's own commit, never from the branch: a
change cannot make itself easier to pass. Each metric of that plan has to be shown to be no worse;
what cannot be told is no pass.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.errors import HarnessError
from harness.judging import judge_answers, judged, refuse_unjudged
from harness.measure.aggregate import measure
from harness.project.contract import Project
from harness.read.excerpt import past_database
from harness.read.looks import read_looks
from harness.read.results import Experiment, read_experiment
from harness.read.views import connect
from harness.record.layout import TAG, Place
from harness.record.lock import one_at_a_time
from harness.run.loop import RunReport, run
from harness.run.prepared import Prepared, prepare
from harness.run.provenance import provenance
from harness.tell.compare import Comparison, Pair, compare
from harness.tell.compare_text import sections as compare_sections
from harness.tell.result_sections import looks_words
from harness.tell.section import Section, Table, interval, number
from harness.version import git
from harness.version.looks_log import comparisons_on

NAME = "gate"  # what the branch's rows are called
METRICS = "src/benchmark/metrics.py"
Answer = Literal["no worse", "worse", "cannot tell"]
EXIT_CODES: Mapping[Answer, int] = {"no worse": 0, "worse": 1, "cannot tell": 3}


@dataclass(frozen=True, slots=True)
class Checked:
    """One metric of one configuration, and what came of it."""

    pair: Pair
    answer: Answer
    because: str


@dataclass(frozen=True, slots=True)
class GateResult:
    """What the gate says, as an answer and as the parts that the console and Markdown show."""

    base: str
    answer: Answer
    checked: list[Checked]
    sections: list[Section]

    @property
    def exit_code(self) -> int:
        """0 no worse, 1 worse, 3 cannot tell."""
        return EXIT_CODES[self.answer]


def base_tag(root: Path, base: str) -> str:
    """The experiment to compare with: a tag, or the newest one that a commit or branch has.

    Raises HarnessError where there is none, or `base` is no commit of this clone.
    """
    if not base:
        raise HarnessError(
            "nothing says what to compare with",
            fix="make gate BASE=e0.3.0, or BASE=origin/main for the newest experiment there",
        )
    tags = git.tags(root)
    if TAG.match(base):
        if base in tags:
            return base
        raise HarnessError(f"there is no tag {base} here", fix="git fetch --tags; make tags")
    found = git.asked(root, "rev-parse", "--verify", "-q", f"{base}^{{commit}}")
    if found is None:
        raise HarnessError(
            f"{base!r} is no tag, branch or commit of this clone",
            fix="git fetch --unshallow --tags",
        )
    reachable = [tag for tag in tags if git.is_ancestor(root, f"refs/tags/{tag}^{{}}", found)]
    if not reachable:
        raise HarnessError(
            f"no experiment was tagged up to {base}, so there is nothing to compare with",
            fix="git fetch --unshallow --tags, or tag one there: make experiment TAG=e0.0.1",
        )
    return reachable[-1]


def gate(project: Project, base: str) -> GateResult:
    """Run what the base has no result of, and decide each metric of the base's plan.

    Raises HarnessError where the base is of other data, has no plan, or the run did not finish.
    """
    root = project.root
    tag = base_tag(root, base)
    place = Place(root / ".dev/gate/benchmark.db", "predictions", root / ".cache")
    with (
        one_at_a_time(place.db.parent, f"a gate against {tag}"),
        tempfile.TemporaryDirectory(prefix="bench-base-") as folder,
    ):
        past = past_database(root, tag, Path(folder) / "base.db")
        with connect([past]) as con:
            before = read_experiment(con, tag)
        ready = prepare(project, None)
        _refuse(before, ready)
        _begin_anew(place)
        report = _run(project, ready, place, past, before)
        with connect([past, place.db]) as con:
            after = read_experiment(con, NAME)
            comparison = compare(con, tag, NAME, alone=True)
            looks = looks_words(read_looks(con, after), comparisons_on(root, before.data_version))
    rescored = git.asked(root, "diff", "--quiet", tag, "--", METRICS) is None
    checked = [_check(pair, before, after, rescored) for pair in comparison.pairs]
    answers = [each.answer for each in checked]
    order: tuple[Answer, ...] = ("worse", "cannot tell", "no worse")
    answer: Answer = next((each for each in order if each in answers), "cannot tell")
    parts = list(_sections(tag, answer, checked, comparison, report, looks))
    return GateResult(tag, answer, checked, parts)


def _refuse(before: Experiment, ready: Prepared) -> None:
    """Say what makes a comparison impossible before anything is run."""
    if before.data_version != ready.census.digest:
        raise HarnessError(
            f"{before.name} ran on other data ({before.data_version[:12] or 'unknown'}, here it is "
            f"{ready.census.digest[:12]}), so a difference may come from the data alone",
            fix="make experiment TAG=next on the base branch with this data, and take it as BASE",
        )
    if not before.plan.hypotheses:
        raise HarnessError(
            f"the plan of {before.name} has no hypothesis, so nothing says which metrics count and "
            "how large a loss would matter",
            fix="write one in PLAN.toml on the base branch, then make experiment TAG=next there",
        )


def _begin_anew(place: Place) -> None:
    """The rows of an earlier gate are of other code; its results are in the cache."""
    for path in place.db.parent.glob("benchmark.db*"):
        path.unlink()
    shutil.rmtree(place.db.parent / "assets", ignore_errors=True)


def _run(
    project: Project, ready: Prepared, place: Place, past: Path, before: Experiment
) -> RunReport:
    made_by = provenance(project, ready.grid, ready.census, "experiment", {})
    # The branch is judged by the plan that it began from.
    made_by["plan"] = json.dumps(before.plan.model_dump(), sort_keys=True, ensure_ascii=False)
    report = run(project, NAME, ready.grid, ready.census, made_by, None, place, [past])
    if report.ended_how != "finished":
        raise HarnessError(
            f"the gate's run stopped: {report.reason}",
            fix=report.how_to_go_on(f"make gate BASE={before.name}", committed=False),
            code=1,
        )
    judging = judge_answers(project, NAME, place, [past])
    if judging is not None:
        refuse_unjudged(judging, f"make gate BASE={before.name}")
    measure(project, ready.grid, place, NAME, report.track_id, judged=judged(project))
    return report


def _check(pair: Pair, before: Experiment, after: Experiment, rescored: bool) -> Checked:
    """The answer for one metric of one configuration."""
    fresh = after.rule(pair.metric).fresh
    if rescored and not fresh:
        reason = f"{METRICS} is not that of {before.name}: both sides are scored by other code"
        return Checked(pair, "cannot tell", reason)
    if fresh and not any(each.summary.get("executed") for each in after.configurations):
        return Checked(pair, "no worse", "nothing had to run: all results are those of the base")
    if fresh and _machine(before) != _machine(after):
        return Checked(pair, "cannot tell", f"{before.name} was timed on another machine")
    if pair.verdict is None:
        return Checked(pair, "cannot tell", pair.reason)
    gap = pair.verdict.difference
    if gap.estimate == 0 and not pair.flips and not after.rule(pair.metric).aggregate:
        return Checked(pair, "no worse", "the same on every item")
    if pair.outcome in ("better", "equivalent", "not worse", "higher", "not lower"):
        return Checked(pair, "no worse", pair.outcome)
    if pair.outcome in ("worse", "lower"):
        return Checked(pair, "worse", "worse by more than what matters")
    if not pair.verdict.smallest_difference:
        return Checked(pair, "cannot tell", "the plan says no smallest_difference of it")
    more = filter(None, ["a loss that matters is not ruled out", pair.verdict.would_decide])
    return Checked(pair, "cannot tell", "; ".join(more))


def _machine(experiment: Experiment) -> tuple[object, object]:
    run = experiment.runs[-1] if experiment.runs else {}
    return run.get("platform"), run.get("cpu")


def _sections(
    tag: str,
    answer: Answer,
    checked: list[Checked],
    comparison: Comparison,
    report: RunReport,
    looks: str,
) -> Iterator[Section]:
    counts = report.counts
    text = [
        f"Against {tag}, by the plan that it was run with: {counts.executed:,} datapoints were "
        f"executed, {counts.cached:,} are results from before, {counts.failed:,} failed."
    ]
    yield Section(f"Gate: {answer}", text + ([looks] if looks else []), [_table(checked)])
    for part in compare_sections(comparison):
        if part.title != "Verdicts":
            yield part


def _table(checked: list[Checked]) -> Table:
    rows = []
    for each in checked:
        verdict = each.pair.verdict
        gap = interval(*_bounds(each.pair)) if verdict else ""
        margin = number(verdict.smallest_difference) if verdict else ""
        n = f"{verdict.n:,}" if verdict else ""
        name = each.pair.b.removeprefix(f"{NAME}: ")
        rows.append([each.answer, each.pair.called, name, gap, margin, n, each.because])
    heads = ("answer", "metric", "configuration", "branch - base [95%]", "margin", "n", "because")
    return Table(heads, rows)


def _bounds(pair: Pair) -> tuple[float | None, float | None, float | None]:
    gap = pair.verdict.difference if pair.verdict else None
    return (gap.estimate, gap.low, gap.high) if gap else (None, None, None)
