"""Results of promptfoo (`promptfoo eval -o results.json`), version 3."""

import hashlib
import json
from collections import Counter
from pathlib import Path

from harness.exchange.log import Json, Log, Sample, loaded, named, number_of, text_of, unreadable
from harness.project.scores import Score
from harness.project.values import Value

_VERSION = 3
_OUTCOME = 2  # failureReason: the provider itself failed


def is_promptfoo(path: Path) -> bool:
    """Whether a file looks like one."""
    if path.suffix != ".json":
        return False
    with path.open("rb") as file:
        head = file.read(20_000)
    return b'"evalId"' in head or (b'"prompts"' in head and b'"results"' in head)


def read_promptfoo(path: Path) -> Log:
    """Its results. Raises HarnessError where it is cut or of an unknown version."""
    whole = loaded(path, path.read_bytes())
    summary = whole.get("results") if isinstance(whole, dict) else None
    if isinstance(summary, list):  # the summary itself, without what surrounds it
        whole, summary = {}, whole
    if not isinstance(summary, dict) or not isinstance(summary.get("results"), list):
        raise unreadable(path, "it has no results.results")
    if summary.get("version") != _VERSION:
        raise unreadable(
            path, f"it is of version {summary.get('version')!r}, and {_VERSION} is known"
        )
    about = whole.get("metadata") or {}
    config = whole.get("config") or {}
    task = named(config.get("description") or "promptfoo")
    log = Log("promptfoo", str(about.get("promptfooVersion") or ""), task)
    log.scores = {
        "success": Score("proportion", better="higher"),
        "score": Score("mean", better="higher"),
    }
    seen: Counter[tuple[object, ...]] = Counter()
    for result in summary["results"]:
        log.samples.append(_sample(result, seen, log.scores))
    if not log.samples:
        raise unreadable(path, "it has no results")
    return log


def _sample(result: Json, seen: Counter[tuple[object, ...]], declared: dict[str, Score]) -> Sample:
    provider = result.get("provider") or {}
    prompt = result.get("prompt") or {}
    params: tuple[tuple[str, Value], ...] = (
        ("model", str(provider.get("id") or provider)),
        ("prompt", str(prompt.get("label") or prompt.get("raw") or result.get("promptIdx"))),
    )
    variables = json.dumps(result.get("vars") or {}, sort_keys=True, ensure_ascii=False)
    # The same test has another number in another file; what it asks is the same.
    name = hashlib.sha256(variables.encode()).hexdigest()[:16]
    repeat = seen[params, name]
    seen[params, name] += 1
    response = result.get("response") or {}
    usage = response.get("tokenUsage") or {}
    scores: dict[str, float | bool | None] = {
        "success": bool(result.get("success")), "score": number_of(result.get("score")),
    }  # fmt: skip
    for each, value in (result.get("namedScores") or {}).items():
        scores[named(each)] = number_of(value)
        declared.setdefault(named(each), Score("mean"))
    latency = number_of(result.get("latencyMs"))
    row = {
        "prediction": text_of(response.get("output")),
        "ground_truth": text_of((result.get("testCase") or {}).get("assert")),
        "raw_response": text_of(response),
        "text": text_of(prompt.get("raw")),
        "prompt_tokens": usage.get("prompt"),
        "completion_tokens": usage.get("completion"),
        "total_tokens": usage.get("total"),
        "cost": number_of(result.get("cost")),
        # Of an answer from promptfoo's own cache it is the time of reading it.
        "latency": None if latency is None or response.get("cached") else latency / 1000,
    }
    failed = result.get("failureReason") == _OUTCOME
    error = str(result.get("error") or response.get("error") or "no reason") if failed else ""
    return Sample(params, name, repeat, row, {} if failed else scores, error)
