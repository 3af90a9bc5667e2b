"""Which rooms of the harness import which: as a list, and which import runs the wrong way.

`python scripts/rooms.py` prints the arrows; it ends with 1 where one runs up or in a circle.
"""

import ast
import sys
from collections import defaultdict
from pathlib import Path

SOURCE = next(Path(__file__).parents[1].glob("{{*}}/src/harness"))
# From those who know nothing of the others to those who lead through all of it.
ORDER = (
    "system", "errors", "console", "clock", "steps", "findings", "redact", "seal",
    "stats", "project", "record", "version", "read", "measure", "tell", "exchange", "run", "gates",
    "load", "deciding", "judging", "labelling", "experiment", "importing", "pull_request",
    "suggest", "trial", "doctor",
    "cli", "__init__", "__main__",
)  # fmt: skip


def room_of(module: str) -> str:
    """`harness.run.loop` lies in `run`; a module beside the rooms is one by itself."""
    return module.split(".")[1] if "." in module else "__init__"


def arrows() -> dict[tuple[str, str], list[str]]:
    """(importing room, imported room) -> the modules that do it."""
    found = defaultdict(list)
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = "harness." + ".".join(parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for target in _targets(node):
                there, here = room_of(target), room_of(name)
                if there != here:
                    found[here, there].append(f"{name} -> {target}")
    return found


def _targets(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "harness":
        module = node.module or ""
        if module == "harness":
            names = [alias.name for alias in node.names]
            return [f"harness.{name}" for name in names if _is_room(name)]
        return [module]
    if isinstance(node, ast.Import):
        return [each.name for each in node.names if each.name.startswith("harness.")]
    return []


def _is_room(name: str) -> bool:
    return (SOURCE / name).is_dir() or (SOURCE / f"{name}.py").exists()


def _place(arrow: tuple[tuple[str, str], list[str]]) -> int:
    return ORDER.index(arrow[0][0])


def main() -> int:
    """1 where an arrow runs up."""
    wrong = 0
    for (here, there), modules in sorted(
        arrows().items(), key=lambda each: ORDER.index(each[0][0])
    ):
        up = ORDER.index(there) >= ORDER.index(here)
        wrong += up
        print(f"{'UP  ' if up else '    '}{here} -> {there} ({len(modules)})")
        if up:
            print("\n".join(f"        {module}" for module in modules))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
