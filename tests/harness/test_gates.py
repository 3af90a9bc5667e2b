"""Gates before an experiment: each says what is wrong and what opens it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness.project_fixture import OPENED, Bench

GOOD = 'return {"prediction": 1, "ground_truth": 1}'


def blocks(bench: Bench, gate: str, *words: str, allow: str = OPENED, code: int = 1) -> None:
    """The experiment is refused by this gate alone; nothing runs and nothing is tagged."""
    executed = bench.executed()
    done = bench.run("experiment", "e0.0.1", "--allow", allow, expect=code)
    assert f"gate {gate}:" in done.said
    assert done.said.count("gate ") == 1, done.said
    assert "Traceback" not in done.said
    for word in (*words, "fix:"):
        assert word in done.said, done.said
    assert bench.executed() == executed
    assert "e0.0.1" not in bench.git("tag").split()


def gates_of(bench: Bench) -> dict[str, str]:
    [*_, last] = bench.sql("SELECT gates FROM runs ORDER BY timestamp")
    found: dict[str, str] = json.loads(last["gates"])
    return found


def said_by_ready(bench: Bench) -> str:
    return " ".join(bench.run("ready", expect=1).said.split())


def test_with_everything_done_all_gates_are_open(bench: Bench) -> None:
    bench.file("tests/test_rule.py", "def test_rule():\n    assert True is not None\n")
    bench.commit()
    bench.run("dev-run")
    bench.run("test")
    ready = bench.run("ready")
    assert "no " not in ready.out
    bench.run("experiment", "e0.0.1")
    assert set(gates_of(bench).values()) == {"passed"}
    assert {"branch", "clean", "tag", "dev-run", "tests", "data"} <= set(gates_of(bench))


def test_several_gates_are_named_at_once(bench: Bench) -> None:
    bench.file("new.txt", "x")
    done = bench.run("experiment", "e0.0.1", expect=1)
    for gate, fix in (
        ("clean", "git commit"),
        ("dev-run", "make dev-run"),
    ):
        assert f"gate {gate}:" in done.said
        assert fix in done.said
    assert "gate tests" not in done.said, (
        "the experiment runs them itself, once nothing else blocks"
    )
    ready = bench.run("ready", expect=1)
    assert ready.out.count("no  ") == 2
    assert "then tests: not run yet for this code; make experiment runs them" in ready.said


def test_fixes_are_named_in_the_order_in_which_it_is_done(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(dvc=True)
    bench.file("data/größe.csv", "1")
    fix = bench.run("experiment", "", expect=2).said.partition("fix:")[2]
    steps = ("make data", "git add -A", "make dev-run", "make experiment TAG=e0.0.1")
    assert [fix.find(step) for step in steps] == sorted(fix.find(step) for step in steps)
    assert all(step in fix for step in steps), fix

    bench.run("data")
    bench.commit()
    assert "data/größe.csv" not in bench.git("-c", "core.quotePath=false", "ls-files").split("\n")
    assert "ok data" in bench.run("ready", expect=1).said


def test_no_data_folder_is_no_data(bench: Bench) -> None:
    assert "nothing new in data/" in bench.run("data").said
    assert "no experiment yet" in bench.run("tags").err


def test_a_run_in_a_folder_of_a_larger_repository_resumes(bench: Bench) -> None:
    """What experiments write is theirs also where git's top is above: an unfinished run goes on."""
    above = bench.root.parent
    (bench.root / ".git").rename(above / ".git")
    (above / ".gitignore").write_text("/*\n!/.gitignore\n!/" + bench.root.name + "/\n")
    bench.commit()
    bench.file("results/benchmark-of-a-killed-run.txt", "x")
    bench.run("experiment", "e0.0.1", "--allow", OPENED)
    bench.file("more.txt", "x")
    refused = bench.run("experiment", "e0.0.2", "--allow", OPENED, expect=1)
    assert "uncommitted changes: more.txt" in refused.said


@pytest.mark.parametrize("name", ["main", "master"])
def test_a_protected_branch(bench: Bench, name: str) -> None:
    bench.git("branch", "-m", name)
    blocks(bench, "branch", name, "git switch -c", code=2)
    refused = bench.run("dev-run", expect=2)
    assert f"{name} is a protected branch" in refused.said
    assert "git switch -c" in refused.said
    assert bench.run("branch-check", expect=2).code == 2
    bench.git("switch", "-q", "-c", "feat/more")
    bench.run("branch-check")
    bench.dev_run()


def test_which_branches_are_protected_is_a_setting(bench: Bench) -> None:
    bench.settings(benchmark={"protected_branches": ["release", "feat/try"]})
    bench.commit()
    blocks(bench, "branch", "feat/try", code=2)
    bench.git("switch", "-q", "-c", "main")
    bench.dev_run()


def test_no_branch_at_all(bench: Bench) -> None:
    bench.git("checkout", "-q", "--detach")
    blocks(bench, "branch", "no branch", "git switch -c", code=2)


def test_no_repository(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    (bench.root / ".git").rename(bench.root.with_name("gone"))
    refused = bench.run("dev-run", expect=2)
    assert "no git repository" in refused.said
    assert "git init" in refused.said


@pytest.mark.parametrize(
    "change", ["edited", "staged", "new file", "new file with a line break", "deleted"]
)
def test_uncommitted_changes(bench: Bench, change: str) -> None:
    name = {"new file": "a b.txt", "new file with a line break": "a\nb.txt"}.get(change)
    if name:
        bench.file(name, "x")
    elif change == "deleted":
        (bench.root / "results/README.md").unlink()
        (bench.root / ".gitignore").unlink()
        name = ".gitignore"
    else:
        bench.file("benchmark.toml", (bench.root / "benchmark.toml").read_text() + "# more\n")
        name = "benchmark.toml"
        if change == "staged":
            bench.git("add", "-A")
    blocks(bench, "clean", name.split("\n")[0], "git commit")
    bench.run("experiment", "e0.0.1", "--allow", f"{OPENED},clean")
    assert gates_of(bench)["clean"] == "overridden"
    [run] = bench.sql("SELECT dirty FROM runs")
    assert len(run["dirty"]) == 64


def test_nothing_committed(bench: Bench) -> None:
    bench.git("update-ref", "-d", "HEAD")
    blocks(bench, "clean", "nothing is committed")


@pytest.mark.parametrize("tag", ["0.0.1", "e1.2", "e01.0.0", "e0.0.1-rc", "E0.0.1", "e0.0.1\n", ""])
def test_a_tag_that_is_none(bench: Bench, tag: str) -> None:
    done = bench.run("experiment", tag, "--allow", OPENED, expect=2)
    assert "no experiment tag" in done.said
    assert "TAG=e0.0.1" in done.said


def test_a_tag_that_is_taken_or_older(bench: Bench) -> None:
    for tag in ("e0.0.1", "e0.1.9"):
        bench.experiment(tag)
    bench.forget()
    taken = bench.run("experiment", "e0.1.9", "--allow", OPENED, expect=2)
    assert "e0.1.9 is taken" in taken.said
    assert "TAG=e0.1.10" in taken.said
    older = bench.run("experiment", "e0.0.2", "--allow", OPENED, expect=2)
    assert "e0.0.2 is older than e0.1.9" in older.said
    assert "TAG=e0.1.10" in older.said
    assert not bench.executed()
    bench.experiment("e0.1.10")
    listed = [line for line in bench.run("tags").out.split("\n") if line.startswith(" e")]
    assert listed[2].startswith(" e0.1.10")


def test_code_that_was_not_dev_run(bench: Bench) -> None:
    blocks(bench, "dev-run", "has not been dev-run", "make dev-run", allow="tests")
    bench.dev_run(items=2)
    bench.run("experiment", "e0.0.1", "--allow", "tests")
    assert gates_of(bench)["tests"] == "overridden"
    assert gates_of(bench)["dev-run"] == "passed"


def test_code_that_was_edited_after_its_dev_run(bench: Bench) -> None:
    bench.dev_run()
    bench.predict(GOOD)
    bench.commit()
    blocks(bench, "dev-run", "has not been dev-run", allow="tests")
    bench.file("src/benchmark/predict.py", "# a comment opens nothing and blocks nothing\n" + GOOD)
    bench.predict(GOOD)
    bench.dev_run()
    bench.run("experiment", "e0.0.1", "--allow", "tests")


def test_a_dev_run_with_failures(bench: Bench) -> None:
    bench.predict(f'if item["id"] == "i1":\n    raise ValueError("no")\n{GOOD}')
    bench.commit()
    bench.dev_run(expect=1)
    blocks(bench, "dev-run", "2 failures", "make dev-run", allow="tests")


TEST = "from benchmark.predict import predict\n\n\ndef test_it():\n    assert {}\n"


def test_tests_that_do_not_pass(bench: Bench) -> None:
    bench.file("tests/test_it.py", TEST.format("1 == 2"))
    bench.commit()
    blocks(bench, "tests", "make test", allow="dev-run")
    bench.run("test", expect=1)
    assert "no tests: they fail for this code -> make test" in said_by_ready(bench)
    blocks(bench, "tests", "make test", allow="dev-run")


def test_tests_that_have_not_run_for_this_code_are_run_by_the_experiment(bench: Bench) -> None:
    bench.file("tests/test_it.py", TEST.format("1 == 1"))
    bench.commit()
    bench.run("experiment", "e0.0.1", "--allow", "dev-run")
    assert gates_of(bench)["tests"] == "passed"
    # What passed for other code says nothing: another file of theirs, and they run again.
    bench.file("src/benchmark/metrics.py", "def score(row):\n    return 1 / 0\n")
    bench.file("tests/test_more.py", "from benchmark.metrics import score\n\nscore({})\n")
    bench.commit()
    done = bench.run("experiment", "e0.0.2", "--allow", "dev-run", expect=1)
    assert "gate tests:" in done.said
    assert bench.git("tag") == "e0.0.1"


def test_a_part_of_the_tests_does_not_open_the_gate(bench: Bench) -> None:
    bench.file("tests/test_it.py", TEST.format("1 == 1"))
    bench.file("tests/test_other.py", TEST.format("1 == 2"))
    bench.commit()
    bench.run("test", "tests/test_it.py")
    assert "then tests: not run yet" in said_by_ready(bench)
    blocks(bench, "tests", allow="dev-run")


def test_a_gate_that_there_is_not(bench: Bench) -> None:
    done = bench.run("experiment", "e0.0.1", "--allow", "dev-run,quality", expect=2)
    assert "no gate quality" in done.said
    assert "branch, data, clean" in done.said


def test_gates_are_recorded_by_name(bench: Bench) -> None:
    bench.run("experiment", "e0.0.1", "--allow", "dev-run", "--allow", "tests")
    found = gates_of(bench)
    assert {name for name, verdict in found.items() if verdict == "overridden"} == {
        "dev-run",
        "tests",
    }
    assert found["branch"] == found["clean"] == found["tag"] == "passed"


# -- code that changes while an experiment runs


@pytest.mark.parametrize("what", ["predict", "commit", "another file"])
def test_what_changes_during_a_run_is_not_tagged(bench: Bench, what: str) -> None:
    """predict itself makes the change, so that it falls into the run."""
    edits = {
        "predict": "path.write_text(path.read_text() + '\\nEDITED = 1\\n')",
        "commit": "subprocess.run('git -c user.name=a -c user.email=b commit -q "
        "--allow-empty -m more', shell=True)",
        "another file": "pathlib.Path('new.txt').write_text('x')",
    }
    bench.predict(
        f'path = pathlib.Path(__file__)\nif item["id"] == "i3":\n    {edits[what]}\n{GOOD}',
        head="import pathlib, subprocess",
    )
    done = bench.experiment("e0.0.1", expect=1)
    said = "was written while the run went on" if what == "predict" else "while the experiment ran"
    assert said in done.said
    assert "dev phase" in done.said
    assert not bench.git("tag")
    # What edited code may have computed is not kept.
    assert len(bench.rows()) == (8 if what != "predict" else 0)


# -- the commit hook


def test_the_branch_check_works_as_a_hook(bench: Bench) -> None:
    python = bench.environment()["PYTHONPATH"]
    import sys

    bench.file(
        ".git/hooks/pre-commit",
        f'#!/bin/sh\nPYTHONPATH="{python}" exec "{sys.executable}" -m harness branch-check\n',
    ).chmod(0o755)
    bench.file("a.txt", "x")
    bench.commit()
    bench.git("switch", "-q", "-c", "main")
    bench.file("b.txt", "x")
    bench.git("add", "-A")
    words: dict[str, Any] = {"check": False}
    bench.git("-c", "user.name=a", "-c", "user.email=b", "commit", "-q", "-m", "x", **words)
    assert "b.txt" in bench.git("status", "--porcelain")
