"""One question to the model. What it answered is kept as it came; metrics.py makes sense of it."""

from typing import Any

from benchmark.llm.client import Client, connect
from benchmark.llm.prices import price_of
from benchmark.llm.prompt import build_prompt
from benchmark.params import Params


def load(params: Params) -> Client:
    """The client of the endpoint, built once in a process."""
    return connect(params.endpoint)


def predict(item: dict, params: Params, client: Client, repeat: int = 0) -> dict[str, Any]:
    """Ask once; a seed goes up by one with each repeat.

    Raises what harness.errors and [retry] in benchmark.toml know how to treat.
    """
    answer = client.ask(params, messages(item, params), repeat)
    return {
        "prediction": answer.text,
        "ground_truth": item["label"],
        "text": item["text"],
        **answer.columns(),
    }


def messages(item: dict, params: Params) -> list[dict[str, Any]]:
    """What is asked, as messages of the chat API; of a base model the last one goes on."""
    prompt = build_prompt(item, params.prompt, params.shots, params.shot_seed)
    return [{"role": "user", "content": prompt}]


def estimate(item: dict, params: Params) -> float | None:
    """Cost of one call in USD at most, but for rare scripts; None where the price is not known."""
    price = price_of(params.endpoint, params.model)
    sent = messages(item, params)[0]["content"].encode()
    return price.most(len(sent), params.max_output_tokens) if price else None
