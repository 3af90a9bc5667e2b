"""Write docs/reference from the code: `python scripts/reference.py`; --check says what is stale.

Settings and their comments come from benchmark.toml of the template and of each kind, commands from
the Makefile and the command line itself, columns from the harness, contracts from docstrings.
"""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHELL = next(ROOT.glob("{{*}}"))
REFERENCE = ROOT / "docs/reference"
NOTE = "<!-- Made by scripts/reference.py; edit what it is made from. -->"
SETTING = re.compile(r"(\w+) = (.*?)(?:\s+# (.*))?")
COMMAND = re.compile(r"([a-z-]+):[^#]*## (?:\[([^\]]*)\] )?(.*)")

sys.path.insert(0, str(SHELL / "src"))

PREDICTIONS = {
    "track_id": "the run that wrote the row: `runs.track_id`",
    "timestamp": "when it was written",
    "function_name": "`predict`",
    "function_time": "seconds that `predict` took, attempts and waits included",
    "error": "message of a failure; NULL: it did not fail",
    "cache": "the run that computed it, where it was reused; empty: executed in this experiment",
    "experiment_version": "the tag; `dev` in the dev phase",
    "task_key": "item, params, repeat, code and the rest in one hash: the key of the cache",
    "item_key": "hash of the item's content",
    "code_key": "hash of the code that `predict` can reach",
    "input_id": "the item's `id`",
    "repeat": "from 0 on",
    "params_*": "one column for each field of `Params`; of nested ones `params_outer_inner`",
    "prediction": "what `predict` returned under this name",
    "ground_truth": "what `predict` returned under this name",
    "raw_response": "what `predict` returned under this name; a dict or list as JSON",
    "error_type": "the exception's name, or what the kind says",
    "attempts": "how often it was tried, 1 where the first attempt did it",
    "latency": "seconds of the attempt that succeeded, or what `predict` returned under this name",
    "fit_asset": "the model that `fit` made for it, as xetrack's asset",
    "fold, n_train, n_test": "where `fit` takes `train`: the fold of its model (`r2f0` of a "
    "repeated K-fold), and how many items that saw and is tested on",
    "cluster": "what the item was drawn with ([data] cluster), or the phase of a load",
    "planned_look": "at which look of the plan its item came ([looks] in PLAN.toml)",
    "fit_seconds": "what its fit took; empty where that is not known",
    "latency_shared": "1 where `latency` is that of a whole batch of `predict_batch`",
    "anything else": "what `predict` returned, and what `score` computed",
}
METRICS = {
    "experiment_version, params_*": "which configuration of which experiment",
    "n, executed, cached, failed": "counts of datapoints",
    "NAME, NAME_low, NAME_high, NAME_n": "a score or aggregate, its 95% interval, how many values",
    "latency_p50 … latency_p999": "percentiles in seconds, each with `_low` and `_high`",
    "latency_n": "how many rows these are of",
    "cost": "sum in USD, where `predict` returns `cost`",
}
RUNS = {
    "experiment_version": "the tag",
    "phase": "`dev` or `experiment`",
    "commit_hash": "of HEAD when it began",
    "branch": "checked out when it began",
    "dirty": "hash of what was not committed; empty: nothing",
    "code_key": "hash of the code that `predict` can reach",
    "code_parts": "that code by module, JSON",
    "environment": "hash of what [key] declares of packages, files and variables",
    "data_version": "hash of the items",
    "lock_hash": "of requirements.lock",
    "python": "its version",
    "platform": "the system",
    "cpu": "its name and cores",
    "gpu": "name and driver of each GPU of NVIDIA",
    "sampled": "CPU, memory, GPU and energy that it took, JSON; only with [run] sample",
    "packages": "installed packages and versions, JSON",
    "settings": "benchmark.toml as it was, JSON",
    "gates": "each gate, passed or overridden, JSON",
    "plan": "PLAN.toml as it was",
    "grid": "the configurations, JSON",
    "grid_files": "files of configurations and their hashes, JSON",
    "inputs": "files and variables that `predict` was seen to read, JSON",
    "sequence": "in which order runs began",
    "items": "how many items there were",
    "planned": "how many datapoints there were to be",
    "executed": "computed by this run",
    "cached": "reused by this run",
    "failed": "failed in this run",
    "started": "when it began, UTC",
    "ended": "when it ended, UTC",
    "ended_how": "`finished`, `stopped`, …; NULL: it was killed",
    "message": "MSG",
    "harness_version": "which harness ran",
    "harness_digest": "hash of its files",
    "harness_edited": "its files that differ from its seal, JSON",
    "holdout": "`kept` or `opened` (FINAL=1), empty where [data] names none",
    "looked": "what its look of the plan found ([looks] in PLAN.toml), JSON",
    "ended_by_plan": "why that ended it before all items: `decided`, `budget`; empty: it did not",
    "published": "when its experiment was about to be tagged",
    "imported": "JSON: which tool ran it and in which files, NULL where this harness did",
}


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; what would end a cell is escaped."""
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [heads, ["---"] * len(heads), *escaped]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def settings_page() -> str:
    """Every key of benchmark.toml, by section; those of kinds at the end."""
    from harness.project.settings import Settings

    parts = [
        "# Settings",
        NOTE,
        "`benchmark.toml` of a repository, read at every start. A wrong key or value is named with "
        "its line.",
    ]
    seen: set[str] = set()
    for name, path in [("", SHELL / "benchmark.toml"), *_of_kinds()]:
        for section, rows in _sections(path.read_text("utf-8")):
            if section in seen:
                continue
            seen.add(section)
            field = Settings.model_fields.get(section)
            about = inspect.getdoc(field.annotation) if field and field.annotation else ""
            of = f" (kind {name})" if name else ""
            parts += [f"## [{section}]{of}", about or "", table(["key", "at first", "says"], rows)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _of_kinds() -> list[tuple[str, Path]]:
    return [(path.parent.name, path) for path in sorted(SHELL.glob("kinds/*/benchmark.toml"))]


def _sections(text: str) -> Iterator[tuple[str, list[list[str]]]]:
    section, rows = "", list[list[str]]()
    for line in text.splitlines():
        if line.startswith("["):
            if section:
                yield section, rows
            section, rows = line.strip("[]"), []
        elif found := SETTING.fullmatch(line):
            key, value, comment = found.groups()
            asked = "as answered" if "{{" in value else f"`{value}`"
            rows.append([f"`{key}`", asked, comment or ""])
    if section:
        yield section, rows


def commands_page() -> str:
    """Every target of the Makefile, and every command of the harness with its options."""
    import typer

    from harness.cli import app

    parts = [
        "# Commands",
        NOTE,
        "## make",
        "Bare `make` lists them in a repository. What stands in capitals is typed as it is:",
    ]
    parts.append('`make experiment TAG=e0.0.1 MSG="first look"`.')
    made = (SHELL / "Makefile").read_text("utf-8")
    made = re.sub(r"\{%.*?%\}(\w+)\{% else %\}(\w+)\{% endif %\}", r"\1 or \2", made)
    rows = []
    for line in made.splitlines():
        if line.startswith("##@ "):
            rows.append([f"**{line[4:]}**", "", ""])
        elif found := COMMAND.match(line):
            rows.append([f"`{found[1]}`", f"`{found[2]}`" if found[2] else "", found[3]])
    parts.append(table(["make", "with", "does"], rows))
    parts += [
        "## python -m harness",
        "The same where make does not work. Exit codes: 0 fine, 1 something was found, 2 used "
        "wrongly.",
    ]
    command = typer.main.get_command(app)
    parts.append(table(["command", "options", "does"], list(_harness_rows("", command))))
    return "\n\n".join(parts) + "\n"


def _harness_rows(prefix: str, command: object) -> Iterator[list[str]]:
    for name, each in sorted(getattr(command, "commands", {}).items()):
        if getattr(each, "hidden", False):
            continue
        if hasattr(each, "commands"):
            yield from _harness_rows(f"{prefix}{name} ", each)
            continue
        words = []
        for param in each.params:
            typed = param.opts[0] if param.opts[0].startswith("-") else param.name.upper()
            said = getattr(param, "help", None)
            words.append(f"`{typed}`" + (f" {said}" if said else ""))
        about = " ".join((each.help or "").split("\n\n")[0].split())
        yield [f"`{prefix}{name}`", "; ".join(words), about]


def tables_page() -> str:
    """The columns of predictions, metrics and runs, with their types."""
    from harness.record.columns import PREDICTIONS as TYPES
    from harness.record.runs import RUNS as RUN_TYPES

    parts = [
        "# Tables and columns",
        NOTE,
        "In `results/*.db` (SQLite), and as views of every layout in `make sql`. `.dev/` has the "
        "same of the dev phase.",
    ]
    for name, about, meanings, types in (
        (
            "predictions",
            "One row for each task (item, params, repeat) of an experiment.",
            PREDICTIONS,
            TYPES,
        ),
        ("metrics", "One row for each configuration of an experiment.", METRICS, {}),
        ("runs", "One row for each start of the program, with what made it.", RUNS, RUN_TYPES),
    ):
        for column in types:
            meanings.setdefault(column, "")
        rows = [[f"`{column}`", types.get(column) or "", said] for column, said in meanings.items()]
        parts += [f"## {name}", about, table(["column", "type", "holds"], rows)]
    parts.append(
        "The table `scores` lists which columns of predictions are scores; `score_declarations` "
        "how each counted."
    )
    return "\n\n".join(parts) + "\n"


def contracts_page() -> str:
    """The page on the four files, which is written by hand, with what `Score` says of itself."""
    from harness.project.scores import Score

    page = (REFERENCE / "contracts.md").read_text("utf-8")
    begin, end = "<!-- Score -->\n", "\n<!-- end -->"
    before, _, rest = page.partition(begin)
    return before + begin + (inspect.getdoc(Score) or "") + end + rest.partition(end)[2]


PAGES = {
    "settings.md": settings_page,
    "commands.md": commands_page,
    "tables.md": tables_page,
    "contracts.md": contracts_page,
}


def main() -> int:
    """Write the pages, or name those that are not what the code says."""
    check = "--check" in sys.argv[1:]
    REFERENCE.mkdir(parents=True, exist_ok=True)
    stale = []
    for name, page in PAGES.items():
        path, text = REFERENCE / name, page()
        if not path.exists() or path.read_text("utf-8") != text:
            stale.append(f"docs/reference/{name}")
            if not check:
                path.write_text(text, encoding="utf-8")
    for column in [name for each in (PREDICTIONS, RUNS) for name, said in each.items() if not said]:
        print(f"scripts/reference.py does not say what the column {column} holds")
        check = True
        stale = stale or [f"the meaning of {column}"]
    if stale and check:
        print(f"stale: {', '.join(stale)}; run: python scripts/reference.py")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
