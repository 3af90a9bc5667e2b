"""What a machine other than the makers' has: another awk, another shell, no make at all."""

import shutil
from pathlib import Path

import pytest

from tests.template.conftest import REPOSITORY, Bake, BakedProject

AWKS = {
    "bwk": "original-awk",  # macOS and the BSDs
    "mawk": "mawk",
    "gawk": "gawk",
    "busybox": "busybox",
}


def test_help_reads_the_same_under_every_awk(bake: Bake, tmp_path: Path) -> None:
    project = bake()
    found = [name for name in AWKS if shutil.which(AWKS[name])]
    if not found:
        pytest.skip("no awk is installed under its own name")
    for name in found:
        (tmp_path / name).mkdir()
        awk = tmp_path / name / "awk"
        program = f"{shutil.which(AWKS[name])}{' awk' if name == 'busybox' else ''}"
        awk.write_text(f'#!/bin/sh\nexec {program} "$@"\n')
        awk.chmod(0o755)
        check_help(project, {"PATH": f"{awk.parent}:/usr/bin:/bin"})


def check_help(project: BakedProject, path: dict[str, str]) -> None:
    said = project.run("make", env=path)
    assert said.stderr == ""
    lines = said.stdout.splitlines()
    assert lines[1] == "Begin"
    setup = f"  make {'setup PYTHON=3.12':34} environment from requirements.lock, git hooks"
    assert setup in said.stdout
    assert "  make help                               list the commands" in lines
    assert "  make merge FROM=a-branch" in said.stdout
    template = BakedProject(REPOSITORY).run("make", env=path)
    assert "  make lint       ruff and mypy" in template.stdout
    assert template.stderr == ""
