"""What is sent besides the question. A setting that is None is not sent: the server has its own.

Each API has its own words for the same setting, and some models refuse some settings: models.toml.
"""

import fnmatch
import json
import tomllib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmark.llm.endpoint import APIS, CONFIGURED, ROOT, endpoint
from harness.errors import HarnessError

Json = dict[str, Any]
TABLE = "models.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Whom to ask and how; Params adds what the benchmark compares. Every field is in the key.

    `model` and `api` are the endpoint's where they are not given; `server` is its address. `schema`
    and `tools` are files, prompts/NAME.json; `extra` is a JSON object that is put into the body as
    it is. `seed` goes up by one with each repeat.
    """

    endpoint: str = CONFIGURED.name  # a name from benchmark.toml
    model: str = ""
    api: str = ""  # chat | responses | completions | anthropic
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None  # many servers ignore it
    stop: str | None = None
    reasoning_effort: str | None = None
    schema: str | None = None
    tools: str | None = None
    extra: str | None = None
    stream: bool = False  # word by word, so that the time to the first token is known
    server: str = field(init=False, default="")

    def __post_init__(self) -> None:
        """Fill in what the endpoint knows; raises HarnessError for what cannot be sent."""
        known = endpoint(self.endpoint)
        for name, value in (("model", known.model), ("api", known.api)):
            object.__setattr__(self, name, getattr(self, name) or value)
        object.__setattr__(self, "server", known.server)
        if not self.model:
            raise HarnessError(
                f"GRID names no model for {known.where}, which names none either",
                fix="model=… in GRID, or model = … in that section of benchmark.toml",
            )
        _check(self)


def _check(request: Request) -> None:
    """Raise HarnessError for what the API or the model does not take, before anything is asked."""
    extra_of(request)
    if request.api not in APIS:
        raise HarnessError(f"GRID: api={request.api!r}", fix=f"one of {', '.join(APIS)}")
    if request.api == "anthropic" and request.max_output_tokens is None:
        raise HarnessError(
            "the API anthropic needs a longest answer", fix="max_output_tokens=… in GRID"
        )
    for name in ("max_output_tokens", *SETTINGS):
        if getattr(request, name) is None:
            continue
        if name in _HAS_NOT[request.api]:
            raise HarnessError(
                f"the API {request.api} has no {name}",
                fix="leave it unset in GRID, or put the server's own word for it into `extra`",
            )
        if (why := family(request.model).refusal(request, name)) is not None:
            raise HarnessError(
                f"{request.model} takes no {name}{why} ({TABLE} says so)",
                fix=f"leave {name} unset in GRID; where the table is wrong, correct it",
            )


SETTINGS = ("temperature", "top_p", "seed", "stop", "reasoning_effort", "schema", "tools")
_WORDS = {
    "chat": {"max_output_tokens": "max_tokens"},
    "completions": {"max_output_tokens": "max_tokens"},
    "responses": {"max_output_tokens": "max_output_tokens"},
    "anthropic": {"max_output_tokens": "max_tokens", "stop": "stop_sequences"},
}
_HAS_NOT = {
    "chat": (),
    "completions": ("reasoning_effort", "schema", "tools"),
    "responses": ("seed", "stop"),
    "anthropic": ("seed",),
}
PATHS = {
    "chat": "/chat/completions",
    "completions": "/completions",
    "responses": "/responses",
    "anthropic": "/messages",
}


@dataclass(frozen=True, slots=True)
class Family:
    """What models of one name take: settings they refuse, and the API's own word for some.

    `reasoning` are those that they refuse but for a reasoning_effort in `calm`, where "unset" is
    none at all; of `one_of` they take only one.
    """

    refuses: frozenset[str] = frozenset()
    reasoning: frozenset[str] = frozenset()
    calm: frozenset[str] = frozenset()
    one_of: frozenset[str] = frozenset()
    words: tuple[tuple[str, str], ...] = ()

    def refusal(self, request: Request, name: str) -> str | None:
        """When a setting of a request is refused, in words; None where it is taken."""
        if name in self.refuses:
            return ""
        if name in self.reasoning and (request.reasoning_effort or "unset") not in self.calm:
            calm = " or ".join(sorted(self.calm))
            return f" while it reasons; where reasoning_effort is {calm}, it may" if calm else ""
        others = {each for each in self.one_of if getattr(request, each) is not None} - {name}
        if name in self.one_of and others:
            return f" beside {', '.join(sorted(others))}"
        return None


@lru_cache
def family(model: str) -> Family:
    """What models.toml says of a model; the last entry that matches counts."""
    found = Family()
    for patterns, entry in _families(ROOT / TABLE):
        # "openai/gpt-5" of a router is the same model.
        names = (model, model.rpartition("/")[2])
        if any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in patterns):
            found = entry
    return found


@lru_cache
def _families(path: Path) -> list[tuple[tuple[str, ...], Family]]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("family", [])
        return [
            (
                tuple(entry["models"]),
                Family(
                    frozenset(entry.get("refuses", [])),
                    frozenset(entry.get("refuses_reasoning", [])),
                    frozenset(entry.get("calm", [])),
                    frozenset(entry.get("one_of", [])),
                    tuple(sorted(dict(entry.get("chat", {})).items())),
                ),
            )
            for entry in table
        ]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise HarnessError(
            f"{TABLE} cannot be used: {type(error).__name__}: {error}",
            fix="each [[family]] has models, and refuses or chat",
        ) from None


def extra_of(request: Request) -> Json:
    """What `extra` adds to the body; raises HarnessError where that is no JSON object."""
    if request.extra is None:
        return {}
    try:
        extra = json.loads(request.extra)
    except ValueError:
        extra = None
    if not isinstance(extra, dict):
        raise HarnessError("extra in GRID is no JSON object", fix="""such as '{"top_k": 40}'""")
    return extra


def body_of(request: Request, messages: list[Json], repeat: int = 0) -> Json:
    """The body of a call, in the words of its API. `messages` are those of the chat API."""
    api = request.api
    words = _WORDS[api] | (dict(family(request.model).words) if api == "chat" else {})
    body: Json = {"model": request.model}
    for name in ("max_output_tokens", *SETTINGS):
        value = getattr(request, name)
        if value is None:
            continue
        if name == "seed":
            value += repeat
        for word, more in _in_words(api, words.get(name, name), name, value).items():
            # Anthropic has effort and schema in one object.
            body[word] = {**body[word], **more} if word in body else more
    if request.stream:
        body["stream"] = True
        if api in ("chat", "completions"):
            body["stream_options"] = {"include_usage": True}
    return body | _question(api, messages) | extra_of(request)


def _in_words(api: str, word: str, name: str, value: Any) -> Json:
    if name == "tools":
        return {"tools": json.loads(file_of(value).read_text(encoding="utf-8"))}
    if name == "schema":
        schema = json.loads(file_of(value).read_text(encoding="utf-8"))
        if api == "anthropic":
            return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
        form = {"name": value, "schema": schema, "strict": True}
        if api == "responses":
            return {"text": {"format": {"type": "json_schema", **form}}}
        return {"response_format": {"type": "json_schema", "json_schema": form}}
    if name == "reasoning_effort" and api == "responses":
        return {"reasoning": {"effort": value}}
    if name == "reasoning_effort" and api == "anthropic":
        return {"output_config": {"effort": value}}
    return {word: [value] if name == "stop" else value}


def _question(api: str, messages: list[Json]) -> Json:
    """The messages in the form of the API; a base model gets the last one alone."""
    if api == "completions":
        return {"prompt": messages[-1]["content"]}
    if api == "responses":
        return {"input": messages, "store": False}
    if api == "anthropic":
        system = "\n\n".join(m["content"] for m in messages if m.get("role") == "system")
        others = [m for m in messages if m.get("role") != "system"]
        return {"messages": others} | ({"system": system} if system else {})
    return {"messages": messages}


def file_of(name: str) -> Path:
    """The file that `schema` and `tools` name."""
    return ROOT / "prompts" / f"{name}.json"


def files_of(request: Request) -> list[Path]:
    """The files that a request depends on, for `files` of params.py. Raises HarnessError where one
    is missing or no JSON."""
    paths = [file_of(name) for name in (request.schema, request.tools) if name]
    for path in paths:
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise HarnessError(
                f"cannot read prompts/{path.name}: {error}", fix="write it, or correct GRID"
            ) from None
    return paths
