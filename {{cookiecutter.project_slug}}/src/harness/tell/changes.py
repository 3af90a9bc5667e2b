"""What is recorded of two experiments and differs: code, data, machine, packages, settings."""

from harness.console import shown
from harness.project.declarations import said
from harness.project.hypotheses import flat
from harness.read.results import Experiment, label, varying_params, without
from harness.record.runs import MADE_BY, RAN_ON


def changes(first: Experiment, second: Experiment) -> list[tuple[str, str, str]]:
    """What is recorded of the last run of each and differs."""
    if first is second or not first.runs or not second.runs:
        return []
    old, new = _facts(first), _facts(second)
    seeds = {*first.seeds, *second.seeds}
    sets = [[without(each.params, seeds) for each in side.configurations]
            for side in (first, second)]  # fmt: skip
    every = [*sets[0], *sets[1]]
    varying = varying_params(dict.fromkeys(key for params in every for key in params), every)
    for facts, ran in zip((old, new), sets, strict=True):
        # By what varies alone: a label of all params is cut before it comes to that.
        for params in ran:
            named = {key: params[key] for key in varying if key in params}
            facts[f"params {label(named or params)}"] = "ran"
    return [
        (shown(key), shown(old.get(key)), shown(new.get(key)))
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def _facts(experiment: Experiment) -> dict[str, object]:
    run = experiment.runs[-1]
    # Which code: its parts follow, a line each, instead of the key over them.
    names = [name for name in MADE_BY + RAN_ON if name != "code_key"]
    facts = {name.removesuffix("_hash").replace("_", " "): run.get(name) for name in names}
    facts["modified harness"] = ", ".join(run["harness_edited"]) or None
    made = {str(each.summary.get("score_version") or "") for each in experiment.configurations}
    facts["scored again by"] = ", ".join(sorted(made - {""})) or None
    facts |= {f"code {key}": value for key, value in run["code_parts"].items()}
    facts |= {f"file {key}": value for key, value in run["grid_files"].items()}
    facts |= {f"package {key}": value for key, value in run["packages"].items()}
    facts |= {f"setting {key}": value for key, value in flat(run["settings"]).items()}
    facts |= {f"score {rule.called}": said(rule) for rule in experiment.rules.values()}
    return facts
