"""Systems that lack what Linux has: the functions are gone, and everything else goes on."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import system
from tests.harness.project_fixture import SOURCE, Bench, once_each

# What Windows lacks, taken away before the harness is imported, in each process.
WITHOUT = """
import os, signal, multiprocessing, multiprocessing.context

for name in ("getuid", "geteuid", "getgid", "setsid", "killpg", "getpgid", "getloadavg", "nice"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("setitimer", "getitimer", "SIGALRM", "SIGHUP", "SIGUSR1", "ITIMER_REAL", "alarm"):
    if hasattr(signal, name):
        delattr(signal, name)
import builtins

found = builtins.__import__


def imported(name, globals=None, *rest, **more):
    # Other packages have their own ways on Windows, which they choose by its name.
    asks = (globals or {}).get("__name__", "")
    if name in ("fcntl", "resource", "pwd", "grp") and asks.startswith("harness"):
        raise ImportError(name)
    return found(name, globals, *rest, **more)


builtins.__import__ = imported
multiprocessing.get_all_start_methods = lambda: ["spawn"]
multiprocessing.context.BaseContext.get_all_start_methods = lambda self: ["spawn"]
"""
POSIX_ONLY = {
    "os": {"getuid", "geteuid", "fork", "setsid", "killpg", "getpgid", "wait", "getloadavg"},
    "signal": {"setitimer", "SIGALRM", "SIGHUP", "SIGUSR1", "SIGKILL", "ITIMER_REAL", "alarm"},
}


def test_only_one_module_names_what_some_systems_lack() -> None:
    found = set()
    for path in (SOURCE / "harness").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = set[str]()
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                names = {node.attr} & POSIX_ONLY.get(node.value.id, set())
            elif isinstance(node, ast.Import):
                names = {each.name for each in node.names} & {"resource", "fcntl", "pwd", "grp"}
            if names:
                found.add(path.name)
    assert found == {"system.py"}


def test_what_other_programs_print_is_read_as_utf_8_and_not_as_the_system_has_it() -> None:
    for path in (SOURCE / "harness").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                given = {each.arg: ast.unparse(each.value) for each in node.keywords}
                assert "True" not in (given.get("text"), given.get("universal_newlines")), path


def test_without_those_functions_every_executor_gives_the_same_rows(
    make_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    bench = make_bench()
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(WITHOUT)
    path = f"{site}:{SOURCE}:{bench.root / 'src'}"
    for executor in ("serial", "threads", "processes"):
        bench.settings(run={"executor": executor, "workers": 2, "timeout_seconds": 30})
        bench.forget()
        done = bench.run("dev-run", "--items=4", before=lambda: None, PYTHONPATH=path)
        assert bench.executed() == once_each(["low", "high"], 4), executor
        assert len(bench.rows("dev")) == 8
        said = "this system has no timer that could end a call" in done.said
        assert said == (executor == "serial"), done.said
        bench.run("dev-clean")
    # A call that takes too long ends with its process, since nothing can interrupt it.
    bench.settings(run={"executor": "processes", "workers": 1, "timeout_seconds": 1})
    bench.params('[Params("low", 0.25)]')
    bench.items(2)
    bench.predict(
        "if item['id'] == 'i1':\n    import time\n    time.sleep(60)\nreturn {'prediction': 1}"
    )
    bench.score("def score(row):\n    return {'one': row['prediction']}\n")
    bench.run("dev-run", expect=1, before=lambda: None, PYTHONPATH=path)
    kinds = [row["error_type"] for row in bench.rows("dev")]
    assert kinds == [None, "PredictionTimeout"]


def test_files_that_may_be_opened_without_limit_are_allowed_as_many_as_the_system_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As macOS does: the hard limit is "unlimited", and setting it to that is refused."""
    import resource

    asked: list[tuple[int, int]] = []

    def limit(which: int, wanted: tuple[int, int]) -> None:
        asked.append(wanted)
        if wanted[0] > 24_576:
            raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", limit)
    system.allow_files()
    assert asked[-1] == (24_576, resource.RLIM_INFINITY)
    assert system.most_files() is None


def test_with_duckdb_a_missing_home_is_no_obstacle(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.settings(store={"engine": "duckdb"})
    bench.predict('import os\nreturn {"prediction": 1, "ground_truth": os.environ["HOME"]}')
    bench.run("dev-run", before=lambda: None, HOME="/nonexistent")
    assert {row["ground_truth"] for row in bench.rows("dev")} == {"/nonexistent"}
