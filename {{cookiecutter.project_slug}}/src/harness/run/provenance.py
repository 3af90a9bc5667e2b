"""What made a run, recorded in `runs`, so that a number can be traced months later."""

import hashlib
import json
import os
import platform
import sys
from pathlib import Path

from harness.project.contract import Project
from harness.project.grid import Grid
from harness.project.holdout import state
from harness.project.hypotheses import plan_text
from harness.project.tasks import Census
from harness.project.values import Row
from harness.run.sampling import gpus
from harness.seal import identity
from harness.version import git


def provenance(
    project: Project, grid: Grid, census: Census, phase: str, gates: dict[str, str]
) -> Row:
    """The columns of `runs` that are known before anything is executed."""
    root = project.root
    repository = git.is_repository(root)
    lock = root / "requirements.lock"
    harness = identity()
    return {
        "phase": phase,
        "commit_hash": git.head(root) if repository else "",
        "branch": git.branch(root) if repository else "",
        "dirty": git.dirty_hash(root) if repository else "",
        "code_key": grid.code.key,
        "code_parts": _json(grid.code.parts),
        "environment": _json(grid.environment),
        "data_version": census.digest,
        "lock_hash": hashlib.sha256(lock.read_bytes()).hexdigest() if lock.exists() else "",
        "harness_version": harness.version,
        "harness_digest": harness.digest,
        "harness_edited": _json(harness.edited),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "gpu": "; ".join(gpus()) or None,
        "packages": _json(_packages()),
        "settings": _json(project.settings.model_dump()),
        "gates": _json(gates),
        "plan": plan_text(root),
        "grid": _json([each.columns for each in grid.configurations]),
        "grid_files": _json(grid.files),
        "message": "",
        "holdout": state(project.settings.data, project.final),
    }


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _packages() -> dict[str, str]:
    """Installed packages and versions, from the names of their folders: reading each one's
    metadata would take longer than a small experiment."""
    found: dict[str, str] = {}
    for folder in {Path(entry) for entry in sys.path if entry.endswith("site-packages")}:
        for info in folder.glob("*.dist-info"):
            name, _, version = info.name.removesuffix(".dist-info").rpartition("-")
            found[name.replace("_", "-").lower()] = version
    return found


def _cpu() -> str:
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return f"{model}, {os.cpu_count()} cores"
