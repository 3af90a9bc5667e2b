"""What did the cache save? `python scripts/analyze_cache_hits.py DB [TABLE]`

Reads any SQLite database that xetrack wrote. Exit code: 0, or 2 for wrong use.
"""

import sys

from harness.cli import main

if __name__ == "__main__":
    main(["cache-hits", *sys.argv[1:]])
