"""After the files are written: lay the chosen kind over the project, and give it a history.

Runs in the new folder, with the standard library only and no network. A failure in here would make
cookiecutter delete the project, so what depends on git is tried, explained, and never raised.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

# tojson leaves neither quotes nor line ends of an answer bare, so an answer cannot end this string.
ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")
BRANCH = "feat/first-benchmark"
BEGIN = f"git init && git add -A && git commit -m start && git switch -c {BRANCH}"
# A hook of another repository may have started us: its GIT_DIR must not become ours.
OTHERS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY")
ENVIRONMENT = {key: value for key, value in os.environ.items() if key not in OTHERS}


class GitFailed(Exception):
    """git is missing or said no; the text is what it said."""


def git(*arguments: str) -> str:
    """Standard output of a git command."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise GitFailed(str(error)) from error
    if done.returncode:
        raise GitFailed((done.stderr or done.stdout).strip())
    return done.stdout.strip()


def template_folder() -> str:
    """Where cookiecutter read the template from."""
    # A relative name is from where it was started, which only the shell's PWD still says.
    folder = Path(os.environ.get("PWD", ""), Path(ANSWERS.get("_repo_dir", "")).expanduser())
    if not (folder / "cookiecutter.json").is_file():
        raise GitFailed("the folder of the template cannot be found from here")
    top = git("-C", str(folder), "rev-parse", "--show-toplevel")
    if Path(top).resolve() != folder.resolve():
        raise GitFailed("the template lies inside another repository")
    return top


def template_address(folder: str) -> str:
    """Where the template can be cloned from again."""
    given = Path(os.environ.get("PWD", ""), Path(ANSWERS.get("_template", "")).expanduser())
    if given.is_dir():
        return folder
    # As it was cloned: `remote get-url` would give what this machine makes of it (insteadOf).
    address = git("-C", folder, "config", "--get", "remote.origin.url")
    # A token in an address is for whoever cloned it, not for everybody who reads the repository.
    return re.sub(r"(?<=://)[^/@]*@", "", address) if address.startswith("http") else address


def record_origin(root: Path, keep: set[str]) -> str:
    """What cruft records, so that `make upgrade` finds the template; returns what is missing."""
    if ANSWERS.get("_commit"):
        return ""  # cruft does it itself
    if ".cruft.json" in keep:
        return ""  # most of the files are still those of that commit
    try:
        folder = template_folder()
        commit = git("-C", folder, "rev-parse", "HEAD")
        address = template_address(folder)
        edited = git("-C", folder, "status", "--porcelain", "--untracked-files=no")
    except GitFailed as error:
        return (
            f"The template's commit is not recorded ({error}), so make upgrade cannot work;\n"
            "the template's README says how to add it later (scripts/adopt.py).\n"
        )
    state = {
        "template": address,
        "commit": commit,
        "checkout": None,
        "context": {"cookiecutter": {k: v for k, v in ANSWERS.items() if not k.startswith("_")}},
        "directory": None,
    }
    text = json.dumps(state, ensure_ascii=False, indent=2, separators=(",", ": "))
    (root / ".cruft.json").write_text(text + "\n", encoding="utf-8", errors="replace", newline="\n")
    if edited:
        return f"The template has edits that are no commit; recorded is {commit[:12]}.\n"
    return ""


def files_to_keep(root: Path) -> set[str]:
    """What stands in an existing folder and is to stay: all of it, where cookiecutter got -s.

    Then it has not written the Makefile again, whose time the first hook noted.
    """
    note = root / ".before-generation.json"
    if not note.exists():
        return set()
    before = json.loads(note.read_text(encoding="utf-8"))
    note.unlink()
    makefile = root / "Makefile"
    kept = before.get("Makefile") == makefile.lstat().st_mtime_ns
    return set(before) if kept else set()


def lay_kind_over(root: Path, keep: set[str]) -> list[str]:
    """Files of the kind replace or join the project's, but for those to keep.

    The other kinds are deleted. Returns the names of files that are kept and differ.
    """
    differ = []
    kind = root / "kinds" / ANSWERS["kind"]
    for source in sorted(path for path in kind.rglob("*") if path.is_file()):
        name = source.relative_to(kind).as_posix()
        target = root / name
        if name in keep:
            differ += [name] if source.read_bytes() != target.read_bytes() else []
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    shutil.rmtree(root / "kinds")
    return differ


def sweep(root: Path) -> None:
    """Delete the caches of tools, which a template copied from a working folder contains."""
    for pattern in ("__pycache__", ".*_cache"):
        for folder in list(root.rglob(pattern)):
            if folder.relative_to(root).parts[0] not in (".git", ".venv"):
                shutil.rmtree(folder)


def choose_files(root: Path, keep: set[str]) -> None:
    """Keep the lock that fits the answer about DVC, and the licence asked for."""
    without_dvc = root / "requirements-without-dvc.lock"
    if ANSWERS["use_dvc"] == "no":
        if "requirements.lock" not in keep:
            without_dvc.replace(root / "requirements.lock")
        for name in {".dvcignore", "dvc.yaml"} - keep:
            (root / name).unlink()
        for name in (".dvc", "results/incoming"):
            if not any(each.startswith(f"{name}/") for each in keep):
                shutil.rmtree(root / name)
    without_dvc.unlink(missing_ok=True)
    if "LICENSE" not in keep:
        (root / "licenses" / ANSWERS["license"]).replace(root / "LICENSE")
    shutil.rmtree(root / "licenses")


def kept_words(keep: set[str], differ: list[str]) -> str:
    """What is said where files stayed as they were."""
    if not keep:
        return ""
    names = f" ({', '.join(differ)})" if differ else ""
    return (
        f"The files that were here stayed as they were; {len(differ)} of them differ from the "
        f"template's{names}.\n"
    )


def python_words(root: Path) -> str:
    """What to install where this machine has no Python that the environment can be made with."""
    command = [sys.executable, "scripts/setup_env.py", "--find-python"]
    command.append(f"--usual={ANSWERS['python_version']}")
    try:
        done = subprocess.run(
            command, cwd=root, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8",
            errors="replace", timeout=60,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return f"Warning: {done.stderr.removeprefix('setup: ')}" if done.returncode else ""


def inside_repository() -> bool:
    try:
        return git("rev-parse", "--is-inside-work-tree") == "true"
    except GitFailed:
        return False


def identity() -> list[str]:
    """Options that name an author for the first commit, where git knows none."""
    options = []
    for key, value in (("name", "bench-template"), ("email", "bench-template@localhost")):
        try:
            git("config", f"user.{key}")
        except GitFailed:
            options += ["-c", f"user.{key}={value}"]
    return options


def start_history() -> str:
    """First commit on main, then a feature branch. Returns what to say to the person."""
    if ANSWERS.get("_commit"):
        return f"Made by cruft, so nothing was committed. First, in the folder: {BEGIN}"
    if inside_repository():
        return (
            "This folder is inside a git repository, so nothing was committed here.\n"
            f"First, in the folder: git switch -c {BRANCH} && git add -A . && git commit -m start"
        )
    git("init", "--quiet")
    git("symbolic-ref", "HEAD", "refs/heads/main")
    git("add", "--all")
    # No signing and no hooks of the machine: either may ask a question that nobody sees.
    git(
        *identity(), "-c", "commit.gpgSign=false", "commit", "--quiet", "--no-verify",
        "--message", f"Start {ANSWERS['project_slug']} from bench-template",
    )  # fmt: skip
    git("checkout", "--quiet", "-b", BRANCH)
    return f"First commit on main; you are on the branch {BRANCH}."


def main() -> None:
    """Finish the project and say what comes next."""
    root = Path.cwd()
    keep = files_to_keep(root)
    sweep(root)
    differ = lay_kind_over(root, keep)
    choose_files(root, keep)
    missing = record_origin(root, keep)
    try:
        history = start_history()
    except GitFailed as error:
        history = (
            f"The project is complete, but git could not start its history: {error}\n"
            f"Later, in the folder: {BEGIN}"
        )
    said = kept_words(keep, differ) + missing + python_words(root)
    text = f"{said}{history}\nNext: cd {ANSWERS['project_slug']} && make dev-run\n"
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))


main()
