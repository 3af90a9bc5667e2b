"""The two sides of a comparison: which configurations stand on each, and what they are called."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from harness.errors import HarnessError
from harness.project.hypotheses import flat, reads_as
from harness.read.results import Experiment, label, without
from harness.read.scores import Scores


@dataclass(frozen=True, slots=True)
class Side:
    """An experiment and the configurations of it that stand on one side of a comparison."""

    experiment: Experiment
    scores: Scores
    chosen: tuple[int, ...] = ()

    def label(self, tagged: bool) -> str:
        """How the side is called, with the experiment's name where the other has another."""
        found = [self.experiment.configurations[index] for index in self.chosen]
        text = found[0].label
        if len(found) > 1:
            same = replace(self.experiment, configurations=found).shared_params
            rest = {k: v for k, v in same.items() if k not in self.experiment.shared_params}
            text = f"mean of {len(found)}" + (f" with {label(rest)}" if rest else "")
        return f"{self.experiment.name}: {text}" if tagged else text


def selected(text: str) -> tuple[str, dict[str, str]]:
    """`e0.0.1:depth=8` as the experiment and the params that are asked for."""
    name, _, rest = text.partition(":")
    wanted = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise HarnessError(f"{text!r} does not name params", fix="write TAG:name=value")
        wanted[key.strip()] = value.strip()
    return name.strip(), wanted


def facing(
    first: Experiment, second: Experiment, wanted_a: dict[str, str], wanted_b: dict[str, str]
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Which configurations of A stand against which of B."""
    if wanted_a or wanted_b:
        return [(_chosen(first, wanted_a), _chosen(second, wanted_b))]
    # Of several seeds an experiment has the mean, of a single one the params.
    seeds = {*first.seeds, *second.seeds}
    mine, theirs = ([without(each.params, seeds) for each in side.configurations]
                    for side in (first, second))  # fmt: skip
    partners = [tuple(i for i, other in enumerate(theirs) if _same(each, other)) for each in mine]
    shared: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
        ((index,), found) for index, found in enumerate(partners) if found
    ]
    if shared:
        return shared
    if len(first.configurations) == len(second.configurations) == 1:
        return [((0,), (0,))]
    raise HarnessError(
        f"{first.name} and {second.name} have no configuration in common",
        fix=f"choose two: make compare A={first.name}:name=value B={second.name}:name=value",
    )


def _same(params: Mapping[str, object], others: Mapping[str, object]) -> bool:
    """Whether the other configuration has all of these params, None among them."""
    return all(key in others and others[key] == value for key, value in params.items())


def _chosen(experiment: Experiment, wanted: dict[str, str]) -> tuple[int, ...]:
    found = tuple(
        index
        for index, each in enumerate(experiment.configurations)
        if _fits(flat(each.params), wanted)
    )
    if not found:
        there = "; ".join(each.label for each in experiment.configurations[:8])
        raise HarnessError(
            f"no configuration of {experiment.name} has {label(wanted)}", fix=f"there: {there}"
        )
    return found


def _fits(params: Mapping[str, object], wanted: dict[str, str]) -> bool:
    return all(key in params and reads_as(text, params[key]) for key, text in wanted.items())
