"""Draw the pictures of the README from a real run: `python scripts/picture.py`.

A benchmark of the kind minimal is generated in a folder that is deleted afterwards. What its
commands print becomes docs/images/terminal.svg, its report docs/images/report.png (by chromium).
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path

from cookiecutter.main import cookiecutter
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs/images"
COLUMNS = 146
SHOWN = (
    "make dev-run",
    "make test",
    'make experiment TAG=e0.0.1 MSG="first look"',
    "make validate",
)
REPORT_SIZE = (1100, 2050)  # pixels, from the top of the page


def run(command: str, project: Path) -> str:
    """What a command prints in the project, colours included."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(project / "src"),
        "COLUMNS": str(COLUMNS),
        "FORCE_COLOR": "1",
        "PYTHONUNBUFFERED": "1",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(project.parent / "gitconfig"),
    }
    typed = command.replace("make ", f'make VENV="{sys.prefix}" READY= ', 1)
    done = subprocess.run(
        ["sh", "-c", typed],
        cwd=project,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    if done.returncode:
        sys.exit(f"{command}\n{done.stdout}")
    lines = [line.rsplit("\r", 1)[-1].rstrip() for line in done.stdout.rstrip().split("\n")]
    # Of a bar of progress a terminal shows the last state.
    plain = [Text.from_ansi(line).plain for line in lines]
    bars = [i for i, line in enumerate(plain) if re.search(r"━ +[0-9]+/[0-9]+", line)]
    return "\n".join(line for i, line in enumerate(lines) if line and i not in bars[:-1])


def terminal(project: Path) -> str:
    """The commands and what they print, as SVG that asks nothing of the network."""
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    for command in SHOWN:
        console.print(Text(f"$ {command}", style="bold green"))
        console.print(Text.from_ansi(run(command, project)), soft_wrap=True)
        console.print()
    svg = console.export_svg(title="a benchmark, from nothing to a tag")
    return re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)


def photograph(page: Path, picture: Path) -> None:
    """The top of a page as a picture; without chromium there is none."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print(f"chromium is not installed, so {picture.name} stays as it is")
        return
    size = ",".join(map(str, REPORT_SIZE))
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [f"--window-size={size}", f"--screenshot={picture}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def main() -> None:
    """Generate, run, draw."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "gitconfig").write_text("[user]\n\tname = Ada\n\temail = ada@localhost\n")
        os.environ["GIT_CONFIG_GLOBAL"] = str(folder / "gitconfig")
        made = cookiecutter(
            str(ROOT), no_input=True, output_dir=name, default_config=True, accept_hooks=True,
            extra_context={"project_name": "Flowers", "kind": "minimal"},
        )  # fmt: skip
        project = Path(made)
        (IMAGES / "terminal.svg").write_text(terminal(project), encoding="utf-8")
        photograph(project / "results/reports/e0.0.1.html", IMAGES / "report.png")


main()
