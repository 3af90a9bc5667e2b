"""One question to the model. What it answered is kept as it came; metrics.py makes sense of it."""

from typing import Any

from benchmark.llm.client import ask, connect
from benchmark.llm.endpoint import price_of
from benchmark.llm.prompt import build_prompt
from benchmark.params import Params


def load(params: Params) -> Any:
    """The client, built once per worker."""
    return connect(params.endpoint)


def predict(item: dict, params: Params, client: Any) -> dict[str, Any]:
    """Ask once. Raises what harness.errors and [retry] in benchmark.toml know how to treat."""
    answer = ask(client, request_for(item, params), params.api)
    price = price_of(params.endpoint, params.model)
    return {
        "prediction": answer.text,
        "ground_truth": item["label"],
        "text": item["text"],
        "raw_response": answer.body,
        "request": answer.request,
        "finish_reason": answer.finish_reason,
        "refusal": answer.refusal,
        "model_reported": answer.model,
        "canned": params.endpoint == "canned",
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "total_tokens": answer.total_tokens,
        "cost": price and price.cost(answer.prompt_tokens, answer.completion_tokens),
        "price_as_of": price and price.as_of,
        "latency": answer.latency,
        "time_to_first_token": answer.time_to_first_token,
    }


def request_for(item: dict, params: Params) -> dict[str, Any]:
    """What is sent, in the words of the API."""
    prompt = build_prompt(item, params.prompt, params.shots, params.shot_seed)
    request: dict[str, Any] = {
        "model": params.model,
        "temperature": params.temperature,
        "max_tokens": params.max_tokens,
        "seed": params.seed,
    }
    if params.stream:
        request |= {"stream": True, "stream_options": {"include_usage": True}}
    # A base model goes on writing; its answer is what follows on the line.
    if params.api == "completions":
        return request | {"prompt": prompt, "stop": ["\n"]}
    return request | {"messages": [{"role": "user", "content": prompt}]}


def estimate(item: dict, params: Params) -> float | None:
    """Cost of one call in USD at most, but for rare scripts; None where the price is not known.

    Counts three bytes to a token, where English has four letters, and an answer of full length.
    """
    price = price_of(params.endpoint, params.model)
    sent = build_prompt(item, params.prompt, params.shots, params.shot_seed).encode()
    return price.cost(len(sent) // 3 + 16, params.max_tokens) if price else None
