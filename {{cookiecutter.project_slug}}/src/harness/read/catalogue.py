"""Every experiment that is known here, with its figures: what lists, indexes and histories show.

Only the small tables are read (metrics, runs, declarations), with SQLite itself: none of this looks
at a prediction, so a million of them cost nothing. An experiment that no database here holds has
the figures that were committed with its tag.
"""

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, explained
from harness.project.declarations import Rule, has_figures, in_order_of_rank
from harness.project.settings import Settings
from harness.record.database_file import prepare_to_read
from harness.record.layout import TAG, databases
from harness.record.metrics_table import metrics_in
from harness.record.runs import order
from harness.record.score_tables import DECLARED, RULES, rule_of
from harness.version import git
from harness.version.published import Published
from harness.version.tagged import Tagged, tagged

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Known:
    """An experiment: `tagged` is None without its tag; `runs` (in their order) are empty without a
    database here; `rows` are of metrics, one a configuration. `where` says how it is known where
    its tag is not here."""

    tag: str
    tagged: Tagged | None
    rows: list[Row]
    rules: list[Rule]
    runs: list[Row] = field(default_factory=list)
    where: str = ""

    @property
    def run(self) -> Row:
        """Its last run; empty without one."""
        return self.runs[-1] if self.runs else {}

    @property
    def when(self) -> str:
        """When it was tagged, or else published; '' where nobody knows."""
        return self.tagged.when if self.tagged else str(self.run.get("published") or "")

    @property
    def data(self) -> str:
        """The beginning of its data version."""
        recorded = str(self.run.get("data_version") or "")[:12]
        return recorded or (self.tagged.data if self.tagged else "")

    @property
    def main(self) -> Rule | None:
        """The metric that it is ranked by; else the first that it has."""
        able = [rule for rule in self.rules if has_figures(rule, self.rows)]
        return next(iter([*in_order_of_rank(able), *able]), None)

    @property
    def first(self) -> Row:
        """The row that is first by the main metric; empty without one."""
        rule = self.main
        known = [row for row in self.rows if rule and row.get(rule.name) is not None]
        if rule is None or not known:
            return self.rows[0] if self.rows else {}
        if not rule.ranks:
            return known[0]
        sign = 1 if rule.lower else -1
        return min(known, key=lambda row: sign * float(row[rule.name]))


def params_of(row: Row) -> Row:
    """The params of a row of metrics, by their own names; those it does not have are left out."""
    names = [name for name in row if name.startswith("params_") and name != "params_key"]
    return {name.removeprefix("params_"): row[name] for name in names if row[name] is not None}


def catalogue(root: Path, settings: Settings, found: Published) -> list[Known]:
    """All that is published, oldest version first.

    Raises HarnessError where git fails; a database that cannot be read is a note of `found`.
    """
    recorded: dict[str, Known] = {}
    for path in databases(root, settings, "experiment"):
        try:
            recorded |= {each.tag: each for each in recorded_in(path)}
        except HarnessError:
            continue  # `published` has met it too, and says so in its notes
    tags = tagged(root) if git.is_repository(root) else {}
    missing = [tag for tag in found.known if tag in tags and tag not in recorded]
    committed = _committed(root, missing)
    listed = []
    for tag in found.known:
        known = recorded.get(tag) or committed.get(tag) or Known(tag, None, [], [])
        where = "" if tag in tags else found.where(tag)
        listed.append(Known(tag, tags.get(tag), known.rows, known.rules, known.runs, where))
    return listed


def recorded_in(path: Path) -> list[Known]:
    """The experiments of a database. Raises HarnessError where it cannot be read."""
    prepare_to_read(path)
    uri = f"{path.resolve().as_uri()}?mode=ro"
    with explained(path, "read"), closing(sqlite3.connect(uri, uri=True)) as con:
        con.row_factory = sqlite3.Row
        metrics = _by_experiment(con, "metrics", "timestamp")
        runs = _by_experiment(con, "runs", order(con, "runs"))
        rules: dict[str, list[Rule]] = {}
        if _has(con, DECLARED):
            for name, *values in con.execute(RULES):
                rules.setdefault(name, []).append(rule_of(values))
    return [
        Known(
            tag,
            None,
            # The newest row of each configuration: a rescore leaves the older ones.
            list({row.get("params_key", index): row for index, row in enumerate(rows)}.values()),
            rules.get(tag) or [Rule(name) for name in metrics_in(rows[0])],
            runs.get(tag, []),
        )
        for tag, rows in metrics.items()
    ]


def _by_experiment(con: sqlite3.Connection, table: str, by: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    if not _has(con, table):
        return found
    for row in con.execute(f'SELECT * FROM "{table}" ORDER BY {by}'):
        each = dict(row)
        tag = str(each.get("experiment_version"))
        if TAG.match(tag):
            found.setdefault(tag, []).append(each)
    return found


def _has(con: sqlite3.Connection, table: str) -> bool:
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    return con.execute(query, (table,)).fetchone() is not None


def _committed(root: Path, tags: Iterable[str]) -> dict[str, Known]:
    """What was committed with each of these tags, `results/TAG.json`."""
    wanted = list(tags)
    if not wanted:
        return {}
    above = git.git(root, "rev-parse", "--show-prefix")
    names = [f"{git.TAGS}{tag}:{above}results/{tag}.json" for tag in wanted]
    found = {}
    for tag, content in zip(wanted, git.trees(root, names), strict=True):
        rows = _rows(content)
        rules = [Rule(name) for name in metrics_in(rows[0])] if rows else []
        found[tag] = Known(tag, None, rows, rules)
    return found


def _rows(content: bytes) -> list[Row]:
    try:
        rows = json.loads(content or b"[]")
    except ValueError:
        return []
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
