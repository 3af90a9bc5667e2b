"""Before anything is written: explain every answer that would not work, all at once."""

import json
import os
import re
import sys
import unicodedata
from pathlib import Path

# tojson leaves neither quotes nor line ends of an answer bare, so an answer cannot end this string.
ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")

LONGEST = {"project_name": 100, "description": 300, "author": 100}
WORDS = {"project_name": "the name", "description": "the description", "author": "the author"}
# Windows cannot make a folder with these names; the others would hide a folder in `src/`.
TAKEN = {"con", "prn", "aux", "nul", "benchmark", "harness", "test"}
TAKEN |= {f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10)}


def kinds() -> tuple[str, ...]:
    """The folders of the template's kinds; the answer itself where the template cannot be seen."""
    template = Path(
        str(ANSWERS.get("_repo_dir") or ANSWERS.get("_template") or ""), "cookiecutter.json"
    )
    try:
        return tuple(json.loads(template.read_text(encoding="utf-8"))["kind"])
    except (OSError, ValueError, KeyError):
        name = str(ANSWERS["kind"])
        return (name,) if re.fullmatch(r"[a-z][a-z0-9_]*", name) else ("minimal",)


# As cookiecutter.json lists them. It asks nothing where answers come from a replay file, which a
# stranger may have written: a licence of ../../x would move that file.
CHOICES = {
    "kind": kinds(),
    "engine": ("sqlite", "duckdb"),
    "layout": ("append-only", "table-per-experiment", "database-per-experiment"),
    "use_dvc": ("yes", "no"),
    "license": ("MIT", "Apache-2.0", "BSD-3-Clause", "Proprietary"),
    "python_version": ("3.11", "3.12"),
}


def choice_problems(key: str, value: object) -> list[str]:
    """What is wrong with an answer that has to be one of a few."""
    if value in CHOICES[key]:
        return []
    return [f"{key} is {value!r}; it has to be one of {', '.join(CHOICES[key])}"]


def text_problems(key: str, value: str) -> list[str]:
    """What is wrong with a free-text answer."""
    name, found = WORDS[key], []
    if not value.strip():
        found.append(f"{key} is empty: {name} is needed")
    if len(value) > LONGEST[key]:
        found.append(f"{key} has {len(value)} characters; {name} may have {LONGEST[key]}")
    if any(unicodedata.category(letter) in {"Cc", "Zl", "Zp"} for letter in value):
        found.append(f"{key} holds a line break, tab or control character; write it on one line")
    if any(0xD800 <= ord(letter) <= 0xDFFF for letter in value):
        found.append(f"{key} is not valid UTF-8; check the terminal's encoding")
    return found


def slug_problems(slug: str) -> list[str]:
    """What is wrong with the folder and package name."""
    if not re.fullmatch(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", slug):
        suggestion = re.sub(r"[^a-z0-9]+", "-", slug.lower()).strip("-0123456789") or "my-benchmark"
        return [
            f"project_slug is {slug!r}: use lower-case letters, digits and single - or _,"
            f" beginning with a letter, such as {suggestion[:60]!r}"
        ]
    if len(slug) > 60:
        return [f"project_slug has {len(slug)} characters; shorten it to 60"]
    if slug in TAKEN:
        return [f"project_slug {slug!r} is a name that something else needs; try {slug + '-1'!r}"]
    return []


def remember_what_is_there(root: Path) -> None:
    """Leave a note on the files of an existing folder, which cookiecutter -f writes into.

    Its -s keeps them, but no hook is told: the second hook sees it by the times in this note.
    """
    before = {}
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in (".git", ".venv")]
        for name in names:
            path = Path(folder, name)
            before[path.relative_to(root).as_posix()] = path.lstat().st_mtime_ns
    if before:
        (root / ".before-generation.json").write_text(json.dumps(before), encoding="utf-8")


def main() -> int:
    """Print every problem; 1 where there is one, and cookiecutter then writes nothing."""
    problems = slug_problems(ANSWERS["project_slug"])
    for key in WORDS:
        problems += text_problems(key, ANSWERS[key])
    for key in CHOICES:
        problems += choice_problems(key, ANSWERS[key])
    if problems:
        lines = "\n".join(f"  - {problem}" for problem in problems)
        text = f"Nothing was generated. Correct this, then run the same command again:\n{lines}\n"
        sys.stderr.buffer.write(text.encode("utf-8", "backslashreplace"))
        return 1
    remember_what_is_there(Path.cwd())
    return 0


sys.exit(main())
