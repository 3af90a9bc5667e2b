"""Whom to ask: the endpoints that benchmark.toml declares, each with its address, API and key.

A key is read only where its own endpoint is asked. It is in no setting, params or row.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from harness.errors import HarnessError
from harness.redact import names_secret

ROOT = Path(__file__).parents[3]
CANNED = "canned"
APIS = ("chat", "responses", "completions", "anthropic")
_VARIABLE = re.compile("[A-Z_][A-Z0-9_]*")
_DEFAULTS: dict[str, Any] = {
    "model": "",
    "api": "chat",
    "api_key_env": "OPENAI_API_KEY",
    "key_header": "",
    "headers": {},
    "query": {},
    "timeout_seconds": 60,
    "requests_per_minute": 0,
    "tokens_per_minute": 0,
    "concurrency": 0,
    "batch": False,
    "batch_poll_seconds": 30,
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server as one account sees it. Limits are of a minute and at once; 0 means none.

    `name` is what Params.endpoint says: for the one that [llm] itself describes its url, which is
    "canned" where nothing is configured. `timeout` is in seconds, between two bytes. A header may
    be "$NAME": the value of that environment variable, which is as secret as a key.
    `batch`: whether executor = "batch" sends its questions in batches, looked at after `batch_poll`
    seconds.
    """

    name: str
    url: str
    model: str = ""
    api: str = "chat"
    key_variable: str = "OPENAI_API_KEY"
    key_header: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    query: tuple[tuple[str, str], ...] = ()
    timeout: float = 60.0
    requests_per_minute: float = 0.0
    tokens_per_minute: float = 0.0
    concurrency: int = 0
    batch: bool = False
    batch_poll: float = 30.0

    @property
    def server(self) -> str:
        """What a result depends on besides model and API: another one is another server."""
        said = [f"{name}: {value}" for name, value in self.headers if value[:1] != "$"]
        query = f"?{urlencode(self.query)}" if self.query else ""
        return " ".join([f"{self.url}{query}", *said])

    @property
    def where(self) -> str:
        """The section of benchmark.toml that describes it."""
        return "[llm]" if self.name == self.url else f"[llm.endpoints.{self.name}]"


def declared(section: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Endpoint]:
    """All endpoints by name, the one of [llm] itself first.

    Raises HarnessError for settings that cannot be used or would make a key public.
    """
    first = configured(section, environment)
    found = {first.name: first}
    for name, values in dict(section.get("endpoints", {})).items():
        found[name] = _named(str(name), values)
    found.setdefault(CANNED, Endpoint(CANNED, CANNED, CANNED))
    return found


def configured(section: Mapping[str, Any], environment: Mapping[str, str]) -> Endpoint:
    """The endpoint of `[llm]`; OPENAI_BASE_URL and OPENAI_MODEL come before it where they are set.

    Without an address nothing leaves the machine, even where a key lies in the environment. Raises
    HarnessError as `declared`.
    """
    values = {name: value for name, value in section.items() if name != "endpoints"}
    url = str(values.pop("base_url", "") or "").rstrip("/")
    model = str(environment.get("OPENAI_MODEL") or values.get("model") or "")
    if elsewhere := environment.get("OPENAI_BASE_URL", "").rstrip("/"):
        if url and url != elsewhere:
            # What the file declares (key, headers) is for the address in the file, no other.
            values = {n: v for n, v in values.items() if n in ("api", "timeout_seconds")}
        url = elsewhere
    known = _checked("[llm]", values | {"model": model}, {"base_url", *_DEFAULTS})
    if url:
        _check_address(url, "base_url (OPENAI_BASE_URL)", known["api_key_env"])
    if bool(url) != bool(model):
        missing = "base_url (OPENAI_BASE_URL)" if model else "model (OPENAI_MODEL)"
        raise HarnessError(
            f"[llm] names no {missing}", fix="set both in benchmark.toml, or neither"
        )
    return _made(url or CANNED, url or CANNED, known | {"model": model or CANNED})


def _named(name: str, values: Any) -> Endpoint:
    where = f"[llm.endpoints.{name}]"
    if not re.fullmatch(r"[A-Za-z][\w.-]*", name) or name == CANNED:
        raise HarnessError(
            f"{where}: that cannot be the name of an endpoint",
            fix="take letters and digits, beginning with a letter",
        )
    if not isinstance(values, Mapping):
        raise HarnessError(f"{where} is no section", fix=f"write {where} and url = … below it")
    known = _checked(where, values, {"url", *_DEFAULTS})
    url = str(values.get("url", "")).rstrip("/")
    if not url:
        raise HarnessError(f"{where} has no url", fix='such as "https://api.openai.com/v1"')
    if "api_key_env" not in values:
        # A default would send the key of one provider to another.
        raise HarnessError(
            f"{where} has no api_key_env",
            fix="name the variable that holds its key; one that is never set, where it needs none",
        )
    _check_address(url, f"url of {where}", known["api_key_env"])
    return _made(name, url, known)


def _made(name: str, url: str, values: Mapping[str, Any]) -> Endpoint:
    return Endpoint(
        name,
        url,
        str(values["model"]),
        values["api"],
        values["api_key_env"],
        str(values["key_header"]),
        tuple((str(n), str(v)) for n, v in values["headers"].items()),
        tuple((str(n), str(v)) for n, v in values["query"].items()),
        float(values["timeout_seconds"]),
        float(values["requests_per_minute"]),
        float(values["tokens_per_minute"]),
        int(values["concurrency"]),
        bool(values["batch"]),
        float(values["batch_poll_seconds"]),
    )


def _checked(where: str, section: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    """The settings with their defaults; raises HarnessError for those that cannot be used."""
    if unknown := sorted(set(section) - names):
        fix = f"the settings are {', '.join(sorted(names))}"
        if "key" in unknown[0]:
            fix = "a key must not be in git: set api_key_env to the variable that holds it"
        raise HarnessError(f"benchmark.toml, {where}: no such setting {unknown[0]}", fix=fix)
    values = _DEFAULTS | dict(section)
    if not _VARIABLE.fullmatch(str(values["api_key_env"])):
        raise HarnessError(
            f"{where} api_key_env is not the name of a variable, such as OPENAI_API_KEY",
            fix="export the key under such a name and write that name: a key must not be in git",
        )
    if values["api"] not in APIS:
        raise HarnessError(
            f"{where} api = {values['api']!r}", fix=f"write one of {', '.join(APIS)}"
        )
    if not float(values["timeout_seconds"]) > 0:
        raise HarnessError(f"{where} timeout_seconds must be more than 0", fix="60 is usual")
    for name in ("requests_per_minute", "tokens_per_minute", "concurrency"):
        if not float(values[name]) >= 0:
            raise HarnessError(f"{where} {name} must be 0 or more", fix="0 means no limit")
    for name, value in dict(values["headers"]).items():
        if names_secret(str(name)) and not str(value).startswith("$"):
            raise HarnessError(
                f"{where}: the header {name} looks like a key, which must not be in git",
                fix=f'export it, and write {name} = "$THE_VARIABLE"',
            )
    for name in filter(names_secret, map(str, dict(values["query"]))):
        raise HarnessError(
            f"{where}: {name} in query looks like a key, which must not be in git",
            fix="export it under the name in api_key_env, and name its header in key_header",
        )
    return values


def _check_address(url: str, what: str, key_variable: str) -> None:
    """Raise HarnessError where `url` is no address, or one that rows must not show."""
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, brackets that do not close
        is_address = None
    if not is_address:
        raise HarnessError(f"{what} is not an address", fix="write it with https:// and /v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise HarnessError(
            f"the address of {parts.hostname} carries a password or a query, which rows would show",
            fix=f"remove it and put the key into {key_variable}",
        )


def endpoint(name: str) -> Endpoint:
    """The endpoint that Params calls by this name; raises HarnessError where none is declared."""
    if name in ENDPOINTS:
        return ENDPOINTS[name]
    known = ", ".join(sorted(ENDPOINTS))
    if "://" in name:  # it may hold a password, so it is not shown
        raise HarnessError(
            "GRID asks an address that benchmark.toml does not declare; no key is for it",
            fix="write [llm.endpoints.NAME] with that url, and endpoint=NAME in GRID",
        )
    raise HarnessError(
        f"no endpoint is called {name!r} (there are: {known})",
        fix=f"write [llm.endpoints.{name}] in benchmark.toml, or correct GRID in params.py",
    )


def _section() -> dict[str, Any]:
    with (ROOT / "benchmark.toml").open("rb") as file:
        section: dict[str, Any] = tomllib.load(file).get("llm", {})
    return section


ENDPOINTS = declared(_section(), os.environ)
CONFIGURED = next(iter(ENDPOINTS.values()))
