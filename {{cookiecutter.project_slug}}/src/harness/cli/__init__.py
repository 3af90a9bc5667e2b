"""`python -m harness COMMAND`: every command of the Makefile, for machines without make.

Each module has the commands of one part of the way. A command imports what it needs when it is
called, since most commands need little.
"""

import os
import re
import sys
import traceback
from pathlib import Path

import typer
from typer.exceptions import TyperException
from typer.main import get_command_name
from typer.models import CommandInfo

from harness.cli import (
    exchanging,
    explorer,
    judging,
    models,
    reading,
    remotes,
    running,
    sharing,
    upgrading,
    versions,
)
from harness.console import err, show_error
from harness.errors import HarnessError, is_of_database, reason_of
from harness.seal import HERE


def _empty() -> typer.Typer:
    return typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # a wrong option gets one sentence, not a box
        help="Run a benchmark: one row for each datapoint, and no good result is computed again.",
        callback=lambda: None,  # so that an app of one command still asks for its name
    )


app = _empty()
PARTS = (
    running.app,
    versions.app,
    explorer.app,
    judging.app,
    exchanging.app,
    remotes.app,
    sharing.app,
    models.app,
    reading.app,
    upgrading.app,
)
for part in PARTS:
    app.registered_commands += part.registered_commands
    app.registered_groups += part.registered_groups


def main(arguments: list[str] | None = None) -> None:
    """Run a command; an error becomes a sentence, its fix and an exit code.

    `arguments` are what was typed where None is given.
    """
    typed = sys.argv[1:] if arguments is None else arguments
    try:
        typed = [_as_text(each) for each in typed]
        _refuse_anothers(Path.cwd() / "src/harness")
        # Not standalone: typer would print what was typed as it is, escape sequences and all.
        code = _with_only(typed[:1])(typed or ["--help"], standalone_mode=False)
        sys.exit(code if typed else 2)
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
        elif isinstance(error, OSError) and error.filename:
            # The system refuses a file: whose it is, or what it lacks, is the person's to change.
            fix = reason_of(error, str(error.filename))[1]
            show_error(HarnessError(f"cannot use {error.filename}: {error.strerror}", fix=fix))
        else:
            # Nobody foresaw this one. Its text may be anybody's, so it takes the same way.
            err.print(traceback.format_exc().rstrip(), soft_wrap=True)
        sys.exit(1)


def _with_only(names: list[str]) -> typer.Typer:
    """The command that was typed, alone: to build all sixty takes longer than most need to run.

    All of them where it is none: then somebody wants the list, or misspelt one.
    """
    only = _empty()
    only.registered_commands = [each for each in app.registered_commands if _name_of(each) in names]
    only.registered_groups = [each for each in app.registered_groups if each.name in names]
    return only if only.registered_commands or only.registered_groups else app


def _name_of(command: CommandInfo) -> str:
    return command.name or get_command_name(getattr(command.callback, "__name__", ""))


def _as_text(argument: str) -> str:
    """What was typed, where Python could not tell that its bytes are UTF-8.

    Raises HarnessError where they are no text at all: no key, query or name can hold them.
    """
    try:
        argument.encode("utf-8")
    except UnicodeEncodeError:
        try:
            return os.fsencode(argument).decode("utf-8")
        except UnicodeError:
            raise HarnessError(
                f"{argument!r} is not valid UTF-8 text", fix="type it again, in UTF-8"
            ) from None
    return argument


def _refuse_anothers(here: Path) -> None:
    """An environment that two checkouts share runs the harness of the one that was set up last."""
    if here.is_dir() and not here.samefile(HERE):
        raise HarnessError(
            f"this environment runs the harness in {HERE}, not the one in src/harness",
            fix="make setup",
        )


def _say_usage(error: TyperException) -> None:
    """Say what is wrong with a command line, and which command shows its usage."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "python -m harness"
    said = error.format_message()
    as_typed = re.sub(r"--([a-z]+)", _as_typed, said)
    fix = f"{command} --help" if as_typed == said else "make lists what each command takes"
    show_error(HarnessError(as_typed, fix=fix))


def _as_typed(option: re.Match[str]) -> str:
    """An option as the person typed it: make hands N=20 on as --items=20."""
    name = option[1]
    variable = {"items": "N", "message": "MSG", "query": "Q"}.get(name, name.upper())
    return variable if os.environ.get(f"BENCH_{variable}") else option[0]
