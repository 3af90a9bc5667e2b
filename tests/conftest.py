"""Which tests are left to `make test-slow`, and which of the others share a worker."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

LONGER = Path(__file__).with_name("longer.txt")

# Container images often set it; every command that a test starts would compile all that it imports,
# and no test would see what bytecode of an earlier edit does, as most people's machines have it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what longer.txt names as slow, and begin with what takes longest."""
    lines = LONGER.read_text(encoding="utf-8").splitlines()
    names = [line for line in lines if line and not line.startswith("#")]
    whole = {name for name in names if not name.endswith("*")}
    begins = tuple(name.removesuffix("*") for name in names if name.endswith("*"))
    for item in items:
        name = item.nodeid.removeprefix("tests/")
        if name in whole or name.startswith(begins):
            item.add_marker(pytest.mark.slow)
    # What takes longest must not begin last, when the other worker has nothing left to do.
    items.sort(key=lambda item: "template" not in item.path.parts)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Give each free worker the next test, or the next module whose tests share a project.

    xdist's own way to say this, the mark `xdist_group`, is silently without effect: pytest 9.2
    takes no other name for a test once it is collected.
    """
    return SharedProjects(config, log)


class SharedProjects(LoadScopeScheduling):  # type: ignore[misc]  # xdist carries no types
    """Tests that share what is built once, or a server's time, run on one worker, in turn."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.split("::", 1)[0]
        return _scope(Path(self.config.rootpath, path)) or nodeid


@cache
def _scope(module: Path) -> str:
    text = module.read_text(encoding="utf-8")
    if "load_fixture" in text:
        return "load"  # Two of them at once would measure each other.
    return str(module) if 'scope="module"' in text else ""
