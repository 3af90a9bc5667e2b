"""The server that is measured while benchmark.toml names no other: an app with a real model."""

import json
from typing import Any

from sklearn.ensemble import RandomForestClassifier

from benchmark.dataset import TRAINING, digits

_pixels, _labels = digits()
model = RandomForestClassifier(50, random_state=0).fit(_pixels[:TRAINING], _labels[:TRAINING])


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """POST {"pixels": [64 numbers]} gives {"digit": 7, "probability": 0.9}."""
    if scope["type"] == "lifespan":
        while True:
            event = (await receive())["type"]
            await send({"type": f"{event}.complete"})
            if event == "lifespan.shutdown":
                return
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    status, said = 200, dict[str, Any]()
    try:
        probabilities = model.predict_proba([json.loads(body)["pixels"]])[0]
        best = int(probabilities.argmax())
        said |= {"digit": best, "probability": float(probabilities[best])}
    except (ValueError, TypeError, KeyError) as error:
        status, said = 400, {"error": str(error)}
    content = json.dumps(said).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
