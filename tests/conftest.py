"""Which tests are left to `make test-slow`: those marked so, and those in longer.txt."""

from pathlib import Path

import pytest

LONGER = Path(__file__).with_name("longer.txt")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what longer.txt names as slow."""
    lines = LONGER.read_text(encoding="utf-8").splitlines()
    names = [line for line in lines if line and not line.startswith("#")]
    whole = {name for name in names if not name.endswith("*")}
    begins = tuple(name.removesuffix("*") for name in names if name.endswith("*"))
    for item in items:
        name = item.nodeid.removeprefix("tests/")
        if name in whole or name.startswith(begins):
            item.add_marker(pytest.mark.slow)
