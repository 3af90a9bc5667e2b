"""Validate recorded results, of this harness or of any table that xetrack wrote."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import duckdb

from harness.findings import Finding
from harness.project.kind import PLAIN, Kind, resolve
from harness.read import checks, checks_reuse, checks_scores
from harness.read.facts import Facts, read_facts
from harness.read.views import connect, unreadable

MEMORY = "160MB"
Answer = TypeVar("Answer")

CHECKS: tuple[Callable[[Facts], list[Finding]], ...] = (
    checks.executed_twice,
    checks.row_count,
    checks.ended_by_plan,
    checks.modified_harness,
    checks.missing_params,
    checks.failures,
    checks.no_raw_output,
    checks_reuse.reused_failure,
    checks_reuse.stale_reuse,
    checks_reuse.mixed_code,
    checks_reuse.cached_latency,
    checks_scores.uncounted_scores,
)


def check(facts: Facts, kind: Kind = PLAIN) -> list[Finding]:
    """Run every check, those of the kind too; an empty list means that none found anything."""
    return [finding for each in (*CHECKS, *map(resolve, kind.checks)) for finding in each(facts)]


def validate(
    databases: Sequence[Path],
    table: str | None = None,
    key: Sequence[str] = (),
    kind: Kind = PLAIN,
) -> list[Finding]:
    """Check recorded results.

    `table` restricts the checks to one table, which may be of any origin; `key` names the columns
    that together identify a task where the harness did not record it; `kind` brings checks of its
    own. Never holds the table in memory. Raises HarnessError where there is nothing to check.
    """
    return examine(databases, table, lambda facts: check(facts, kind), key=key)


def examine(
    databases: Sequence[Path],
    table: str | None,
    question: Callable[[Facts], Answer],
    *,
    key: Sequence[str] = (),
    with_scores: bool = False,
) -> Answer:
    """What `question` answers about recorded results, within `MEMORY` where that is enough.

    Where a value of another type than its column's stops DuckDB, it is asked again over converted
    values; where a single answer needs more memory, without the limit. Raises HarnessError where
    there is no row, or where the results cannot be read.
    """
    careful = False
    memory: str | None = MEMORY
    while True:
        con = connect(databases, table=table, memory_limit=memory, careful=careful)
        try:
            return question(read_facts(con, key=key, whole=table is None, with_scores=with_scores))
        except duckdb.TypeMismatchException as error:
            if careful:
                raise unreadable("The results", error) from error
            careful = True
        except duckdb.OutOfMemoryException as error:
            if memory is None:
                raise unreadable("The results", error) from error
            memory = None
        except duckdb.Error as error:
            raise unreadable("The results", error) from error
        finally:
            con.close()
