"""What this kind of benchmark adds to the harness: settings, and columns with a meaning."""

from typing import Any

from pydantic import Field, model_validator

from harness.project.kind import Kind, Options


class Llm(Options):
    """Whom to ask; llm/endpoint.py says what else must hold, with the environment."""

    base_url: str = ""
    model: str = ""
    api: str = "chat"
    api_key_env: str = "OPENAI_API_KEY"
    timeout_seconds: float = Field(default=60, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _holds_no_key(cls, values: Any) -> Any:
        keys = set(values) - set(cls.model_fields) if isinstance(values, dict) else set()
        if any("key" in name for name in keys):
            raise ValueError(
                "a key must not be in git: set api_key_env to the variable that holds it"
            )
        return values


# Run before the rest of this package: name what is in it as "benchmark.module:function".
KIND = Kind(
    settings={"llm": Llm},
    times=("time_to_first_token",),
    constant=frozenset({"finish_reason", "refusal", "model_reported", "price_as_of", "canned"}),
    doubts={
        "canned": "answers are canned: a rule gave them and no model was asked, so these numbers "
        "show that the pipeline works, and nothing else."
    },
)
