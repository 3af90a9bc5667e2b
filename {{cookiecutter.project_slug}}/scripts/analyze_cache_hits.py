"""What did the cache save? `python scripts/analyze_cache_hits.py DB [TABLE]`

Reads any SQLite database that xetrack wrote. Exit code: 0, or 2 for wrong use.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))


def main() -> int:
    from harness.console import Arguments, show_error
    from harness.errors import HarnessError
    from harness.read.configuration_figures import cache_hits
    from harness.read.validate import examine
    from harness.tell.overview import show_cache_hits

    parser = Arguments(description=__doc__)
    parser.add_argument("db", type=Path)
    parser.add_argument("table", nargs="?", help="default: all tables of predictions")
    parser.add_argument("--json", action="store_true", help="figures for programs")
    given = parser.parse_args()
    try:
        hits = examine([given.db], given.table, cache_hits)
    except HarnessError as error:
        show_error(error)
        return error.code
    print(json.dumps(hits, indent=2)) if given.json else show_cache_hits(hits)
    return 0


if __name__ == "__main__":
    sys.exit(main())
