"""Results as Markdown. `python scripts/export_summary.py DB [TABLE] [--out FILE]`

Reads any SQLite database that xetrack wrote, and ends with what validation found in it.
Exit code: 0, or 2 for wrong use.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))


def main() -> int:
    from harness.console import Arguments, show_error
    from harness.errors import HarnessError
    from harness.project.kind import load_kind
    from harness.read.validate import check, examine
    from harness.tell.overview import overview_markdown
    from harness.tell.query import check_target

    parser = Arguments(description=__doc__)
    parser.add_argument("db", type=Path)
    parser.add_argument("table", nargs="?", help="default: all tables of predictions")
    parser.add_argument("--out", type=Path, help="default: standard output")
    given = parser.parse_args()
    try:
        if given.out:
            check_target(given.out, [given.db])
        kind, title = load_kind(ROOT), f"Results of {given.db.name}"
        text = examine(
            [given.db],
            given.table,
            lambda facts: overview_markdown(facts, title, check(facts, kind)),
            with_scores=True,
        )
    except HarnessError as error:
        show_error(error)
        return error.code
    if given.out:
        given.out.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
