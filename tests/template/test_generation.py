"""What is generated: every combination of answers, and answers that nobody expected."""

import ast
import itertools
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.template.conftest import KINDS, QUESTIONS, REPOSITORY, SHELL, Bake, BakedProject

COMBINATIONS = list(
    itertools.product(KINDS, QUESTIONS["engine"], QUESTIONS["layout"], QUESTIONS["use_dvc"])
)
NOT_RENDERED = {".py", ".sql", ".html", ".j2", ".js", ".css", ".csv", ".json", ".jsonl", ".txt"}
ODD_NAMES = [
    "The \"quoted\" one, and the 'other'",
    "back\\slash\\",
    "Größe und Übermaß, naïve façade",
    "Emoji 🎉 of 👩‍🔬 science",
    "$(touch pwned) `touch pwned` ; touch pwned #",
    '""" + __import__("os").system("touch pwned") + """',
    "x" * 60,
    "日本語のベンチマーク",
    "🎉",
    "<script>alert(1)</script> & --help",
    "%s {0} ${HOME} $HOME # % !",
]


def parse(path: Path) -> None:
    """Raise where a file of a known format is not well-formed."""
    text = path.read_text(encoding="utf-8")
    match path.suffix:
        case ".py":
            ast.parse(text, filename=str(path))
        case ".toml":
            tomllib.loads(text)
        case ".yaml" | ".yml":
            assert yaml.safe_load(text)
        case ".json":
            json.loads(text)


def check_generated(project: BakedProject) -> None:
    """Well-formed, no Jinja left, clean by ruff, clean by git."""
    for path in project.files():
        if path.suffix in {".py", ".toml", ".yaml", ".yml", ".json"}:
            parse(path)
        if path.suffix not in NOT_RENDERED:
            text = path.read_text(encoding="utf-8", errors="replace")
            left = re.findall(r"(?<!\$)\{\{.*|\{%.*|cookiecutter\..*", text)
            assert not left, f"{path}: {left}"
    for command in (("check",), ("format", "--check")):
        project.run(sys.executable, "-m", "ruff", *command, "--no-cache", ".")
    assert project.changes() == ""


@pytest.mark.parametrize(("kind", "engine", "layout", "use_dvc"), COMBINATIONS)
def test_every_combination_is_well_formed(
    bake: Bake, kind: str, engine: str, layout: str, use_dvc: str
) -> None:
    project = bake(kind=kind, engine=engine, layout=layout, use_dvc=use_dvc)

    check_generated(project)
    store = tomllib.loads(project.read("benchmark.toml"))["store"]
    assert store == {"engine": engine, "layout": layout, "dvc": use_dvc == "yes"}
    assert (project.root / ".dvc/config").exists() == (use_dvc == "yes")
    assert bool(re.search("^dvc==", project.read("requirements.lock"), re.MULTILINE)) == (
        use_dvc == "yes"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_brings_its_four_files_and_leaves_no_scaffolding(bake: Bake, kind: str) -> None:
    project = bake(kind=kind)

    names = {path.relative_to(project.root).as_posix() for path in project.files()}
    assert {f"src/benchmark/{n}.py" for n in ("params", "dataset", "predict", "metrics")} <= names
    assert {"PLAN.toml", "requirements.lock", "LICENSE", "src/harness/__init__.py"} <= names
    assert any(name.startswith("tests/test_") for name in names)
    assert not [name for name in names if re.match("kinds/|licenses/|requirements-without", name)]


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=[] if kind == "llm" else pytest.mark.slow) for kind in KINDS],
)
def test_the_types_of_a_generated_project_hold(
    bake: Bake, kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cache = tmp_path_factory.getbasetemp() / "mypy"
    bake(kind=kind).run(sys.executable, "-m", "mypy", "--cache-dir", str(cache))


def test_lint_does_not_look_into_the_harness(
    bake: Bake, tmp_path_factory: pytest.TempPathFactory
) -> None:
    project = bake()
    with (project.root / "src/harness/errors.py").open("a") as file:
        file.write('import os\nWRONG: int  =  "text"\n')
    cache = tmp_path_factory.getbasetemp() / "mypy"
    project.run(sys.executable, "-m", "mypy", "--cache-dir", str(cache))
    for command in (("check",), ("format", "--check")):
        project.run(sys.executable, "-m", "ruff", *command, "--no-cache", ".")
    # Nor do the git hooks, which hand over names of files.
    hook = project.run(
        *(sys.executable, "-m", "ruff", "check", "--no-cache", "--force-exclude"),
        *("src/harness/errors.py", "src/benchmark/predict.py"),
    )
    assert "F401" not in hook.stdout
    hooks = yaml.safe_load(project.read(".pre-commit-config.yaml"))
    assert re.search(hooks["exclude"], "src/harness/errors.py")


@pytest.mark.parametrize("name", ODD_NAMES)
def test_an_odd_answer_stays_an_answer(bake: Bake, name: str, tmp_path: Path) -> None:
    project = bake(project_name=name, description=f"About {name}", author=name)

    check_generated(project)
    metadata = tomllib.loads(project.read("pyproject.toml"))["project"]
    assert metadata["description"] == f"About {name}"
    assert metadata["name"].startswith("bench-")
    assert metadata["authors"] == [{"name": name}]
    assert tomllib.loads(project.read("benchmark.toml"))["benchmark"]["name"] == name
    assert f"Copyright (c) {name}\n" in project.read("LICENSE")
    assert project.read("README.md").startswith(f"# {name}\n")
    project.make("help")
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.parametrize("licence", QUESTIONS["license"])
def test_the_licence_asked_for_is_the_one_that_is_there(bake: Bake, licence: str) -> None:
    project = bake(license=licence, author="Ada Author")

    first = {
        "MIT": "MIT License",
        "Apache-2.0": "Apache License",
        "BSD-3-Clause": "BSD 3-Clause License",
        "Proprietary": "Copyright (c) Ada Author. All rights reserved.",
    }
    assert project.read("LICENSE").strip().startswith(first[licence])
    assert licence in tomllib.loads(project.read("pyproject.toml"))["project"]["license"]


@pytest.mark.parametrize("version", QUESTIONS["python_version"])
def test_the_python_asked_for_is_the_one_that_is_set_up(bake: Bake, version: str) -> None:
    project = bake(python_version=version)

    assert f"PYTHON ?= {version}\n" in project.read("Makefile")
    workflow = yaml.safe_load(project.read(".github/workflows/ci.yml"))
    [python] = [s for s in workflow["jobs"]["check"]["steps"] if "python-version" in str(s)]
    assert python["with"]["python-version"] == version
    assert workflow["concurrency"]["group"] == "ci-${{ github.ref }}"


def test_pull_requests_meet_the_gate_with_no_more_rights_than_reading(bake: Bake) -> None:
    project = bake()
    workflow = yaml.safe_load(project.read(".github/workflows/benchmark-gate.yml"))
    assert workflow["permissions"] == {"contents": "read"}
    job, comment = workflow["jobs"]["gate"], workflow["jobs"]["comment"]
    assert "permissions" not in job
    used = [step["uses"] for step in job["steps"] if "uses" in step]
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", each) for each in used)
    assert job["steps"][0]["with"] == {"fetch-depth": 0, "persist-credentials": False}
    gate = job["steps"][-2]
    assert gate["env"] == {"BASE": "${{ github.event.pull_request.base.sha }}"}
    # What is typed is data: the commit reaches the harness through the environment.
    assert gate["run"] == 'make gate BASE="$BASE" OUT=gate.md'
    # Who may write a comment runs nothing of the branch, and is given the report as text.
    assert comment["permissions"] == {"pull-requests": "write"}
    [said] = comment["steps"]
    assert "uses" not in said
    assert "${{" not in said["run"]
    assert "\t@$(PY) -m harness gate" in project.read("Makefile")


def test_the_gate_says_it_in_one_comment_that_is_kept_up_to_date(
    bake: Bake, tmp_path: Path
) -> None:
    """The steps as a runner carries them out; `gh` is a script that keeps what it is asked."""
    jobs = yaml.safe_load(bake().read(".github/workflows/benchmark-gate.yml"))["jobs"]
    report = "# Benchmark against e0.1.0\n\n$(touch ran) `touch ran` — worse\n"
    (tmp_path / "gate.md").write_text(report, encoding="utf-8")
    gh = tmp_path / "gh"
    gh.write_text(
        '#!/bin/sh\necho "$*" >> asked\ncase "$*" in *--paginate*) cat known;; '
        "*) cp comment.md said;; esac\n"
    )
    gh.chmod(0o755)
    surroundings = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "REPOSITORY": "org/bench",
        "NUMBER": "7",
    }

    def step(script: str, **more: str) -> None:
        command = ["bash", "-e", "-o", "pipefail", "-c", script]
        subprocess.run(command, cwd=tmp_path, env=surroundings | more, check=True)

    step(jobs["gate"]["steps"][-1]["run"])
    head, *lines, end = (tmp_path / "output").read_text(encoding="utf-8").splitlines()
    assert head == f"report<<{end}"
    text = "\n".join(lines)
    assert text.strip() == report.strip()
    for known in ("", "99\n"):
        (tmp_path / "known").write_text(known)
        step(jobs["comment"]["steps"][0]["run"], REPORT=text)
        assert (tmp_path / "said").read_text(encoding="utf-8").endswith(f"{text}\n")
    asked = (tmp_path / "asked").read_text().splitlines()
    assert "--method POST repos/org/bench/issues/7/comments --field body=@comment.md" in asked[1]
    assert "--method PATCH repos/org/bench/issues/comments/99" in asked[3]
    assert not (tmp_path / "ran").exists()


def test_every_kind_offered_is_a_folder_and_every_folder_is_offered() -> None:
    assert sorted(QUESTIONS["kind"]) == KINDS


def test_locks_hold_hashes_and_no_address() -> None:
    locks = [
        REPOSITORY / "requirements-dev.lock",
        *(REPOSITORY / SHELL).glob("kinds/*/requirements*.lock"),
    ]
    assert len(locks) == 1 + 2 * len(KINDS)
    for lock in locks:
        text = lock.read_text("utf-8")
        assert not re.search(r"://|^-|^\s*#", text, re.MULTILINE), lock
        pins = re.findall(r"^\S+==", text, re.MULTILINE)
        hashed = re.findall(r"^\S+==.*\\\n    --hash=sha256:", text, re.MULTILINE)
        assert len(pins) == len(hashed) > 50, lock


def test_a_generated_project_uses_the_versions_that_the_tests_run_with() -> None:
    def pins(path: Path) -> set[str]:
        return set(re.findall(r"^\S+==\S+", path.read_text("utf-8"), re.MULTILINE))

    tested = pins(REPOSITORY / "requirements-dev.lock")
    for lock in (REPOSITORY / SHELL).glob("kinds/*/requirements*.lock"):
        assert pins(lock) <= tested, lock


def test_the_caches_of_the_makers_do_not_come_along(bake: Bake, template: Path) -> None:
    for name in ("__pycache__/x.cpython-311.pyc", ".mypy_cache/3.11/x.bin"):
        junk = template / SHELL / "src" / name
        junk.parent.mkdir(parents=True, exist_ok=True)
        junk.write_bytes(b"\x92{{ not text }}")
    try:
        project = bake()
        assert not list(project.root.rglob("__pycache__")) + list(project.root.rglob(".*_cache"))
    finally:
        for name in ("__pycache__", ".mypy_cache"):
            subprocess.run(["rm", "-rf", str(template / SHELL / "src" / name)], check=True)
