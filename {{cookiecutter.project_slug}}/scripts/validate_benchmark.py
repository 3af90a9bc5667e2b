"""Can these results be trusted? `python scripts/validate_benchmark.py DB [TABLE]`

Reads any SQLite database that xetrack wrote. Exit code: 0 nothing found, 1 findings, 2 wrong use.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))


def main() -> int:
    from harness.console import Arguments, show_error
    from harness.errors import HarnessError
    from harness.findings import show
    from harness.project.kind import load_kind
    from harness.read.validate import validate

    parser = Arguments(description=__doc__)
    parser.add_argument("db", type=Path)
    parser.add_argument("table", nargs="?", help="default: all tables of predictions")
    parser.add_argument("--key", default="", help="columns that name a task: input_id,model")
    parser.add_argument("--json", action="store_true", help="findings for programs")
    given = parser.parse_args()
    try:
        names = [name for name in given.key.split(",") if name]
        findings = validate([given.db], given.table, names, load_kind(ROOT))
    except HarnessError as error:
        show_error(error)
        return error.code
    return show(findings, f"{given.db} {given.table or ''}".strip(), as_json=given.json)


if __name__ == "__main__":
    sys.exit(main())
