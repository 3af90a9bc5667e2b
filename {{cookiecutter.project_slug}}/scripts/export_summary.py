"""Results as Markdown. `python scripts/export_summary.py DB [TABLE] [--out FILE]`

Reads any SQLite database that xetrack wrote, and ends with what validation found in it.
Exit code: 0, or 2 for wrong use.
"""

import sys

from harness.cli import main

if __name__ == "__main__":
    main(["export", *sys.argv[1:]])
