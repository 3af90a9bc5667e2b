"""Models: `python scripts/model_manager.py add|promote|demote|prune|get|info|list …`

The same as `python -m harness model …`; each command explains itself with --help.
Exit code: 0, 1 where the evidence is against it, 2 for wrong use.
"""

import sys


def main() -> None:
    from harness.cli import main as run

    sys.argv[1:] = ["model", *(sys.argv[1:] or ["--help"])]
    run()


if __name__ == "__main__":
    main()
