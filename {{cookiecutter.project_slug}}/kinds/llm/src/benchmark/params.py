"""The configurations that are compared. Every field is part of each row, and of its key."""

from dataclasses import dataclass
from pathlib import Path

from benchmark.llm.endpoint import CONFIGURED
from benchmark.llm.prompt import EXAMPLES, check_prompt, template


@dataclass(frozen=True, slots=True)
class Params:
    """One way of asking. Repeats are set in benchmark.toml; they send the same seed again."""

    prompt: str  # the file prompts/<prompt>.txt
    shots: int  # worked examples put before the question, from data/examples.csv
    shot_seed: int = 1  # which examples, and in what order
    temperature: float = 0.0
    max_tokens: int = 16
    seed: int = 0  # sent to the server; many servers ignore it
    stream: bool = False  # word by word, so that the time to the first token is known
    # From benchmark.toml or the environment. An answer is never reused for another server or model.
    endpoint: str = CONFIGURED.url
    model: str = CONFIGURED.model
    api: str = CONFIGURED.api


def files(params: Params) -> list[Path]:
    """What an answer depends on besides its item: editing one of these asks its questions again."""
    check_prompt(template(params.prompt), params.shots)
    return [template(params.prompt), *([EXAMPLES] if params.shots else [])]


GRID = [Params(prompt, shots) for prompt in ("question", "guide") for shots in (0, 3)]
