"""Can these results be trusted? `python scripts/validate_benchmark.py DB [TABLE]`

Reads any SQLite database that xetrack wrote. Exit code: 0 nothing found, 1 findings, 2 wrong use.
"""

import sys

from harness.cli import main

if __name__ == "__main__":
    main(["validate", *sys.argv[1:]])
