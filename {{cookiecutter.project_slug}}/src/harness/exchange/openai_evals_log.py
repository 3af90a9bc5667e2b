"""Records of OpenAI evals (`oaieval --record_path`): a file of lines, the run's spec first."""

from pathlib import Path

from harness.exchange.log import Json, Log, Sample, json_lines, named, text_of, unreadable
from harness.project.scores import Score
from harness.project.values import Value


def is_openai_evals(path: Path) -> bool:
    """Whether a file looks like one."""
    if path.suffix != ".jsonl":
        return False
    with path.open("rb") as file:
        return file.readline().lstrip().startswith(b'{"spec"')


def read_openai_evals(path: Path) -> Log:
    """Its samples. Raises HarnessError where it is cut."""
    lines = json_lines(path)
    spec = next(lines)["spec"]
    models = spec.get("completion_fns") or [spec.get("model_name") or "unknown"]
    task = str(spec.get("eval_name") or "")
    params: tuple[tuple[str, Value], ...] = (("task", task), ("model", ", ".join(map(str, models))))
    log = Log("openai-evals", str((spec.get("run_config") or {}).get("version") or ""), task)
    events: dict[str, list[Json]] = {}
    finished = False
    for line in lines:
        finished |= "final_report" in line
        if line.get("sample_id") is not None:
            events.setdefault(str(line["sample_id"]), []).append(line)
    if not finished:
        raise unreadable(path, "it was not finished: it has no final_report")
    for name, found in events.items():
        log.samples.append(_sample(name, params, found, log.scores))
    if not log.samples:
        raise unreadable(path, "it has no samples")
    return log


def _sample(
    name: str,
    params: tuple[tuple[str, Value], ...],
    events: list[Json],
    declared: dict[str, Score],
) -> Sample:
    row: dict[str, object] = {}
    scores: dict[str, float | bool | None] = {}
    error = ""
    for event in events:
        kind, data = event.get("type"), event.get("data") or {}
        if kind == "sampling":
            row |= {"text": text_of(data.get("prompt")), "prediction": _said(data.get("sampled"))}
            usage = data.get("usage") or {}
            row |= {n: usage[n] for n in ("prompt_tokens", "completion_tokens") if n in usage}
            row["raw_response"] = text_of(data)
        elif kind == "match":
            scores["match"] = bool(data.get("correct"))
            declared.setdefault("match", Score("proportion", better="higher"))
            row["ground_truth"] = text_of(data.get("expected"))
        elif kind == "metrics":
            for metric, value in data.items():
                if isinstance(value, (bool, int, float)):
                    scores[named(metric)] = value
                    kinds = "proportion" if isinstance(value, bool) else "mean"
                    declared.setdefault(named(metric), Score(kinds))  # type: ignore[arg-type]
        elif kind == "error":
            error = f"{data.get('type')}: {data.get('message')}"
    return Sample(params, name, 0, row, scores, error)


def _said(sampled: object) -> str | None:
    while isinstance(sampled, list) and len(sampled) == 1:
        sampled = sampled[0]
    return text_of(sampled)
