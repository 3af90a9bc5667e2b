"""The section [throughput] of benchmark.toml."""

import re
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, field_validator

from harness.project.kind import Options
from harness.redact import names_secret

# In a body, where "max_tokens" and "keywords" stand too, only what is nothing else.
_SECRET_FIELD = re.compile(
    r"""["'&?]?\b(api[_-]?key|(?:access|auth)[_-]?token|password|(?:client[_-]?)?secret)["']?"""
    r"""\s*[:=]\s*["']?(?!\s|["']|\$\{)""",
    re.IGNORECASE,
)


class Throughput(Options):
    """Whom to load, and with what; `keep_bytes` of an answer's body stay in `raw_response`.

    `url` "": the repository's own server. `processes` 0: as many as the rate needs. These settings
    are in git and in every run's row, so a secret is named in them as ${NAME}, never written.
    """

    url: str = ""
    method: str = ""
    headers: dict[str, str] = Field(default_factory=dict)
    body: str = ""
    ca_file: str = ""
    keep_bytes: int = Field(default=512, ge=0)
    processes: int = Field(default=0, ge=0)

    @field_validator("url")
    @classmethod
    def _address_holds_no_key(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
        except ValueError:
            return url  # Target says what is wrong with it
        if parts.username or parts.password:
            raise ValueError(
                "a user and a password must not be in git: "
                'export them, and write headers = { Authorization = "Basic ${NAME}" }'
            )
        for name, value in parse_qsl(parts.query):
            _refuse_literal(name, value, f"…?{name}=${{NAME}}")
        return url

    @field_validator("headers")
    @classmethod
    def _headers_hold_no_key(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            before = "Bearer " if name.lower() == "authorization" else ""
            _refuse_literal(name, value, f'{name} = "{before}${{NAME}}"')
        return headers

    @field_validator("body")
    @classmethod
    def _body_holds_no_key(cls, body: str) -> str:
        if found := _SECRET_FIELD.search(body):
            _refuse_literal(found[1], "literal", "${NAME} in its place")
        return body


def _refuse_literal(name: str, value: str, instead: str) -> None:
    """Raise ValueError where `name` is usually a secret and `value` is not from the environment."""
    if value and names_secret(name) and "${" not in value:
        raise ValueError(
            f"{name} looks like a key, which must not be in git: export it, and write {instead}"
        )
