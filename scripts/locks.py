"""Write every requirements.lock of the template again: `make locks`.

First one environment that holds all kinds and the makers' tools, then each kind with and without
DVC, held to the same versions: so that what the tests run in is what a person installs. What only
the tests of other storage need stands apart, and is installed over the first (`make test-remotes`).
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from jinja2 import Template

ROOT = Path(__file__).resolve().parents[1]
SHELL = next(ROOT.glob("{{*}}"))


def harness_needs(use_dvc: str) -> str:
    """requirements.in as a person gets it, but for the line that includes their own packages."""
    text = Template((SHELL / "requirements.in").read_text("utf-8"))
    rendered = text.render(cookiecutter={"use_dvc": use_dvc})
    return "\n".join(line for line in rendered.splitlines() if not line.startswith("-r "))


def resolve(needs: str, lock: Path, constraints: str = "") -> None:
    """Write `lock` as `make lock` would; versions that it holds are kept where they still fit."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "requirements.in").write_text(f"{needs}\n-c bounds.txt\n", encoding="utf-8")
        (folder / "bounds.txt").write_text(constraints, encoding="utf-8")
        shutil.copy(ROOT / "pyproject.toml", folder)
        if lock.exists():
            shutil.copy(lock, folder / "requirements.lock")
        tool = [sys.executable, str(SHELL / "scripts/setup_env.py")]
        subprocess.run([*tool, "--relock", "--venv", sys.prefix], cwd=folder, check=True)
        shutil.copy(folder / "requirements.lock", lock)
    if re.search(r"://|^-|\s-i\s", lock.read_text("utf-8"), re.MULTILINE):
        sys.exit(f"{lock} holds an address or an option; look at it before it is committed")
    print(f"{lock.relative_to(ROOT)}: {len(versions(lock).splitlines())} packages")


def leave_out(lock: Path, base: Path) -> None:
    """Take the packages of another lock out of this one."""
    there = {line.partition("==")[0] for line in versions(base).splitlines()}
    entries = re.split(r"^(?=\S)", lock.read_text("utf-8"), flags=re.MULTILINE)
    kept = [entry for entry in entries if entry.partition("==")[0] not in there]
    lock.write_text("".join(kept), encoding="utf-8")


def versions(lock: Path) -> str:
    """The lock's pins without hashes."""
    lines = lock.read_text("utf-8").splitlines()
    return "\n".join(line.rstrip(" \\") for line in lines if "==" in line)


def resolve_site(lock: Path) -> None:
    """The tools of the site run on any Python, so the bounds in pyproject.toml are not theirs."""
    uv = Path(sys.executable).with_name("uv")
    how = "--quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url"
    needs = lock.with_suffix(".in")
    command: list[str | Path] = [
        uv,
        "pip",
        "compile",
        "--no-config",
        "--python-version",
        "3.11",
        *how.split(),
    ]
    subprocess.run([*command, needs, "--output-file", lock], check=True)


def main() -> None:
    """Resolve everything together, then each kind."""
    own = {path.parent: path.read_text("utf-8") for path in SHELL.glob("kinds/*/*benchmark.in")}
    everything = ROOT / "requirements-dev.lock"
    makers = (ROOT / "requirements-dev.in").read_text("utf-8")
    resolve("\n".join([harness_needs("yes"), makers, *own.values()]), everything)
    resolve_site(ROOT / "requirements-docs.lock")
    remotes = ROOT / "requirements-remotes.lock"
    resolve(remotes.with_suffix(".in").read_text("utf-8"), remotes, versions(everything))
    leave_out(remotes, everything)
    for kind, needs in sorted(own.items()):
        for use_dvc, name in (("yes", ""), ("no", "-without-dvc")):
            lock = kind / f"requirements{name}.lock"
            resolve(f"{harness_needs(use_dvc)}\n{needs}", lock, versions(everything))


main()
