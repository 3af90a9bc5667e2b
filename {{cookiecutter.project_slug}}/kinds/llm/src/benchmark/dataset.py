"""Sentences from product reviews; where they come from and under which licence: data/README.md."""

import csv
from collections.abc import Iterator
from pathlib import Path

from benchmark.llm.prompt import check_prompt
from benchmark.params import Params

ROOT = Path(__file__).parents[2]


def load(params: Params) -> Iterator[dict]:
    """240 items: id, text, label and, because the answer depends on them, the files of the prompt.

    A Path stands for the file's bytes in the key: editing a template asks its questions again, and
    no other's. `text` and `label` become columns through predict.
    """
    prompt = ROOT / "prompts" / f"{params.prompt}.txt"
    examples = ROOT / "data" / "examples.csv"
    check_prompt(prompt, examples, params.shots)
    with (ROOT / "data" / "reviews.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            item = {"id": row["id"], "text": row["text"], "label": row["label"], "prompt": prompt}
            yield item | {"examples": examples} if params.shots else item
