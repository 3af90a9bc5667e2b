"""What this kind of benchmark adds to the harness: settings, and columns with a meaning."""

from typing import Any

from pydantic import Field, model_validator

from harness.project.kind import Executor, Kind, Options


class _Asked(Options):
    """What every endpoint may say; llm/endpoint.py says what else must hold."""

    model: str = ""
    api: str = "chat"
    api_key_env: str = "OPENAI_API_KEY"
    key_header: str = ""
    headers: dict[str, str] = Field(default_factory=dict)
    query: dict[str, str] = Field(default_factory=dict)
    timeout_seconds: float = Field(default=60, gt=0)
    requests_per_minute: float = Field(default=0, ge=0)
    tokens_per_minute: float = Field(default=0, ge=0)
    concurrency: int = Field(default=0, ge=0)
    batch: bool = False
    batch_poll_seconds: float = Field(default=30, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _holds_no_key(cls, values: Any) -> Any:
        keys = set(values) - set(cls.model_fields) if isinstance(values, dict) else set()
        if any("key" in name for name in keys):
            raise ValueError(
                "a key must not be in git: set api_key_env to the variable that holds it"
            )
        return values


class Endpoint(_Asked):
    """[llm.endpoints.NAME]."""

    url: str = ""


class Llm(_Asked):
    """[llm]: the endpoint that is asked where GRID names none, and the others by name."""

    base_url: str = ""
    endpoints: dict[str, Endpoint] = Field(default_factory=dict)


# Run before the rest of this package: name what is in it as "benchmark.module:function".
KIND = Kind(
    settings={"llm": Llm},
    executors={
        "batch": Executor("benchmark.llm.batch:execute", "benchmark.llm.batch:check", judges=True)
    },
    interleaved=True,
    costs="benchmark.llm.prices:costs",
    times=("time_to_first_token",),
    constant=frozenset(
        {
            "finish_reason",
            "refusal",
            "reasoning",
            "model_reported",
            "price_as_of",
            "canned",
            "cached_tokens",
            "reasoning_tokens",
            "rate_limited",
            "batch",
        }
    ),
    doubts={
        "canned": "answers are canned: a rule gave them and no model was asked, so these numbers "
        "show that the pipeline works, and nothing else."
    },
)
