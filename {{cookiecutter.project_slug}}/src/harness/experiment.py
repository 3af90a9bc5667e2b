"""From a tag's name to a tagged commit: gates, run, scores, metrics, checks, commit, tag, push."""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.clock import now
from harness.console import err, out, shown
from harness.deciding import Stage, until_decided
from harness.errors import HarnessError
from harness.gates.gates import pass_gates
from harness.gates.situation import Situation
from harness.judging import judge_answers, judged, refuse_unjudged
from harness.project.contract import Project
from harness.project.declarations import uncounted_words, undeclared_words, without_direction
from harness.project.folds import check_folds
from harness.project.grid import Grid
from harness.project.hypotheses import load_plan
from harness.project.inputs import advice
from harness.project.settings import Settings
from harness.project.tasks import Census
from harness.project.values import Row
from harness.record.fitted_files import FOLDER
from harness.record.layout import DEV, Place, place_for
from harness.record.lock import one_at_a_time
from harness.record.store import begin_anew, update_run
from harness.run.loop import RunReport, run
from harness.run.prepared import Prepared, prepare
from harness.run.provenance import provenance
from harness.steps import Step
from harness.system import collect_rarely, give_memory_back
from harness.version import dvc, git, results_state
from harness.version.published import (
    Published,
    begin_finishing,
    end_finishing,
    published,
    runs_line,
    runs_of,
)


def dev_run(project: Project, items: int | None) -> int:
    """Run a few items of each configuration; returns the exit code (1 where datapoints failed)."""
    place = place_for(project.root, project.settings, DEV)
    check_folds(project)  # of all repeats, also of those that a dev-run leaves out
    fitted = project.fit is not None
    short = replace(project, settings=project.settings.for_dev(fitted))
    with one_at_a_time(place.db.parent, "a dev-run"):
        _tell_left_out(project.settings.run.repeats, short.settings.run.repeats, fitted)
        return _dev_run(short, place, items or project.settings.run.dev_items)


def _tell_left_out(repeats: int, done: int, fitted: bool) -> None:
    """Print what of an experiment a dev-run leaves out besides items."""
    if done == repeats:
        return
    models = ", with the models that its items need" if fitted else ""
    err.print(f"a dev-run does {done} of {repeats} repeats{models}", markup=False)


def _dev_run(project: Project, place: Place, limit: int) -> int:
    ready = prepare(project, limit)
    begin_anew(place)
    made_by = provenance(project, ready.grid, ready.census, "dev", {})
    report = run(project, DEV, ready.grid, ready.census, made_by, limit)
    show_run(report)
    judging = _judge(project, DEV) if report.ended_how == "finished" else None
    _measure(project, ready.grid, report, DEV)
    if judging is not None:
        refuse_unjudged(judging, "make dev-run")
    if report.ended_how != "finished":
        raise HarnessError(
            f"the dev-run stopped: {report.reason}",
            fix=report.how_to_go_on("make dev-run", committed=False),
            code=1,
        )
    return 1 if report.counts.failed else 0


def experiment(
    project: Project, tag: str, message: str, allow: set[str], final: bool = False
) -> int:
    """Run, resume or finish the experiment `tag`; returns the exit code.

    A `final` one is on the holdout, and on nothing else.
    Raises HarnessError where a gate blocks, the run stopped, or the code changed meanwhile.
    """
    project = replace(project, final=final)
    # One at a time in a repository, in every layout: experiments share its commits and tags.
    with one_at_a_time(project.root / "results", f"the experiment {tag}"):
        return _experiment(project, tag, message, allow)


def _experiment(project: Project, tag: str, message: str, allow: set[str]) -> int:
    from harness.read.validate import validate

    root = project.root
    settings = project.settings
    with Step("reading the items"):
        ready = prepare(project, None)
    plan = load_plan(root)
    if plan.looks is not None:
        ready = replace(ready, census=ready.census.with_looks(plan.looks))
    verdicts = pass_gates(Situation(project, ready.grid, ready.census, tag), allow)
    place = place_for(root, settings, tag)
    commit = git.head(root)
    if verdicts["results"] == "passed":
        results_state.note_origins(root)
    made_by = provenance(project, ready.grid, ready.census, "experiment", verdicts)
    made_by |= {"message": message}

    def carry_out(census: Census) -> Stage:
        return _carry_out(project, tag, Prepared(ready.grid, census), made_by, allow, commit)

    stage = until_decided(project, tag, ready, plan, carry_out)
    report, rows = stage.report, stage.rows
    again = f"make experiment TAG={tag}"
    failed = _failed(rows)
    give_memory_back()
    with Step(f"validating {tag}"):
        every = validate([place.db], kind=project.kind)
    findings = [finding for finding in every if finding.experiment == tag]
    wrong = [finding for finding in findings if finding.severity == "error"]
    if wrong and "validation" not in allow:
        raise HarnessError(
            f"{tag} is not tagged: " + "; ".join(finding.message for finding in wrong),
            fix=f"make validate shows more; `{again} ALLOW=validation` accepts it",
            code=1,
        )
    accepted = failed and not project.failures_are_results
    verdicts |= {"inputs": "overridden" if report.unkeyed else "passed"}
    verdicts |= {"failures": "overridden" if accepted else "passed"}
    verdicts |= {"validation": "overridden" if wrong else "passed"}
    update_run(place, report.track_id, {"gates": json.dumps(verdicts, sort_keys=True)})
    give_memory_back()
    shared = finish(project, place, tag, report.track_id, message, rows, ready.census)
    if not shared and git.remote(root):
        note = (
            f"note: {tag} is not pushed: DVC keeps its results here and has no remote, so nobody "
            "else could get them; make remote URL=…, then make push"
        )
        err.print(note, markup=False, soft_wrap=True)
        return 0
    return _push(root, settings, tag)


def _carry_out(
    project: Project, tag: str, ready: Prepared, made_by: Row, allow: set[str], commit: str
) -> Stage:
    """Run, judge and measure what there is up to a look of the plan, or all; nothing failed."""
    report = run(project, tag, ready.grid, ready.census, made_by)
    show_run(report)
    again = f"make experiment TAG={tag}"
    if report.ended_how != "finished":
        raise HarnessError(
            f"{tag} is not finished: {report.reason}",
            fix=report.how_to_go_on(again),
            code=1,
        )
    if not report.complete:
        raise HarnessError(
            f"{tag} has {report.recorded:,} rows for {report.planned:,} datapoints: some are of "
            "items or configurations that are not there any more",
            fix=f"make discard TAG={tag}, then `{again}`; what was computed comes from the cache",
            code=1,
        )
    judging = _judge(project, tag)
    if judging is not None and judging.ended_how != "finished":
        refuse_unjudged(judging, again)
    rows = _measure(project, ready.grid, report, tag)
    if judging is not None:
        refuse_unjudged(judging, again)
    _check_unchanged(project, ready.grid, commit, "clean" in allow)
    if report.unkeyed and "inputs" not in allow:
        read = sorted(report.unkeyed)
        raise HarnessError(
            f"{tag} is not tagged: predict read {', '.join(read)}, which no key holds",
            fix=" ; ".join([*map(advice, read), f"or `{again} ALLOW=inputs`"]),
            code=1,
        )
    failed = _failed(rows)
    if failed and "failures" not in allow and not project.failures_are_results:
        raise HarnessError(
            f"{tag} is not tagged: {failed} datapoints failed ({_types(report)})",
            fix=f"`{again}` tries them again; `{again} ALLOW=failures` accepts them",
            code=1,
        )
    return Stage(report, rows)


def _failed(rows: Sequence[Row]) -> int:
    return sum(row["failed"] for row in rows)


def _judge(project: Project, name: str) -> RunReport | None:
    """Let judge.py, where there is one, judge what is recorded; see `judging`."""
    report = judge_answers(project, name)
    if report is not None:
        err.print("judged:", markup=False)
        show_run(report)
    return report


def show_run(report: RunReport) -> None:
    """Print how a run went, on standard error."""
    counts = report.counts
    err.print(
        f"{report.track_id}: {counts.executed} executed, {counts.cached} cached, "
        f"{counts.failed} failed, {report.done_before} recorded before, in {report.seconds:.1f} s",
        markup=False,
        soft_wrap=True,
    )
    for kind, number in counts.error_types.most_common():
        err.print(f"  {number} x {kind}: {shown(counts.example[kind], 300)}", soft_wrap=True)
    for note in report.notes:
        err.print(f"note: {note}", markup=False, soft_wrap=True)


def _measure(project: Project, grid: Grid, report: RunReport, name: str) -> list[Row]:
    # Here, because scipy takes a second to load and most commands do without.
    from harness.measure.aggregate import measure, rules_of, uncounted_of
    from harness.measure.over_seeds import rows_over_seeds
    from harness.read.results import pooled_rows
    from harness.tell.results_table import results_tables

    collect_rarely()  # no predict is timed from here on
    give_memory_back()
    rows = measure(project, grid, report.place, name, report.track_id, judged=judged(project))
    rules = rules_of(report.place, name)
    seeds = project.settings.data.seeds
    shown_rows = pooled_rows(rows, seeds, [rule.name for rule in rules])
    if seeds:
        shown_rows = rows_over_seeds(report.place.db, name, shown_rows)
    for table in results_tables(name, shown_rows, out.width, rules, project.kind.doubts):
        out.print(table)
    uncounted = uncounted_of(report.place, name)
    for score in dict.fromkeys(each.name for each in uncounted):
        err.print(f"note: {uncounted_words(score, uncounted)}", markup=False, soft_wrap=True)
    for rule in without_direction(rules):
        words, fix = undeclared_words(rule)
        err.print(f"note: {words}; {fix}", markup=False, soft_wrap=True)
    shown = report.place.db.relative_to(project.root)
    out.print(f"recorded in {shown}", markup=False, soft_wrap=True)
    return rows


def _check_unchanged(project: Project, grid: Grid, commit: str, may_be_dirty: bool) -> None:
    root = project.root
    written = grid.watch().written()
    changed = [written] if written else []
    if not may_be_dirty:
        changed += git.changed(root)
    if git.head(root) != commit:
        changed.append("the commit that is checked out")
    if changed:
        what = ", ".join(sorted(set(changed)))
        raise HarnessError(
            f"{what} changed while the experiment ran, so it is not tagged",
            fix="back to the dev phase: commit the change, make dev-run, then a new TAG",
            code=1,
        )


def _types(report: RunReport) -> str:
    kinds = ", ".join(f"{n} x {kind}" for kind, n in report.counts.error_types.most_common(3))
    return kinds or "see the column error_type"


def finish(
    project: Project,
    place: Place,
    tag: str,
    track_id: str,
    message: str,
    rows: list[Row],
    census: Census,
) -> bool:
    """Commit and tag what was recorded: both, or neither.

    Returns whether what git would push is all that others need.
    """
    from harness.tell.committed import write_metrics, write_summary
    from harness.tell.latest import write_latest
    from harness.tell.tag_message import tag_message, write_index

    root = project.root
    _refuse_taken(root, project.settings, tag)
    begin_finishing(root, tag)
    update_run(place, track_id, {"published": now()})
    with Step(f"writing the summary of {tag}"):
        found = write_summary(project, place, tag)
    words = tag_message(rows, census.digest, message, found)
    kept = [write_metrics(root, tag, rows), f"results/{tag}.md"]
    kept.append(write_index(root, tag, rows, found, census.digest, message))
    kept += write_latest(root, tag, rows, [*found.experiment.rules.values()], census.digest)
    if project.settings.store.dvc:
        with Step(f"DVC takes {place.db.relative_to(root).as_posix()}"):
            kept += dvc.add(root, place.db)
            kept += _models(place, tag, root, with_dvc=True)
        with Step("DVC brings data and results to its remote, if there is one"):
            shared = dvc.push(root)  # data too: a tag without it could not be checked out
    else:
        shared = True
        kept.append(place.db.relative_to(root).as_posix())
        kept += _models(place, tag, root, with_dvc=False)
    before = git.head(root)
    try:
        with Step(f"committing {tag}"):
            git.commit(root, kept, f"experiment {tag}: {words.splitlines()[0]}")
        git.annotate(root, tag, f"{words}{runs_line(list(runs_of(place.db)[tag]))}")
    except BaseException:
        # Otherwise the commit would stay without its tag, and the next try would make another one.
        # After Ctrl-C both may be there.
        with contextlib.suppress(HarnessError):
            if not git.names_head(root, tag):
                git.take_back(root, before, kept)
        raise
    end_finishing(root, tag)
    out.print(f"tagged {tag}: {words.splitlines()[0]}", markup=False, soft_wrap=True)
    return shared


def _models(place: Place, tag: str, root: Path, with_dvc: bool) -> list[str]:
    """Hand over the fitted models that are files; returns what git should keep.

    Those under another tag too, where nobody has them: this experiment may have had that name.
    """
    kept = []
    for folder in sorted((place.db.parent / FOLDER).glob("*/")):
        if not with_dvc:
            kept.append(folder.relative_to(root).as_posix())
        elif folder.name == tag or not folder.with_name(f"{folder.name}.dvc").exists():
            kept += dvc.add(root, folder)
    return kept


def _refuse_taken(root: Path, settings: Settings, tag: str) -> None:
    """Another worktree of this repository may have taken the tag while this one ran."""
    if tag in git.tags(root):
        raise HarnessError(
            f"{tag} was taken while this experiment ran",
            fix=_retag(published(root, settings), tag),
            code=1,
        )


def _retag(found: Published, tag: str) -> str:
    free = found.next_free
    return (
        f"make retag TAG={tag} TO={free}; then make experiment TAG={free} tags what is recorded: "
        "nothing is run again"
    )


def _push(root: Path, settings: Settings, tag: str) -> int:
    """Push branch and tag, where there is a remote; returns the exit code.

    A remote that cannot be reached is left for later. What the remote refuses, the person must
    settle now.
    """
    later = "make push" if settings.store.dvc else git.push_command(root, tag)
    try:
        with Step(f"pushing {tag} and its branch"):
            pushed = git.push(root, tag)
    except HarnessError as error:
        note = f"note: not pushed ({error.message.splitlines()[0]}); later: {later}"
        err.print(note, markup=False, soft_wrap=True)
        return 0
    if not pushed.refused:
        if pushed.remote:
            out.print(f"pushed to {pushed.remote}", markup=False)
        return 0
    reason = pushed.refused.get(git.TAGS + tag)
    if reason is None:
        said = "; ".join(f"{ref}: {why}" for ref, why in pushed.refused.items())
        raise HarnessError(
            f"{tag} is pushed to {pushed.remote}, its branch is not ({said})",
            fix=f"git pull --no-rebase {pushed.remote} {git.branch(root)}, then git push "
            f"{pushed.remote} HEAD; the tag stays as it is",
            code=1,
        )
    found = published(root, settings)
    taken = tag in found.remote_tags
    raise HarnessError(
        f"{tag} is tagged here and not pushed: {pushed.remote} "
        + (f"has another {tag} already" if taken else f"refuses it ({reason})"),
        fix=_retag(found, tag) if taken else f"see what it wants, then {later}",
        code=1,
    )
