"""PLAN.toml: what a benchmark sets out to learn, written before its code.

    questions = ["Is a second leaf measurement worth taking?"]
    segmentations = ["species"]            # columns of predictions; one results table for each

    [[hypotheses]]
    id = "H1"
    claim = "A threshold of 2.5 cm separates setosa from the others better than 1 cm does."
    metric = "correct"                     # what score() or AGGREGATES returns, latency or cost
    better = { threshold = 2.5 }           # a configuration, or what several of them share;
                                           # depth = "None" is a param that is None
    than = { threshold = 1.0 }
    direction = "higher"                   # as SCORES in metrics.py has it; "lower": less is better
    smallest_difference = 0.05             # in units of the metric; less would not matter
    kind = "superior"                      # the claim is that it is better, by that much or more;
                                           # "not_worse": worse by less than that;
                                           # "equivalent": neither better nor worse by that

With kind "not_worse" or "equivalent" the two sides are called `this` and `than`, and the smallest
difference, which trials call a margin, may be written as `margin`.

A section [looks] ends an experiment as soon as every hypothesis is decided: see `interim`.

The plan is judged as it was committed before the run (`runs.plan` keeps it), so that no hypothesis
can be fitted to the results. Only a difference of `smallest_difference` or more counts, so any
claim can fail.
"""

import json
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from harness.errors import HarnessError
from harness.project.interim import Looks
from harness.project.params import params_columns
from harness.project.scores import MEASURED, Score
from harness.project.values import Params, Row
from harness.stats.decision import Kind

PLAN_NAME = "PLAN.toml"

_HINTS = {
    "id": 'write a short name of its own, such as id = "H1"',
    "claim": 'write the claim in words, such as claim = "B is more accurate than A"',
    "metric": 'name what score() or AGGREGATES returns, such as metric = "accuracy"',
    "better": "write the params of a configuration in GRID, such as better = { depth = 8 }",
    "than": "write the params of a configuration in GRID, such as than = { depth = 2 }",
    "direction": 'write direction = "higher" or direction = "lower"',
    "smallest_difference": "write a number from 0 on, such as smallest_difference = 0.02",
    "kind": 'write kind = "superior", "not_worse" or "equivalent"',
    "margin": "write a number above 0: how large a difference would still not matter",
    "questions": 'write a list of sentences, such as questions = ["Is B worth its price?"]',
    "segmentations": 'write a list of columns, such as segmentations = ["language"]',
    "hypotheses": "write each hypothesis under a heading [[hypotheses]] of its own",
    "looks": "write at = [0.25, 0.5, 0.75, 1.0], or count = 4, under the heading [looks]",
}


class Hypothesis(BaseModel):
    """A claim about how far one configuration's metric lies from another's.

    `kind` says what is claimed, see `stats.decision.outcome_of`. Where it is not "superior", the
    side `better` is written as `this`. `direction` is None only for "equivalent".
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: str = Field(min_length=1)
    claim: str = Field(min_length=1)
    metric: str = Field(min_length=1)
    kind: Kind = "superior"
    better: dict[str, Any] = Field(min_length=1, validation_alias=AliasChoices("better", "this"))
    than: dict[str, Any] = Field(min_length=1)
    direction: Literal["higher", "lower"] | None = None
    smallest_difference: float = Field(
        ge=0, allow_inf_nan=False, validation_alias=AliasChoices("smallest_difference", "margin")
    )

    @model_validator(mode="after")
    def _can_be_judged(self) -> "Hypothesis":
        if self.better == self.than:
            raise ValueError("better and than name the same configuration")
        if self.direction is None and self.kind != "equivalent":
            raise PydanticCustomError("direction", "direction is missing")
        if self.kind != "superior" and self.smallest_difference == 0:
            raise PydanticCustomError(
                "margin",
                "of kind {kind}, smallest_difference is 0: no number of items shows that "
                "there is no difference at all",
                {"kind": self.kind},
            )
        return self

    @property
    def lower(self) -> bool:
        """Whether less is better."""
        return self.direction == "lower"

    def says(self, metric: str, this: str, than: str, amount: str) -> str:
        """The claim in figures: `correct not 0.05 or more lower: depth=2 than depth=8`."""
        if self.kind == "equivalent":
            return f"{metric} within {amount} of each other: {this} and {than}"
        if self.kind == "not_worse":
            worse = "higher" if self.lower else "lower"
            return f"{metric} not {amount} or more {worse}: {this} than {than}"
        more = f"{amount} or more " if self.smallest_difference else ""
        return f"{metric} {more}{self.direction}: {this} than {than}"


class Plan(BaseModel):
    """PLAN.toml as read; `Plan()` is the plan of a project without that file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    questions: list[str] = []
    segmentations: list[str] = []
    hypotheses: list[Hypothesis] = []
    looks: Looks | None = None

    @model_validator(mode="after")
    def _own_ids(self) -> "Plan":
        ids = [each.id for each in self.hypotheses]
        if twice := sorted({each for each in ids if ids.count(each) > 1}):
            raise ValueError(f"hypotheses share the id {', '.join(twice)}")
        return self

    @property
    def confidence(self) -> float:
        """Of each hypothesis' interval once all items are known: all of them hold at 95%."""
        count = max(1, len(self.hypotheses))
        return self.looks.confidences(count)[-1] if self.looks else 1 - 0.05 / count

    def direction(self, metric: str) -> Literal["higher", "lower"] | None:
        """Which way its hypotheses want a metric; None where they do not say, or disagree."""
        said = {each.direction for each in self.hypotheses if each.metric == metric}
        said.discard(None)
        return said.pop() if len(said) == 1 else None

    def smallest_difference(self, metric: str) -> float:
        """The smallest difference that matters in a metric; 0 where no hypothesis says it."""
        said = [each.smallest_difference for each in self.hypotheses if each.metric == metric]
        return min(said, default=0.0)

    def place_of(self, metric: str) -> int | None:
        """The first hypothesis that names a metric, counted from 0; None where none does."""
        named = [each.metric for each in self.hypotheses]
        return named.index(metric) if metric in named else None

    def lower_is_better(self, metric: str) -> bool:
        """Whether less is better: as a hypothesis says, else True for latency and cost only."""
        said = {each.metric: each.direction for each in self.hypotheses if each.direction}
        return said.get(metric, "lower" if metric in MEASURED else "higher") == "lower"


def load_plan(root: Path) -> Plan:
    """Read PLAN.toml of the project at `root`; an absent file is an empty plan."""
    path = root / PLAN_NAME
    if not path.exists():
        return Plan()
    try:
        return parse_plan(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise HarnessError(f"{PLAN_NAME} is not valid TOML: {error}", fix=f"edit {path}") from error


def parse_plan(values: Mapping[str, object] | str | None) -> Plan:
    """Plan from TOML values, or from the JSON text that `runs.plan` holds (None: an empty plan)."""
    try:
        if isinstance(values, str):
            values = json.loads(values) if values.strip() else {}
    except ValueError as error:
        raise HarnessError(f"{PLAN_NAME} was not recorded as JSON: {error}") from None
    try:
        return Plan.model_validate(dict(values or {}))
    except ValidationError as error:
        found = error.errors()
        first = found[0]
        keys = [str(part) for part in first["loc"]]
        place = _place(first["loc"])
        known = next((_HINTS[key] for key in [first["type"], *reversed(keys)] if key in _HINTS), "")
        if first["type"] == "extra_forbidden":
            model = Looks if keys[0] == "looks" else Hypothesis if len(keys) > 1 else Plan
            known = "remove it, or correct its spelling; the keys are " + ", ".join(
                model.model_fields
            )
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        message = first["msg"].removeprefix("Value error, ")
        message = message[:1].lower() + message[1:]
        raise HarnessError(
            f"{PLAN_NAME}: {place}{message}{more}", fix=known or f"edit {PLAN_NAME}"
        ) from None


def recorded_plan(text: str | None) -> tuple[Plan, str]:
    """The plan that `runs.plan` holds and what is wrong with it; an empty plan where it is broken.

    The gate can be overridden, and then a broken plan must not hide the results.
    """
    try:
        return parse_plan(text), ""
    except HarnessError as error:
        return Plan(), error.message


def _place(loc: tuple[int | str, ...]) -> str:
    """`hypotheses 2, metric: ` for pydantic's ("hypotheses", 1, "metric")."""
    words: list[str] = []
    for part in loc:
        if isinstance(part, int) and words:
            words[-1] += f" {part + 1}"
        else:
            words.append(str(part))
    return ", ".join(words) + ": " if words else ""


def comparable(value: object) -> object:
    """A params value in the form in which it equals its stored self: tuples as lists, True as 1."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, list | tuple):
        return [comparable(each) for each in value]
    if isinstance(value, str) and value[:1] == "[":
        try:
            return comparable(json.loads(value))
        except ValueError:
            return value
    return value


def flat(params: Mapping[str, object], prefix: str = "") -> Row:
    """Params as their columns are named: nested ones, and dots, become `outer_inner`."""
    columns: Row = {}
    for key, value in params.items():
        name = prefix + str(key).replace(".", "_")
        if isinstance(value, Mapping):
            columns |= flat(value, f"{name}_")
        else:
            columns[name] = comparable(value)
    return columns


NONE = "None"


def matches(params: Mapping[str, object], wanted: Mapping[str, object]) -> bool:
    """True where every wanted param is there with that value.

    TOML has no word for None: `depth = "None"` is one that is None, and `depth = "'None'"` is the
    text. What `wanted` does not name may be anything.
    """
    have = flat(params)
    return all(key in have and _is(have[key], value) for key, value in flat(wanted).items())


def _is(value: object, wanted: object) -> bool:
    if isinstance(wanted, str):
        return value is None if wanted == NONE else bool(value == _unquoted(wanted))
    return bool(value == wanted)


def _unquoted(text: str) -> str:
    return NONE if text == f"'{NONE}'" else text


def reads_as(text: str, value: object) -> bool:
    """Whether `text`, as a person types it, is a param's value: `None`, `True`, `8`, `tree`."""
    if value is None or text == NONE:
        return value is None and text == NONE
    if isinstance(value, str):
        return value == _unquoted(text)
    if isinstance(value, int | float):
        return _number_in(text) == value
    return text == str(value)


def _number_in(text: str) -> float | None:
    if text in ("True", "False"):
        return float(text == "True")
    try:
        return float(text)
    except ValueError:
        return None


def configuration_of(params: Params) -> Row:
    """A configuration as its columns are named, the classes of nested dataclasses among them."""
    if isinstance(params, Mapping):
        return dict(params)
    return {name.removeprefix("params_"): value for name, value in params_columns(params).items()}


def plan_text(root: Path) -> str:
    """PLAN.toml as runs hold it; "" where there is none. Raises what `load_plan` does."""
    path = root / PLAN_NAME
    if not path.exists():
        return ""
    load_plan(root)  # says what is wrong with it, where something is
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    return json.dumps(content, sort_keys=True, ensure_ascii=False)


def plan_findings(
    plan: Plan,
    columns: Collection[str],
    metrics: Collection[str],
    grid: Sequence[Params],
    scores: Mapping[str, Score] | None = None,
) -> list[str]:
    """What the plan names and the dev-run does not have; empty where the plan can be judged.

    columns: of the table predictions. metrics: scores and aggregates that some row has a value for.
    grid: configurations, as params dataclasses or as dicts of their fields. scores: SCORES of
    metrics.py, which the plan must not contradict.
    """
    configurations = [configuration_of(each) for each in grid]
    findings = [
        f"PLAN.toml: segmentation {name!r} is no column of predictions; return it from predict()"
        for name in plan.segmentations
        if name not in columns
    ]
    judged = set(metrics) | (MEASURED & set(columns))
    for hypothesis in plan.hypotheses:
        where = f"PLAN.toml: hypothesis {hypothesis.id}"
        if hypothesis.metric not in judged:
            known = ", ".join(sorted(judged)) or "none"
            findings.append(
                f"{where}: no row has the metric {hypothesis.metric!r} (known: {known})"
            )
        for side in ("better", "than"):
            wanted = getattr(hypothesis, side)
            if not any(matches(each, wanted) for each in configurations):
                findings.append(f"{where}: {side} = {wanted} is no configuration in GRID")
    return findings + _contradictions(plan, scores or {})


def _contradictions(plan: Plan, scores: Mapping[str, Score]) -> list[str]:
    """Metrics that have one direction in one place and another in a second."""
    findings = []
    for metric in dict.fromkeys(each.metric for each in plan.hypotheses):
        named = {each.direction for each in plan.hypotheses if each.metric == metric}
        said = sorted(each for each in named if each)
        declared = scores[metric].better if metric in scores else None
        if len(said) > 1:
            findings.append(f"PLAN.toml: hypotheses want {metric} higher, and lower too")
        elif said and declared not in (None, *said):
            findings.append(
                f"PLAN.toml: a hypothesis wants {metric} {said[0]}, SCORES in metrics.py says that "
                f"{declared} is better"
            )
    return findings
