"""Which server is asked, and what it charges. From benchmark.toml, the environment and prices.toml.

The key itself is read only where the client is built: it is in no setting, params or row.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from harness.errors import HarnessError

ROOT = Path(__file__).parents[3]
CANNED = "canned"
_DEFAULTS: dict[str, Any] = {
    "base_url": "",
    "model": "",
    "api": "chat",
    "api_key_env": "OPENAI_API_KEY",
    "timeout_seconds": 60,
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`url` is "canned" where nothing is configured; `timeout` in seconds, between two bytes."""

    url: str
    model: str
    api: str
    key_variable: str
    timeout: float


@dataclass(frozen=True, slots=True)
class Price:
    """USD for a million tokens in and out, and the day of which that was true."""

    input: float
    output: float
    as_of: str

    def cost(self, prompt_tokens: int | None, completion_tokens: int | None) -> float | None:
        """USD of one call; None where the server did not count tokens."""
        if prompt_tokens is None or completion_tokens is None:
            return None
        return (prompt_tokens * self.input + completion_tokens * self.output) / 1e6


def configured(section: Mapping[str, Any], environment: Mapping[str, str]) -> Endpoint:
    """The endpoint of `[llm]`; OPENAI_BASE_URL and OPENAI_MODEL come before it where they are set.

    Without an address nothing leaves the machine, even where a key lies in the environment.
    Raises HarnessError for settings that cannot be used or would make a key public.
    """
    if unknown := sorted(set(section) - set(_DEFAULTS)):
        fix = f"the settings are {', '.join(_DEFAULTS)}"
        if "key" in unknown[0]:
            fix = "a key must not be in git: set api_key_env to the variable that holds it"
        raise HarnessError(f"benchmark.toml, [llm]: no such setting {unknown[0]}", fix=fix)
    values = _DEFAULTS | dict(section)
    url = str(environment.get("OPENAI_BASE_URL") or values["base_url"]).rstrip("/")
    model = str(environment.get("OPENAI_MODEL") or values["model"])
    if not re.fullmatch("[A-Z_][A-Z0-9_]*", str(values["api_key_env"])):
        raise HarnessError(
            "[llm] api_key_env is not the name of a variable, such as OPENAI_API_KEY",
            fix="export the key under such a name and write that name: a key must not be in git",
        )
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, brackets that do not close
        is_address = False
    if url and not is_address:
        raise HarnessError(
            "base_url (OPENAI_BASE_URL) is not an address", fix="write it with https:// and /v1"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise HarnessError(
            f"the address of {parts.hostname} carries a password or a query, which rows would show",
            fix=f"remove it and put the key into {values['api_key_env']}",
        )
    if bool(url) != bool(model):
        missing = "base_url (OPENAI_BASE_URL)" if model else "model (OPENAI_MODEL)"
        raise HarnessError(
            f"[llm] names no {missing}", fix="set both in benchmark.toml, or neither"
        )
    if values["api"] not in ("chat", "completions"):
        raise HarnessError(f"[llm] api = {values['api']!r}", fix='write "chat" or "completions"')
    if not float(values["timeout_seconds"]) > 0:
        raise HarnessError("[llm] timeout_seconds must be more than 0", fix="60 is usual")
    return Endpoint(
        url or CANNED,
        model or CANNED,
        values["api"],
        values["api_key_env"],
        float(values["timeout_seconds"]),
    )


@lru_cache
def price_of(endpoint: str, model: str) -> Price | None:
    """What prices.toml says, or None: an unknown price is not a price of 0."""
    try:
        table = tomllib.loads((ROOT / "prices.toml").read_text(encoding="utf-8"))["price"]
        found = [row for row in table if (row["endpoint"], row["model"]) == (endpoint, model)]
        if not found:
            return None
        paid = float(found[0]["input"]), float(found[0]["output"])
        if not all(0 <= price < float("inf") for price in paid):
            raise ValueError(f"{model} has a price of {min(paid):g}")
        return Price(*paid, str(found[0]["as_of"]))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise HarnessError(
            f"prices.toml cannot be used: {type(error).__name__}: {error}",
            fix="each [[price]] has endpoint, model, input, output, as_of and source",
        ) from None


def _section() -> dict[str, Any]:
    with (ROOT / "benchmark.toml").open("rb") as file:
        section: dict[str, Any] = tomllib.load(file).get("llm", {})
    return section


CONFIGURED = configured(_section(), os.environ)
