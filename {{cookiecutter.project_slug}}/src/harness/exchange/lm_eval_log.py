"""Samples of lm-evaluation-harness (`--log_samples`): samples_….jsonl beside results_….json."""

import json
from pathlib import Path

from harness.exchange.log import Json, Log, Sample, json_lines, loaded, named, text_of, unreadable
from harness.project.scores import Score
from harness.project.values import Value

_KNOWN = frozenset({"doc_id", "doc", "target", "arguments", "resps", "filtered_resps"})


def is_lm_eval(path: Path) -> bool:
    """Whether a file looks like one."""
    if path.suffix != ".jsonl":
        return False
    with path.open("rb") as file:
        first = file.readline()
    return b'"doc_id"' in first and b'"resps"' in first


def read_lm_eval(path: Path) -> Log:
    """The samples of one task. What the model was is said by the results file beside it.

    Raises HarnessError where either is cut.
    """
    task, about = _about(path)
    config = (about.get("configs") or {}).get(task) or {}
    log = Log("lm-evaluation-harness", str(about.get("lm_eval_version") or ""), task)
    directions = (about.get("higher_is_better") or {}).get(task) or {
        each.get("metric"): each.get("higher_is_better") for each in config.get("metric_list") or ()
    }
    params = _params(task, about, config)
    for line in json_lines(path):
        if not line.keys() >= {"doc_id", "target", "resps"}:
            raise unreadable(path, "a line lacks doc_id, target or resps")
        log.samples.append(_sample(line, params, directions, log.scores))
    if not log.samples:
        raise unreadable(path, "it has no samples")
    return log


def _about(path: Path) -> tuple[str, Json]:
    stem = path.stem.removeprefix("samples_")
    task, _, when = stem.rpartition("_")
    results = path.with_name(f"results_{when}.json")
    if not results.is_file():
        return task or stem, {}
    found: Json = loaded(results, results.read_bytes())
    return task, found


def _params(task: str, about: Json, config: Json) -> tuple[tuple[str, Value], ...]:
    given = about.get("config") or {}
    model = about.get("model_name") or (config.get("metadata") or {}).get("pretrained")
    model = model or given.get("model_args") or "unknown"
    found: dict[str, Value] = {"task": task, "model": str(text_of(model))}
    if isinstance(config.get("num_fewshot"), int):
        found["num_fewshot"] = config["num_fewshot"]
    return tuple(found.items())


def _sample(
    line: Json, params: tuple[tuple[str, Value], ...], directions: Json, declared: dict[str, Score]
) -> Sample:
    answer = line.get("filtered_resps") or line["resps"]
    target = line.get("target")
    if choices := _choices(line):
        answer = choices[_likeliest(line["filtered_resps"])]
        target = choices.get(str(target), target)
    while isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    # Several filters score the same answer apart, each in lines of its own.
    filtered = str(line.get("filter") or "none")
    params = params if filtered == "none" else (*params, ("filter", filtered))
    scores: dict[str, float | bool | None] = {}
    for metric in line.get("metrics") or [name for name in line if name not in _KNOWN]:
        value = line.get(metric)
        if isinstance(value, (bool, int, float)):
            name = named(metric)
            scores[name] = value
            better = {True: "higher", False: "lower"}.get(directions.get(metric))  # type: ignore[arg-type]
            declared.setdefault(name, Score("mean", better=better))  # type: ignore[arg-type]
    asked = line.get("arguments")
    first = next(iter(asked.values()), None) if isinstance(asked, dict) else asked
    text = first.get("arg_0") if isinstance(first, dict) else text_of(first)
    row = {
        "prediction": text_of(answer),
        "ground_truth": text_of(target),
        "raw_response": json.dumps(line["resps"], ensure_ascii=False),
        "text": text if isinstance(text, str) else text_of(line.get("doc")),
    }
    return Sample(params, str(line["doc_id"]), 0, row, scores)


def _choices(line: Json) -> dict[str, str]:
    """The answers that a multiple choice offered, by number; {} for any other task.

    Each was asked for its log-likelihood: `resps` has numbers instead of an answer.
    """
    asked, likely = line.get("arguments"), line.get("filtered_resps")
    if not isinstance(asked, dict) or not isinstance(likely, list):
        return {}
    offered = [str(each.get("arg_1")) for each in asked.values() if isinstance(each, dict)]
    if len(offered) < 2 or len(offered) != len(likely) or not all(map(_is_likelihood, likely)):
        return {}
    return {str(number): each.strip() for number, each in enumerate(offered)}


def _is_likelihood(value: object) -> bool:
    """["-3.2", "False"]: how likely an answer is, and whether it is the likeliest of all."""
    if not isinstance(value, list) or len(value) != 2 or str(value[1]) not in ("True", "False"):
        return False
    try:
        float(value[0])
    except (TypeError, ValueError):
        return False
    return True


def _likeliest(values: list[list[str]]) -> str:
    return str(max(range(len(values)), key=lambda number: float(values[number][0])))
