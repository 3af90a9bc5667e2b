"""The configurations that are compared. Every field is part of each row, and of its key."""

from dataclasses import dataclass
from pathlib import Path

from benchmark.llm.prompt import EXAMPLES, check_prompt, template
from benchmark.llm.request import Request, files_of


@dataclass(frozen=True, slots=True)
class Params(Request):
    """One way of asking.

    Request has the settings of a call: endpoint, model, max_output_tokens, temperature, and more.
    Those that GRID leaves out are not sent.
    """

    prompt: str  # the file prompts/<prompt>.txt
    shots: int  # worked examples put before the question, from data/examples.csv
    shot_seed: int = 1  # which examples, and in what order


def files(params: Params) -> list[Path]:
    """What an answer depends on besides its item: editing one of these asks its questions again."""
    check_prompt(template(params.prompt), params.shots)
    examples = [EXAMPLES] if params.shots else []
    return [template(params.prompt), *examples, *files_of(params)]


# The longest answer bounds what a call costs. A model that reasons needs more of it.
GRID = [
    Params(prompt, shots, max_output_tokens=512)
    for prompt in ("question", "guide")
    for shots in (0, 3)
]
