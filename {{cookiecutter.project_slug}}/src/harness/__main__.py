"""`python -m harness`: see harness.cli; `setup` and `lock` work before anything is installed."""

import runpy
import sys
from pathlib import Path

_SCRIPT = Path("scripts/setup_env.py")

# They read what is recorded, and of the project's code they call no predict and no score.
_SHORT = {
    *("tags", "list", "show", "diff", "history", "next"),
    *("inspect", "validate", "cache-hits", "sql", "ready"),
}


def _set_up(arguments: list[str]) -> None:
    """Run the script that builds the environment, which needs nothing but Python."""
    if not _SCRIPT.is_file():
        sys.exit(f"error: there is no {_SCRIPT} here\n  fix: start this in the benchmark's folder")
    sys.argv = [str(_SCRIPT), *arguments]
    runpy.run_path(str(_SCRIPT), run_name="__main__")


def main() -> None:
    """Run the command that was asked for."""
    command = sys.argv[1:2]
    if command == ["setup"]:
        _set_up(sys.argv[2:])
    elif command == ["lock"]:
        _set_up(["--relock", *sys.argv[2:]])
    else:
        from harness.system import collect_rarely, start_lean

        collect_rarely()
        if _SHORT & set(command):
            start_lean()
        from harness.cli import main as run_command

        run_command()


if __name__ == "__main__":
    main()
