"""Results of promptfoo (`promptfoo eval -o results.json`), version 3."""

import hashlib
import json
from collections import Counter
from pathlib import Path

from harness.exchange.log import Json, Log, Sample, loaded, named, number_of, text_of, unreadable
from harness.project.scores import Score
from harness.project.values import Value

Params = tuple[tuple[str, Value], ...]
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
    results: list[Json] = summary["results"]
    columns, names = _columns(results), _names(results)
    seen: Counter[tuple[object, ...]] = Counter()
    for result, name in zip(results, names, strict=True):
        params = columns[result["promptIdx"]]
        repeat = seen[params, name]
        seen[params, name] += 1
        log.samples.append(_sample(result, params, name, repeat, log.scores))
    if not log.samples:
        raise unreadable(path, "it has no results")
    return log


def _columns(results: list[Json]) -> dict[object, Params]:
    """What was varied, by the number of its column in promptfoo's table.

    Two providers may be one model with other settings, told apart by a label or by nothing at all.
    """
    found: dict[object, Params] = {}
    for result in results:
        provider = result.get("provider") or {}
        prompt = result.get("prompt") or {}
        params: Params = (("model", str(provider.get("id") or provider)),)
        if provider.get("label"):
            params += (("label", str(provider["label"])),)
        words = prompt.get("label") or prompt.get("raw") or result.get("promptIdx")
        found.setdefault(result["promptIdx"], (*params, ("prompt", str(words))))
    alike = Counter(found.values())
    return {
        column: params if alike[params] == 1 else (*params, ("column", int(str(column))))
        for column, params in found.items()
    }


def _names(results: list[Json]) -> list[str]:
    """What each test is known by: its variables, because its number differs between files.

    Tests with the same variables that assert something else are other ones.
    """
    asked = [
        (_json(result.get("vars") or {}), _json((result.get("testCase") or {}).get("assert")))
        for result in results
    ]
    variants: dict[str, set[str]] = {}
    for variables, asserted in asked:
        variants.setdefault(variables, set()).add(asserted)
    said = [v if len(variants[v]) == 1 else f"{v} {asserted}" for v, asserted in asked]
    return [hashlib.sha256(each.encode()).hexdigest()[:16] for each in said]


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _sample(
    result: Json, params: Params, name: str, repeat: int, declared: dict[str, Score]
) -> Sample:
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
        "text": text_of((result.get("prompt") or {}).get("raw")),
        "prompt_tokens": usage.get("prompt"),
        "completion_tokens": usage.get("completion"),
        "total_tokens": usage.get("total"),
        # The result's own cost is 0 where the provider knows none.
        "cost": number_of(response.get("cost")),
        # Of an answer from promptfoo's own cache it is the time of reading it.
        "latency": None if latency is None or response.get("cached") else latency / 1000,
    }
    failed = result.get("failureReason") == _OUTCOME
    error = str(result.get("error") or response.get("error") or "no reason") if failed else ""
    return Sample(params, name, repeat, row, {} if failed else scores, error)
