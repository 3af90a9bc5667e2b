"""Merge results by hand. `python scripts/merge_artifacts.py INTO OTHER [--rebase] [--key a,b]`

Two SQLite databases that xetrack wrote, all their tables, or two Parquet files. Equal rows are one
row; where rows of one key differ nothing is merged and they are listed, unless --rebase takes those
of OTHER. INTO is backed up first and replaced in one step. `make merge` does the same with a whole
checkout. Exit code: 0, 1 where rows differ, 2 for wrong use.
"""

import shutil
import sys
from pathlib import Path


def main() -> int:
    from harness.console import Arguments, show_error
    from harness.errors import HarnessError
    from harness.version.merging.results import ALLOWED, known_differences

    parser = Arguments(description=__doc__)
    parser.add_argument("into", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("--rebase", action="store_true", help="where rows differ, take OTHER's")
    parser.add_argument("--key", default="", help="columns that tell Parquet rows apart")
    parser.add_argument("--allow", default="", help=f"what may differ: {', '.join(ALLOWED)}")
    given = parser.parse_args()
    try:
        if given.into.suffix == ".parquet":
            return _parquet(given.into, given.other, given.key, given.rebase)
        allow = known_differences([given.allow])
        return _databases(given.into, given.other, allow, given.rebase)
    except HarnessError as error:
        show_error(error)
        return error.code


def _parquet(into: Path, other: Path, key: str, rebase: bool) -> int:
    from harness.console import out
    from harness.version.merging.parquet import merge_parquet

    names = tuple(filter(None, key.split(",")))
    if rebase and into.is_file():
        shutil.copy2(into, into.with_name(f"{into.name}.before-rebase"))
    rows, clashes = merge_parquet(into, other, names, rebase)
    for clash in clashes:
        out.print(f"differs: {clash}", soft_wrap=True)
    out.print(f"{rows} rows merged into {into.name}", soft_wrap=True)
    return int(bool(clashes))


def _databases(into: Path, other: Path, allow: set[str], rebase: bool) -> int:
    from harness.console import out
    from harness.findings import show
    from harness.version.merging.results import merge_files

    merged = merge_files(into, other, allow, rebase)
    if merged.findings:
        return show(merged.findings, f"nothing was merged from {other.name}")
    for backup in merged.backups:
        out.print(f"what was in {into.name} before is {backup}", soft_wrap=True)
    rows = sum(merged.rows.values())
    out.print(f"{rows} rows merged into {into.name}", soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
