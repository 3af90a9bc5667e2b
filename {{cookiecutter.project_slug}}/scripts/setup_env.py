"""What `make setup` does: environment from the lock, git hooks, git's merge driver, DuckDB.

Run by whatever Python the machine has, so: standard library only, and nothing newer than 3.7.
Safe to repeat; where nothing changed, it only checks.
"""

from __future__ import annotations

import argparse
import glob
import hashlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SUPPORTED = ("3.12", "3.11")  # xetrack 0.7 needs numpy below 2, which has no build for 3.13


class SetupError(Exception):
    """What is wrong, and the command that fixes it; printed, exit code 2."""


def run(*command: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The finished command; one that is missing counts as failed."""
    words = [str(word) for word in command]
    try:
        return subprocess.run(
            words,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        return subprocess.CompletedProcess(words, 127, "", str(error))


def version_of(python: str) -> str:
    """`3.11` by running it, since a shim may be on the path and fail; "" where it does."""
    done = run(python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    return done.stdout.strip() if done.returncode == 0 else ""


def find_python(wanted: str) -> str:
    """A Python of the wanted minor version, else of another supported one."""
    pyenv = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    names = [f"python{minor}" for minor in (wanted, *SUPPORTED)]
    names += ["python3", "python", sys.executable]
    for minor in (wanted, *SUPPORTED):
        names += sorted(glob.glob(f"{pyenv}/versions/{minor}.*/bin/python"), reverse=True)
    found = {name: version_of(name) for name in dict.fromkeys(names)}
    for accepted in ((wanted,), SUPPORTED):
        for name, version in found.items():
            if version in accepted and version in SUPPORTED:
                return name
    others = ", ".join(sorted({version for version in found.values() if version})) or "none"
    raise SetupError(
        f"no Python {' or '.join(SUPPORTED)} on this machine (found: {others})\n"
        f"fix: install one (apt install python3.11 python3.11-venv, brew install python@3.12,"
        f" or uv python install 3.12), then make setup"
    )


def python_in(venv: Path) -> Path:
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def create(venv: Path, python: str) -> None:
    """A fresh environment with pip in it."""
    done = run(python, "-m", "venv", "--clear", venv)
    if done.returncode:
        raise SetupError(
            f"{python} -m venv failed: {(done.stdout + done.stderr).strip()}\n"
            f"fix: on Debian and Ubuntu, apt install python{version_of(python)}-venv"
        )


def uv_in(venv: Path) -> str:
    """uv of the environment, if it runs; "" otherwise."""
    uv = python_in(venv).with_name("uv")
    return str(uv) if run(uv, "--version").returncode == 0 else ""


def uv_on_path() -> str:
    """uv of the machine, if it runs; "" otherwise."""
    uv = shutil.which("uv")
    return uv if uv and run(uv, "--version").returncode == 0 else ""


def never_compiled() -> bool:
    """Whether Python keeps no bytecode here, as in many container images.

    uv leaves it to the first import; then every command would compile what it imports again.
    """
    return bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))


def sync(uv: str, venv: Path, lock: Path) -> str:
    """Make the environment hold exactly what the lock lists, hashes verified; "" or the problem."""
    python = python_in(venv)
    options = ["--quiet", "--require-hashes", "--python", str(python)]
    if never_compiled():
        options.append("--compile-bytecode")
    done = run(uv, "pip", "sync", *options, lock)
    return f"uv: {done.stderr.strip()}\n" if done.returncode else ""


def own_folders(lock: Path) -> list[str]:
    """The folders of one's own packages that the lock names (`-e ..`): they have no hash."""
    lines = lock.read_text(encoding="utf-8").splitlines()
    found = [re.match(r"(?:-e|--editable)[ =]+(\S+)", line) for line in lines]
    return [match[1] for match in found if match]


def install_own(uv: str, venv: Path, root: Path, folders: list[str]) -> None:
    """The person's own packages, linked: an edit of them needs no installation."""
    for folder in folders:
        if problem := install_editable(uv, venv, root, folder):
            raise SetupError(
                f"{folder}, which requirements-benchmark.in names, could not be installed: "
                f"{problem}\nfix: correct the line `-e {folder}`, or the package "
                "there, then make setup"
            )


def install_editable(uv: str, venv: Path, root: Path, folder: str, *options: str) -> str:
    """A package as it lies there, without what it needs; "" or the problem."""
    python = python_in(venv)
    what = ("install", "--quiet", "--no-deps", *options, "--editable", folder)
    if uv:
        done = run(uv, "pip", *what, "--python", python, cwd=root)
    else:
        done = run(python, "-m", "pip", *what, cwd=root)
    return done.stderr.strip() if done.returncode else ""


def install_project(venv: Path, root: Path) -> None:
    """This repository itself. What builds it is in the lock, so no network is needed."""
    uv = uv_on_path() or uv_in(venv)
    if problem := install_editable(uv, venv, root, ".", "--no-build-isolation"):
        raise SetupError(
            f"this repository could not be installed as a package: {problem}\n"
            "fix: correct pyproject.toml, then make setup"
        )


def install(venv: Path, python: str, lock: Path) -> None:
    """What the lock lists, and the person's own packages."""
    folders = own_folders(lock)
    with tempfile.TemporaryDirectory() as place:
        hashed = lock
        if folders:
            lines = lock.read_text(encoding="utf-8").splitlines(keepends=True)
            hashed = Path(place, lock.name)
            kept = [line for line in lines if not re.match(r"(-e|--editable)[ =]", line)]
            hashed.write_text("".join(kept), encoding="utf-8")
        install_hashed(venv, python, hashed)
    install_own(uv_on_path() or uv_in(venv), venv, lock.parent, folders)


def install_hashed(venv: Path, python: str, lock: Path) -> None:
    """What the lock lists: by uv, which is fast; by pip where uv fails."""
    problem = "there is no uv\n"
    fits = version_of(str(python_in(venv))) == version_of(python)
    uv = uv_on_path() or (uv_in(venv) if fits else "")
    if uv and not fits:
        fits = run(uv, "venv", "--quiet", "--clear", "--python", python, venv).returncode == 0
    if not fits:
        create(venv, python)
    if uv or bootstrap_uv(venv, lock):
        problem = sync(uv or uv_in(venv), venv, lock)
        if not problem:
            return
        print(
            f"note: {problem.strip()}\nnote: pip installs instead, which takes longer", flush=True
        )
    if run(python_in(venv), "-m", "pip", "--version").returncode:
        create(venv, python)
    done = run(python_in(venv), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", lock)
    if done.returncode:
        raise SetupError(
            f"the packages of {lock.name} could not be installed\n"
            f"{problem}pip: {done.stderr.strip()}\n"
            f"fix: check that this machine reaches its package index, then make setup"
        )


def bootstrap_uv(venv: Path, lock: Path) -> bool:
    """Install uv in the version and with the hashes of the lock; whether that worked."""
    entry = re.search(r"^uv==.*(?:\n[ \t]+.*)*", lock.read_text(encoding="utf-8"), re.MULTILINE)
    if not entry:
        return False
    with tempfile.TemporaryDirectory() as folder:
        only_uv = Path(folder, "uv.txt")
        only_uv.write_text(entry.group() + "\n", encoding="utf-8")
        run(
            *(python_in(venv), "-m", "pip", "install", "--quiet", "--no-deps"),
            *("--require-hashes", "-r", only_uv),
        )
    return bool(uv_in(venv))


def package_state(root: Path) -> str:
    """A digest of what the installed package depends on: its place, metadata and version."""
    content = hashlib.sha256(str(root).encode("utf-8", "surrogateescape"))
    for name in ("pyproject.toml", "src/harness/__init__.py"):
        if (root / name).exists():
            content.update((root / name).read_bytes())
    return content.hexdigest()


def recorded_state(ready: Path) -> tuple[str, str, str]:
    """What `.ready` says was installed: lock, package, and the place of the environment."""
    lines = ready.read_text("utf-8").splitlines() if ready.exists() else []
    return (lines[0], lines[1], lines[2]) if len(lines) == 3 else ("", "", "")


def install_git_hooks(venv: Path, root: Path) -> str:
    """The hooks of .pre-commit-config.yaml, where this folder is the top of a git repository."""
    top = run("git", "rev-parse", "--show-toplevel", "--git-path", "hooks/pre-commit", cwd=root)
    lines = top.stdout.splitlines()
    if top.returncode or Path(lines[0]).resolve() != root:
        return "no git hooks: this folder is not the top of a git repository"
    hook, python = root / lines[1], str(python_in(venv))
    if hook.exists() and python in hook.read_text(encoding="utf-8", errors="replace"):
        return ""
    done = run(python, "-m", "pre_commit", "install", cwd=root)
    return f"no git hooks: {(done.stdout + done.stderr).strip()}" if done.returncode else ""


def install_merge_driver(venv: Path, root: Path) -> str:
    """Tell git how to merge two versions of a results database (.gitattributes names it)."""
    top = run("git", "rev-parse", "--show-toplevel", cwd=root).stdout.strip()
    if not top:
        return ""
    python = python_in(venv if venv.is_absolute() else root / venv)
    # Relative, so that each worktree uses its own environment: git starts it at the top.
    inside = Path(top).resolve() in python.parents
    name = os.path.relpath(python, Path(top).resolve()) if inside else str(python)
    command = f"{shlex.quote(Path(name).as_posix())} -m harness merge-driver %O %A %B %P"
    section = "merge.benchmark-results"
    # What two branches have in common twice is not merged beforehand: ours stands for it.
    wanted = {"name": "results, row by row", "driver": command, "recursive": "binary"}
    for key, value in wanted.items():
        done = run("git", "config", f"{section}.{key}", value, cwd=root)
        if done.returncode:
            return f"git does not merge results by itself: {done.stderr.strip()}"
    return ""


def copy_duckdb_extension(venv: Path) -> str:
    """Put it where xetrack's duckdb engine (`xt`, Reader) looks before a download: at home."""
    code = "import duckdb_extensions as e; e.import_extension('sqlite_scanner')"
    done = run(python_in(venv), "-c", code)
    if done.returncode:
        return f"DuckDB's SQLite extension was not copied: {done.stderr.strip()[-300:]}"
    return ""


def relock(venv: Path, root: Path) -> None:
    """Write requirements.lock: for every platform, with hashes, without addresses or paths."""
    uv = uv_on_path() or uv_in(venv)
    if not uv:
        raise SetupError("there is no uv here yet\nfix: make setup, then make lock")
    options = "--quiet --universal --generate-hashes --no-annotate --no-header"
    options += " --python-version 3.11"
    files = "requirements.in --output-file requirements.lock"
    done = run(uv, "pip", "compile", *options.split(), *files.split(), cwd=root)
    if done.returncode:
        raise SetupError(
            f"the lock was not changed: {done.stderr.strip()}\n"
            f"fix: correct requirements.in or requirements-benchmark.in, then make lock"
        )


def set_up(venv: Path, root: Path, lock: Path, usual: str, asked: str = "") -> None:
    """Bring the environment in line with the lock, and say what was done.

    Its Python is the version `asked` for; where none is, the one it has, or the `usual` one.
    """
    started = time.monotonic()
    ready = venv / ".ready"
    notes = []
    state = hashlib.sha256(lock.read_bytes()).hexdigest()
    place = str(venv.resolve())
    before, package_before, made_in = recorded_state(ready)
    package = package_state(root)
    if made_in not in ("", place):
        shutil.rmtree(venv)  # the folder was moved, and the programs in it name the old place
    have = version_of(str(python_in(venv)))
    wanted = asked or (have if have in SUPPORTED else usual)
    if asked and have not in ("", asked) and version_of(find_python(asked)) != asked:
        notes.append(f"there is no Python {asked} on this machine; {venv.name} stays as it is")
        wanted = have
    other = have not in ("", wanted)
    if before != state or other or not python_in(venv).exists():
        python = find_python(wanted)
        print(f"Setting up {venv.name} with Python {version_of(python)}…", flush=True)
        install(venv, python, lock)
        package_before = ""
        notes.append(copy_duckdb_extension(venv))
    if (root / "benchmark.toml").exists():
        run("git", "config", "merge.ours.driver", "true", cwd=root)  # for results/latest
        if package_before != package:
            install_project(venv, root)
        notes.append(install_git_hooks(venv, root))
        notes.append(install_merge_driver(venv, root))
    if never_compiled():
        run(python_in(venv), "-m", "compileall", "-q", root / "src/harness")
    ready.write_text(f"{state}\n{package}\n{place}\n", "utf-8")
    for note in filter(None, notes):
        print(f"note: {note}")
    print(f"Environment ready ({time.monotonic() - started:.1f} s).")


def main() -> int:
    """Exit code 0, or 2 where something needs the person."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal may know ASCII alone
        sys.stdout.reconfigure(errors="backslashreplace")
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--venv", default=".venv", help="the environment's folder")
    parser.add_argument("--python", default="", help="the Python wanted, such as 3.12")
    parser.add_argument("--usual", default=SUPPORTED[0], help="the Python where none is wanted")
    parser.add_argument("--lock", default="requirements.lock", help="what to install")
    parser.add_argument("--find-python", action="store_true", help="only say which would be used")
    parser.add_argument("--relock", action="store_true", help="only write requirements.lock again")
    options = parser.parse_args()
    root = Path.cwd().resolve()
    try:
        if options.find_python:
            print(find_python(options.python or options.usual))
        elif options.relock:
            relock(root / options.venv, root)
        else:
            set_up(root / options.venv, root, root / options.lock, options.usual, options.python)
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
