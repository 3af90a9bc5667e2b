"""`python -m harness COMMAND`: every command of the Makefile, for machines without make.

Each module has the commands of one part of the way. A command imports what it needs when it is
called, since most commands need little.
"""

import sys
import traceback

import typer
from typer.exceptions import TyperException

from harness.cli import reading, running, versions
from harness.console import err, show_error
from harness.errors import HarnessError, is_of_database, reason_of

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # a wrong option gets one sentence, not a box
    help="Run a benchmark: one row for each datapoint, and no good result is computed again.",
)
for part in (running.app, versions.app, reading.app):
    app.registered_commands += part.registered_commands
    app.registered_groups += part.registered_groups


def main() -> None:
    """Run a command; an error becomes a sentence, its fix and an exit code."""
    try:
        # Not standalone: typer would print what was typed as it is, escape sequences and all.
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
        sys.exit(code if sys.argv[1:] else 2)
    except HarnessError as error:
        show_error(error)
        sys.exit(error.code)
    except TyperException as error:
        _say_usage(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        err.print("stopped; what is recorded stays, the same command goes on")
        sys.exit(130)
    except Exception as error:
        if is_of_database(error):
            reason, fix = reason_of(error, "the database")
            show_error(HarnessError(f"a results database cannot be used: {reason}", fix=fix))
        else:
            # Nobody foresaw this one. Its text may be anybody's, so it takes the same way.
            err.print(traceback.format_exc().rstrip(), soft_wrap=True)
        sys.exit(1)


def _say_usage(error: TyperException) -> None:
    """Say what is wrong with a command line, and which command shows its usage."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "python -m harness"
    show_error(HarnessError(error.format_message(), fix=f"{command} --help"))
