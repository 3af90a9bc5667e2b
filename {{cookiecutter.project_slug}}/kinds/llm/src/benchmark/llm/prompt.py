"""From a template and examples to the text that is sent.

A template has two parts, parted by a line `---`: what is asked, and the form of a case with the
fields {text} and {label}. Examples and the question have the same form; the question ends where
its label would stand.
"""

import csv
import random
from functools import lru_cache
from pathlib import Path
from string import Formatter

from harness.errors import HarnessError

FIELDS = {"text", "label"}
ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "data" / "examples.csv"


def template(prompt: str) -> Path:
    """The file of a prompt."""
    return ROOT / "prompts" / f"{prompt}.txt"


def check_prompt(file: Path, shots: int) -> None:
    """Raise HarnessError where a prompt could not be built; asked before the run starts."""
    name = f"prompts/{file.name}"
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join(sorted(path.stem for path in file.parent.glob("*.txt"))) or "none"
        raise HarnessError(
            f"cannot read {name}: {error} (prompts there are: {known})",
            fix="correct `prompt` in GRID in src/benchmark/params.py, or write that file",
        ) from None
    _, line, case = text.partition("\n---\n")
    try:
        fields = {field for _, field, _, _ in Formatter().parse(case) if field is not None}
    except ValueError as error:
        raise HarnessError(f"{name}: {error}", fix="write {{ and }} for braces") from None
    if unknown := sorted(fields - FIELDS):
        raise HarnessError(
            f"{name} has the unknown field {{{unknown[0]}}}; the fields are {{text}} and {{label}}",
            fix="correct it, or write {{ and }} for braces",
        )
    if not line or fields != FIELDS or not case.rstrip().endswith("{label}"):
        raise HarnessError(
            f"{name} needs a line --- and after it a case with {{text}} that ends in {{label}}",
            fix="see prompts/question.txt of a new project",
        )
    most = len(_examples(EXAMPLES)) - 1  # one may be the item itself
    if not 0 <= shots <= most:
        raise HarnessError(
            f"shots = {shots}, but data/{EXAMPLES.name} has examples for 0 to {most}",
            fix="correct `shots` in GRID in src/benchmark/params.py, or add examples",
        )


def build_prompt(item: dict, prompt: str, shots: int, seed: int) -> str:
    """The text sent for an item: the question, `shots` examples chosen by `seed`, the case."""
    ask, _, case = _template(template(prompt)).partition("\n---\n")
    case = case.strip()
    cases = [case.format_map(example) for example in choose(item, shots, seed)]
    return "\n\n".join([ask.strip(), *cases, case.format(text=item["text"], label="").rstrip()])


def choose(item: dict, shots: int, seed: int) -> list[dict[str, str]]:
    """Examples for an item, the labels in turn as far as they go, and never the item itself."""
    return _chosen(item["id"], item["text"], shots, seed) if shots else []


@lru_cache(maxsize=1024)  # estimate asks for those of predict just before it
def _chosen(name: str, text: str, shots: int, seed: int) -> list[dict[str, str]]:
    pool = [
        example
        for example in _examples(EXAMPLES)
        if example["id"] != name and example["text"] != text
    ]
    order = random.Random(seed)
    order.shuffle(pool)
    labels = [example["label"] for example in pool]
    turn = [labels[:index].count(label) for index, label in enumerate(labels)]
    chosen = [pool[index] for index in sorted(range(len(pool)), key=turn.__getitem__)[:shots]]
    order.shuffle(chosen)  # or the last example would always have the same label
    return chosen


@lru_cache
def _template(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig")


@lru_cache
def _examples(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))
