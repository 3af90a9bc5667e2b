"""Let a repository from before `make upgrade` have it: `python scripts/adopt.py [FOLDER]`.

For one made by plain cookiecutter, whose template and commit nobody recorded. Both are found, not
guessed: the template's history is searched for the commit whose harness the repository began with,
the answers are read from what was generated then, and generating with them again has to give the
same files. Then `.cruft.json` is committed and the upgrade is made.

Run it with the Python of that repository's environment (`.venv/bin/python`), from its folder.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[1]
SHELL = next(HERE.glob("{{*}}")).name
sys.path.insert(0, str(HERE / SHELL / "src"))

from harness.cli.upgrading import show_upgrade  # noqa: E402
from harness.console import err, out, show_error  # noqa: E402
from harness.errors import HarnessError  # noqa: E402
from harness.version.git import asked, git  # noqa: E402
from harness.version.template import STATE  # noqa: E402
from harness.version.template_merge import cruft_command  # noqa: E402
from harness.version.upgrade import refuse_dirty  # noqa: E402

# Copied as they stand, whatever the answers: their git trees are the template's.
VERBATIM = ("src/harness", "sql", "scripts")


def began_with(root: Path) -> str:
    """The commit that brought the harness."""
    options = ("--diff-filter=A", "--format=%H", "--reverse")
    found = git(root, "log", *options, "--", "src/harness/__init__.py").split()
    if not found:
        raise HarnessError(
            f"{root} is no benchmark of this template: no commit of it added src/harness",
            fix="run it in the folder of the benchmark",
        )
    return found[0]


def candidates(root: Path, start: str) -> list[str]:
    """The template's commits with the harness that the repository began with, newest first."""
    prefix = git(root, "rev-parse", "--show-prefix")
    wanted = [git(root, "rev-parse", f"{start}:{prefix}{name}") for name in VERBATIM]
    commits = git(HERE, "rev-list", "--all", "--topo-order").split()
    # One process for all of them: a history is long.
    asked_for = "".join(f"{commit}:{SHELL}/{name}\n" for commit in commits for name in VERBATIM)
    said = git(HERE, "cat-file", "--batch-check=%(objectname)", given=asked_for).splitlines()
    trees = [said[at : at + len(VERBATIM)] for at in range(0, len(said), len(VERBATIM))]
    return [commit for commit, there in zip(commits, trees, strict=True) if there == wanted]


def answers(root: Path, start: str) -> dict[str, str]:
    """What was answered when the repository was made, from the files as they were then."""
    prefix = git(root, "rev-parse", "--show-prefix")

    def then(name: str) -> str:
        return git(root, "cat-file", "blob", f"{start}:{prefix}{name}")

    project = tomllib.loads(then("pyproject.toml"))["project"]
    settings = tomllib.loads(then("benchmark.toml"))
    python = re.search(r"^PYTHON \?= (\S+)", then("Makefile"), re.MULTILINE)
    return {
        "project_name": settings["benchmark"]["name"],
        "project_slug": project["name"].removeprefix("bench-"),
        "description": project["description"],
        "author": project["authors"][0]["name"],
        "kind": settings["benchmark"]["kind"],
        "engine": settings["store"]["engine"],
        "layout": settings["store"]["layout"],
        "use_dvc": "yes" if settings["store"]["dvc"] else "no",
        "license": project["license"].removeprefix("LicenseRef-"),
        "python_version": python[1] if python else "3.11",
    }


def generated(commit: str, given: dict[str, str], folder: Path) -> Path:
    """A project made by cruft at a commit of the template, with its `.cruft.json`."""
    where = ("--no-input", "--default-config", "--output-dir", str(folder))
    context = ("--extra-context", json.dumps(given))
    done = subprocess.run(
        [*cruft_command(), "create", str(HERE), "--checkout", commit, *where, *context],
        cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise HarnessError(
            f"cruft could not generate the project again: {(done.stderr or done.stdout)[-300:]}",
            fix="where a package could not be fetched, try again with a network",
            code=1,
        )
    return folder / given["project_slug"]


def differing(root: Path, start: str, made: Path) -> list[str]:
    """The files in which the repository's beginning is not what the template makes."""
    git(made, "init", "--quiet")
    git(made, "add", "--all")
    git(made, "rm", "--quiet", "--cached", STATE)
    ours = set(git(root, "ls-tree", "-r", "-z", start).split("\0"))
    theirs = set(git(made, "ls-tree", "-r", "-z", git(made, "write-tree")).split("\0"))
    return sorted({line.partition("\t")[2] for line in ours ^ theirs})


def find_state(root: Path) -> dict[str, Any]:
    """What `.cruft.json` has to say; a note where the first commit held edits already."""
    start = began_with(root)
    given = answers(root, start)
    found = candidates(root, start)
    if not found:
        raise HarnessError(
            "no commit of this template has the harness that the repository began with",
            fix="git fetch --all in the template; or it was edited before its first commit",
        )
    best: tuple[list[str], dict[str, Any]] | None = None
    for commit in found:
        with tempfile.TemporaryDirectory() as folder:
            made = generated(commit, given, Path(folder))
            differ = differing(root, start, made)
            state: dict[str, Any] = json.loads((made / STATE).read_text(encoding="utf-8"))
        if best is None or len(differ) < len(best[0]):
            best = differ, state
        if not differ:
            break
    assert best is not None
    if best[0]:
        err.print(f"note: edited before the first commit: {', '.join(best[0])}", markup=False)
    return best[1] | {"checkout": None}


def record(root: Path, message: str) -> None:
    """Commit `.cruft.json`, or leave nothing of it behind."""
    git(root, "add", "--", STATE)
    try:
        git(root, "commit", "--quiet", "--no-verify", "--message", message, "--", STATE)
    except HarnessError:
        git(root, "rm", "--quiet", "--cached", "--", STATE)
        (root / STATE).unlink()
        raise


def main() -> int:
    """0 upgraded, 1 with files to finish, 2 for wrong use."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", default=".", type=Path)
    parser.add_argument("--template", default="", help="its address, if not this clone's origin")
    parser.add_argument("--to", default="", help="tag, branch or commit; default: the newest")
    given = parser.parse_args()
    root = given.folder.resolve()
    try:
        refuse_dirty(root)
        if not (root / STATE).exists():
            origin = asked(HERE, "remote", "get-url", "origin", no=2)
            state = find_state(root) | {"template": given.template or origin or str(HERE)}
            text = json.dumps(state, ensure_ascii=False, indent=2, separators=(",", ": "))
            (root / STATE).write_text(text + "\n", encoding="utf-8")
            record(root, f"Record the template: {state['commit'][:12]}")
            out.print(f"made from {state['commit'][:12]}; recorded in {STATE}", markup=False)
        return show_upgrade(root, given.to, force=False)
    except HarnessError as error:
        show_error(error)
        return error.code


if __name__ == "__main__":
    sys.exit(main())
