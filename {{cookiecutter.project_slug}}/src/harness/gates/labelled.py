"""The gate on labels: no verdict rests on a judge whose errors nobody has looked at."""

from harness.gates.situation import Blocked, Situation
from harness.project.contract import Project
from harness.project.judge import FILE as JUDGE
from harness.project.judge import Judge
from harness.project.labels import FILE, LEAST, other_rubrics, read_labels


def labels(now: Situation) -> Blocked | None:
    """People have labelled answers by the rubric of each judge that a planned score comes from."""
    from harness.project.hypotheses import load_plan

    judge = now.project.judge
    if judge is None:
        return None
    names = [each.metric for each in load_plan(now.root).hypotheses] or _first(now.project)
    scores = {name: now.project.scores[name] for name in names if name in now.project.scores}
    if unsaid := [name for name, score in scores.items() if score.judged is None]:
        said = ", ".join(unsaid)
        return Blocked(
            f"nothing says whether {said} comes from judge.py",
            f"say judged=True or judged=False of {said} in SCORES in metrics.py",
        )
    of_judge = [name for name, score in scores.items() if score.judged]
    return _lacking(now, judge, of_judge) if of_judge else None


def _first(project: Project) -> list[str]:
    """The score that heads a report where no plan names one."""
    ranked = [name for name, each in project.scores.items() if each.better in ("higher", "lower")]
    return ranked[:1]


def _lacking(now: Situation, judge: Judge, names: list[str]) -> Blocked | None:
    said = f"{', '.join(names)}: a judge's word, whose errors are not known"
    if not judge.labelled:
        fix = f'add LABELS = {{"verdict": ("yes", "no")}} to {JUDGE}, then make label N=50'
        return Blocked(f"{said} (no LABELS in {JUDGE})", f"{fix}; ALLOW=labels goes on without")
    found = read_labels(now.root, judge)
    for params in judge.grid:
        rubric = judge.rubric(params)
        there = len(found.get(rubric, {}))
        if there < LEAST:
            others = other_rubrics(found, rubric)
            more = f", {others} for another one" if others else ""
            return Blocked(
                f"{said}: {FILE} has {there} labels for the rubric of {params}{more}, and "
                f"{LEAST} are needed",
                "make label N=50; ALLOW=labels goes on without",
            )
    return None
