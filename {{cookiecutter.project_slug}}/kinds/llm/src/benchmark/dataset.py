"""Sentences from product reviews; where they come from and under which licence: data/README.md."""

import csv
from pathlib import Path

ROOT = Path(__file__).parents[2]


def load() -> list[dict]:
    """240 items: id, text and label. `text` and `label` become columns through predict."""
    with (ROOT / "data" / "reviews.csv").open(encoding="utf-8-sig", newline="") as file:
        return [
            {name: row[name] for name in ("id", "text", "label")} for row in csv.DictReader(file)
        ]
