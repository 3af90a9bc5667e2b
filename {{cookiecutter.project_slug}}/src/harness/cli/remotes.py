"""The commands that share a benchmark: where to, and there and back."""

from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.explorer import here
from harness.console import out, show_error
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.version.sharing import Shared

app = typer.Typer()


@app.command()
def remote(
    url: str,
    endpoint: Annotated[str, typer.Option(help="of S3-compatible storage: https://…")] = "",
) -> None:
    """Where results, data and models are shared; it is tried before it is set."""
    from harness.version.remotes import set_remote

    found = set_remote(*here(), url, endpoint)
    out.print(f"{found.url} can be written; it is the remote {found.name}", soft_wrap=True)
    if found.was:
        out.print(f"before it was {found.was}, which keeps what it has", soft_wrap=True)
    if found.commit:
        out.print(f"others need it too: {found.commit}; then make push", soft_wrap=True)
    else:
        out.print("git alone shares this: large files make every clone large; then make push")


@app.command()
def push() -> None:
    """Bring the branch, tags, results, data and models to the remote."""
    from harness.version.sharing import push as bring

    _tell(bring(*here()))


@app.command()
def pull(tag: Annotated[str, typer.Argument(help="all that this tag needs")] = "") -> None:
    """Bring them here; a tag may be older than its remote."""
    from harness.version.sharing import pull as bring

    _tell(bring(*here(), tag))


def _tell(shared: "Shared") -> None:
    """Say what was done; exit code 1 where something was left."""
    for line in shared.done:
        out.print(line, soft_wrap=True)
    for each in shared.left:
        show_error(HarnessError(each.message, fix=each.fix))
    raise typer.Exit(1 if shared.left else 0)
