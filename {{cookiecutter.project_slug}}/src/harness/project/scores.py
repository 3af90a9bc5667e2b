"""What a score is. metrics.py declares it once; all counting, ranking and comparing uses that.

    from harness import Score

    SCORES = {
        "correct": Score("proportion", better="higher", label="accuracy"),
        "log_loss": Score("mean", better="lower", low=0.0, high=34.6),
        "macro_f1": Score("proportion", better="higher", failure="given"),   # of AGGREGATES
    }

The first one that says which way is better heads the report, where PLAN.toml names none.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Literal, get_args

from harness.errors import HarnessError

ScoreKind = Literal["proportion", "mean", "rate", "time"]
Better = Literal["higher", "lower", "neither"]
WORST, LEFT_OUT, GIVEN = "worst", "left out", "given"

# Beyond it a square overflows, and with it every spread and interval.
LARGEST = 1e150
_LABEL = 40
# Columns of `predictions` that are measured, and judged like a score without a declaration.
MEASURED = frozenset({"latency", "cost"})
_FILE = "src/benchmark/metrics.py"


@dataclass(frozen=True, slots=True)
class Score:
    """What one score of score(), or one of AGGREGATES, is.

    - `kind`: "proportion": each value is True or False; "mean": any number; "rate": so many per
      second or other unit, not negative; "time": seconds, not negative and never taken from the
      cache, since what a cached row took was measured in another run.
    - `better`: "higher", "lower", or "neither" for a score that only describes. Undeclared, the
      plan's hypotheses say it; where they do not, nothing is ranked by the score.
    - `low`, `high`: the values that it can have. A proportion has 0 and 1.
    - `missing`: what None counts as, and `failure`: what a failed datapoint counts as: "worst" (the
      bound on the bad side), "left out", or a number. Undeclared: the worst where it is known, else
      left out. An aggregate leaves failed rows out; with failure="given" it gets them too, with a
      column `failed`, and with what they count as in the columns of scores.
    - `label`: what its mean is called where people read it, such as "accuracy" for `correct`.
    - `judged`: whether it comes from what judge.py said, and so has the judge's errors in it.

    Raises ValueError, in a sentence, for a declaration that contradicts itself.
    """

    kind: ScoreKind
    better: Better | None = None
    low: float | None = None
    high: float | None = None
    missing: str | float | None = None
    failure: str | float | None = None
    label: str = ""
    judged: bool | None = None

    def __post_init__(self) -> None:
        _one_of("kind", self.kind, get_args(ScoreKind))
        if self.better is not None:
            _one_of("better", self.better, get_args(Better))
        for name in ("low", "high"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _finite(name, value))
        self._fill_bounds()
        self._check_counts("missing", (WORST, LEFT_OUT))
        self._check_counts("failure", (WORST, LEFT_OUT, GIVEN))
        if not isinstance(self.label, str) or len(self.label) > _LABEL or "\n" in self.label:
            raise ValueError(f"label = {self.label!r:.80}: not one line of {_LABEL} characters")
        if self.judged not in (None, True, False):
            raise ValueError(f"judged = {self.judged!r:.80}: True or False")

    @property
    def worst(self) -> float | None:
        """The worst value that it can have; None where the declaration does not say."""
        return worst_of(self.better, self.low, self.high)

    def _fill_bounds(self) -> None:
        if self.kind == "proportion":
            if self.low not in (None, 0.0) or self.high not in (None, 1.0):
                raise ValueError('a proportion lies between 0 and 1; kind "mean" has other bounds')
            object.__setattr__(self, "low", 0.0)
            object.__setattr__(self, "high", 1.0)
        elif self.kind in ("rate", "time") and self.low is None:
            object.__setattr__(self, "low", 0.0)
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low = {self.low:g} is not below high = {self.high:g}")

    def _check_counts(self, name: str, words: tuple[str, ...]) -> None:
        value = getattr(self, name)
        if value is None:
            return
        if isinstance(value, str):
            if value not in words:
                raise ValueError(f"{name} = {value!r}: {_listed(words)}, or a number")
            if value == WORST and self.better is not None and self.worst is None:
                raise ValueError(_no_worst(name, self.better))
            return
        value = _finite(name, value)
        object.__setattr__(self, name, value)
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        if not low <= value <= high:
            raise ValueError(f"{name} = {value:g} lies outside the score's bounds")


def worst_of(better: str | None, low: float | None, high: float | None) -> float | None:
    """The bound on the bad side; None where there is none, or no side is the bad one."""
    return {"higher": low, "lower": high}.get(better or "")


def _no_worst(name: str, better: str) -> str:
    if better == "neither":
        return f'{name} = "worst": a score that only describes has no worst value'
    bound = "low" if better == "higher" else "high"
    return f'{name} = "worst" needs a worst value: say {bound} = …, or {name} = "left out"'


def _one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} = {value!r:.80}: {_listed(known)}")


def _listed(words: tuple[str, ...]) -> str:
    quoted = [f'"{word}"' for word in words]
    return ", ".join(quoted[:-1]) + f" or {quoted[-1]}"


def _finite(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{name} = {value!r:.80} is not a finite number")
    return float(value)


def declared_in(
    metrics: ModuleType,
) -> tuple[dict[str, Score], dict[str, Callable[..., float]]]:
    """SCORES and AGGREGATES of metrics.py, either of them empty where it is not there.

    Raises HarnessError where they are no such dicts, or contradict each other.
    """
    scores: dict[str, Score] = {}
    for name, score in _entries(metrics, "SCORES"):
        if not isinstance(score, Score):
            raise _unlike("SCORES", name, score)
        scores[name] = score

    aggregates: dict[str, Callable[..., float]] = {}
    for name, aggregate in _entries(metrics, "AGGREGATES"):
        if not callable(aggregate):
            raise _unlike("AGGREGATES", name, aggregate)
        aggregates[name] = aggregate

    if problems := [*_contradictions(scores, aggregates), *_shared_labels(scores)]:
        raise HarnessError("\n".join(problems), fix=f"edit SCORES in {_FILE}")
    return scores, aggregates


def _contradictions(scores: Mapping[str, Score], aggregates: Collection[str]) -> Iterator[str]:
    for name, score in scores.items():
        where = f'SCORES["{name}"]'
        if name in MEASURED:
            yield f"{where}: the harness measures {name} itself; a score needs another name"
        if score.failure == GIVEN and name not in aggregates:
            yield f'{where}: failure = "given" is for AGGREGATES, and {name} is none of them'
        fills = score.missing is not None or score.failure not in (None, LEFT_OUT, GIVEN)
        if name in aggregates and fills:
            yield (
                f'{where}: an aggregate gets rows, not values; say failure = "given" for all rows, '
                'or "left out" for those that did not fail'
            )


def _shared_labels(scores: Mapping[str, Score]) -> Iterator[str]:
    names: dict[str, str] = {}
    for name, score in scores.items():
        called = score.label or name
        other = names.setdefault(called, name)
        if other != name or (called != name and called in scores):
            yield f'SCORES["{name}"] is called {called}, and so is another score'


_EXAMPLES = {
    "SCORES": 'write SCORES = {"correct": Score("proportion", better="higher")}',
    "AGGREGATES": 'write AGGREGATES = {"macro_f1": macro_f1}, a function of a DataFrame of rows',
}


def _entries(metrics: ModuleType, what: str) -> Iterator[tuple[str, object]]:
    found = getattr(metrics, what, {})
    if not isinstance(found, Mapping):
        message = f"{what} in {_FILE} is a {type(found).__name__}, not a dict"
        raise HarnessError(message, fix=_EXAMPLES[what])
    for name, value in found.items():
        if not isinstance(name, str):
            raise _unlike(what, name, value)
        yield name, value


def _unlike(what: str, name: object, value: object) -> HarnessError:
    message = f"{what} in {_FILE}: {name!r:.80} has the value {value!r:.80}"
    return HarnessError(message, fix=_EXAMPLES[what])
