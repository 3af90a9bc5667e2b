"""A question to a server, by the modules of a generated project (the fixture `kind`)."""

from pathlib import Path
from typing import Any

from tests.kinds.llm.fault_server import FaultServer

QUESTION = [{"role": "user", "content": "well?"}]


def client_for(kind: Any, url: str, **about: Any) -> Any:
    """A client of an endpoint that is declared for it."""
    api = about.get("api", "chat")
    name = f"{url} {api}"
    about = {"model": "faulty-1", "timeout": 1.0} | about
    kind.endpoint.ENDPOINTS[name] = kind.endpoint.Endpoint(name, url, **about)
    return kind.client.connect(name)


def asked(kind: Any, client: Any, **settings: Any) -> Any:
    request = kind.request.Request(endpoint=client.endpoint.name, **settings)
    """What it answers to a question."""
    return client.ask(request, QUESTION)


def ask(kind: Any, tmp_path: Path, *faults: str, api: str = "chat", **settings: Any) -> Any:
    """What a server answers that meets the first attempts with these faults."""
    if api == "anthropic":
        settings.setdefault("max_output_tokens", 16)
    with FaultServer(tmp_path / "log", lambda _: faults) as server:
        return asked(kind, client_for(kind, server.url, api=api), **settings)
