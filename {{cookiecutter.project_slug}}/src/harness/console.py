"""Where output for people goes. Data for programs goes to standard output and nowhere else."""

import sys

from rich.console import Console
from rich.markup import escape

from harness.errors import HarnessError

# Where output goes into a file or a pipe there is no width to respect.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
err = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else 200)


def show_error(error: HarnessError) -> None:
    """Print what is wrong and the mending command on standard error."""
    err.print(f"[bold red]error:[/] {escape(error.message)}", soft_wrap=True)
    if error.fix:
        err.print(f"[bold green]  fix:[/] {escape(error.fix)}", soft_wrap=True)
