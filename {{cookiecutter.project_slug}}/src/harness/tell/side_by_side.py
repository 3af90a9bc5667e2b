"""Two experiments side by side: what `make diff` prints."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection
from rich.text import Text

from harness.console import ABSENT, out, shown, styled, visible
from harness.errors import HarnessError
from harness.findings import many
from harness.read.catalogue import Known, params_of
from harness.record.runs import RAN_ON
from harness.tell.compare import Comparison, compare
from harness.tell.compare_text import sections as compare_sections
from harness.tell.section import Section, Table, to_console
from harness.version.differences import changed_files, changed_in_git, changed_parts, patches


@dataclass(frozen=True, slots=True)
class Difference:
    """Two experiments side by side. `code`, `prompts` and `beside` are git's diffs by file.

    `beside` are the person's other files, which no key holds: params.py, dataset.py, metrics.py.
    """

    comparison: Comparison | None
    reason: str
    params: list[tuple[str, str, str]]
    code: dict[str, str]
    prompts: dict[str, str]
    beside: dict[str, str]
    data: list[tuple[str, str]]
    data_versions: tuple[str, str]
    environment: list[tuple[str, str, str]]

    def as_json(self) -> dict[str, Any]:
        """Everything, as values for json.dumps."""
        return {
            "metrics": self.comparison.as_json() if self.comparison else None,
            "not_compared": self.reason,
            "params": self.params,
            "code": self.code,
            "prompts": self.prompts,
            "other_files": self.beside,
            "data": {"versions": self.data_versions, "files": self.data},
            "environment": self.environment,
        }


def difference(
    con: DuckDBPyConnection, root: Path, first: Known, second: Known, flips: bool = False
) -> Difference:
    """Hold two experiments side by side; both tags must be here, and `con` have their rows.

    `flips`: read the answers of the items that differ most, which `print_difference` does not show.
    """
    a, b = first.tag, second.tag
    comparison, reason = None, ""
    try:
        comparison = compare(con, a, b, force=True, flips=flips)
    except HarnessError as error:
        reason = error.message
    old, new = first.run, second.run
    versions = tuple(str(run.get("data_version") or "") for run in (old, new))
    code, prompts = (changed_parts(old, new, name) for name in ("code_parts", "grid_files"))
    others = set(changed_in_git(root, a, b, "src/benchmark")) - {*code, *prompts}
    return Difference(
        comparison=comparison,
        reason=reason,
        params=_params_of_both(first, second),
        code=_patches(root, a, b, code),
        prompts=_patches(root, a, b, prompts),
        beside=patches(root, a, b, sorted(others)),
        data=changed_files(root, a, b, "data"),
        data_versions=(versions[0], versions[1]),
        environment=_environment(old, new),
    )


def _patches(root: Path, a: str, b: str, names: list[str]) -> dict[str, str]:
    found = patches(root, a, b, names)
    elsewhere = "differs, and git has no other version of it (it lies outside this repository)"
    return {name: found.get(name, elsewhere) for name in names}


def _params_of_both(first: Known, second: Known) -> list[tuple[str, str, str]]:
    """Each param with the values that it takes in either, where those differ."""
    old, new = (_values(each) for each in (first, second))
    return [
        (name, ", ".join(old.get(name, [])) or ABSENT, ", ".join(new.get(name, [])) or ABSENT)
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    ]


def _values(known: Known) -> dict[str, list[str]]:
    found: dict[str, dict[str, None]] = {}
    for row in known.rows:
        for name, value in params_of(row).items():
            found.setdefault(name, {})[shown(value)] = None
    return {name: sorted(values) for name, values in found.items()}


def _environment(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    before, after = ({name: run.get(name) for name in RAN_ON} for run in (old, new))
    for facts, run in ((before, old), (after, new)):
        packages = json.loads(run.get("packages") or "{}")
        facts |= {f"package {name}": version for name, version in packages.items()}
    return [
        (name.replace("_", " "), shown(before.get(name)), shown(after.get(name)))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def print_difference(a: str, b: str, found: Difference) -> None:
    """Print it: what people read first comes first, the diffs last."""
    parts = []
    if found.comparison:
        wanted = ("Warnings", "Verdicts")
        parts += [each for each in compare_sections(found.comparison) if each.title in wanted]
    else:
        parts.append(Section("Verdicts", [f"Not compared: {found.reason}."]))
    parts.append(_three("Params", found.params, a, b, "The params are the same."))
    same = found.data_versions[0] == found.data_versions[1]
    text = (
        "The data are the same." if same else " → ".join(each[:12] for each in found.data_versions)
    )
    tables = [Table(("file", "is"), found.data)] if found.data else []
    parts.append(Section("Data", [text], tables))
    parts.append(_three("Environment", found.environment, a, b, "The environment is the same."))
    to_console(parts)
    for title, texts in (("Code", found.code), ("Prompts", found.prompts)):
        nothing = f"No file that a key holds differs ({title.lower()})."
        out.print(styled((f"\n{title}", "bold")))
        out.print(
            nothing if not texts else f"{many(len(texts), 'file')} that a key holds, changed:"
        )
        for text in texts.values():
            out.print(_coloured(text), soft_wrap=True)
    if found.beside:
        out.print(styled(("\nOther files", "bold")))
        out.print(f"{many(len(found.beside), 'file')} in src/benchmark that no key holds, changed:")
        for text in found.beside.values():
            out.print(_coloured(text), soft_wrap=True)


def _three(
    title: str, rows: Sequence[tuple[str, str, str]], a: str, b: str, nothing: str
) -> Section:
    return Section(title, () if rows else [nothing], [Table(("what", a, b), rows)] if rows else [])


def _coloured(patch: str) -> Text:
    styles = {"+": "green", "-": "red", "@": "cyan"}
    made = Text()
    for line in visible(patch).split("\n"):
        made.append(f"{line}\n", style=styles.get(line[:1], ""))
    return made
