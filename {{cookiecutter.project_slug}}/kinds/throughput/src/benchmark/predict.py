"""What a request is, and what is kept of its answer. When it is sent is said in params.py."""

import json
from typing import Any

from benchmark.params import Params
from harness.load import Request, Response, Target, open_target


def load(params: Params) -> Target:
    """The url of benchmark.toml; where that is empty, the server in server.py, for this run."""
    return open_target("benchmark.server:app")


def request(item: dict[str, Any], params: Params) -> Request:
    """What to send for an item. Fields that are not given come from benchmark.toml."""
    # Called before the request is due, so it may take its time.
    return Request(body=json.dumps({"pixels": item["pixels"]})) if "pixels" in item else Request()


def answer(item: dict[str, Any], params: Params, response: Response) -> dict[str, Any]:
    """What an answer says. Every key becomes a column, beside times, status and bytes."""
    # Raise where the answer is wrong: that makes a row of its own kind. HTTP 400 and above never
    # gets here. response.body holds at most [throughput] keep_bytes.
    if "pixels" not in item:
        return {}
    found = json.loads(response.body)
    return {"prediction": found["digit"], "ground_truth": item["digit"]}


def predict(item: dict[str, Any], params: Params, target: Target) -> dict[str, Any]:
    """One request on its own: what other executors than `load` and the tests use."""
    response = target.send(request(item, params))
    return {"raw_response": response.text, **answer(item, params, response)}
